// The guard of LibTorch's cast cache against weights that change inside a region.
#pragma once

#include <ATen/core/stack.h>
#include <c10/core/DeviceType.h>

namespace mezzo {

bool insideAutocastRegion();

// Whether autocast is on in one of the regions around this point, even if an inner one has turned it off.
bool insideEnabledAutocast(c10::DeviceType device);

// Before every operator inside a region: LibTorch goes on with the cast it made at a weight's first use, so the
// cache is dropped when a weight among the arguments has changed since.
void dropStaleCasts(const torch::jit::Stack& arguments);

}  // namespace mezzo
