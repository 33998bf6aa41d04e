// Apart from register.h, which every subject includes, as only the addon's entry needs it.
#pragma once

#include <node_api.h>

namespace mezzo {

void registerDistributed(napi_env env, napi_value exports);
void registerReducer(napi_env env, napi_value exports);

}  // namespace mezzo
