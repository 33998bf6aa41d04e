// Letterbox: OpenCV's bilinear resize (INTER_LINEAR, 11-bit weights) into a canvas of border colour.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "image.h"

namespace mezzo::image {

namespace {

constexpr int kBits = 11;

/// For each output coordinate: the left source pixel, the right one, and the right one's weight in 11 bits.
struct Axis {
  std::vector<int32_t> low, high;
  std::vector<int32_t> weight;
  Axis(int32_t source, int32_t target) : low(target), high(target), weight(target) {
    const double scale = static_cast<double>(source) / target;
    for (int32_t i = 0; i < target; ++i) {
      const auto at = static_cast<float>((i + 0.5) * scale - 0.5);
      const float base = std::floor(at);
      int32_t left = static_cast<int32_t>(base);
      float fraction = at - base;
      if (left < 0 || left >= source - 1) {
        left = std::clamp(left, 0, source - 1);
        fraction = 0;
      }
      low[i] = left;
      high[i] = std::min(left + 1, source - 1);
      weight[i] = static_cast<int32_t>(std::lrint(fraction * (1 << kBits)));
    }
  }
};

void horizontal(const uint8_t* source, const Axis& axis, int32_t width, int32_t* out) {
  for (int32_t x = 0; x < width; ++x) {
    const uint8_t* left = source + 3 * axis.low[x];
    const uint8_t* right = source + 3 * axis.high[x];
    const int32_t w = axis.weight[x];
    for (int c = 0; c < 3; ++c) out[3 * x + c] = left[c] * ((1 << kBits) - w) + right[c] * w;
  }
}

MEZZO_VECTOR_CLONES
void vertical(const int32_t* top, const int32_t* bottom, int32_t weight, int32_t count, uint8_t* out) {
  const int32_t a = (1 << kBits) - weight, b = weight;
  for (int32_t i = 0; i < count; ++i) {
    out[i] = static_cast<uint8_t>((((a * (top[i] >> 4)) >> 16) + ((b * (bottom[i] >> 4)) >> 16) + 2) >> 2);
  }
}

/// Writes `count` RGB pixels as they are, as luma, or as the channels from `first` on; `row` is scratch space.
void place(const uint8_t* rgb, int32_t count, int32_t channels, int32_t first, uint32_t* row, uint8_t* out) {
  if (channels == kGroup) {
    std::memcpy(out, rgb, static_cast<size_t>(count) * kGroup);
    return;
  }
  for (int32_t i = 0; i < count; ++i) row[i] = rgb[3 * i] | (rgb[3 * i + 1] << 8) | (rgb[3 * i + 2] << 16);
  storeRow(row, count, channels, first, false, out);
}

void letterboxGroup(const LetterboxJob& job, const Axis& columns, const Axis& rows, const uint8_t* pixels,
                    int32_t first) {
  const size_t stride = static_cast<size_t>(job.width) * job.channels;
  const bool same = job.newWidth == job.sourceWidth && job.newHeight == job.sourceHeight;
  const int32_t values = job.newWidth * kGroup;
  // Source rows already resized along x; consecutive output rows mostly need the same two.
  std::vector<int32_t> cached[2];
  int32_t cachedRow[2] = {-1, -1};
  if (!same) {
    for (auto& row : cached) row.resize(values);
  }
  std::vector<uint8_t> line(same ? 0 : values);
  std::vector<uint32_t> packed(job.channels == kGroup ? 0 : job.newWidth);
  const auto fetch = [&](int32_t y, int32_t keep) -> const int32_t* {
    for (int i = 0; i < 2; ++i) {
      if (cachedRow[i] == y) return cached[i].data();
    }
    const int slot = cachedRow[0] == keep ? 1 : 0;
    horizontal(pixels + static_cast<size_t>(y) * job.sourceWidth * kGroup, columns, job.newWidth,
               cached[slot].data());
    cachedRow[slot] = y;
    return cached[slot].data();
  };

  for (int32_t y = 0; y < job.height; ++y) {
    uint8_t* out = job.out + y * stride;
    const int32_t inner = y - job.top;
    if (inner < 0 || inner >= job.newHeight) {
      std::memset(out, job.border, stride);
      continue;
    }
    const uint8_t* rgb = line.data();
    if (same) {
      rgb = pixels + static_cast<size_t>(inner) * job.sourceWidth * kGroup;
    } else {
      const int32_t* top = fetch(rows.low[inner], rows.high[inner]);
      const int32_t* bottom = fetch(rows.high[inner], rows.low[inner]);
      vertical(top, bottom, rows.weight[inner], values, line.data());
    }
    const int32_t right = job.left + job.newWidth;
    std::memset(out, job.border, static_cast<size_t>(job.left) * job.channels);
    place(rgb, job.newWidth, job.channels, first, packed.data(), out + static_cast<size_t>(job.left) * job.channels);
    std::memset(out + static_cast<size_t>(right) * job.channels, job.border,
                static_cast<size_t>(job.width - right) * job.channels);
  }
}

}  // namespace

void letterbox(const LetterboxJob& job) {
  const Axis columns(job.sourceWidth, job.newWidth), rows(job.sourceHeight, job.newHeight);
  const uint8_t* pixels = job.pixels;
  for (int32_t first = 0; first < job.channels; first += kGroup) {
    letterboxGroup(job, columns, rows, pixels, first);
    pixels += static_cast<size_t>(job.sourceWidth) * job.sourceHeight * kGroup;
  }
}

}  // namespace mezzo::image
