// Magnitudes of lists of tensors: the unscaling of gradients that also says which of them overflowed, and
// histograms of exponents. One pass over memory on the CPU; list operations, nothing read by the host, elsewhere.
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_values.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/values.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <vector>

#include "magnitude.h"
#include "magnitude_loops.h"

namespace mezzo::magnitude {

const Loops kBaseline = kLoops;

namespace {

constexpr int64_t kExponents = 256;

/// LibTorch's own choice, so that ATEN_CPU_CAPABILITY rules these loops too.
const Loops& loops() {
#if defined(__x86_64__)
  static const Loops& chosen = []() -> const Loops& {
    const std::string capability = at::get_cpu_capability();
    if (capability.starts_with("AVX512")) return kAvx512;
    return capability == "AVX2" ? kAvx2 : kBaseline;
  }();
  return chosen;
#else
  return kBaseline;
#endif
}

uint32_t pass(const at::Tensor& dense, const float* factor) {
  const int64_t count = dense.numel();
  void* numbers = factor == nullptr ? const_cast<void*>(dense.const_data_ptr()) : dense.mutable_data_ptr();
  switch (dense.scalar_type()) {
    case at::kFloat: return loops().float32(static_cast<float*>(numbers), count, factor);
    case at::kDouble: return loops().float64(static_cast<double*>(numbers), count, factor);
    case at::kHalf: return loops().float16(static_cast<uint16_t*>(numbers), count, factor);
    case at::kBFloat16: return loops().bfloat16(static_cast<uint16_t*>(numbers), count, factor);
    default: TORCH_CHECK_NOT_IMPLEMENTED(false, "magnitudes are not defined for ", dense.scalar_type());
  }
}

/// The stored numbers of a sparse tensor; duplicate indices are not summed.
at::Tensor valuesOf(const at::Tensor& tensor) {
  if (tensor.layout() == at::kStrided) return tensor;
  return tensor.layout() == at::kSparse ? tensor._values() : tensor.values();
}

/// The numbers as one gapless stretch of memory: the tensor itself where it is one, else a copy.
at::Tensor denseOf(const at::Tensor& values) {
  return values.is_non_overlapping_and_dense() ? values : values.contiguous();
}

void checkMagnitudes(at::TensorList tensors, const at::Tensor& magnitudes) {
  TORCH_CHECK(magnitudes.scalar_type() == at::kInt && magnitudes.dim() == 1 && magnitudes.is_contiguous() &&
                  magnitudes.size(0) == static_cast<int64_t>(tensors.size()),
              "magnitudes must be a contiguous int32 tensor of shape [", tensors.size(), "]");
}

void unscaleCpu(at::TensorList grads, const at::Tensor& inverse, at::Tensor magnitudes) {
  checkMagnitudes(grads, magnitudes);
  TORCH_CHECK(inverse.scalar_type() == at::kFloat && inverse.numel() == 1,
              "inv_scale must be one float32 number");
  const float factor = *inverse.const_data_ptr<float>();
  auto* largest = static_cast<int32_t*>(magnitudes.mutable_data_ptr());
  for (size_t i = 0; i < grads.size(); ++i) {
    const at::Tensor values = valuesOf(grads[i]);
    const at::Tensor dense = denseOf(values);
    largest[i] = static_cast<int32_t>(pass(dense, factor == 1.0f ? nullptr : &factor));
    if (factor == 1.0f) continue;
    if (dense.is_same(values)) {
      values.unsafeGetTensorImpl()->bump_version();
    } else {
      values.copy_(dense);
    }
  }
}

at::Tensor magnitudesCpu(at::TensorList tensors) {
  const auto count = static_cast<int64_t>(tensors.size());
  at::Tensor magnitudes = at::empty({count}, at::TensorOptions().dtype(at::kInt));
  auto* largest = static_cast<int32_t*>(magnitudes.mutable_data_ptr());
  for (size_t i = 0; i < tensors.size(); ++i) {
    largest[i] = static_cast<int32_t>(pass(denseOf(valuesOf(tensors[i])), nullptr));
  }
  return magnitudes;
}

/// `numbers` as float32, where a finite number stays finite.
at::Tensor narrowed(const at::Tensor& numbers) {
  if (numbers.scalar_type() != at::kDouble) return numbers.to(at::kFloat);
  constexpr double kMax = std::numeric_limits<float>::max();
  return numbers.where(numbers.isinf(), numbers.clamp(-kMax, kMax)).to(at::kFloat);
}

at::Tensor magnitudesByLists(at::TensorList tensors) {
  if (tensors.empty()) return at::empty({0}, at::TensorOptions().dtype(at::kInt));
  std::vector<at::Tensor> filled;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor values = valuesOf(tensor);
    TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(values.scalar_type()), "magnitudes are not defined for ",
                                values.scalar_type());
    // The maximum norm of an empty tensor is an error.
    if (values.numel() > 0) filled.push_back(values);
  }
  const auto options = tensors[0].options().layout(at::kStrided).requires_grad(false);
  if (filled.empty()) return at::zeros({static_cast<int64_t>(tensors.size())}, options.dtype(at::kInt));
  std::vector<at::Tensor> norms = at::_foreach_norm(filled, std::numeric_limits<double>::infinity());
  std::vector<at::Tensor> all;
  size_t next = 0;
  for (const at::Tensor& tensor : tensors) {
    all.push_back(valuesOf(tensor).numel() > 0 ? norms[next++] : at::zeros({}, options));
  }
  const bool oneDtype = std::all_of(all.begin(), all.end(), [&](const at::Tensor& norm) {
    return norm.scalar_type() == all[0].scalar_type();
  });
  if (!oneDtype) {
    for (at::Tensor& norm : all) norm = narrowed(norm);
  }
  return narrowed(at::stack(all)).view(at::kInt).bitwise_and(std::numeric_limits<int32_t>::max());
}

void unscaleByLists(at::TensorList grads, const at::Tensor& inverse, at::Tensor magnitudes) {
  checkMagnitudes(grads, magnitudes);
  if (grads.empty()) return;
  std::vector<at::Tensor> values;
  for (const at::Tensor& grad : grads) values.push_back(valuesOf(grad));
  at::_foreach_mul_(values, inverse);
  magnitudes.copy_(magnitudesByLists(values));
}

/// Four tables, so that a run of equal exponents does not wait for its own last count.
struct Counts {
  std::array<std::array<int32_t, kExponents>, 4> tables{};

  void add(size_t i, float x) { ++tables[i & 3][(bitsOf(x) & kFloatBits) >> 23]; }

  void writeTo(int32_t* out) const {
    for (int64_t e = 0; e < kExponents; ++e) out[e] = tables[0][e] + tables[1][e] + tables[2][e] + tables[3][e];
  }
};

template <typename T, typename ToFloat>
void countExponents(const at::Tensor& dense, Counts& counts, ToFloat toFloat) {
  const auto* numbers = static_cast<const T*>(dense.const_data_ptr());
  const auto count = static_cast<size_t>(dense.numel());
  for (size_t i = 0; i < count; ++i) counts.add(i, toFloat(numbers[i]));
}

void countExponents(const at::Tensor& dense, int32_t* out) {
  Counts counts;
  switch (dense.scalar_type()) {
    case at::kFloat: countExponents<float>(dense, counts, [](float x) { return x; }); break;
    case at::kDouble:
      countExponents<double>(dense, counts, [](double x) {
        return floatOf(narrowed(__builtin_bit_cast(uint64_t, x) & kDoubleBits));
      });
      break;
    case at::kHalf: countExponents<uint16_t>(dense, counts, halfToFloat); break;
    case at::kBFloat16:
      countExponents<uint16_t>(dense, counts, [](uint16_t x) { return floatOf(static_cast<uint32_t>(x) << 16); });
      break;
    default: TORCH_CHECK_NOT_IMPLEMENTED(false, "exponents are not defined for ", dense.scalar_type());
  }
  counts.writeTo(out);
}

at::Tensor histogramCpu(at::TensorList tensors) {
  const auto count = static_cast<int64_t>(tensors.size());
  at::Tensor histogram = at::empty({count, kExponents}, at::TensorOptions().dtype(at::kInt));
  auto* out = static_cast<int32_t*>(histogram.mutable_data_ptr());
  for (size_t i = 0; i < tensors.size(); ++i) {
    countExponents(denseOf(valuesOf(tensors[i])), out + static_cast<int64_t>(i) * kExponents);
  }
  return histogram;
}

at::Tensor histogramByLists(at::TensorList tensors) {
  const auto count = static_cast<int64_t>(tensors.size());
  if (count == 0) return at::empty({0, kExponents}, at::TensorOptions().dtype(at::kInt));
  const auto options = tensors[0].options().layout(at::kStrided).requires_grad(false).dtype(at::kInt);
  at::Tensor histogram = at::zeros({count, kExponents}, options);
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor bits = narrowed(valuesOf(tensors[static_cast<size_t>(i)])).reshape({-1}).view(at::kInt);
    const at::Tensor exponents = bits.bitwise_right_shift(23).bitwise_and(kExponents - 1).to(at::kLong);
    histogram.select(0, i).scatter_add_(0, exponents, at::ones({1}, options).expand_as(exponents));
  }
  return histogram;
}

TORCH_LIBRARY_FRAGMENT(mezzo, m) {
  m.def("unscale_(Tensor(a!)[] grads, Tensor inv_scale, Tensor(b!) magnitudes) -> ()");
  m.def("magnitudes(Tensor[] tensors) -> Tensor");
  m.def("exponent_histogram(Tensor[] tensors) -> Tensor");
  // The forms for devices without loops of their own, by name: they are checked against the loops on the CPU.
  m.def("unscale_.lists(Tensor(a!)[] grads, Tensor inv_scale, Tensor(b!) magnitudes) -> ()", unscaleByLists);
  m.def("magnitudes.lists(Tensor[] tensors) -> Tensor", magnitudesByLists);
  m.def("exponent_histogram.lists(Tensor[] tensors) -> Tensor", histogramByLists);
  // Implicit, because an empty list names no device and only such an implementation is found then.
  m.impl("unscale_", c10::DispatchKey::CompositeImplicitAutograd, TORCH_FN(unscaleByLists));
  m.impl("magnitudes", c10::DispatchKey::CompositeImplicitAutograd, TORCH_FN(magnitudesByLists));
  m.impl("exponent_histogram", c10::DispatchKey::CompositeImplicitAutograd, TORCH_FN(histogramByLists));
  for (const auto key : {c10::DispatchKey::CPU, c10::DispatchKey::SparseCPU, c10::DispatchKey::SparseCsrCPU}) {
    m.impl("unscale_", key, TORCH_FN(unscaleCpu));
    m.impl("magnitudes", key, TORCH_FN(magnitudesCpu));
    m.impl("exponent_histogram", key, TORCH_FN(histogramCpu));
  }
}

}  // namespace
}  // namespace mezzo::magnitude
