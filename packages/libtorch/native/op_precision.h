// Dtypes that a precision plan gives to single operators, while a layer with such rules runs on this thread.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#include <vector>

namespace mezzo {

class OpPrecision {
 public:
  void set(size_t op, at::ScalarType dtype);

  // Calls an operator. One with a rule runs without autocast, its float32 and 16-bit arguments cast, also those in
  // lists; float64, integers and other types stay, as under autocast.
  void call(const c10::OperatorHandle& op, size_t id, std::vector<c10::IValue>& stack) const;

 private:
  std::vector<at::ScalarType> dtypes_;  // by operator id; Undefined = no rule
};

// nullptr, unless a layer with rules runs.
extern constinit thread_local const OpPrecision* activeOpPrecision;

}  // namespace mezzo
