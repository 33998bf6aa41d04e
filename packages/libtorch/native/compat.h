// The one place for differences between LibTorch 2.10 and 2.15.
#pragma once

#include <ATen/Context.h>
#include <torch/headeronly/version.h>

#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 10
#error "LibTorch 2.10 or newer is required: run `mezzo setup`, or set LIBTORCH to another folder (docs/setup.md)"
#endif

namespace mezzo::compat {

inline bool allowTf32Cudnn(const at::Context& context) { return context.allowTF32CuDNN(); }
inline void setAllowTf32Cudnn(at::Context& context, bool on) { context.setAllowTF32CuDNN(on); }
inline bool allowTf32Matmul(const at::Context& context) { return context.allowTF32CuBLAS(); }
inline void setAllowTf32Matmul(at::Context& context, bool on) { context.setAllowTF32CuBLAS(on); }

}  // namespace mezzo::compat
