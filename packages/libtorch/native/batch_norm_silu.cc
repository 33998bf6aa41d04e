// SiLU(BatchNorm(x)) in training as one operator: statistics in one pass over x, the result in a second, and two more
// for the gradients. It keeps x and two numbers a channel for backward, where the separate operators keep x, the
// normalised batch and four.
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/Version.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "batch_norm_silu.h"
#include "batch_norm_silu_loops.h"

namespace mezzo::batch_norm_silu {

const Loops kBaseline = kLoops;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// LibTorch's own choice, so that ATEN_CPU_CAPABILITY rules these loops too.
const Loops& loops() {
#if defined(__x86_64__)
  static const Loops& chosen = []() -> const Loops& {
    const std::string capability = at::get_cpu_capability();
    if (capability.starts_with("AVX512")) return __builtin_cpu_supports("avx512bf16") ? kAvx512Bf16 : kAvx512;
    return capability == "AVX2" ? kAvx2 : kBaseline;
  }();
  return chosen;
#else
  return kBaseline;
#endif
}

/// Numbers that one thread works through alone.
constexpr int64_t kGrain = 32768;

/// Runs body(part, first row, end row) for parts of the rows, by LibTorch's own threads: an iterator over one byte a
/// part, because a second OpenMP team beside LibTorch's would fight it for the cores.
template <class Body>
void inParts(const at::Tensor& parts, int64_t rows, Body body) {
  const int64_t count = parts.numel();
  const auto* first = static_cast<const char*>(parts.const_data_ptr());
  const auto runPart = [&](int64_t part) { body(part, rows * part / count, rows * (part + 1) / count); };
  at::TensorIteratorConfig config;
  config.check_all_same_dtype(false).add_output(parts).resize_outputs(false);
  config.build().for_each(
      [&](char** data, const int64_t* strides, int64_t size) {
        for (int64_t i = 0; i < size; ++i) runPart(data[0] + i * strides[0] - first);
      },
      1);
}

at::Tensor partsFor(const at::Tensor& x) {
  const int64_t most = std::max<int64_t>(1, x.numel() / kGrain);
  return at::empty({std::min<int64_t>(at::get_num_threads(), most)}, at::TensorOptions().dtype(at::kByte));
}

/// A pair of sums for each part and channel.
struct Sums {
  int64_t channels;
  std::vector<double> numbers;

  Sums(int64_t parts, int64_t channels)
      : channels(channels), numbers(static_cast<size_t>(2 * parts * channels), 0.0) {}

  double* first(int64_t part) { return numbers.data() + 2 * part * channels; }
  double* second(int64_t part) { return first(part) + channels; }

  /// Of all parts, into the first.
  void gather() {
    const auto all = static_cast<int64_t>(numbers.size());
    for (int64_t i = 2 * channels; i < all; ++i) numbers[static_cast<size_t>(i % (2 * channels))] += numbers[static_cast<size_t>(i)];
  }
};

/// [N, C, H, W] as N · H · W rows, if they are all equally far apart; else without data.
template <class T>
Rows<const T> rowsOf(const at::Tensor& t) {
  const int64_t n = t.size(0), c = t.size(1), h = t.size(2), w = t.size(3);
  const int64_t stride = w > 1 ? t.stride(3) : h > 1 ? t.stride(2) : n > 1 ? t.stride(0) : c;
  const bool even = (c == 1 || t.stride(1) == 1) && (h == 1 || t.stride(2) == w * stride) &&
                    (n == 1 || t.stride(0) == h * w * stride) && stride >= c;
  return {even ? static_cast<const T*>(t.const_data_ptr()) : nullptr, n * h * w, c, stride};
}

template <class T>
Rows<const T> slice(Rows<const T> rows, int64_t from, int64_t to) {
  return {rows.data + from * rows.stride, to - from, rows.channels, rows.stride};
}

const float* floats(const at::Tensor& t) { return t.const_data_ptr<float>(); }
float* mutableFloats(const at::Tensor& t) { return t.mutable_data_ptr<float>(); }

at::Tensor perChannel(int64_t channels) { return at::empty({channels}, at::TensorOptions().dtype(at::kFloat)); }

/// What a batch is normalised by: float32, one number a channel.
struct Normalisation {
  at::Tensor weight, bias, mean, invstd, scale, shift;

  Normalisation(at::Tensor weight, at::Tensor bias, at::Tensor mean, at::Tensor invstd)
      : weight(std::move(weight)), bias(std::move(bias)), mean(std::move(mean)), invstd(std::move(invstd)),
        scale(perChannel(this->mean.numel())), shift(perChannel(this->mean.numel())) {
    for (int64_t c = 0; c < this->mean.numel(); ++c) {
      mutableFloats(scale)[c] = floats(this->weight)[c] * floats(this->invstd)[c];
      mutableFloats(shift)[c] = floats(this->bias)[c] - floats(this->mean)[c] * floats(scale)[c];
    }
  }

  Affine affine() const { return {floats(scale), floats(shift)}; }
};

/// Something in the middle of each channel: sums of squares around it lose nothing to cancellation.
template <class T>
std::vector<float> pivotOf(const Passes<T>& passes, Rows<const T> x) {
  constexpr int64_t kProbes = 8;
  const int64_t probes = std::min(kProbes, x.count);
  const std::vector<float> origin(static_cast<size_t>(x.channels), 0.0f);
  Sums sums(1, x.channels);
  for (int64_t i = 0; i < probes; ++i) {
    const int64_t row = x.count * i / probes;
    passes.statistics(slice(x, row, row + 1), origin.data(), sums.first(0), sums.second(0));
  }
  std::vector<float> pivot(origin);
  for (size_t c = 0; c < pivot.size(); ++c) pivot[c] = static_cast<float>(sums.first(0)[c] / static_cast<double>(probes));
  return pivot;
}

struct Running {
  at::Tensor mean, var;
  double momentum;

  void moveTo(int64_t channel, double newMean, double newVar) const {
    move(mutableFloats(mean)[channel], newMean);
    move(mutableFloats(var)[channel], newVar);
  }

  void move(float& number, double to) const {
    number = static_cast<float>((1.0 - momentum) * static_cast<double>(number) + momentum * to);
  }
};

template <class T>
Normalisation measure(const Passes<T>& passes, Rows<const T> x, const at::Tensor& parts, const at::Tensor& weight,
                      const at::Tensor& bias, const Running& running, double eps) {
  const std::vector<float> pivot = pivotOf(passes, x);
  Sums sums(parts.numel(), x.channels);
  inParts(parts, x.count, [&](int64_t part, int64_t from, int64_t to) {
    passes.statistics(slice(x, from, to), pivot.data(), sums.first(part), sums.second(part));
  });
  sums.gather();
  const at::Tensor means = perChannel(x.channels), invstds = perChannel(x.channels);
  const auto n = static_cast<double>(x.count);
  for (int64_t c = 0; c < x.channels; ++c) {
    const double distance = sums.first(0)[c] / n;
    const double mean = distance + static_cast<double>(pivot[static_cast<size_t>(c)]);
    const double variance = std::max(sums.second(0)[c] / n - distance * distance, 0.0);
    mutableFloats(means)[c] = static_cast<float>(mean);
    mutableFloats(invstds)[c] = static_cast<float>(1.0 / std::sqrt(variance + eps));
    running.moveTo(c, mean, variance * n / (n - 1.0));
  }
  return {weight, bias, means, invstds};
}

template <class T>
Normalisation forwardOf(const Passes<T>& passes, const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight,
                        const at::Tensor& bias, const Running& running, double eps) {
  const Rows<const T> rows = rowsOf<T>(x);
  const at::Tensor parts = partsFor(x);
  Normalisation by = measure(passes, rows, parts, weight, bias, running, eps);
  auto* out = static_cast<T*>(y.mutable_data_ptr());
  inParts(parts, rows.count, [&](int64_t, int64_t from, int64_t to) {
    passes.forward(slice(rows, from, to), by.affine(), out + from * rows.channels);
  });
  return by;
}

struct Gradients {
  at::Tensor x, weight, bias;
};

template <class T>
void backwardOf(const Passes<T>& passes, const at::Tensor& x, const at::Tensor& dy, const Normalisation& by,
                const Gradients& out) {
  const Rows<const T> rows = rowsOf<T>(x), gradients = rowsOf<T>(dy);
  const int64_t channels = rows.channels;
  const at::Tensor parts = partsFor(x);
  Sums sums(parts.numel(), channels);
  inParts(parts, rows.count, [&](int64_t part, int64_t from, int64_t to) {
    passes.reduce(slice(rows, from, to), slice(gradients, from, to), by.affine(), floats(by.mean), sums.first(part),
                  sums.second(part));
  });
  sums.gather();
  std::vector<float> offset(static_cast<size_t>(channels)), slope(offset);
  const auto n = static_cast<double>(rows.count);
  for (int64_t c = 0; c < channels; ++c) {
    const double sum = sums.first(0)[c], product = sums.second(0)[c], invstd = floats(by.invstd)[c];
    mutableFloats(out.bias)[c] = static_cast<float>(sum);
    mutableFloats(out.weight)[c] = static_cast<float>(product * invstd);
    offset[static_cast<size_t>(c)] = static_cast<float>(sum / n);
    slope[static_cast<size_t>(c)] = static_cast<float>(product * invstd * invstd / n);
  }
  auto* dx = static_cast<T*>(out.x.mutable_data_ptr());
  inParts(parts, rows.count, [&](int64_t, int64_t from, int64_t to) {
    passes.backward(slice(rows, from, to), slice(gradients, from, to), by.affine(), floats(by.mean), offset.data(),
                    slope.data(), dx + from * channels);
  });
}

/// Calls body with the passes for the numbers of x.
template <class Body>
void byType(const at::Tensor& x, Body body) {
  if (x.scalar_type() == at::kBFloat16) {
    body(loops().bfloat16);
  } else {
    body(loops().float32);
  }
}

/// Rows that are equally far apart: the tensor itself or a copy.
at::Tensor even(const at::Tensor& t) {
  return rowsOf<char>(t).data != nullptr ? t : t.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor channelsLastLike(const at::Tensor& x) { return at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast); }

void check(const at::Tensor& x, at::TensorList perChannel) {
  TORCH_CHECK(x.dim() == 4 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "batch_norm_silu: input must be float32 or bfloat16 [N, C, H, W]");
  TORCH_CHECK(x.size(0) * x.size(2) * x.size(3) > 1,
              "Expected more than 1 value per channel when training, got input size torch.Size(", x.sizes(), ")");
  for (const at::Tensor& t : perChannel) {
    TORCH_CHECK(t.scalar_type() == at::kFloat && t.dim() == 1 && t.is_contiguous() && t.numel() == x.size(1),
                "batch_norm_silu: weight, bias, running_mean and running_var must be contiguous float32 [", x.size(1), "]");
  }
}

Normalisation forward(const at::Tensor& x, const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias,
                      const Running& running, double eps) {
  check(x, {weight, bias, running.mean, running.var});
  std::optional<Normalisation> by;
  byType(x, [&](const auto& passes) { by = forwardOf(passes, x, y, weight, bias, running, eps); });
  for (const at::Tensor& changed : {running.mean, running.var}) changed.unsafeGetTensorImpl()->bump_version();
  return *by;
}

at::Tensor batchNormSilu(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, at::Tensor mean,
                         at::Tensor var, double momentum, double eps) {
  const at::Tensor x = even(input);
  const at::Tensor y = channelsLastLike(x);
  forward(x, y, weight, bias, {mean, var, momentum}, eps);
  return y;
}

class BatchNormSilu : public torch::autograd::Function<BatchNormSilu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& var, double momentum,
                            double eps) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor x = even(input);
    at::Tensor y = channelsLastLike(x);
    const Normalisation by = batch_norm_silu::forward(x, y, weight, bias, {mean, var, momentum}, eps);
    context->save_for_backward({x, weight, bias, by.mean, by.invstd});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(),
                "batch_norm_silu has no second derivative: switch the fused kernels off for gradients of gradients");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &mean = saved[3];
    const at::Tensor dy = even(gradients[0]);
    const Gradients out{channelsLastLike(x), perChannel(mean.numel()), perChannel(mean.numel())};
    const Normalisation by(saved[1], saved[2], mean, saved[4]);
    byType(x, [&](const auto& passes) { backwardOf(passes, x, dy, by, out); });
    return {out.x, out.weight, out.bias, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor batchNormSiluAutograd(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                                 at::Tensor mean, at::Tensor var, double momentum, double eps) {
  return BatchNormSilu::apply(input, weight, bias, mean, var, momentum, eps);
}

TORCH_LIBRARY_FRAGMENT(mezzo, m) {
  m.def(
      "batch_norm_silu(Tensor input, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var, "
      "float momentum, float eps) -> Tensor");
  m.impl("batch_norm_silu", c10::DispatchKey::CPU, TORCH_FN(batchNormSilu));
  m.impl("batch_norm_silu", c10::DispatchKey::AutogradCPU, TORCH_FN(batchNormSiluAutograd));
}

}  // namespace
}  // namespace mezzo::batch_norm_silu
