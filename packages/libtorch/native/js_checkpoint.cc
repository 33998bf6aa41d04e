// The node that stands for a part of the graph, computes it anew when backward comes to it, and runs it backward.
#include <ATen/SequenceNumber.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/variable.h>

#include <limits>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "js_node.h"
#include "register.h"

namespace mezzo {
namespace {

using torch::autograd::Edge;
using torch::autograd::edge_list;
using torch::autograd::Node;
using torch::autograd::variable_list;
namespace impl = torch::autograd::impl;

napi_value graphPosition(const Call& call) {
  return toJs(call.env, static_cast<double>(at::sequence_number::peek()));
}

// Where the graph recorded since `start` hangs on what was there before: leaves and older results, each once.
edge_list boundaryOf(const variable_list& outputs, uint64_t start) {
  constexpr uint64_t kLeaf = std::numeric_limits<uint64_t>::max();  // the sequence number of AccumulateGrad
  edge_list boundary;
  std::unordered_set<Edge> found;
  std::unordered_set<Node*> seen;
  std::vector<Node*> open;
  const auto visit = [&](const Edge& edge) {
    if (!edge.is_valid()) return;
    const uint64_t number = edge.function->sequence_nr();
    if (number < start || number == kLeaf) {
      if (found.insert(edge).second) boundary.push_back(edge);
    } else if (seen.insert(edge.function.get()).second) {
      open.push_back(edge.function.get());
    }
  };
  for (const at::Tensor& output : outputs) visit(impl::gradient_edge(output));
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    for (const Edge& edge : node->next_edges()) visit(edge);
  }
  return boundary;
}

// backward, outputs, start, saved → outputs outside the recorded graph, behind one node that stands for it.
napi_value checkpointGraph(const Call& call) {
  const variable_list outputs = tensorsOf(call, 1);
  const edge_list boundary = boundaryOf(outputs, static_cast<uint64_t>(call.integer(2)));
  const compat::NodePtr node =
      compat::NodeOwner<JsNode>::make("CheckpointBackward", referenceTo(call, 0), edge_list(boundary));
  variable_list replaced;
  for (const at::Tensor& output : outputs) {
    at::Tensor detached = output.detach();
    impl::set_gradient_edge(detached, {node, node->add_input_metadata(detached)});
    replaced.push_back(std::move(detached));
  }
  static_cast<JsNode&>(*node).save(tensorsOf(call, 3), node.get());
  return toHandles(call.env, call.environment, replaced);
}

// Makes the boundary the end of the graph while the recomputed part runs: what lies behind, and the hooks of the tensors
// there, have their turn when the outer graph comes to them with the whole gradient.
class BoundaryClosed {
 public:
  explicit BoundaryClosed(const edge_list& boundary) {
    std::unordered_set<Node*> seen;
    for (const Edge& edge : boundary) {
      if (!seen.insert(edge.function.get()).second) continue;
      Closed entry{edge.function, {}, {}, {}};
      entry.next.swap(edge.function->next_edges());
      entry.hooks.swap(edge.function->tensor_pre_hooks());
      entry.retaining.swap(edge.function->retains_grad_hooks());
      closed_.push_back(std::move(entry));
    }
  }
  ~BoundaryClosed() {
    for (Closed& entry : closed_) {
      entry.next.swap(entry.node->next_edges());
      auto& hooks = entry.node->tensor_pre_hooks();
      for (auto& added : hooks) entry.hooks.push_back(std::move(added));
      hooks.swap(entry.hooks);
      entry.node->retains_grad_hooks().merge(entry.retaining);
    }
  }
  BoundaryClosed(const BoundaryClosed&) = delete;
  BoundaryClosed& operator=(const BoundaryClosed&) = delete;

 private:
  struct Closed {
    compat::NodePtr node;
    edge_list next;
    std::vector<std::unique_ptr<torch::autograd::FunctionPreHook>> hooks;
    std::unordered_map<size_t, std::unique_ptr<torch::autograd::FunctionPreHook>> retaining;
  };
  std::vector<Closed> closed_;
};

std::string describe(at::ScalarType dtype, c10::SymIntArrayRef sizes) {
  std::ostringstream text;
  text << dtype << ' ' << sizes;
  return text.str();
}

void requireSameOutput(const Node& node, size_t index, const at::Tensor& output) {
  const auto& expected = node.input_metadata(index);
  const auto dtype = c10::typeMetaToScalarType(expected.options().dtype());
  TORCH_CHECK(output.scalar_type() == dtype && output.device() == expected.device() && expected.is_same_shape(output),
              "checkpoint: output ", index, " of the recomputation is ",
              describe(output.scalar_type(), output.sym_sizes()), " on ", output.device(), ", but the forward pass gave ",
              describe(dtype, expected.shape_as_dim_vector()), " on ", expected.device(),
              ". The function must do the same each time it runs");
}

// frame, recomputed outputs, start → the gradients at the boundary.
napi_value checkpointGradients(const Call& call) {
  Frame& frame = frameOf(call);
  const variable_list outputs = tensorsOf(call, 1);
  TORCH_CHECK(outputs.size() == frame.gradients.size(), "checkpoint: the recomputation gave ", outputs.size(),
              " outputs with gradient, but the forward pass ", frame.gradients.size(),
              ". The function must do the same each time it runs");
  for (size_t i = 0; i < outputs.size(); i++) requireSameOutput(frame.node, i, outputs[i]);
  const edge_list& edges = frame.node.next_edges();
  const edge_list again = boundaryOf(outputs, static_cast<uint64_t>(call.integer(2)));
  TORCH_CHECK(std::unordered_set<Edge>(edges.begin(), edges.end()) ==
                  std::unordered_set<Edge>(again.begin(), again.end()),
              "checkpoint: the recomputation used other tensors with gradient than the forward pass did (",
              again.size(), " of them, then ", edges.size(), "). The function must do the same each time it runs");
  edge_list roots, wanted;
  variable_list gradients;
  for (size_t i = 0; i < outputs.size(); i++) {
    if (!frame.gradients[i].defined()) continue;
    roots.push_back(impl::gradient_edge(outputs[i]));
    gradients.push_back(frame.gradients[i]);
  }
  for (size_t i = 0; i < edges.size(); i++) {
    if (frame.wanted[i]) wanted.push_back(edges[i]);
  }
  variable_list results;
  if (!roots.empty() && !wanted.empty()) {
    const bool createGraph = c10::GradMode::is_enabled();
    const BoundaryClosed closed(edges);
    JsThread::current().runEngine([&] {
      results = torch::autograd::Engine::get_default_engine().execute(roots, gradients, createGraph, createGraph,
                                                                      false, wanted);
    });
  }
  variable_list all(edges.size());
  for (size_t i = 0, next = 0; i < edges.size() && next < results.size(); i++) {
    if (frame.wanted[i]) all[i] = results[next++];
  }
  return toHandles(call.env, call.environment, all);
}

}  // namespace

void registerJsCheckpoint(napi_env env, napi_value exports) {
  define<graphPosition>(env, exports, "graphPosition");
  define<checkpointGraph>(env, exports, "checkpointGraph");
  define<checkpointGradients>(env, exports, "checkpointGradients");
}

}  // namespace mezzo
