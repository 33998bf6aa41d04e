// Nodes of LibTorch's graph whose backward is a JavaScript function.
#pragma once

#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable_info.h>

#include "compat_autograd.h"
#include "js_thread.h"

namespace mezzo {

class JsNode final : public torch::autograd::Node {
 public:
  JsNode(std::string name, std::shared_ptr<JsReference> backward, torch::autograd::edge_list&& edges)
      : Node(std::move(edges)), name_(std::move(name)), backward_(std::move(backward)) {}

  std::string name() const override { return name_; }

  void save(const torch::autograd::variable_list& tensors, const Node* self) {
    for (const at::Tensor& tensor : tensors) {
      saved_.emplace_back(tensor, tensor.defined() && tensor.grad_fn().get() == self);
    }
  }

  torch::autograd::variable_list saved() {
    TORCH_CHECK(!released_, torch::autograd::ERR_BACKWARD_TWICE);
    torch::autograd::variable_list tensors;
    for (const torch::autograd::SavedVariable& each : saved_) tensors.push_back(each.unpack(getptr()));
    return tensors;
  }

  // Undefined gradients of outputs become zeros like these.
  void materialize(std::vector<torch::autograd::VariableInfo> outputs) { outputs_ = std::move(outputs); }

  void release_variables() override {
    const std::lock_guard lock(mutex_);
    released_ = released_ || !saved_.empty();
    saved_.clear();
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override;

 private:
  std::string name_;
  std::shared_ptr<JsReference> backward_;
  std::vector<torch::autograd::SavedVariable> saved_;
  std::vector<torch::autograd::VariableInfo> outputs_;
  bool released_ = false;
};

// One run of a JavaScript backward. The function is called with the frame's number and asks for the rest, so that it
// can open a scope before any handle is made and close it after its results were taken.
struct Frame {
  JsNode& node;
  torch::autograd::variable_list gradients;
  torch::autograd::variable_list results;
  std::vector<bool> wanted;
};

Frame& frameOf(const Call& call);  // by the number in the first argument

std::shared_ptr<JsReference> referenceTo(const Call& call, size_t argument);
napi_value callFunction(napi_env env, const JsReference& function, napi_value argument);

}  // namespace mezzo
