// Conversion between JavaScript values and IValues, decided by an operator's schema.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#include <optional>
#include <string>
#include <vector>

#include "environment.h"

namespace mezzo {

enum class Base : uint8_t {
  Tensor, Int, Float, Bool, Scalar, String, DType, Layout, Device, MemoryFormat, Generator, Unsupported,
};

// How one argument crosses: `Tensor?[]` is {Tensor, list, elementOptional}; `int[2]?` is {Int, list, optional, length 2}.
struct Conversion {
  Base base = Base::Unsupported;
  bool optional = false;
  bool list = false;
  bool elementOptional = false;
  int32_t length = 0;  // fixed list length to which a single value expands, 0 = none
};

struct Argument {
  std::string name;
  std::string type;  // as the schema prints it
  Conversion conversion;
  std::optional<c10::IValue> defaultValue;
  bool keywordOnly = false;
  bool out = false;
};

struct Return {
  std::string type;
  int32_t alias = -1;  // index of the argument that comes back written to, or -1
};

struct Operator {
  c10::OperatorHandle handle;
  std::string name;  // 'aten::add'
  std::string overload;
  std::vector<Argument> arguments;
  std::vector<Return> returns;
};

// Operators that were looked up, by id; shared by all environments.
const Operator& operatorById(size_t id);
size_t lookupOperator(const std::string& name, const std::string& overload);

// `handle` says that the value is a tensor (or generator) handle, or a Float64Array of them.
c10::IValue toIValue(const Call& call, const Operator& op, const Argument& argument, napi_value value, bool handle);
c10::IValue missingValue(const Operator& op, const Argument& argument);  // the default, or BAD_ARGUMENT
napi_value fromIValue(const Call& call, c10::IValue&& value);

const char* dtypeName(at::ScalarType type);
std::optional<at::ScalarType> dtypeByName(std::string_view name);
at::ScalarType dtypeOf(napi_env env, napi_value value);  // throws BAD_ARGUMENT
std::optional<at::MemoryFormat> memoryFormatByName(std::string_view name);

}  // namespace mezzo
