#include "marshal.h"

#include <ATen/core/List.h>

#include <array>
#include <cmath>
#include <utility>

namespace mezzo {
namespace {

// The names are PyTorch's; one table serves reading and writing.
constexpr std::array<std::pair<const char*, at::ScalarType>, 21> kDTypes = {{
    {"float32", at::kFloat}, {"float64", at::kDouble}, {"float16", at::kHalf}, {"bfloat16", at::kBFloat16},
    {"int64", at::kLong}, {"int32", at::kInt}, {"int16", at::kShort}, {"int8", at::kChar}, {"uint8", at::kByte},
    {"bool", at::kBool}, {"complex32", at::kComplexHalf}, {"complex64", at::kComplexFloat},
    {"complex128", at::kComplexDouble}, {"uint16", at::kUInt16}, {"uint32", at::kUInt32}, {"uint64", at::kUInt64},
    {"float8_e4m3fn", at::kFloat8_e4m3fn}, {"float8_e5m2", at::kFloat8_e5m2}, {"qint8", at::kQInt8},
    {"quint8", at::kQUInt8}, {"qint32", at::kQInt32},
}};

constexpr std::array<std::pair<const char*, at::MemoryFormat>, 4> kMemoryFormats = {{
    {"contiguous", at::MemoryFormat::Contiguous}, {"preserve", at::MemoryFormat::Preserve},
    {"channels_last", at::MemoryFormat::ChannelsLast}, {"channels_last_3d", at::MemoryFormat::ChannelsLast3d},
}};

constexpr std::array<std::pair<const char*, at::Layout>, 6> kLayouts = {{
    {"strided", at::kStrided}, {"sparse_coo", at::kSparse}, {"sparse_csr", at::kSparseCsr},
    {"sparse_csc", at::kSparseCsc}, {"sparse_bsr", at::kSparseBsr}, {"sparse_bsc", at::kSparseBsc},
}};

const char* kindOf(napi_env env, napi_value value, bool handle) {
  switch (typeOf(env, value)) {
    case napi_undefined: return "undefined";
    case napi_null: return "null";
    case napi_boolean: return "boolean";
    case napi_number: return handle ? "Tensor" : "number";
    case napi_string: return "string";
    case napi_bigint: return "bigint";
    case napi_function: return "function";
    case napi_symbol: return "symbol";
    case napi_object: {
      bool array = false;
      napi_is_array(env, value, &array);
      if (array) return "array";
      return isTypedArray(env, value) ? (handle ? "Tensor[]" : "typed array") : "object";
    }
    default: return "external";
  }
}

[[noreturn]] void mismatch(const Call& call, const Operator& op, const Argument& argument, napi_value value,
                           bool handle, const std::string& detail = "") {
  throw BridgeError("BAD_ARGUMENT", op.name + ": argument '" + argument.name + "' (" + argument.type + ") got " +
                                        kindOf(call.env, value, handle) + detail);
}

// The tensor of a handle; a stale one is named by operator and argument.
const at::Tensor& tensorOf(const Call& call, const Operator& op, const Argument& argument, double handle) {
  const at::Tensor* tensor = call.environment.tensors.find(handle);
  if (tensor != nullptr) return *tensor;
  throw BridgeError("STALE_HANDLE", op.name + ": argument '" + argument.name +
                                        "' is a tensor that was disposed (or belonged to a scope that has ended)");
}

// Reads elements of one JavaScript value for one argument; every failure names operator, argument and type.
struct Reader {
  const Call& call;
  const Operator& op;
  const Argument& argument;
  bool handle;

  [[noreturn]] void fail(napi_value value, const std::string& detail = "") const {
    mismatch(call, op, argument, value, handle, detail);
  }

  double number(napi_value value) const {
    double result = 0;
    if (napi_get_value_double(call.env, value, &result) != napi_ok) fail(value);
    return result;
  }

  int64_t integer(napi_value value) const {
    double number = 0;
    if (napi_get_value_double(call.env, value, &number) == napi_ok) {
      if (std::nearbyint(number) != number || std::abs(number) > 9007199254740991.0) {
        fail(value, " " + std::to_string(number) + ", which is not an integer");
      }
      return static_cast<int64_t>(number);
    }
    int64_t result = 0;
    bool lossless = false;
    if (napi_get_value_bigint_int64(call.env, value, &result, &lossless) != napi_ok) fail(value);
    if (!lossless) fail(value, " beyond 64 bits");
    return result;
  }

  bool boolean(napi_value value) const {
    bool result = false;
    if (napi_get_value_bool(call.env, value, &result) != napi_ok) fail(value);
    return result;
  }

  // An integral number is an int64 scalar, as a Python literal without a point would be.
  at::Scalar scalar(napi_value value) const {
    double number = 0;
    if (napi_get_value_double(call.env, value, &number) == napi_ok) {
      const bool integral = std::nearbyint(number) == number && std::abs(number) <= 9007199254740991.0;
      const bool negativeZero = number == 0 && std::signbit(number);
      return integral && !negativeZero ? at::Scalar(static_cast<int64_t>(number)) : at::Scalar(number);
    }
    bool flag = false;
    if (napi_get_value_bool(call.env, value, &flag) == napi_ok) return at::Scalar(flag);
    int64_t integer = 0;
    bool lossless = false;
    if (napi_get_value_bigint_int64(call.env, value, &integer, &lossless) != napi_ok) fail(value);
    if (!lossless) fail(value, " beyond 64 bits");
    return at::Scalar(integer);
  }

  std::string text(napi_value value) const {
    if (typeOf(call.env, value) != napi_string) fail(value);
    return stringOf(call.env, value);
  }

  template <typename Table>
  auto named(napi_value value, const Table& table) const {
    const std::string name = text(value);
    for (const auto& [known, constant] : table) {
      if (name == known) return constant;
    }
    fail(value, " '" + name + "'");
  }

  at::Device device(napi_value value) const {
    const std::string name = text(value);
    try {
      return at::Device(name);
    } catch (const c10::Error&) {
      fail(value, " '" + name + "'");
    }
  }

  at::Tensor tensor(napi_value value) const {
    if (!handle) fail(value);
    return tensorOf(call, op, argument, number(value));
  }

  c10::IValue one(napi_value value) const {
    switch (argument.conversion.base) {
      case Base::Tensor: return tensor(value);
      case Base::Int: return integer(value);
      case Base::Float: return number(value);
      case Base::Bool: return boolean(value);
      case Base::Scalar: return scalar(value);
      case Base::String: return text(value);
      case Base::DType: return static_cast<int64_t>(named(value, kDTypes));
      case Base::Layout: return static_cast<int64_t>(named(value, kLayouts));
      case Base::MemoryFormat: return static_cast<int64_t>(named(value, kMemoryFormats));
      case Base::Device: return device(value);
      case Base::Generator:
        if (!handle) fail(value);
        return call.environment.generators.get(number(value));
      case Base::Unsupported: break;
    }
    throw BridgeError("NOT_IMPLEMENTED", op.name + ": argument '" + argument.name + "' has the type " + argument.type +
                                             ", which cannot be built from JavaScript");
  }

  uint32_t arrayLength(napi_value value) const {
    bool array = false;
    check(call.env, napi_is_array(call.env, value, &array));
    if (!array) fail(value);
    uint32_t length = 0;
    check(call.env, napi_get_array_length(call.env, value, &length));
    return length;
  }

  template <typename T, typename Read>
  c10::List<T> elements(napi_value value, Read read) const {
    const uint32_t length = arrayLength(value);
    c10::List<T> list;
    list.reserve(length);
    for (uint32_t i = 0; i < length; i++) {
      napi_value element = nullptr;
      check(call.env, napi_get_element(call.env, value, i, &element));
      list.push_back(read(element));
    }
    return list;
  }

  template <typename T, typename Read>
  c10::IValue listOf(napi_value value, Read read) const {
    if (argument.conversion.length > 0 && typeOf(call.env, value) != napi_object) {
      c10::List<T> repeated;
      for (int32_t i = 0; i < argument.conversion.length; i++) repeated.push_back(read(value));
      return repeated;
    }
    return elements<T>(value, read);
  }

  std::span<const double> handles(napi_value value) const {
    if (!handle || !isTypedArray(call.env, value)) fail(value);
    const ArrayView view = typedArray(call.env, value);
    if (view.type != napi_float64_array) fail(value);
    return {static_cast<const double*>(view.data), view.length};
  }

  c10::IValue tensors(napi_value value) const {
    const auto all = handles(value);
    if (argument.conversion.elementOptional) {
      c10::List<std::optional<at::Tensor>> list;
      list.reserve(all.size());
      for (const double h : all) {
        list.push_back(h == 0 ? std::optional<at::Tensor>() : tensorOf(call, op, argument, h));
      }
      return list;
    }
    c10::List<at::Tensor> list;
    list.reserve(all.size());
    for (const double h : all) list.push_back(tensorOf(call, op, argument, h));
    return list;
  }

  c10::IValue many(napi_value value) const {
    switch (argument.conversion.base) {
      case Base::Tensor: return tensors(value);
      case Base::Int: return listOf<int64_t>(value, [&](napi_value v) { return integer(v); });
      case Base::Float: return listOf<double>(value, [&](napi_value v) { return number(v); });
      case Base::Bool: return listOf<bool>(value, [&](napi_value v) { return boolean(v); });
      case Base::String: return listOf<std::string>(value, [&](napi_value v) { return text(v); });
      case Base::Scalar: {
        const uint32_t length = arrayLength(value);
        c10::impl::GenericList list(c10::NumberType::get());
        for (uint32_t i = 0; i < length; i++) {
          napi_value element = nullptr;
          check(call.env, napi_get_element(call.env, value, i, &element));
          list.push_back(scalar(element));
        }
        return list;
      }
      default: break;
    }
    throw BridgeError("NOT_IMPLEMENTED", op.name + ": argument '" + argument.name + "' has the type " + argument.type +
                                             ", which cannot be built from JavaScript");
  }
};

napi_value fromScalar(napi_env env, const at::Scalar& scalar) {
  if (scalar.isComplex()) {
    napi_value object = newObject(env);
    const auto value = scalar.toComplexDouble();
    setProperty(env, object, "re", toJs(env, value.real()));
    setProperty(env, object, "im", toJs(env, value.imag()));
    return object;
  }
  if (scalar.isBoolean()) return toJs(env, scalar.toBool());
  if (scalar.isIntegral(false)) return toJsInteger(env, scalar.toLong());
  return toJs(env, scalar.toDouble());
}

}  // namespace

const char* dtypeName(at::ScalarType type) {
  for (const auto& [name, known] : kDTypes) {
    if (known == type) return name;
  }
  return c10::toString(type);
}

std::optional<at::ScalarType> dtypeByName(std::string_view name) {
  for (const auto& [known, type] : kDTypes) {
    if (name == known) return type;
  }
  return std::nullopt;
}

at::ScalarType dtypeOf(napi_env env, napi_value value) {
  const std::string name = stringOf(env, value);
  const auto type = dtypeByName(name);
  if (!type) throw BridgeError("BAD_ARGUMENT", "unknown dtype '" + name + "'");
  return *type;
}

std::optional<at::MemoryFormat> memoryFormatByName(std::string_view name) {
  for (const auto& [known, format] : kMemoryFormats) {
    if (name == known) return format;
  }
  return std::nullopt;
}

c10::IValue missingValue(const Operator& op, const Argument& argument) {
  if (argument.defaultValue) return *argument.defaultValue;
  if (argument.conversion.optional) return c10::IValue();
  throw BridgeError("BAD_ARGUMENT", op.name + ": argument '" + argument.name + "' (" + argument.type + ") is missing");
}

c10::IValue toIValue(const Call& call, const Operator& op, const Argument& argument, napi_value value, bool handle) {
  const Conversion& conversion = argument.conversion;
  // The common case first: one tensor.
  if (handle && conversion.base == Base::Tensor && !conversion.list) {
    double number = 0;
    if (napi_get_value_double(call.env, value, &number) != napi_ok) mismatch(call, op, argument, value, handle);
    return tensorOf(call, op, argument, number);
  }
  const napi_valuetype type = typeOf(call.env, value);
  if (type == napi_undefined) return missingValue(op, argument);
  if (type == napi_null && conversion.optional) return c10::IValue();
  const Reader reader{call, op, argument, handle};
  return conversion.list ? reader.many(value) : reader.one(value);
}

napi_value fromIValue(const Call& call, c10::IValue&& value) {
  const napi_env env = call.env;
  if (value.isTensor()) return toJs(env, call.environment.tensors.add(std::move(value).toTensor()));
  if (value.isNone()) return null(env);
  if (value.isBool()) return toJs(env, value.toBool());
  if (value.isInt() || value.isSymInt()) return toJsInteger(env, value.toInt());
  if (value.isDouble()) return toJs(env, value.toDouble());
  if (value.isScalar()) return fromScalar(env, value.toScalar());
  if (value.isString()) return toJs(env, value.toStringRef());
  if (value.isDevice()) return toJs(env, value.toDevice().str());
  if (value.isTensorList()) return toHandles(env, call.environment, value.toTensorVector());
  if (value.isIntList()) return toJs(env, std::span<const int64_t>(value.toIntVector()));
  if (value.isList() || value.isTuple()) {
    std::vector<c10::IValue> elements;
    if (value.isTuple()) {
      for (const auto& element : value.toTupleRef().elements()) elements.push_back(element);
    } else {
      for (const c10::IValue& element : value.toListRef()) elements.push_back(element);
    }
    napi_value array = nullptr;
    check(env, napi_create_array_with_length(env, elements.size(), &array));
    for (size_t i = 0; i < elements.size(); i++) {
      check(env, napi_set_element(env, array, static_cast<uint32_t>(i), fromIValue(call, std::move(elements[i]))));
    }
    return array;
  }
  throw BridgeError("NOT_IMPLEMENTED", "a result of type " + value.tagKind() + " cannot reach JavaScript");
}

}  // namespace mezzo
