// Backward, gradients and grad modes.
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include <map>
#include <memory>

#include "environment.h"
#include "js_thread.h"
#include "register.h"

namespace mezzo {
namespace {

std::vector<at::Tensor> optionalTensors(const Call& call, size_t argument) {
  return call.isNullish(argument) ? std::vector<at::Tensor>() : tensorsOf(call, argument);
}

napi_value backward(const Call& call) {
  const auto outputs = tensorsOf(call, 0), gradients = optionalTensors(call, 1), inputs = optionalTensors(call, 4);
  const bool retainGraph = call.boolean(2), createGraph = call.boolean(3);
  JsThread::current().runEngine(
      [&] { torch::autograd::backward(outputs, gradients, retainGraph, createGraph, inputs); });
  return nullptr;
}

napi_value grads(const Call& call) {
  const auto outputs = tensorsOf(call, 0), inputs = tensorsOf(call, 1), gradients = optionalTensors(call, 2);
  const bool retainGraph = call.boolean(3), createGraph = call.boolean(4), allowUnused = call.boolean(5);
  std::vector<at::Tensor> results;
  JsThread::current().runEngine([&] {
    results = torch::autograd::grad(outputs, inputs, gradients, retainGraph, createGraph, allowUnused);
  });
  return toHandles(call.env, call.environment, results);
}

napi_value grad(const Call& call) {
  return toJs(call.env, call.environment.tensors.add(call.environment.tensors.get(call.number(0)).grad()));
}

napi_value gradsOf(const Call& call) {
  std::vector<at::Tensor> results;
  for (const at::Tensor& tensor : tensorsOf(call, 0)) results.push_back(tensor.grad());
  return toHandles(call.env, call.environment, results);
}

napi_value setGrad(const Call& call) {
  at::Tensor tensor = call.environment.tensors.get(call.number(0));
  tensor.mutable_grad() = call.environment.tensors.optional(call.number(1));
  return nullptr;
}

napi_value clearGrads(const Call& call) {
  for (at::Tensor& tensor : tensorsOf(call, 0)) tensor.mutable_grad() = at::Tensor();
  return nullptr;
}

napi_value gradFn(const Call& call) {
  const auto& node = call.environment.tensors.get(call.number(0)).grad_fn();
  return node ? toJs(call.env, node->name()) : null(call.env);
}

napi_value setRequiresGrad(const Call& call) {
  call.environment.tensors.get(call.number(0)).set_requires_grad(call.boolean(1));
  return nullptr;
}

napi_value gradEnabled(const Call& call) { return toJs(call.env, c10::GradMode::is_enabled()); }
napi_value setGradEnabled(const Call& call) {
  c10::GradMode::set_enabled(call.boolean(0));
  return nullptr;
}

// Guards by token, so that each exit restores exactly what its entry saw.
std::map<int64_t, std::unique_ptr<c10::InferenceMode>>& inferenceGuards() {
  thread_local std::map<int64_t, std::unique_ptr<c10::InferenceMode>> guards;
  return guards;
}

napi_value inferenceEnter(const Call& call) {
  auto& guards = inferenceGuards();
  const int64_t token = guards.empty() ? 1 : guards.rbegin()->first + 1;
  guards.emplace(token, std::make_unique<c10::InferenceMode>(call.boolean(0)));
  return toJs(call.env, static_cast<double>(token));
}

napi_value inferenceExit(const Call& call) {
  auto& guards = inferenceGuards();
  if (guards.empty() || guards.rbegin()->first != call.integer(0)) {
    throw BridgeError("BAD_ARGUMENT", "inference modes must end in the reverse order of their beginning");
  }
  guards.erase(std::prev(guards.end()));
  return nullptr;
}

napi_value isInference(const Call& call) {
  return toJs(call.env, call.environment.tensors.get(call.number(0)).is_inference());
}

}  // namespace

void registerAutograd(napi_env env, napi_value exports) {
  define<backward>(env, exports, "backward");
  define<grads>(env, exports, "grads");
  define<grad>(env, exports, "grad");
  define<gradsOf>(env, exports, "gradsOf");
  define<setGrad>(env, exports, "setGrad");
  define<clearGrads>(env, exports, "clearGrads");
  define<gradFn>(env, exports, "gradFn");
  define<setRequiresGrad>(env, exports, "setRequiresGrad");
  define<gradEnabled>(env, exports, "gradEnabled");
  define<setGradEnabled>(env, exports, "setGradEnabled");
  define<inferenceEnter>(env, exports, "inferenceEnter");
  define<inferenceExit>(env, exports, "inferenceExit");
  define<isInference>(env, exports, "isInference");
}

}  // namespace mezzo
