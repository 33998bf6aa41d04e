// Autocast state of this thread. The op policies are LibTorch's own; nothing here knows an operator.
#include "autocast.h"

#include <ATen/autocast_mode.h>

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "marshal.h"
#include "op_precision.h"
#include "register.h"

namespace mezzo {
namespace {

thread_local int64_t nesting = 0;
thread_local std::vector<std::pair<bool, bool>> regions;  // of each open region: on for the CPU, for CUDA

// What a weight was at its first use since the cache was empty. Views and detached copies share the version counter;
// data that was swapped keeps it, but lies in another storage (whose address the weak pointer keeps from reuse).
struct WeightState {
  int64_t version;
  c10::weak_intrusive_ptr<c10::StorageImpl> storage;
};
thread_local std::unordered_map<const c10::TensorImpl*, WeightState> usedWeights;

void forgetCasts() {
  at::autocast::clear_cache();
  usedWeights.clear();
}

// LibTorch's own condition, but for the target dtype and the flag.
bool mayBeCached(const at::Tensor& tensor) {
  return tensor.defined() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided &&
         tensor.requires_grad() && tensor.is_leaf() && !tensor.is_view();
}

void noteWeight(const at::Tensor& tensor) {
  if (!mayBeCached(tensor)) return;
  if (tensor.is_inference()) {  // it has no version to go by
    forgetCasts();
    return;
  }
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  const c10::TensorImpl* weight = tensor.unsafeGetTensorImpl();
  const auto known = usedWeights.find(weight);
  if (known != usedWeights.end()) {
    if (known->second.version == tensor._version() && known->second.storage._unsafe_get_target() == storage) return;
    forgetCasts();
  }
  usedWeights.emplace(weight, WeightState{tensor._version(), tensor.storage().getWeakStorageImpl()});
}

at::DeviceType deviceType(const Call& call) { return at::Device(call.string(0)).type(); }

napi_value enabled(const Call& call) {
  return toJs(call.env, at::autocast::is_autocast_enabled(deviceType(call)));
}
napi_value setEnabled(const Call& call) {
  at::autocast::set_autocast_enabled(deviceType(call), call.boolean(1));
  return nullptr;
}
napi_value dtype(const Call& call) {
  return toJs(call.env, dtypeName(at::autocast::get_autocast_dtype(deviceType(call))));
}
napi_value setDtype(const Call& call) {
  at::autocast::set_autocast_dtype(deviceType(call), dtypeOf(call.env, call[1]));
  return nullptr;
}
napi_value increment(const Call& call) {
  regions.emplace_back(at::autocast::is_autocast_enabled(at::kCPU), at::autocast::is_autocast_enabled(at::kCUDA));
  nesting = at::autocast::increment_nesting();
  return toJs(call.env, static_cast<double>(nesting));
}
napi_value decrement(const Call& call) {
  if (!regions.empty()) regions.pop_back();
  nesting = at::autocast::decrement_nesting();
  return toJs(call.env, static_cast<double>(nesting));
}
napi_value depth(const Call& call) { return toJs(call.env, static_cast<double>(nesting)); }
napi_value clearCache(const Call&) {
  forgetCasts();
  return nullptr;
}
napi_value cacheEnabled(const Call& call) { return toJs(call.env, at::autocast::is_autocast_cache_enabled()); }
napi_value setCacheEnabled(const Call& call) {
  at::autocast::set_autocast_cache_enabled(call.boolean(0));
  return nullptr;
}

// What autocast would cast a frozen weight to at every use, or null when it would not, or when a rule for single
// operators may want the weight itself.
napi_value frozenCastDtype(const Call& call) {
  const at::Tensor& weight = call.environment.tensors.get(call.number(0));
  const at::DeviceType device = weight.device().type();
  const bool cast = nesting > 0 && activeOpPrecision == nullptr && weight.scalar_type() == at::kFloat &&
                    !weight.requires_grad() && weight.is_leaf() && !weight.is_inference() &&
                    at::autocast::is_autocast_cache_enabled() &&
                    (device == at::kCPU || device == at::kCUDA) && at::autocast::is_autocast_enabled(device);
  return cast ? toJs(call.env, dtypeName(at::autocast::get_autocast_dtype(device))) : null(call.env);
}

}  // namespace

bool insideAutocastRegion() { return nesting > 0; }

bool insideEnabledAutocast(c10::DeviceType device) {
  return std::any_of(regions.begin(), regions.end(),
                     [&](const auto& on) { return device == at::kCUDA ? on.second : device == at::kCPU && on.first; });
}

void dropStaleCasts(const torch::jit::Stack& arguments) {
  for (const c10::IValue& argument : arguments) {
    if (argument.isTensor()) {
      noteWeight(argument.toTensor());
    } else if (argument.isTensorList()) {
      for (const at::Tensor& tensor : argument.toTensorVector()) noteWeight(tensor);
    }
  }
}

void registerAutocast(napi_env env, napi_value exports) {
  define<enabled>(env, exports, "autocastEnabled");
  define<setEnabled>(env, exports, "setAutocastEnabled");
  define<dtype>(env, exports, "autocastDtype");
  define<setDtype>(env, exports, "setAutocastDtype");
  define<increment>(env, exports, "autocastIncrement");
  define<decrement>(env, exports, "autocastDecrement");
  define<depth>(env, exports, "autocastNesting");
  define<clearCache>(env, exports, "clearAutocastCache");
  define<frozenCastDtype>(env, exports, "frozenCastDtype");
  define<cacheEnabled>(env, exports, "autocastCacheEnabled");
  define<setCacheEnabled>(env, exports, "setAutocastCacheEnabled");
}

}  // namespace mezzo
