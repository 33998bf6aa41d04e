// What an infrared camera's electronics do to its picture: gain and offset, as a table, and noise.
#include "image.h"

namespace mezzo::image {

namespace {

/// Well-mixed bits of a counter (C. Wellons' lowbias32).
inline uint32_t mixed(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

// The sum of four uniform bytes is close to normal: mean 510, standard deviation sqrt(4 * (256^2 - 1) / 12) = 147.8.
constexpr int32_t kMean = 510;
constexpr float kDeviation = 147.8f;

inline int32_t clampLevel(int32_t level) { return level < 0 ? 0 : (level > 255 ? 255 : level); }

}  // namespace

MEZZO_VECTOR_CLONES
void thermalRow(uint32_t* __restrict row, int32_t count, int32_t y, const Thermal& thermal) {
  const int32_t* __restrict levels = thermal.levels;
  const uint32_t start = mixed(thermal.seed + mixed(static_cast<uint32_t>(y)));
  const float scale = static_cast<float>(thermal.noise) / (256.0f * kDeviation);
  for (int32_t i = 0; i < count; ++i) {
    const uint32_t pixel = row[i], bits = mixed(start + static_cast<uint32_t>(i));
    const auto sum = static_cast<int32_t>((bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + (bits >> 24));
    // Half a level is added before the truncation, which is towards 0: hence the offset that keeps it positive.
    const int32_t noise = static_cast<int32_t>(static_cast<float>(sum - kMean) * scale + 1024.5f) - 1024;
    const int32_t r = clampLevel(levels[pixel & 255] + noise);
    const int32_t g = clampLevel(levels[(pixel >> 8) & 255] + noise);
    const int32_t b = clampLevel(levels[(pixel >> 16) & 255] + noise);
    row[i] = static_cast<uint32_t>(r | (g << 8) | (b << 16));
  }
}

}  // namespace mezzo::image
