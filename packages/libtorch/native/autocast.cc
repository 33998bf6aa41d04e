// Autocast state of this thread. The op policies are LibTorch's own; nothing here knows an operator.
#include <ATen/autocast_mode.h>

#include "marshal.h"
#include "register.h"

namespace mezzo {
namespace {

thread_local int64_t nesting = 0;

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
  nesting = at::autocast::increment_nesting();
  return toJs(call.env, static_cast<double>(nesting));
}
napi_value decrement(const Call& call) {
  nesting = at::autocast::decrement_nesting();
  return toJs(call.env, static_cast<double>(nesting));
}
napi_value depth(const Call& call) { return toJs(call.env, static_cast<double>(nesting)); }
napi_value clearCache(const Call&) {
  at::autocast::clear_cache();
  return nullptr;
}
napi_value cacheEnabled(const Call& call) { return toJs(call.env, at::autocast::is_autocast_cache_enabled()); }
napi_value setCacheEnabled(const Call& call) {
  at::autocast::set_autocast_cache_enabled(call.boolean(0));
  return nullptr;
}

}  // namespace

void registerAutocast(napi_env env, napi_value exports) {
  define<enabled>(env, exports, "autocastEnabled");
  define<setEnabled>(env, exports, "setAutocastEnabled");
  define<dtype>(env, exports, "autocastDtype");
  define<setDtype>(env, exports, "setAutocastDtype");
  define<increment>(env, exports, "autocastIncrement");
  define<decrement>(env, exports, "autocastDecrement");
  define<depth>(env, exports, "autocastNesting");
  define<clearCache>(env, exports, "clearAutocastCache");
  define<cacheEnabled>(env, exports, "autocastCacheEnabled");
  define<setCacheEnabled>(env, exports, "setAutocastCacheEnabled");
}

}  // namespace mezzo
