// Operator look-up and the boxed call.
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/DispatchKey.h>

#include "autocast.h"
#include "marshal.h"
#include "op_precision.h"
#include "register.h"

namespace mezzo {
namespace {

constexpr size_t kFixed = 2;  // id and mask come before the operator's own arguments

napi_value opNames(const Call& call) {
  napi_value array = nullptr;
  check(call.env, napi_create_array(call.env, &array));
  uint32_t i = 0;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (!c10::Dispatcher::singleton().findSchema(name)) continue;
    const std::string text = name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
    check(call.env, napi_set_element(call.env, array, i++, toJs(call.env, text)));
  }
  return array;
}

napi_value lookup(const Call& call) {
  const napi_env env = call.env;
  const size_t id = lookupOperator(call.string(0), call.string(1));
  const Operator& op = operatorById(id);
  napi_value result = newObject(env), args = nullptr, returns = nullptr;
  check(env, napi_create_array_with_length(env, op.arguments.size(), &args));
  for (size_t i = 0; i < op.arguments.size(); i++) {
    const Argument& argument = op.arguments[i];
    napi_value entry = newObject(env);
    setProperty(env, entry, "name", toJs(env, argument.name));
    setProperty(env, entry, "type", toJs(env, argument.type));
    setProperty(env, entry, "kwargOnly", toJs(env, argument.keywordOnly));
    setProperty(env, entry, "hasDefault", toJs(env, argument.defaultValue.has_value()));
    setProperty(env, entry, "out", toJs(env, argument.out));
    check(env, napi_set_element(env, args, static_cast<uint32_t>(i), entry));
  }
  check(env, napi_create_array_with_length(env, op.returns.size(), &returns));
  for (size_t i = 0; i < op.returns.size(); i++) {
    napi_value entry = newObject(env);
    setProperty(env, entry, "type", toJs(env, op.returns[i].type));
    setProperty(env, entry, "alias", toJs(env, static_cast<double>(op.returns[i].alias)));
    check(env, napi_set_element(env, returns, static_cast<uint32_t>(i), entry));
  }
  std::ostringstream schema;
  schema << op.handle.schema();
  setProperty(env, result, "id", toJs(env, static_cast<double>(id)));
  setProperty(env, result, "name", toJs(env, op.name));
  setProperty(env, result, "overload", toJs(env, op.overload));
  setProperty(env, result, "schema", toJs(env, schema.str()));
  setProperty(env, result, "args", args);
  setProperty(env, result, "returns", returns);
  return result;
}

napi_value hasKernel(const Call& call) {
  const Operator& op = operatorById(static_cast<size_t>(call.integer(0)));
  return toJs(call.env, op.handle.hasKernelForDispatchKey(c10::parseDispatchKey(call.string(1))));
}

void fillStack(const Call& call, const Operator& op, torch::jit::Stack& stack) {
  const size_t given = call.args.size() < kFixed ? 0 : call.args.size() - kFixed;
  if (given > op.arguments.size()) {
    throw BridgeError("BAD_ARGUMENT", op.name + ": takes at most " + std::to_string(op.arguments.size()) +
                                          " arguments, got " + std::to_string(given));
  }
  const auto mask = static_cast<uint64_t>(call.number(1));
  stack.reserve(op.arguments.size());
  for (size_t i = 0; i < given; i++) {
    stack.push_back(toIValue(call, op, op.arguments[i], call.args[i + kFixed], ((mask >> i) & 1) != 0));
  }
  for (size_t i = given; i < op.arguments.size(); i++) stack.push_back(missingValue(op, op.arguments[i]));
}

const Operator& operatorOf(const Call& call) {
  const double id = call.number(0);
  if (!(id >= 0)) throw BridgeError("NO_SUCH_OP", "operator ids are not negative");
  return operatorById(static_cast<size_t>(id));
}

napi_value dryRun(const Call& call) {
  torch::jit::Stack stack;
  fillStack(call, operatorOf(call), stack);
  return undefined(call.env);
}

// A result that is an argument written to is left to the caller, who has its object.
napi_value results(const Call& call, const Operator& op, torch::jit::Stack& stack) {
  const size_t count = op.returns.size();
  if (count == 0) return nullptr;
  if (count == 1) return op.returns[0].alias >= 0 ? nullptr : fromIValue(call, std::move(stack[0]));
  napi_value array = nullptr;
  check(call.env, napi_create_array_with_length(call.env, count, &array));
  for (size_t i = 0; i < count; i++) {
    napi_value result = op.returns[i].alias >= 0 ? undefined(call.env) : fromIValue(call, std::move(stack[i]));
    check(call.env, napi_set_element(call.env, array, static_cast<uint32_t>(i), result));
  }
  return array;
}

napi_value callOperator(const Call& call) {
  const Operator& op = operatorOf(call);
  torch::jit::Stack stack = call.environment.borrowStack();
  fillStack(call, op, stack);
  if (insideAutocastRegion()) dropStaleCasts(stack);
  if (activeOpPrecision == nullptr) op.handle.callBoxed(&stack);
  else activeOpPrecision->call(op.handle, static_cast<size_t>(call.number(0)), stack);
  napi_value result = results(call, op, stack);
  call.environment.returnStack(std::move(stack));
  return result;
}

}  // namespace

void registerDispatch(napi_env env, napi_value exports) {
  define<opNames>(env, exports, "opNames");
  define<lookup>(env, exports, "lookup");
  define<hasKernel>(env, exports, "hasKernel");
  define<callOperator>(env, exports, "call");
  define<dryRun>(env, exports, "check");
}

}  // namespace mezzo
