// JavaScript functions that see the gradients of tensors.
#include <torch/csrc/autograd/variable.h>

#include "js_node.h"
#include "register.h"

namespace mezzo {
namespace {

using torch::autograd::variable_list;
namespace impl = torch::autograd::impl;

// What a hook and the handle that removes it have in common; without a function it is removed. JavaScript removes while
// a device's thread may be on its way to the hook.
class Hook {
 public:
  Hook(std::shared_ptr<JsReference> function, std::string name_)
      : name(std::move(name_)), function_(std::move(function)) {}

  const std::string name;
  std::shared_ptr<JsReference> function() const {
    const std::lock_guard lock(mutex_);
    return function_;
  }
  void remove() {
    std::shared_ptr<JsReference> dying;
    const std::lock_guard lock(mutex_);
    dying.swap(function_);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<JsReference> function_;
};

// Hooks of one node or leaf. They may come and go while they run, so LibTorch's own list, which the engine walks
// through, has one object of ours that stays.
template <class Entry>
class HookList {
 public:
  void add(Entry entry) {
    const std::lock_guard lock(mutex_);
    entries_.push_back(std::move(entry));
  }
  void remove(const std::shared_ptr<Hook>& hook) {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](const Entry& entry) { return entry.hook == hook; });
  }

 protected:
  // The hooks there are now; one removed by another does not run.
  template <class Run>
  void forEach(const Run& run) const {
    for (const Entry& entry : now()) {
      if (const std::shared_ptr<JsReference> function = entry.hook->function()) run(entry, *function);
    }
  }

 private:
  std::vector<Entry> now() const {
    const std::lock_guard lock(mutex_);
    return entries_;
  }

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
};

struct TensorHook {
  std::shared_ptr<Hook> hook;
  size_t index;  // the tensor's number among the outputs of its node
};

class TensorHooks final : public torch::autograd::FunctionPreHook, public HookList<TensorHook> {
 public:
  variable_list operator()(const variable_list& given) override {
    variable_list gradients = given;
    forEach([&](const TensorHook& entry, const JsReference& function) {
      at::Tensor& gradient = gradients[entry.index];
      if (!gradient.defined()) return;
      at::Tensor result;
      JsThread& thread = function.thread();
      thread.call([&](napi_env env) {
        TensorTable& tensors = thread.environment().tensors;
        double handle = 0;
        check(env, napi_get_value_double(env, callFunction(env, function, toJs(env, tensors.add(gradient))), &handle));
        result = tensors.optional(handle);
      });
      if (!result.defined()) return;
      torch::autograd::check_variable_result(gradient, result, entry.hook->name);
      gradient = std::move(result);
    });
    return gradients;
  }
};

struct AccumulatedHook {
  std::shared_ptr<Hook> hook;
};

class AccumulatedHooks final : public torch::autograd::PostAccumulateGradHook, public HookList<AccumulatedHook> {
 public:
  void operator()(const at::Tensor& leaf) override {
    forEach([&](const AccumulatedHook&, const JsReference& function) {
      JsThread& thread = function.thread();
      thread.call([&](napi_env env) {
        callFunction(env, function, toJs(env, thread.environment().tensors.add(leaf)));
      });
    });
  }
};

// JavaScript holds it as an External, which keeps neither the hook nor the tensor alive.
struct Registration {
  std::weak_ptr<Hook> hook;
  c10::weak_intrusive_ptr<at::TensorImpl> tensor;
};

napi_value registration(const Call& call, const std::shared_ptr<Hook>& hook, const at::Tensor& tensor) {
  auto owned = std::make_unique<Registration>(
      hook, c10::weak_intrusive_ptr<at::TensorImpl>(tensor.getIntrusivePtr()));
  napi_value external = nullptr;
  const auto finalize = [](node_api_basic_env, void* data, void*) {
    const std::unique_ptr<Registration> dying(static_cast<Registration*>(data));
  };
  check(call.env, napi_create_external(call.env, owned.get(), finalize, nullptr, &external));
  owned.release();  // NOLINT: the External owns it
  return external;
}

std::vector<std::unique_ptr<torch::autograd::FunctionPreHook>>& preHooksOf(const at::Tensor& tensor) {
  const auto& node = tensor.grad_fn();
  return node ? node->tensor_pre_hooks() : impl::hooks(tensor);
}

TensorHooks* tensorHooksOf(const at::Tensor& tensor) {
  for (const auto& each : preHooksOf(tensor)) {
    if (auto* ours = dynamic_cast<TensorHooks*>(each.get())) return ours;
  }
  return nullptr;
}

// tensor, function (gradient handle → handle or 0), name
napi_value registerTensorHook(const Call& call) {
  const at::Tensor& tensor = call.environment.tensors.get(call.number(0));
  TORCH_CHECK(tensor.requires_grad(), "cannot register a hook on a tensor that doesn't require gradient");
  const auto hook = std::make_shared<Hook>(referenceTo(call, 1), call.string(2));
  if (tensorHooksOf(tensor) == nullptr) preHooksOf(tensor).push_back(std::make_unique<TensorHooks>());
  tensorHooksOf(tensor)->add({hook, tensor.grad_fn() ? static_cast<size_t>(tensor.output_nr()) : 0});
  return registration(call, hook, tensor);
}

napi_value registerAccumulatedHook(const Call& call) {
  const at::Tensor& tensor = call.environment.tensors.get(call.number(0));
  TORCH_CHECK(tensor.requires_grad(), "cannot register a hook on a tensor that doesn't require gradient");
  TORCH_CHECK(!tensor.grad_fn(), "post accumulate grad hooks cannot be registered on non-leaf tensors");
  const auto hook = std::make_shared<Hook>(referenceTo(call, 1), call.string(2));
  auto& present = impl::post_acc_grad_hooks(tensor);
  if (!present) impl::set_post_acc_grad_hooks(tensor, std::make_unique<AccumulatedHooks>());
  static_cast<AccumulatedHooks&>(*present).add({hook});
  return registration(call, hook, tensor);
}

napi_value removeHook(const Call& call) {
  void* data = nullptr;
  check(call.env, napi_get_value_external(call.env, call[0], &data));
  const auto& entry = *static_cast<Registration*>(data);
  const auto hook = entry.hook.lock();
  if (!hook) return nullptr;
  hook->remove();
  const auto alive = entry.tensor.lock();
  if (!alive) return nullptr;
  const at::Tensor tensor(alive);
  if (TensorHooks* hooks = tensorHooksOf(tensor)) hooks->remove(hook);
  if (tensor.grad_fn()) return nullptr;
  if (auto& hooks = impl::post_acc_grad_hooks(tensor)) static_cast<AccumulatedHooks&>(*hooks).remove(hook);
  return nullptr;
}

}  // namespace

void registerJsHooks(napi_env env, napi_value exports) {
  define<registerTensorHook>(env, exports, "registerTensorHook");
  define<registerAccumulatedHook>(env, exports, "registerAccumulatedHook");
  define<removeHook>(env, exports, "removeHook");
}

}  // namespace mezzo
