// Anomaly mode: every node of the graph keeps the JavaScript stack of the call that made it, and a backward that fails
// leaves a report of the node it failed in.
#include <torch/csrc/autograd/anomaly_mode.h>
#include <torch/csrc/autograd/engine.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compat_autograd.h"
#include "diagnostics.h"
#include "environment.h"

namespace mezzo {
namespace {

using torch::autograd::AnomalyMode;

struct Origin {
  std::string node, stack;  // no stack: the node was not made on a JavaScript thread
};

// The node that failed, then those whose backward made it, if it was made by one.
std::mutex reportMutex;
std::optional<std::vector<Origin>> report;

// Of a thread that has switched the mode on.
thread_local napi_env here = nullptr;

std::string stackHere() {
  bool pending = true;
  if (here == nullptr || napi_is_exception_pending(here, &pending) != napi_ok || pending) return {};
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(here, &scope) != napi_ok) return {};
  std::string text;
  napi_value message = nullptr, error = nullptr, stack = nullptr;
  if (napi_create_string_utf8(here, "", 0, &message) == napi_ok &&
      napi_create_error(here, nullptr, message, &error) == napi_ok &&
      napi_get_named_property(here, error, "stack", &stack) == napi_ok && typeOf(here, stack) == napi_string) {
    text = stringOf(here, stack);
  }
  napi_close_handle_scope(here, scope);
  return text;
}

class StackOfForward final : public torch::autograd::AnomalyMetadata {
 public:
  void store_stack() override { stack_ = stackHere(); }

  void assign_parent(const compat::NodePtr& parent) override { parent_ = parent; }

  void print_stack(const std::string& name) override {
    std::vector<Origin> origins{{name, stack_}};
    for (compat::NodePtr node = parent_; node;) {
      const auto* metadata = dynamic_cast<StackOfForward*>(node->metadata());
      if (metadata == nullptr) break;
      origins.push_back({node->name(), metadata->stack_});
      node = metadata->parent_;
    }
    const std::lock_guard lock(reportMutex);
    report = std::move(origins);
  }

 private:
  std::string stack_;
  compat::NodePtr parent_;
};

class EngineWithStacks final : public torch::autograd::Engine {
 public:
  EngineWithStacks() = default;
  ~EngineWithStacks() override { stop(); }

  std::unique_ptr<torch::autograd::AnomalyMetadata> make_anomaly_metadata() override {
    return std::make_unique<StackOfForward>();
  }

  static Engine& instance() {
    static EngineWithStacks engine;
    return engine;
  }
};

napi_value setAnomaly(const Call& call) {
  const bool enabled = call.boolean(0);
  if (enabled) here = call.env;
  AnomalyMode::set_enabled(enabled, call.boolean(1));
  return nullptr;
}

napi_value anomalyEnabled(const Call& call) { return toJs(call.env, AnomalyMode::is_enabled()); }
napi_value anomalyChecksNan(const Call& call) { return toJs(call.env, AnomalyMode::should_check_nan()); }

napi_value takeAnomaly(const Call& call) {
  std::optional<std::vector<Origin>> taken;
  {
    const std::lock_guard lock(reportMutex);
    taken = std::exchange(report, std::nullopt);
  }
  if (!taken) return null(call.env);
  napi_value result = nullptr;
  check(call.env, napi_create_array_with_length(call.env, taken->size(), &result));
  for (size_t i = 0; i < taken->size(); i++) {
    napi_value origin = newObject(call.env);
    setProperty(call.env, origin, "node", toJs(call.env, (*taken)[i].node));
    setProperty(call.env, origin, "stack", toJs(call.env, (*taken)[i].stack));
    check(call.env, napi_set_element(call.env, result, static_cast<uint32_t>(i), origin));
  }
  return result;
}

}  // namespace

void installAnomalyStacks() { torch::autograd::set_default_engine_stub(&EngineWithStacks::instance); }

void registerAnomaly(napi_env env, napi_value exports) {
  define<setAnomaly>(env, exports, "setAnomaly");
  define<anomalyEnabled>(env, exports, "anomalyEnabled");
  define<anomalyChecksNan>(env, exports, "anomalyChecksNan");
  define<takeAnomaly>(env, exports, "takeAnomaly");
}

}  // namespace mezzo
