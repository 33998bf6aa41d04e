// The loops of batch_norm_silu.h, compiled once for each instruction set. Everything is internal to the unit that
// includes it: a function shared between units could be linked in the build that the processor lacks.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "batch_norm_silu.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace mezzo::batch_norm_silu {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Words __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));

inline Floats repeated(float x) { return x - Floats{}; }

// --- memory: `count` of the lanes, the others are zero and are not written ------------------------------------

template <class Vector, class T>
inline Vector copied(const T* from, int count) {
  Vector vector{};
  std::memcpy(&vector, from, static_cast<size_t>(count) * sizeof(T));
  return vector;
}

inline Floats load(const float* from, int count) { return copied<Floats>(from, count); }

inline Floats load(const uint16_t* from, int count) {
  const auto halves = copied<Halves>(from, count);
#if defined(__AVX512F__)
  const auto bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(__builtin_bit_cast(__m256i, halves)), 16);
#else
  const auto bits = __builtin_convertvector(halves, Words) << 16;
#endif
  return __builtin_bit_cast(Floats, bits);
}

inline void store(float* to, Floats x, int count) { std::memcpy(to, &x, static_cast<size_t>(count) * 4); }

/// Rounds to nearest even; a NaN stays one.
inline Halves bfloat16Of(Floats x) {
#if defined(__AVX512BF16__)
  return __builtin_bit_cast(Halves, _mm512_cvtneps_pbh(x));
#else
  const Words bits = __builtin_bit_cast(Words, x);
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words nan = Words{} + 0x7fc0u;
  return __builtin_convertvector(x == x ? rounded : nan, Halves);
#endif
}

inline void store(uint16_t* to, Floats x, int count) {
  const Halves halves = bfloat16Of(x);
  std::memcpy(to, &halves, static_cast<size_t>(count) * 2);
}

inline void add(double* to, Floats x, int count) {
  for (int lane = 0; lane < count; ++lane) to[lane] += static_cast<double>(x[lane]);
}

// --- arithmetic -----------------------------------------------------------------------------------------------

/// `x` between -most and most; a NaN stays one.
inline Floats clamped(Floats x, float most) {
#if defined(__AVX512F__)
  return _mm512_max_ps(repeated(-most), _mm512_min_ps(repeated(most), x));
#else
  x = x > most ? repeated(most) : x;
  return x < -most ? repeated(-most) : x;
#endif
}

/// 1 + exp(-z), at most 2^127; for a NaN any number. Cody and Waite's reduction; the polynomial of Cephes' expf, for
/// bfloat16 one of degree 4, whose error of 4e-5 is far below that dtype's 2e-3.
template <class T>
inline Floats onePlusExp(Floats z) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  const Floats x = clamped(-z, 87.0f);
  const Floats shifted = x * 1.44269504f + kRound;
  const Floats whole = shifted - kRound;
  Floats p;
  if constexpr (sizeof(T) == 2) {
    const Floats r = x - whole * 0.693147181f;
    const Floats square = r * r;
    p = (r + 1.0f) + square * ((r * 0.16666667f + 0.5f) + square * 0.0416666667f);
  } else {
    const Floats r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    p = repeated(1.9875691500e-4f);
    for (const float coefficient :
         {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f, 1.0f, 1.0f}) {
      p = p * r + coefficient;
    }
  }
  const Ints bits = __builtin_bit_cast(Ints, p) + (__builtin_bit_cast(Ints, shifted) << 23);
  return __builtin_bit_cast(Floats, bits) + 1.0f;
}

/// Of numbers from 1 to 2^127.
template <class T>
inline Floats reciprocal(Floats x) {
#if defined(__AVX512F__)
  const Floats estimate = _mm512_rcp14_ps(x);
  if constexpr (sizeof(T) == 2) return estimate;
  // A division takes as long as the rest of the loop; one step of Newton's gives the estimate its last bits.
  return estimate * (2.0f - x * estimate);
#else
  return 1.0f / x;
#endif
}

template <class T>
inline Floats silu(Floats z) { return z * reciprocal<T>(onePlusExp<T>(z)); }

template <class T>
inline Floats siluGradient(Floats z, Floats dy) {
  const Floats sigmoid = reciprocal<T>(onePlusExp<T>(z));
  return dy * sigmoid * (1.0f + z * (1.0f - sigmoid));
}

// --- passes ---------------------------------------------------------------------------------------------------

/// Sums in float32 over so many rows, then in float64.
constexpr int64_t kBlock = 64;

/// Calls body(channel, lanes, first row, end row) for every vector of channels and block of rows. The constants let the
/// compiler make plain vector moves of the copies.
template <class Body>
inline void eachBlock(int64_t rows, int64_t channels, Body body) {
  for (int64_t from = 0; from < rows; from += kBlock) {
    const int64_t to = std::min(rows, from + kBlock);
    int64_t channel = 0;
    for (; channel + kLanes <= channels; channel += kLanes) body(channel, std::integral_constant<int, kLanes>(), from, to);
    if (kLanes > 8 && channel + 8 <= channels) {
      body(channel, std::integral_constant<int, 8>(), from, to);
      channel += 8;
    }
    if (channel < channels) body(channel, static_cast<int>(channels - channel), from, to);
  }
}

template <class T>
void statistics(Rows<const T> x, const float* pivot, double* sum, double* square) {
  eachBlock(x.count, x.channels, [&](int64_t channel, auto lanes, int64_t from, int64_t to) {
    const Floats origin = load(pivot + channel, lanes);
    Floats sums{}, squares{};
    for (int64_t row = from; row < to; ++row) {
      const Floats distance = load(x.data + row * x.stride + channel, lanes) - origin;
      sums += distance;
      squares += distance * distance;
    }
    add(sum + channel, sums, lanes);
    add(square + channel, squares, lanes);
  });
}

template <class T>
void forward(Rows<const T> x, Affine affine, T* y) {
  eachBlock(x.count, x.channels, [&](int64_t channel, auto lanes, int64_t from, int64_t to) {
    const Floats scale = load(affine.scale + channel, lanes), shift = load(affine.shift + channel, lanes);
    for (int64_t row = from; row < to; ++row) {
      const Floats z = load(x.data + row * x.stride + channel, lanes) * scale + shift;
      store(y + row * x.channels + channel, silu<T>(z), lanes);
    }
  });
}

template <class T>
void reduce(Rows<const T> x, Rows<const T> dy, Affine affine, const float* mean, double* sum, double* product) {
  eachBlock(x.count, x.channels, [&](int64_t channel, auto lanes, int64_t from, int64_t to) {
    const Floats scale = load(affine.scale + channel, lanes), shift = load(affine.shift + channel, lanes);
    const Floats origin = load(mean + channel, lanes);
    Floats sums{}, products{};
    for (int64_t row = from; row < to; ++row) {
      const Floats value = load(x.data + row * x.stride + channel, lanes);
      const Floats dz = siluGradient<T>(value * scale + shift, load(dy.data + row * dy.stride + channel, lanes));
      sums += dz;
      products += dz * (value - origin);
    }
    add(sum + channel, sums, lanes);
    add(product + channel, products, lanes);
  });
}

template <class T>
void backward(Rows<const T> x, Rows<const T> dy, Affine affine, const float* mean, const float* offset,
              const float* slope, T* dx) {
  eachBlock(x.count, x.channels, [&](int64_t channel, auto lanes, int64_t from, int64_t to) {
    const Floats scale = load(affine.scale + channel, lanes), shift = load(affine.shift + channel, lanes);
    const Floats origin = load(mean + channel, lanes), constant = load(offset + channel, lanes);
    const Floats factor = load(slope + channel, lanes);
    for (int64_t row = from; row < to; ++row) {
      const Floats value = load(x.data + row * x.stride + channel, lanes);
      const Floats dz = siluGradient<T>(value * scale + shift, load(dy.data + row * dy.stride + channel, lanes));
      store(dx + row * x.channels + channel, scale * (dz - constant - (value - origin) * factor), lanes);
    }
  });
}

constexpr Loops kLoops{{statistics<float>, forward<float>, reduce<float>, backward<float>},
                       {statistics<uint16_t>, forward<uint16_t>, reduce<uint16_t>, backward<uint16_t>}};

}  // namespace
}  // namespace mezzo::batch_norm_silu
