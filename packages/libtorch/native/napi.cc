#include "napi.h"

#include <c10/util/Exception.h>

#include <array>
#include <cmath>

#include "environment.h"

namespace mezzo {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;
constexpr size_t kMaxArguments = 72;  // the widest aten schema has 30
constexpr size_t kFewArguments = 12;  // enough for nearly every call

// The typed face of the addon supplies the error class; before it does, a plain Error with a `code` is thrown.
void throwError(napi_env env, const char* code, const std::string& message, const char* trace) {
  napi_value arguments[3] = {};
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &arguments[0]);
  napi_create_string_utf8(env, message.data(), message.size(), &arguments[1]);
  if (trace != nullptr) {
    napi_create_string_utf8(env, trace, NAPI_AUTO_LENGTH, &arguments[2]);
  } else {
    napi_get_undefined(env, &arguments[2]);
  }
  napi_value error = nullptr, factory = nullptr, receiver = nullptr;
  const napi_ref reference = Environment::of(env).errorFactory;
  if (reference != nullptr && napi_get_reference_value(env, reference, &factory) == napi_ok && factory != nullptr) {
    napi_get_undefined(env, &receiver);
    if (napi_call_function(env, receiver, factory, 3, arguments, &error) != napi_ok) return;  // its exception is pending
  } else {
    napi_create_error(env, arguments[0], arguments[1], &error);
  }
  napi_throw(env, error);
}

}  // namespace

napi_value Call::operator[](size_t i) const { return i < args.size() ? args[i] : undefined(env); }

double Call::number(size_t i) const {
  double value = 0;
  if (napi_get_value_double(env, (*this)[i], &value) != napi_ok) {
    throw BridgeError("BAD_ARGUMENT", "argument " + std::to_string(i) + " must be a number");
  }
  return value;
}

bool Call::boolean(size_t i) const {
  bool value = false;
  if (napi_get_value_bool(env, (*this)[i], &value) != napi_ok) {
    throw BridgeError("BAD_ARGUMENT", "argument " + std::to_string(i) + " must be a boolean");
  }
  return value;
}

int64_t Call::integer(size_t i) const { return integerOf(env, (*this)[i]); }
std::string Call::string(size_t i) const { return stringOf(env, (*this)[i]); }

bool Call::isNullish(size_t i) const {
  const napi_valuetype type = typeOf(env, (*this)[i]);
  return type == napi_undefined || type == napi_null;
}

napi_value undefined(napi_env env) {
  napi_value value = nullptr;
  check(env, napi_get_undefined(env, &value));
  return value;
}

napi_value null(napi_env env) {
  napi_value value = nullptr;
  check(env, napi_get_null(env, &value));
  return value;
}

napi_value toJs(napi_env env, double number) {
  napi_value value = nullptr;
  check(env, napi_create_double(env, number, &value));
  return value;
}

napi_value toJs(napi_env env, bool flag) {
  napi_value value = nullptr;
  check(env, napi_get_boolean(env, flag, &value));
  return value;
}

napi_value toJs(napi_env env, std::string_view text) {
  napi_value value = nullptr;
  check(env, napi_create_string_utf8(env, text.data(), text.size(), &value));
  return value;
}

napi_value toJsInteger(napi_env env, int64_t number) {
  if (std::abs(static_cast<double>(number)) <= kMaxSafeInteger) return toJs(env, static_cast<double>(number));
  napi_value value = nullptr;
  check(env, napi_create_bigint_int64(env, number, &value));
  return value;
}

napi_value toJs(napi_env env, std::span<const int64_t> values) {
  napi_value array = nullptr;
  check(env, napi_create_array_with_length(env, values.size(), &array));
  for (size_t i = 0; i < values.size(); i++) {
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), toJsInteger(env, values[i])));
  }
  return array;
}

napi_value newObject(napi_env env) {
  napi_value object = nullptr;
  check(env, napi_create_object(env, &object));
  return object;
}

void setProperty(napi_env env, napi_value object, const char* name, napi_value value) {
  check(env, napi_set_named_property(env, object, name, value));
}

std::string stringOf(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    throw BridgeError("BAD_ARGUMENT", "expected a string");
  }
  std::string text(length, '\0');
  check(env, napi_get_value_string_utf8(env, value, text.data(), length + 1, &length));
  return text;
}

int64_t integerOf(napi_env env, napi_value value) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    if (std::nearbyint(number) != number || std::abs(number) > kMaxSafeInteger) {
      throw BridgeError("BAD_ARGUMENT", "expected an integer, got " + std::to_string(number));
    }
    return static_cast<int64_t>(number);
  }
  int64_t integer = 0;
  bool lossless = false;
  if (napi_get_value_bigint_int64(env, value, &integer, &lossless) != napi_ok || !lossless) {
    throw BridgeError("BAD_ARGUMENT", "expected an integer");
  }
  return integer;
}

napi_valuetype typeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, value, &type));
  return type;
}

bool isTypedArray(napi_env env, napi_value value) {
  bool result = false;
  check(env, napi_is_typedarray(env, value, &result));
  return result;
}

ArrayView typedArray(napi_env env, napi_value value) {
  static constexpr std::array<uint8_t, 12> kElementBytes = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 2};
  if (!isTypedArray(env, value)) throw BridgeError("BAD_ARGUMENT", "expected a typed array");
  ArrayView view;
  check(env, napi_get_typedarray_info(env, value, &view.type, &view.length, &view.data, nullptr, nullptr));
  view.bytes = view.length * kElementBytes.at(static_cast<size_t>(view.type));
  return view;
}

napi_value newTypedArray(napi_env env, napi_typedarray_type type, size_t length, void** data) {
  static constexpr std::array<uint8_t, 12> kElementBytes = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 2};
  napi_value buffer = nullptr, array = nullptr;
  check(env, napi_create_arraybuffer(env, length * kElementBytes.at(static_cast<size_t>(type)), data, &buffer));
  check(env, napi_create_typedarray(env, type, length, buffer, 0, &array));
  return array;
}

void throwIntoJs(napi_env env) {
  try {
    throw;
  } catch (const PendingJsException&) {
    return;
  } catch (const BridgeError& e) {
    throwError(env, e.code, e.what(), nullptr);
  } catch (const c10::OutOfMemoryError& e) {
    throwError(env, "OUT_OF_MEMORY", e.what_without_backtrace(), e.what());
  } catch (const c10::IndexError& e) {
    throwError(env, "INDEX", e.what_without_backtrace(), e.what());
  } catch (const c10::TypeError& e) {
    throwError(env, "TYPE", e.what_without_backtrace(), e.what());
  } catch (const c10::ValueError& e) {
    throwError(env, "VALUE", e.what_without_backtrace(), e.what());
  } catch (const c10::NotImplementedError& e) {
    throwError(env, "NOT_IMPLEMENTED", e.what_without_backtrace(), e.what());
  } catch (const c10::Error& e) {
    throwError(env, "TORCH", e.what_without_backtrace(), e.what());
  } catch (const std::bad_alloc&) {
    throwError(env, "OUT_OF_MEMORY", "the system is out of memory", nullptr);
  } catch (const std::exception& e) {
    throwError(env, "TORCH", e.what(), nullptr);
  } catch (...) {
    throwError(env, "TORCH", "unknown native error", nullptr);
  }
}

void define(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, &Environment::of(env), &function));
  check(env, napi_set_named_property(env, exports, name, function));
}

napi_value invoke(napi_env env, napi_callback_info info, Function function) {
  // Node fills what is not given with undefined, so a wide array costs each call.
  std::array<napi_value, kFewArguments> few;
  size_t count = few.size();
  void* data = nullptr;
  try {
    check(env, napi_get_cb_info(env, info, &count, few.data(), nullptr, &data));
    Environment& environment = *static_cast<Environment*>(data);
    if (count <= few.size()) return function(Call{env, environment, std::span(few.data(), count)});
    if (count > kMaxArguments) throw BridgeError("BAD_ARGUMENT", "too many arguments");
    std::array<napi_value, kMaxArguments> many;
    check(env, napi_get_cb_info(env, info, &count, many.data(), nullptr, nullptr));
    return function(Call{env, environment, std::span(many.data(), count)});
  } catch (...) {
    throwIntoJs(env);
    return nullptr;
  }
}

}  // namespace mezzo
