// The loops of magnitude.h, compiled once for each instruction set. Everything is internal to the unit that
// includes it: a function shared between units could be linked in the build that the processor lacks.
#include <cstdint>

#include "magnitude.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace mezzo::magnitude {
namespace {

constexpr uint32_t kFloatBits = 0x7fffffffu;
constexpr uint32_t kFloatInfinity = 0x7f800000u;
constexpr uint32_t kFloatMax = 0x7f7fffffu;
constexpr uint64_t kDoubleBits = 0x7fffffffffffffffull;
constexpr uint64_t kDoubleInfinity = 0x7ff0000000000000ull;

inline uint32_t bitsOf(float x) { return __builtin_bit_cast(uint32_t, x); }
inline float floatOf(uint32_t bits) { return __builtin_bit_cast(float, bits); }

uint32_t float32Loop(float* numbers, int64_t count, const float* factor) {
  // Signed, because vector units have that maximum; without the sign bit it is the same.
  int32_t largest = 0;
  if (factor == nullptr) {
    for (int64_t i = 0; i < count; ++i) {
      const auto bits = static_cast<int32_t>(bitsOf(numbers[i]) & kFloatBits);
      largest = bits > largest ? bits : largest;
    }
  } else {
    const float by = *factor;
    for (int64_t i = 0; i < count; ++i) {
      const float x = numbers[i] * by;
      numbers[i] = x;
      const auto bits = static_cast<int32_t>(bitsOf(x) & kFloatBits);
      largest = bits > largest ? bits : largest;
    }
  }
  return static_cast<uint32_t>(largest);
}

/// A finite double stays finite, however large.
uint32_t narrowed(uint64_t bits) {
  const auto x = static_cast<float>(__builtin_bit_cast(double, bits));
  const uint32_t narrow = bitsOf(x) & kFloatBits;
  return bits < kDoubleInfinity && narrow > kFloatMax ? kFloatMax : narrow;
}

uint32_t float64Loop(double* numbers, int64_t count, const float* factor) {
  int64_t largest = 0;
  const double by = factor == nullptr ? 1.0 : static_cast<double>(*factor);
  for (int64_t i = 0; i < count; ++i) {
    double x = numbers[i];
    if (factor != nullptr) numbers[i] = x = x * by;
    const auto bits = static_cast<int64_t>(__builtin_bit_cast(uint64_t, x) & kDoubleBits);
    largest = bits > largest ? bits : largest;
  }
  return narrowed(static_cast<uint64_t>(largest));
}

inline uint16_t toBfloat16(float x) {
  const uint32_t bits = bitsOf(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>((bits & kFloatBits) > kFloatInfinity ? 0x7fc0u : rounded);
}

uint32_t bfloat16Loop(uint16_t* numbers, int64_t count, const float* factor) {
  uint32_t largest = 0;
  if (factor == nullptr) {
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t bits = numbers[i] & 0x7fffu;
      largest = bits > largest ? bits : largest;
    }
  } else {
    const float by = *factor;
    for (int64_t i = 0; i < count; ++i) {
      const uint16_t x = toBfloat16(floatOf(static_cast<uint32_t>(numbers[i]) << 16) * by);
      numbers[i] = x;
      const uint32_t bits = x & 0x7fffu;
      largest = bits > largest ? bits : largest;
    }
  }
  return largest << 16;
}

#if defined(__F16C__)
inline float halfToFloat(uint16_t x) { return _cvtsh_ss(x); }
inline uint16_t floatToHalf(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#else
/// Fabian Giesen's "magic" conversions: the floating-point unit does the renormalising and rounding.
inline float halfToFloat(uint16_t x) {
  constexpr uint32_t kExponent = 0x7c00u << 13;
  uint32_t bits = (x & 0x7fffu) << 13;
  const uint32_t exponent = bits & kExponent;
  bits += (127u - 15u) << 23;
  if (exponent == kExponent) bits += (128u - 16u) << 23;
  if (exponent == 0) bits = bitsOf(floatOf(bits + (1u << 23)) - floatOf(113u << 23));
  return floatOf(bits | (x & 0x8000u) << 16);
}

inline uint16_t floatToHalf(float x) {
  const uint32_t all = bitsOf(x);
  const uint32_t sign = all & 0x80000000u;
  uint32_t bits = all ^ sign;
  if (bits >= (127u + 16u) << 23) {
    bits = bits > kFloatInfinity ? 0x7e00u : 0x7c00u;
  } else if (bits < 113u << 23) {
    constexpr uint32_t kMagic = ((127u - 15u) + (23u - 10u) + 1u) << 23;
    bits = bitsOf(floatOf(bits) + floatOf(kMagic)) - kMagic;
  } else {
    const uint32_t odd = (bits >> 13) & 1u;
    bits = (bits + ((15u - 127u) << 23) + 0xfffu + odd) >> 13;
  }
  return static_cast<uint16_t>(bits | sign >> 16);
}
#endif

uint32_t float16Loop(uint16_t* numbers, int64_t count, const float* factor) {
  uint32_t largest = 0;
  int64_t i = 0;
  if (factor == nullptr) {
    for (; i < count; ++i) {
      const uint32_t bits = numbers[i] & 0x7fffu;
      largest = bits > largest ? bits : largest;
    }
  } else {
    const float by = *factor;
#if defined(__F16C__)
    const __m256 factors = _mm256_set1_ps(by);
    const __m128i mask = _mm_set1_epi16(0x7fff);
    __m128i running = _mm_setzero_si128();
    for (; i + 8 <= count; i += 8) {
      auto* at = reinterpret_cast<__m128i*>(numbers + i);
      const __m128i x = _mm256_cvtps_ph(_mm256_mul_ps(_mm256_cvtph_ps(_mm_loadu_si128(at)), factors),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      _mm_storeu_si128(at, x);
      running = _mm_max_epu16(running, _mm_and_si128(x, mask));
    }
    alignas(16) uint16_t lanes[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes), running);
    for (const uint16_t lane : lanes) largest = lane > largest ? lane : largest;
#endif
    for (; i < count; ++i) {
      const uint16_t x = floatToHalf(halfToFloat(numbers[i]) * by);
      numbers[i] = x;
      const uint32_t bits = x & 0x7fffu;
      largest = bits > largest ? bits : largest;
    }
  }
  return bitsOf(halfToFloat(static_cast<uint16_t>(largest)));
}

constexpr Loops kLoops{float32Loop, float64Loop, float16Loop, bfloat16Loop};

}  // namespace
}  // namespace mezzo::magnitude
