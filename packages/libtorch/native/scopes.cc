// Lifetime: explicit frees, scopes, and the garbage collector as a safety net.
#include <algorithm>

#include "environment.h"
#include "register.h"

namespace mezzo {
namespace {

void reportReleased(node_api_basic_env env, Environment& environment) {
  const int64_t change = environment.tensors.takeTrackedChange();
  int64_t total = 0;
  if (change != 0) napi_adjust_external_memory(env, change, &total);
}

napi_value freeTensor(const Call& call) {
  call.environment.tensors.free(call.number(0));
  reportReleased(call.env, call.environment);
  return nullptr;
}

napi_value pushScope(const Call& call) {
  return toJs(call.env, static_cast<double>(call.environment.tensors.pushScope()));
}

napi_value popScope(const Call& call) {
  const int64_t freed = call.environment.tensors.popScope(call.integer(0));
  reportReleased(call.env, call.environment);
  return toJs(call.env, static_cast<double>(freed));
}

napi_value inScope(const Call& call) { return toJs(call.env, call.environment.tensors.inScope()); }

napi_value keep(const Call& call) {
  call.environment.tensors.keep(call.number(0));
  return nullptr;
}

napi_value escape(const Call& call) {
  call.environment.tensors.escape(call.number(0));
  return nullptr;
}

// A finalizer runs inside garbage collection: it may free tensors, it may not call JavaScript.
void finalize(node_api_basic_env env, void* data, void* hint) {
  auto& environment = *static_cast<Environment*>(hint);
  environment.tensors.free(static_cast<double>(reinterpret_cast<uintptr_t>(data)));
  reportReleased(env, environment);
}

napi_value track(const Call& call) {
  const double handle = call.number(1);
  const at::Tensor& tensor = call.environment.tensors.get(handle);
  // Memory, not size: an expanded tensor is small whatever its shape says, a meta tensor has none at all.
  const bool holds = tensor.layout() == at::kStrided && tensor.has_storage() && !tensor.is_meta();
  const auto bytes = static_cast<int64_t>(holds ? std::min(tensor.nbytes(), tensor.storage().nbytes()) : 0);
  check(call.env, napi_wrap(call.env, call[0], reinterpret_cast<void*>(static_cast<uintptr_t>(handle)), finalize,
                            &call.environment, nullptr));
  int64_t total = 0;
  check(call.env, napi_adjust_external_memory(call.env, call.environment.tensors.setTracked(handle, bytes), &total));
  return nullptr;
}

}  // namespace

void registerScopes(napi_env env, napi_value exports) {
  define<freeTensor>(env, exports, "free");
  define<pushScope>(env, exports, "pushScope");
  define<popScope>(env, exports, "popScope");
  define<inScope>(env, exports, "inScope");
  define<keep>(env, exports, "keep");
  define<escape>(env, exports, "escape");
  define<track>(env, exports, "track");
}

}  // namespace mezzo
