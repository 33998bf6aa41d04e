// What autocast does with an operator, asked of the dispatcher itself.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/Device.h>

#include <string>

namespace mezzo {

enum class AutocastPolicy : uint8_t {
  None,     // no kernel under the device's autocast key: the inputs decide
  Low,      // float inputs are cast to the low dtype
  Float32,  // float inputs are cast, or the result is asked for, in float32
  Promote,  // float inputs are cast to the widest among them
  Passes,   // has a kernel, but casts nothing
  Banned,   // refuses to run
};

struct AutocastRule {
  AutocastPolicy policy = AutocastPolicy::None;
  std::string refusal;  // LibTorch's words, when banned
};

// Runs the operator's autocast kernel on stand-ins of float32 and of the low dtype, up to the call that the kernel
// makes in its turn, which shows the casts; nothing is computed. CUDA's rules can be asked for without a GPU. The
// answer is remembered.
const AutocastRule& autocastRule(const c10::OperatorHandle& op, at::DeviceType device);

const char* policyName(AutocastPolicy policy);

}  // namespace mezzo
