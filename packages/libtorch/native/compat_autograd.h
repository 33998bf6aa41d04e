// Differences between LibTorch 2.10 and 2.15 in autograd: how nodes are owned, and what wrapping outputs takes.
#pragma once

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <type_traits>
#include <utility>

#include "compat.h"

namespace mezzo::compat {

using NodePtr = decltype(torch::autograd::Edge::function);

template <class T>
struct NodeOwner {
  template <class... Arguments>
  static NodePtr make(Arguments&&... arguments) {
    return c10::make_intrusive<T>(std::forward<Arguments>(arguments)...);
  }
};

#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 15
// Where nodes are shared_ptr, `deleteNode` takes long chains of them apart without recursion.
template <class T>
  requires std::is_same_v<NodePtr, std::shared_ptr<torch::autograd::Node>>
struct NodeOwner<T> {
  template <class... Arguments>
  static NodePtr make(Arguments&&... arguments) {
    auto node = std::make_unique<T>(std::forward<Arguments>(arguments)...);
    return NodePtr(node.release(), [](auto* dying) { deleteNode(dying); });
  }
};
#endif

template <class... Arguments>
std::vector<std::optional<at::Tensor>> wrapOutputs(Arguments&&... arguments) {
  NodePtr attached;
  if constexpr (requires { torch::autograd::_wrap_outputs(arguments..., attached); }) {
    return torch::autograd::_wrap_outputs(arguments..., attached);
  } else {
    return torch::autograd::_wrap_outputs(arguments...);
  }
}

}  // namespace mezzo::compat
