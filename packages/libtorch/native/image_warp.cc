// The warp: each output pixel is gathered straight from the source images, bilinearly, one output row at a time.
//
// Source coordinates advance in 32.32 fixed point. For an affine map the columns of a row that a tile covers are
// one interval, solved by division, so the inner loop tests nothing; inside it, an interval whose four neighbours
// all exist goes to the vector loop and its ends to the clamped one. Both do the same integer arithmetic.
#include <algorithm>
#include <cmath>

#include "image.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mezzo::image {

namespace {

constexpr int kFraction = 6;  // bits of an interpolation weight: OpenCV's warps use 5
constexpr int kUnit = 1 << kFraction;
constexpr double kOne = 4294967296.0;
// Neighbouring tiles overlap by this much (in source pixels): rounding never leaves a gap between them.
constexpr double kSeam = 1.0 / 65536.0;

int64_t fixed(double value) { return std::llround(value * kOne); }

int64_t floorDivide(int64_t a, int64_t b) {  // b > 0
  const int64_t q = a / b;
  return q - (a % b < 0 ? 1 : 0);
}

struct Span {
  int64_t begin, end;
  bool empty() const { return begin >= end; }
};

/// The x for which low <= start + step x < high, within `within`.
Span solve(int64_t start, int64_t step, int64_t low, int64_t high, Span within) {
  if (step == 0) return low <= start && start < high ? within : Span{0, 0};
  Span span;
  if (step > 0) {
    span = {-floorDivide(start - low, step), -floorDivide(start - high, step)};
  } else {
    span = {floorDivide(start - high, -step) + 1, floorDivide(start - low, -step) + 1};
  }
  return {std::max(span.begin, within.begin), std::min(span.end, within.end)};
}

/// A line of source coordinates: pixel x of the row shows (u + du x, v + dv x), in 32.32.
struct Line {
  int64_t u, v, du, dv;
};

uint32_t sample(const Tile& tile, int64_t u, int64_t v) {
  const auto x = static_cast<int32_t>(u >> 32), y = static_cast<int32_t>(v >> 32);
  const auto fx = static_cast<int32_t>((u >> (32 - kFraction)) & (kUnit - 1));
  const auto fy = static_cast<int32_t>((v >> (32 - kFraction)) & (kUnit - 1));
  const int32_t x0 = std::clamp(x, 0, tile.width - 1), x1 = std::clamp(x + 1, 0, tile.width - 1);
  const int32_t y0 = std::clamp(y, 0, tile.height - 1), y1 = std::clamp(y + 1, 0, tile.height - 1);
  const uint8_t* row0 = tile.pixels + static_cast<size_t>(y0) * tile.width * 3;
  const uint8_t* row1 = tile.pixels + static_cast<size_t>(y1) * tile.width * 3;
  uint32_t pixel = 0;
  for (int c = 0; c < 3; ++c) {
    const int32_t a = row0[3 * x0 + c] * (kUnit - fy) + row1[3 * x0 + c] * fy;
    const int32_t b = row0[3 * x1 + c] * (kUnit - fy) + row1[3 * x1 + c] * fy;
    const int32_t value = (a * (kUnit - fx) + b * fx + (1 << (2 * kFraction - 1))) >> (2 * kFraction);
    pixel |= static_cast<uint32_t>(value) << (8 * c);
  }
  return pixel;
}

void gatherClamped(const Tile& tile, Line line, Span span, uint32_t* row) {
  for (int64_t x = span.begin; x < span.end; ++x) {
    row[x] = sample(tile, line.u + line.du * x, line.v + line.dv * x);
  }
}

#if defined(__x86_64__)
/// Interpolation weights as the multiply-add instructions take them: pairs (1-f, f) of bytes and of words.
struct Weights {
  alignas(16) int8_t vertical[kUnit][16];
  alignas(16) int16_t horizontal[kUnit][8];
  Weights() {
    for (int f = 0; f < kUnit; ++f) {
      for (int i = 0; i < 16; ++i) vertical[f][i] = static_cast<int8_t>(i % 2 ? f : kUnit - f);
      for (int i = 0; i < 8; ++i) horizontal[f][i] = static_cast<int16_t>(i % 2 ? f : kUnit - f);
    }
  }
};
const Weights kWeights;

/// One pixel as four 32-bit sums R G B 0, not yet divided. `top` and `bottom` are 8 readable bytes each.
__attribute__((target("avx2"), always_inline)) inline __m128i blend(const uint8_t* top, const uint8_t* bottom,
                                                                    __m128i vertical, __m128i horizontal) {
  // r r' R R' g g' G G' b b' B B': small = left pixel, capital = right one, prime = the row below.
  const __m128i order = _mm_setr_epi8(0, 8, 3, 11, 1, 9, 4, 12, 2, 10, 5, 13, -1, -1, -1, -1);
  const __m128i rows = _mm_castpd_si128(
      _mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(top))),
                   reinterpret_cast<const double*>(bottom)));
  return _mm_madd_epi16(_mm_maddubs_epi16(_mm_shuffle_epi8(rows, order), vertical), horizontal);
}

template <bool kLevel>  // kLevel: v is the same along the row (no rotation, no shear)
__attribute__((target("avx2"))) void gatherInsideAvx2(const Tile& tile, Line line, Span span, uint32_t* row) {
  const int64_t stride = static_cast<int64_t>(tile.width) * 3;
  const __m128i half = _mm_set1_epi32(1 << (2 * kFraction - 1));
  int64_t u = line.u + line.du * span.begin, v = line.v + line.dv * span.begin;
  const uint8_t* levelRow = tile.pixels + (v >> 32) * stride;
  const __m128i levelWeight = _mm_load_si128(
      reinterpret_cast<const __m128i*>(kWeights.vertical[(v >> (32 - kFraction)) & (kUnit - 1)]));
  const auto next = [&]() __attribute__((target("avx2"), always_inline)) {
    const uint8_t* top = (kLevel ? levelRow : tile.pixels + (v >> 32) * stride) + (u >> 32) * 3;
    const __m128i vertical =
        kLevel ? levelWeight
               : _mm_load_si128(reinterpret_cast<const __m128i*>(
                     kWeights.vertical[(v >> (32 - kFraction)) & (kUnit - 1)]));
    const __m128i horizontal = _mm_load_si128(
        reinterpret_cast<const __m128i*>(kWeights.horizontal[(u >> (32 - kFraction)) & (kUnit - 1)]));
    u += line.du;
    if (!kLevel) v += line.dv;
    return _mm_srli_epi32(_mm_add_epi32(blend(top, top + stride, vertical, horizontal), half), 2 * kFraction);
  };
  int64_t x = span.begin;
  for (; x + 4 <= span.end; x += 4) {
    const __m128i p0 = next(), p1 = next(), p2 = next(), p3 = next();
    const __m128i packed = _mm_packus_epi16(_mm_packus_epi32(p0, p1), _mm_packus_epi32(p2, p3));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(row + x), packed);
  }
  for (; x < span.end; ++x) {
    const __m128i p = next();
    const __m128i packed = _mm_packus_epi16(_mm_packus_epi32(p, p), p);
    row[x] = static_cast<uint32_t>(_mm_cvtsi128_si32(packed));
  }
}
#endif

void gatherInside(const Tile& tile, Line line, Span span, uint32_t* row) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    if (line.dv == 0) gatherInsideAvx2<true>(tile, line, span, row);
    else gatherInsideAvx2<false>(tile, line, span, row);
    return;
  }
#endif
  gatherClamped(tile, line, span, row);
}

void affineRow(const Tile& tile, int32_t y, int32_t width, uint32_t* row) {
  const double* m = tile.matrix;
  const int64_t nearest = fixed(0.5 / kUnit);
  const Line line{fixed(m[1] * y + m[2]) + nearest, fixed(m[4] * y + m[5]) + nearest, fixed(m[0]), fixed(m[3])};
  Span shown{0, width};
  shown = solve(line.u, line.du, fixed(tile.left - kSeam), fixed(tile.right + kSeam), shown);
  shown = solve(line.v, line.dv, fixed(tile.top - kSeam), fixed(tile.bottom + kSeam), shown);
  if (shown.empty()) return;
  // A read of 8 bytes covers two pixels and a bit: the last pair of a row is left to the clamped loop.
  Span inside = solve(line.u, line.du, 0, static_cast<int64_t>(tile.width - 2) << 32, shown);
  inside = solve(line.v, line.dv, 0, static_cast<int64_t>(tile.height - 1) << 32, inside);
  if (inside.empty()) {
    gatherClamped(tile, line, shown, row);
    return;
  }
  gatherClamped(tile, line, {shown.begin, inside.begin}, row);
  gatherInside(tile, line, inside, row);
  gatherClamped(tile, line, {inside.end, shown.end}, row);
}

void perspectiveRow(const Tile& tile, int32_t y, int32_t width, uint32_t* row) {
  const double* m = tile.matrix;
  const double nearest = 0.5 / kUnit;
  for (int32_t x = 0; x < width; ++x) {
    const double w = m[6] * x + m[7] * y + m[8];
    if (!(w > 0)) continue;  // behind the camera
    const double u = (m[0] * x + m[1] * y + m[2]) / w, v = (m[3] * x + m[4] * y + m[5]) / w;
    if (u < tile.left - kSeam || u >= tile.right + kSeam || v < tile.top - kSeam || v >= tile.bottom + kSeam) {
      continue;
    }
    row[x] = sample(tile, fixed(u + nearest), fixed(v + nearest));
  }
}

void layerRow(const std::vector<Tile>& tiles, int32_t y, int32_t width, uint8_t border, uint32_t* row) {
  std::fill(row, row + width, border * 0x010101u);
  for (const Tile& tile : tiles) {
    const double* m = tile.matrix;
    if (m[6] == 0 && m[7] == 0) affineRow(tile, y, width, row);
    else perspectiveRow(tile, y, width, row);
  }
}

void blendRow(uint32_t* row, const uint32_t* other, int32_t count, float weight) {
  for (int32_t i = 0; i < count; ++i) {
    uint32_t pixel = 0;
    for (int shift = 0; shift < 24; shift += 8) {
      const auto a = static_cast<float>((row[i] >> shift) & 255), b = static_cast<float>((other[i] >> shift) & 255);
      pixel |= static_cast<uint32_t>(a * weight + b * (1 - weight)) << shift;
    }
    row[i] = pixel;
  }
}

void warpGroup(const WarpJob& job, const std::vector<Tile> (&layers)[3], int32_t first) {
  std::vector<uint32_t> row(job.width), other(job.width);
  const bool visible = first == 0;
  const bool dropped = job.dropped == (visible ? 1 : 2);
  for (int32_t y = 0; y < job.height; ++y) {
    uint8_t* out = job.out + static_cast<size_t>(y) * job.width * job.channels;
    if (dropped) {
      std::fill(row.begin(), row.end(), 0);
      storeRow(row.data(), job.width, job.channels, first, job.bgr, out);
      continue;
    }
    layerRow(layers[0], y, job.width, job.border, row.data());
    if (!layers[1].empty()) {
      layerRow(layers[1], y, job.width, job.border, other.data());
      blendRow(row.data(), other.data(), job.width, job.blend);
    }
    if (!job.cut.empty() && y >= job.cut.top && y < job.cut.bottom) {
      layerRow(layers[2], y, job.cut.right, job.border, other.data());
      std::copy(other.begin() + job.cut.left, other.begin() + job.cut.right, row.begin() + job.cut.left);
    }
    if (visible && job.colour.enabled) jitterColour(row.data(), job.width, job.colour);
    if (!visible && job.thermal.enabled) thermalRow(row.data(), job.width, y, job.thermal);
    storeRow(row.data(), job.width, job.channels, first, job.bgr, out);
  }
}

}  // namespace

void warp(const WarpJob& job) {
  std::vector<Tile> layers[3] = {job.layers[0], job.layers[1], job.layers[2]};
  for (int32_t first = 0; first < job.channels; first += kGroup) {
    warpGroup(job, layers, first);
    for (auto& tiles : layers) {
      for (Tile& tile : tiles) tile.pixels += static_cast<size_t>(tile.width) * tile.height * kGroup;
    }
  }
}

}  // namespace mezzo::image
