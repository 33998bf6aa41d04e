// The tables of op rules and the casts they ask for. A plan makes its tables once; a layer's forward switches one on.
#include "op_precision.h"

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <memory>
#include <utility>

#include "marshal.h"
#include "register.h"

namespace mezzo {

constinit thread_local const OpPrecision* activeOpPrecision = nullptr;

void OpPrecision::set(size_t op, at::ScalarType dtype) {
  if (op >= dtypes_.size()) dtypes_.resize(op + 1, at::ScalarType::Undefined);
  dtypes_[op] = dtype;
}

namespace {

// By number from 1; 0 is no table.
thread_local std::vector<std::unique_ptr<const OpPrecision>> tables;
thread_local size_t activeNumber = 0;

bool eligible(const at::Tensor& tensor) {
  if (!tensor.defined()) return false;
  const at::ScalarType type = tensor.scalar_type();
  return type == at::kFloat || type == at::kHalf || type == at::kBFloat16;
}

at::Tensor cast(const at::Tensor& tensor, at::ScalarType dtype) {
  return eligible(tensor) && tensor.scalar_type() != dtype ? tensor.to(dtype) : tensor;
}

c10::IValue castValue(const c10::IValue& value, at::ScalarType dtype) {
  if (value.isTensor()) return cast(value.toTensor(), dtype);
  if (value.isTensorList()) {
    c10::List<at::Tensor> result;
    for (const at::Tensor& tensor : value.toTensorVector()) result.push_back(cast(tensor, dtype));
    return result;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> result;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      result.push_back(tensor ? std::optional(cast(*tensor, dtype)) : std::nullopt);
    }
    return result;
  }
  return value;
}

napi_value newTable(const Call& call) {
  const ArrayView ids = typedArray(call.env, call[0]);
  if (ids.type != napi_float64_array) throw BridgeError("BAD_ARGUMENT", "operator ids are a Float64Array");
  auto table = std::make_unique<OpPrecision>();
  for (size_t i = 0; i < ids.length; i++) {
    napi_value name = nullptr;
    check(call.env, napi_get_element(call.env, call[1], static_cast<uint32_t>(i), &name));
    const auto id = static_cast<size_t>(static_cast<const double*>(ids.data)[i]);
    operatorById(id);  // throws for an id that is none
    table->set(id, dtypeOf(call.env, name));
  }
  tables.push_back(std::move(table));
  return toJs(call.env, static_cast<double>(tables.size()));
}

napi_value useTable(const Call& call) {
  const auto number = static_cast<size_t>(call.integer(0));
  if (number > tables.size()) throw BridgeError("BAD_ARGUMENT", "no table of op rules has this number");
  const size_t previous = std::exchange(activeNumber, number);
  activeOpPrecision = number == 0 ? nullptr : tables[number - 1].get();
  return toJs(call.env, static_cast<double>(previous));
}

}  // namespace

void OpPrecision::call(const c10::OperatorHandle& op, size_t id, std::vector<c10::IValue>& stack) const {
  const at::ScalarType dtype = id < dtypes_.size() ? dtypes_[id] : at::ScalarType::Undefined;
  if (dtype == at::ScalarType::Undefined) return op.callBoxed(&stack);
  const c10::impl::ExcludeDispatchKeyGuard withoutAutocast(c10::autocast_dispatch_keyset);
  for (c10::IValue& value : stack) value = castValue(value, dtype);
  op.callBoxed(&stack);
}

void registerOpPrecision(napi_env env, napi_value exports) {
  define<newTable>(env, exports, "newOpPrecision");
  define<useTable>(env, exports, "useOpPrecision");
}

}  // namespace mezzo
