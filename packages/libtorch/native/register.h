// Each subject of the addon adds its functions to the exports.
#pragma once

#include "napi.h"

namespace mezzo {

void registerDispatch(napi_env env, napi_value exports);
void registerTensors(napi_env env, napi_value exports);
void registerScopes(napi_env env, napi_value exports);
void registerAutograd(napi_env env, napi_value exports);
void registerJsFunction(napi_env env, napi_value exports);
void registerJsCheckpoint(napi_env env, napi_value exports);
void registerJsHooks(napi_env env, napi_value exports);
void registerAutocast(napi_env env, napi_value exports);
void registerOpPrecision(napi_env env, napi_value exports);
void registerObserver(napi_env env, napi_value exports);
void registerRandom(napi_env env, napi_value exports);
void registerMemory(napi_env env, napi_value exports);
void registerMachine(napi_env env, napi_value exports);
void registerCuda(napi_env env, napi_value exports);
void registerImage(napi_env env, napi_value exports);

}  // namespace mezzo
