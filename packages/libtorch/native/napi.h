// Node-API with RAII and exceptions: a callback throws a C++ exception, JavaScript sees an Error with a `code`.
#pragma once

#ifndef NAPI_EXPERIMENTAL
#define NAPI_EXPERIMENTAL
#endif
// The headers of the npm package do not derive it from the line above. Only experimental modules have finalizers that
// run inside garbage collection; others wait for the event loop, so a synchronous loop would never free anything.
#ifndef NAPI_VERSION
#define NAPI_VERSION 2147483647
#endif
#include <node_api.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo {

struct Environment;

// An error of the bridge itself; errors of LibTorch are translated in `throwIntoJs`.
struct BridgeError : std::runtime_error {
  BridgeError(const char* code_, const std::string& message) : std::runtime_error(message), code(code_) {}
  const char* code;
};

// A JavaScript exception is already pending: unwind without touching it.
struct PendingJsException {};

inline void check(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) throw PendingJsException{};
  const napi_extended_error_info* info = nullptr;
  napi_get_last_error_info(env, &info);
  throw BridgeError("BAD_ARGUMENT", info && info->error_message ? info->error_message : "invalid argument");
}

// One call from JavaScript: its environment and its arguments.
struct Call {
  napi_env env;
  Environment& environment;
  std::span<napi_value> args;

  napi_value operator[](size_t i) const;  // undefined when not given

  double number(size_t i) const;
  bool boolean(size_t i) const;
  int64_t integer(size_t i) const;  // number or bigint
  std::string string(size_t i) const;
  bool isNullish(size_t i) const;
};

using Function = napi_value (*)(const Call&);

napi_value undefined(napi_env env);
napi_value null(napi_env env);
napi_value toJs(napi_env env, double value);
napi_value toJs(napi_env env, bool value);
napi_value toJs(napi_env env, std::string_view value);
inline napi_value toJs(napi_env env, const char* value) { return toJs(env, std::string_view(value)); }  // not the bool overload
napi_value toJsInteger(napi_env env, int64_t value);  // a bigint when the number would not be exact
napi_value toJs(napi_env env, std::span<const int64_t> values);
napi_value newObject(napi_env env);
void setProperty(napi_env env, napi_value object, const char* name, napi_value value);

std::string stringOf(napi_env env, napi_value value);
int64_t integerOf(napi_env env, napi_value value);  // throws BAD_ARGUMENT unless integral
napi_valuetype typeOf(napi_env env, napi_value value);

struct ArrayView {
  void* data = nullptr;
  size_t length = 0;  // elements
  size_t bytes = 0;
  napi_typedarray_type type = napi_uint8_array;
};
bool isTypedArray(napi_env env, napi_value value);
ArrayView typedArray(napi_env env, napi_value value);
napi_value newTypedArray(napi_env env, napi_typedarray_type type, size_t length, void** data);

void throwIntoJs(napi_env env);  // call inside a catch block

napi_value invoke(napi_env env, napi_callback_info info, Function function);

template <Function F>
napi_value callback(napi_env env, napi_callback_info info) {
  return invoke(env, info, F);
}

void define(napi_env env, napi_value exports, const char* name, napi_callback callback);

template <Function F>
void define(napi_env env, napi_value exports, const char* name) {
  define(env, exports, name, callback<F>);
}

}  // namespace mezzo
