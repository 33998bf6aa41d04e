// SiLU of a normalised batch, and its gradients, over rows of channels: a channels_last image without its shape.
//
//     z = x · scale + shift,  y = z / (1 + exp(-z));  scale = weight · invstd, shift = bias - mean · scale
//
// z is never stored: each pass computes it from x, in float32 whatever the numbers are stored in.
#pragma once

#include <cstdint>

namespace mezzo::batch_norm_silu {

/// `count` rows of `channels` numbers, `stride` numbers apart.
template <class T>
struct Rows {
  T* data;
  int64_t count;
  int64_t channels;
  int64_t stride;
};

/// What a channel's numbers are multiplied with, and so on: `channels` float32 numbers each.
struct Affine {
  const float* scale;
  const float* shift;
};

template <class T>
struct Passes {
  /// Adds the sums of x - pivot and of its square to `sum` and `square`.
  void (*statistics)(Rows<const T> x, const float* pivot, double* sum, double* square);
  void (*forward)(Rows<const T> x, Affine affine, T* y);
  /// Adds the sums of dz and of dz · (x - mean), where dz is the gradient of z.
  void (*reduce)(Rows<const T> x, Rows<const T> dy, Affine affine, const float* mean, double* sum, double* product);
  /// dx = scale · (dz - offset - (x - mean) · slope)
  void (*backward)(Rows<const T> x, Rows<const T> dy, Affine affine, const float* mean, const float* offset,
                   const float* slope, T* dx);
};

/// For one instruction set; bfloat16 numbers are their bits.
struct Loops {
  Passes<float> float32;
  Passes<uint16_t> bfloat16;
};

extern const Loops kBaseline;
#if defined(__x86_64__)
extern const Loops kAvx2;
extern const Loops kAvx512;
extern const Loops kAvx512Bf16;
#endif

}  // namespace mezzo::batch_norm_silu
