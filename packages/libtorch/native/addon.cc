#include "diagnostics.h"
#include "environment.h"
#include "register.h"
#include "register_distributed.h"

namespace {

napi_value setErrorFactory(const mezzo::Call& call) {
  if (call.environment.errorFactory != nullptr) {
    mezzo::check(call.env, napi_delete_reference(call.env, call.environment.errorFactory));
  }
  mezzo::check(call.env, napi_create_reference(call.env, call[0], 1, &call.environment.errorFactory));
  return nullptr;
}

napi_value init(napi_env env, napi_value exports) {
  using namespace mezzo;
  try {
    Environment::create(env);
    installAnomalyStacks();
    define<setErrorFactory>(env, exports, "setErrorFactory");
    registerDispatch(env, exports);
    registerTensors(env, exports);
    registerScopes(env, exports);
    registerAutograd(env, exports);
    registerJsFunction(env, exports);
    registerJsCheckpoint(env, exports);
    registerJsHooks(env, exports);
    registerAutocast(env, exports);
    registerOpPrecision(env, exports);
    registerObserver(env, exports);
    registerAnomaly(env, exports);
    registerProfiler(env, exports);
    registerRandom(env, exports);
    registerMemory(env, exports);
    registerMachine(env, exports);
    registerCuda(env, exports);
    registerImage(env, exports);
    registerDistributed(env, exports);
    registerReducer(env, exports);
  } catch (...) {
    throwIntoJs(env);
    return nullptr;
  }
  return exports;
}

}  // namespace

NAPI_MODULE_INIT() { return init(env, exports); }
