// HSV jitter and the packing of finished rows.
#include <algorithm>

#include "image.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mezzo::image {

namespace {

// OpenCV's 8-bit conversions divide through 12-bit fixed-point tables; these quotients round to the same entries.
constexpr float kSaturationScale = 255.0f * 4096.0f;
constexpr float kHueScale = 30.0f * 4096.0f;

}  // namespace

// Conditions compare integers and std::min and std::max are avoided: only then is the loop vectorised (the look-ups
// become gathers).
MEZZO_VECTOR_CLONES
void jitterColour(uint32_t* __restrict row, int32_t count, const Colour& colour) {
  const int32_t hue = colour.hue;
  const int32_t* __restrict saturation = colour.saturation;
  const int32_t* __restrict value = colour.value;
  for (int32_t i = 0; i < count; ++i) {
    const auto pixel = static_cast<int32_t>(row[i]);
    const int32_t r = pixel & 255, g = (pixel >> 8) & 255, b = (pixel >> 16) & 255;
    const int32_t high = g > b ? g : b, low = g < b ? g : b;
    const int32_t v = r > high ? r : high;
    const int32_t range = v - (r < low ? r : low);

    const int32_t vDivisor = v > 0 ? v : 1, rangeDivisor = range > 0 ? range : 1;
    const auto sFactor = static_cast<int32_t>(kSaturationScale / static_cast<float>(vDivisor) + 0.5f);
    const auto hFactor = static_cast<int32_t>(kHueScale / static_cast<float>(rangeDivisor) + 0.5f);
    const int32_t s = (range * sFactor + 2048) >> 12;
    const int32_t fromRed = g - b, fromGreen = b - r + 2 * range, fromBlue = r - g + 4 * range;
    const int32_t sextant = v == r ? fromRed : (v == g ? fromGreen : fromBlue);
    int32_t h = (sextant * hFactor + 2048) >> 12;
    h += h < 0 ? 180 : 0;

    h += hue;
    h -= h >= 180 ? 180 : 0;
    const int32_t sNew = saturation[s], vNew = value[v];

    // Each channel falls from v to v(1-s) by a trapezoid of the hue, a third of the circle apart. Like OpenCV's
    // vector code, the result is truncated.
    const int32_t atR = h + 150 - (h >= 30 ? 180 : 0);
    const int32_t atG = h + 90 - (h >= 90 ? 180 : 0);
    const int32_t atB = h + 30 - (h >= 150 ? 180 : 0);
    int32_t fallR = atR < 120 - atR ? atR : 120 - atR;
    int32_t fallG = atG < 120 - atG ? atG : 120 - atG;
    int32_t fallB = atB < 120 - atB ? atB : 120 - atB;
    fallR = fallR > 30 ? 30 : (fallR < 0 ? 0 : fallR);
    fallG = fallG > 30 ? 30 : (fallG < 0 ? 0 : fallG);
    fallB = fallB > 30 ? 30 : (fallB < 0 ? 0 : fallB);
    const auto top = static_cast<float>(vNew);
    const float slope = static_cast<float>(vNew * sNew) * (1.0f / (255.0f * 30.0f));
    const auto rNew = static_cast<int32_t>(top - slope * static_cast<float>(fallR));
    const auto gNew = static_cast<int32_t>(top - slope * static_cast<float>(fallG));
    const auto bNew = static_cast<int32_t>(top - slope * static_cast<float>(fallB));
    row[i] = static_cast<uint32_t>(rNew | (gNew << 8) | (bNew << 16));
  }
}

namespace {

// OpenCV's luma weights in 14 bits; they add up to 1, so a grey pixel keeps its level.
MEZZO_VECTOR_CLONES
void storeLuma(const uint32_t* row, int32_t count, uint8_t* out) {
  for (int32_t i = 0; i < count; ++i) {
    const uint32_t pixel = row[i];
    const uint32_t r = pixel & 255, g = (pixel >> 8) & 255, b = (pixel >> 16) & 255;
    out[i] = static_cast<uint8_t>((r * 4899 + g * 9617 + b * 1868 + 8192) >> 14);
  }
}

void storeColour(const uint32_t* row, int32_t begin, int32_t count, bool bgr, uint8_t* out) {
  const int first = bgr ? 16 : 0, last = bgr ? 0 : 16;
  for (int32_t i = begin; i < count; ++i) {
    out[3 * i] = static_cast<uint8_t>(row[i] >> first);
    out[3 * i + 1] = static_cast<uint8_t>(row[i] >> 8);
    out[3 * i + 2] = static_cast<uint8_t>(row[i] >> last);
  }
}

void storeGroup(const uint32_t* row, int32_t count, int32_t channels, int32_t first, bool bgr, uint8_t* out) {
  const int32_t stored = std::min(kGroup, channels - first);
  const bool turned = bgr && first == 0;
  for (int32_t i = 0; i < count; ++i) {
    uint8_t* pixel = out + static_cast<size_t>(i) * channels + first;
    for (int32_t c = 0; c < stored; ++c) pixel[c] = static_cast<uint8_t>(row[i] >> (8 * (turned ? 2 - c : c)));
  }
}

#if defined(__x86_64__)
// Four pixels a step. Each store writes 4 bytes more than it fills, so it stops before the end of the row.
__attribute__((target("avx2"))) int32_t storeColourAvx2(const uint32_t* row, int32_t count, bool bgr,
                                                          uint8_t* out) {
  const __m128i order = bgr ? _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1)
                            : _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  int32_t i = 0;
  for (; i + 6 <= count; i += 4) {
    const __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i), _mm_shuffle_epi8(pixels, order));
  }
  return i;
}
#endif

}  // namespace

void storeRow(const uint32_t* row, int32_t count, int32_t channels, int32_t first, bool bgr, uint8_t* out) {
  if (channels == 1) {
    storeLuma(row, count, out);
    return;
  }
  if (channels != kGroup) {
    storeGroup(row, count, channels, first, bgr, out);
    return;
  }
  int32_t done = 0;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) done = storeColourAvx2(row, count, bgr, out);
#endif
  storeColour(row, done, count, bgr, out);
}

}  // namespace mezzo::image
