// One pass over the numbers of a tensor: multiply them (optionally) and find the largest magnitude.
//
// A magnitude is written as the bits of a float32 without its sign. Such bits are ordered like the numbers they
// stand for, and everything from 0x7f800000 on is an infinity or NaN: one integer maximum gives the largest
// magnitude and the overflow flag at once.
#pragma once

#include <cstdint>

namespace mezzo::magnitude {

/// The loops for one instruction set. `factor` multiplies in place; null leaves the numbers as they are.
/// 16-bit numbers are multiplied in float32 and rounded to nearest even; magnitudes are those after rounding.
struct Loops {
  uint32_t (*float32)(float* numbers, int64_t count, const float* factor);
  uint32_t (*float64)(double* numbers, int64_t count, const float* factor);
  uint32_t (*float16)(uint16_t* numbers, int64_t count, const float* factor);
  uint32_t (*bfloat16)(uint16_t* numbers, int64_t count, const float* factor);
};

extern const Loops kBaseline;
#if defined(__x86_64__)
extern const Loops kAvx2;
extern const Loops kAvx512;
#endif

}  // namespace mezzo::magnitude
