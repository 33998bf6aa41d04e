// Functions with a backward in JavaScript.
#include <c10/core/GradMode.h>

#include <unordered_set>

#include "js_node.h"
#include "register.h"

namespace mezzo {

using torch::autograd::variable_list;

namespace {
thread_local std::vector<Frame*> frames;
}

napi_value callFunction(napi_env env, const JsReference& function, napi_value argument) {
  napi_value receiver = nullptr, result = nullptr;
  check(env, napi_get_undefined(env, &receiver));
  check(env, napi_call_function(env, receiver, function.get(env), 1, &argument, &result));
  return result;
}

std::shared_ptr<JsReference> referenceTo(const Call& call, size_t argument) {
  return std::make_shared<JsReference>(JsThread::current(), call[argument]);
}

Frame& frameOf(const Call& call) {
  const int64_t index = call.integer(0);
  if (index < 0 || index >= static_cast<int64_t>(frames.size())) {
    throw BridgeError("BAD_ARGUMENT", "saved tensors are read in backward, while it runs");
  }
  return *frames[static_cast<size_t>(index)];
}

variable_list JsNode::apply(variable_list&& gradients) {
  at::OptionalDeviceGuard guard;
  for (size_t i = 0; i < outputs_.size(); i++) {
    if (!gradients[i].defined()) gradients[i] = outputs_[i].zeros(guard);
  }
  Frame frame{*this, std::move(gradients), {}, {}};
  for (size_t i = 0; i < num_outputs(); i++) frame.wanted.push_back(task_should_compute_output(i));
  backward_->thread().call([&](napi_env env) {
    frames.push_back(&frame);
    const auto leave = [](void*) { frames.pop_back(); };
    const std::unique_ptr<void, decltype(leave)> guard(&frame, leave);
    callFunction(env, *backward_, toJs(env, static_cast<double>(frames.size() - 1)));
  });
  return std::move(frame.results);
}

namespace {

napi_value frameGradients(const Call& call) {
  return toHandles(call.env, call.environment, frameOf(call).gradients);
}

napi_value frameSaved(const Call& call) {
  return toHandles(call.env, call.environment, frameOf(call).node.saved());
}

napi_value setFrameResults(const Call& call) {
  Frame& frame = frameOf(call);
  frame.results = tensorsOf(call, 1);
  if (frame.results.size() != frame.node.num_outputs()) {
    throw BridgeError("BAD_ARGUMENT", "expected one gradient for each input");
  }
  return nullptr;
}

std::unordered_set<at::TensorImpl*> implsOf(const variable_list& tensors) {
  std::unordered_set<at::TensorImpl*> impls;
  for (const at::Tensor& tensor : tensors) impls.insert(tensor.unsafeGetTensorImpl());
  return impls;
}

// name, backward, inputs, outputs, not differentiable, changed in place, saved, materialize → handles of outputs that
// are new tensors, 0 where the output stays the tensor it is.
napi_value applyFunction(const Call& call) {
  const variable_list inputs = tensorsOf(call, 2), results = tensorsOf(call, 3), dirty = tensorsOf(call, 5);
  for (const at::Tensor& tensor : dirty) tensor.unsafeGetTensorImpl()->bump_version();
  const bool recorded = c10::GradMode::is_enabled() && torch::autograd::any_variable_requires_grad(inputs);
  compat::NodePtr node;
  if (recorded) {
    node = compat::NodeOwner<JsNode>::make(call.string(0), referenceTo(call, 1),
                                           torch::autograd::collect_next_edges(inputs));
  }
  const std::vector<std::optional<at::Tensor>> raw(results.begin(), results.end());
  const auto wrapped = compat::wrapOutputs(
      inputs, implsOf(tensorsOf(call, 4)), implsOf(dirty), at::ArrayRef<std::optional<at::Tensor>>(raw), node,
      torch::autograd::_jvp_fn_t([](const variable_list&, const variable_list&) -> variable_list {
        throw BridgeError("NOT_IMPLEMENTED", "functions written in JavaScript have no forward-mode derivative");
      }),
      std::unordered_set<at::TensorImpl*>(),
      torch::autograd::_view_as_self_fn_t([](const at::Tensor& tensor) { return tensor.view_as(tensor); }), false);
  if (recorded) {
    auto& written = static_cast<JsNode&>(*node);
    if (call.boolean(7)) {
      std::vector<torch::autograd::VariableInfo> info;
      for (const auto& output : wrapped) info.emplace_back(*output);
      written.materialize(std::move(info));
    }
    written.save(tensorsOf(call, 6), node.get());
  }
  variable_list changed;
  for (size_t i = 0; i < wrapped.size(); i++) {
    changed.push_back(wrapped[i]->is_same(results[i]) ? at::Tensor() : *wrapped[i]);
  }
  return toHandles(call.env, call.environment, changed);
}

napi_value alwaysUseBackwardThread(const Call& call) {
  JsThread::current().alwaysUseHelper(call.boolean(0));
  return nullptr;
}

napi_value autogradReferences(const Call& call) {
  return toJs(call.env, static_cast<double>(JsThread::current().references()));
}

}  // namespace

void registerJsFunction(napi_env env, napi_value exports) {
  JsThread::open(env, Environment::of(env));
  define<applyFunction>(env, exports, "applyFunction");
  define<frameGradients>(env, exports, "frameGradients");
  define<frameSaved>(env, exports, "frameSaved");
  define<setFrameResults>(env, exports, "setFrameResults");
  define<alwaysUseBackwardThread>(env, exports, "alwaysUseBackwardThread");
  define<autogradReferences>(env, exports, "autogradReferences");
}

}  // namespace mezzo
