// What looks into a running program: where a backward failed, and where the time went.
#pragma once

#include "napi.h"

namespace mezzo {

// Makes LibTorch's anomaly mode keep JavaScript stacks. Before the first backward: engines do not share threads.
void installAnomalyStacks();

void registerAnomaly(napi_env env, napi_value exports);
void registerProfiler(napi_env env, napi_value exports);

}  // namespace mezzo
