// LibTorch's own profiler (Kineto): every operator, backward node, label, allocation and kernel with its time.
#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <set>
#include <vector>

#include "diagnostics.h"
#include "environment.h"

namespace mezzo {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

// Kineto has one session in a process.
std::atomic<bool> running = false;

// Labels that are open on this thread, innermost last.
thread_local std::vector<std::unique_ptr<at::RecordFunction>> labels;

napi_value begin(const Call& call) {
  std::set<ActivityType> activities{ActivityType::CPU};
  if (call.boolean(0)) activities.insert(ActivityType::CUDA);
  const ProfilerConfig config(ProfilerState::KINETO, call.boolean(1), call.boolean(2));
  // Kineto reports on the terminal that it starts, that it stops, and that there is no GPU.
  setenv("KINETO_LOG_LEVEL", "99", 0);
  if (running.exchange(true)) throw BridgeError("BAD_ARGUMENT", "the profiler is running already");
  try {
    profiler::prepareProfiler(config, activities);
    profiler::enableProfiler(config, activities);
  } catch (...) {
    running = false;
    throw;
  }
  return nullptr;
}

napi_value number(napi_env env, double value) { return toJs(env, value); }

napi_value shapesOf(napi_env env, const profiler::KinetoEvent& event) {
  const auto shapes = event.shapes();
  napi_value array = nullptr;
  check(env, napi_create_array_with_length(env, shapes.size(), &array));
  for (size_t i = 0; i < shapes.size(); i++) {
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), toJs(env, std::span<const int64_t>(shapes[i]))));
  }
  return array;
}

napi_value eventToJs(napi_env env, const profiler::KinetoEvent& event, uint64_t start) {
  const bool onHost = event.deviceType() == at::kCPU;
  const auto thread = onHost ? static_cast<double>(event.startThreadId()) : static_cast<double>(event.deviceResourceId());
  const bool label = static_cast<at::RecordScope>(event.scope()) == at::RecordScope::USER_SCOPE;
  napi_value result = newObject(env);
  setProperty(env, result, "name", toJs(env, event.name()));
  setProperty(env, result, "device", toJs(env, c10::DeviceTypeName(event.deviceType(), true)));
  setProperty(env, result, "deviceIndex", number(env, event.deviceIndex()));
  setProperty(env, result, "thread", number(env, thread));
  setProperty(env, result, "start", number(env, (static_cast<double>(event.startNs()) - static_cast<double>(start)) / 1e9));
  setProperty(env, result, "seconds", number(env, static_cast<double>(event.durationNs()) / 1e9));
  setProperty(env, result, "label", toJs(env, onHost && label));
  setProperty(env, result, "id", number(env, static_cast<double>(event.correlationId())));
  setProperty(env, result, "launchedBy", number(env, static_cast<double>(event.linkedCorrelationId())));
  setProperty(env, result, "bytes", number(env, static_cast<double>(event.nBytes())));
  setProperty(env, result, "shapes", shapesOf(env, event));
  return result;
}

napi_value end(const Call& call) {
  if (!running) throw BridgeError("BAD_ARGUMENT", "the profiler is not running");
  running = false;
  const auto result = profiler::disableProfiler();
  const auto& events = result->events();
  napi_value array = nullptr;
  check(call.env, napi_create_array_with_length(call.env, events.size(), &array));
  for (size_t i = 0; i < events.size(); i++) {
    check(call.env, napi_set_element(call.env, array, static_cast<uint32_t>(i),
                                     eventToJs(call.env, events[i], result->trace_start_ns())));
  }
  return array;
}

napi_value labelEnter(const Call& call) {
  auto label = std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE);
  if (label->isActive()) label->before(call.string(0));
  labels.push_back(std::move(label));
  return nullptr;
}

napi_value labelLeave(const Call&) {
  if (labels.empty()) throw BridgeError("BAD_ARGUMENT", "no label is open");
  labels.pop_back();
  return nullptr;
}

}  // namespace

void registerProfiler(napi_env env, napi_value exports) {
  define<begin>(env, exports, "profilerBegin");
  define<end>(env, exports, "profilerEnd");
  define<labelEnter>(env, exports, "labelEnter");
  define<labelLeave>(env, exports, "labelLeave");
}

}  // namespace mezzo
