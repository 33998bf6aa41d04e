#include "observer.h"

#include <ATen/SequenceNumber.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/graph_task.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string_view>

#include "autocast.h"
#include "autocast_policy.h"

namespace mezzo::observer {
namespace {

// LibTorch has no slot for others; its own uses of this one are tests.
const auto kSlot = c10::DebugInfoKind::TEST_INFO;
constexpr size_t kTensorsNoted = 8;  // of long lists
constexpr std::string_view kEngine = "autograd::engine::evaluate_function: ";

thread_local Frame* innermost = nullptr;
thread_local Nanoseconds overhead = 0;  // spent in here, which is no operator's time

std::unique_ptr<at::ObserverContext> started(const at::RecordFunction& call) {
  Session* session = Session::current();
  if (session == nullptr) return nullptr;
  const Nanoseconds begin = now();
  auto frame = std::make_unique<Frame>();
  frame->parent = innermost;
  frame->name = call.name();
  // What is thrown here LibTorch would only log; the operator runs on, unobserved.
  try {
    session->opened(*frame, call);
  } catch (...) {
    session->fail(frame->name);
    return nullptr;
  }
  innermost = frame.get();
  frame->start = now();
  overhead += frame->start - begin;
  frame->overheadBefore = overhead;
  return frame;
}

void ended(const at::RecordFunction& call, at::ObserverContext* context) {
  if (context == nullptr) return;
  auto& frame = *static_cast<Frame*>(context);
  const Nanoseconds begin = now();
  innermost = frame.parent;
  if (Session* session = Session::current()) {
    try {
      session->closed(frame, call);
    } catch (...) {
      session->fail(frame.name);
    }
  }
  overhead += now() - begin;
}

const char* layoutOf(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided) return "strided";
  const bool rows = tensor.is_contiguous();
  const bool channels = tensor.dim() == 4 && tensor.is_contiguous(at::MemoryFormat::ChannelsLast);
  return rows && channels ? "both" : rows ? "contiguous" : channels ? "channels_last" : "strided";
}

bool isFloat(at::ScalarType type) { return at::isFloatingType(type); }

bool isCastOperator(const Frame& frame) {
  if (frame.name == "aten::_to_copy") return true;
  return frame.name == "aten::copy_" && (frame.parent == nullptr || frame.parent->name != "aten::_to_copy");
}

// The cast that a finished copy made, if any.
std::optional<Cast> castOf(const Frame& frame, const std::vector<at::Tensor>& outputs) {
  if (!isCastOperator(frame) || outputs.size() != 1) return std::nullopt;
  const size_t source = frame.name == "aten::copy_" ? 1 : 0;
  if (frame.inputs.size() <= source) return std::nullopt;
  const at::ScalarType from = frame.inputs[source].dtype, to = outputs[0].scalar_type();
  if (from == to || !isFloat(from) || !isFloat(to)) return std::nullopt;
  const int64_t bytes = outputs[0].numel() * static_cast<int64_t>(c10::elementSize(from) + c10::elementSize(to));
  return Cast{frame.inputTensors[source], from, to, bytes, frame.time};
}

void append(std::string& key, const std::string& text) { key.append(text).push_back('\0'); }
void append(std::string& key, int64_t number) { append(key, std::to_string(number)); }

}  // namespace

Nanoseconds now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

TensorNote noteOf(const at::Tensor& tensor) {
  if (tensor.is_nested()) return {tensor.scalar_type(), {}, "strided"};  // its sizes differ from row to row
  return {tensor.scalar_type(), tensor.sizes().vec(), layoutOf(tensor)};
}

std::vector<at::Tensor> tensorsIn(c10::ArrayRef<c10::IValue> values) {
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& value : values) {
    if (value.isTensor()) {
      if (value.toTensor().defined()) tensors.push_back(value.toTensor());
    } else if (value.isList()) {
      for (const c10::IValue& element : value.toListRef()) {
        if (element.isTensor() && element.toTensor().defined()) tensors.push_back(element.toTensor());
      }
    }
  }
  return tensors;
}

Session::Session(bool finiteness, bool synchronize)
    : finiteness_(finiteness), synchronize_(synchronize), thread_(at::RecordFunction::currentThreadId()) {}

Session* Session::current() { return static_cast<Session*>(c10::ThreadLocalDebugInfo::get(kSlot)); }

std::shared_ptr<Session> Session::begin(bool finiteness, bool synchronize) {
  auto session = std::make_shared<Session>(finiteness, synchronize);
  c10::ThreadLocalDebugInfo::_push(kSlot, session);
  session->callback_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(started, ended)
          .needsInputs(true)
          .needsOutputs(true)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  return session;
}

std::shared_ptr<Session> Session::end() {
  auto session = std::static_pointer_cast<Session>(c10::ThreadLocalDebugInfo::_pop(kSlot));
  at::removeCallback(session->callback_);
  return session;
}

void Session::enter(int32_t layer) {
  const std::lock_guard lock(mutex_);
  layers_.push_back({layer, innermost == nullptr ? nullptr : innermost->node});
  changes_.push_back({at::sequence_number::peek(), layer});
}

void Session::leave() {
  const std::lock_guard lock(mutex_);
  layers_.pop_back();
  changes_.push_back({at::sequence_number::peek(), innermostLayer()});
}

void Session::fail(const std::string& op) {
  std::string reason = "unknown";
  try {
    throw;
  } catch (const c10::Error& error) {
    reason = error.what_without_backtrace();
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {  // NOLINT: its reason stays unknown
  }
  const std::lock_guard lock(mutex_);
  if (failure.empty()) failure = op + ": " + reason;
}

void Session::own(int32_t layer, const at::Tensor& parameter) {
  owners_.emplace(parameter.unsafeGetTensorImpl(), layer);
}

void Session::synchronize(at::DeviceType device) const {
  if (!synchronize_ || device != at::kCUDA) return;
  const auto* cuda = c10::impl::getDeviceGuardImpl(at::kCUDA);
  cuda->synchronizeDevice(cuda->getDevice().index());
}

void Session::opened(Frame& frame, const at::RecordFunction& call) {
  if (call.scope() == at::RecordScope::BACKWARD_FUNCTION) {
    openedNode(frame, call);
  } else if (frame.name.starts_with(kEngine)) {
    // The engine's frame around a node also holds the sums of gradients that meet behind it.
    frame.name.erase(0, kEngine.size());
    frame.node = &frame;
  } else {
    openedOperator(frame, call);
  }
}

void Session::openedNode(Frame& frame, const at::RecordFunction& call) {
  frame.node = &frame;
  locate(frame, call);
  if (frame.parent == nullptr || frame.parent->node != frame.parent) return;
  frame.parent->layer = frame.layer;
  frame.parent->forwardEntry = frame.forwardEntry;
}

// A node belongs to the operator, and so to the layer, during which its sequence number was given out.
void Session::locate(Frame& frame, const at::RecordFunction& call) {
  const auto node = torch::autograd::get_current_node();
  const std::lock_guard lock(mutex_);
  if (const auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(node.get())) {
    const auto owner = owners_.find(leaf->variable.unsafeGetTensorImpl());
    if (owner != owners_.end()) frame.layer = owner->second;
    return;
  }
  if (call.forwardThreadId() != thread_ || call.seqNr() < 0) return;
  const auto number = static_cast<uint64_t>(call.seqNr());
  const auto change = std::upper_bound(changes_.begin(), changes_.end(), number,
                                       [](uint64_t n, const Change& each) { return n < each.from; });
  if (change != changes_.begin()) frame.layer = std::prev(change)->layer;
  const auto span = std::upper_bound(spans_.begin(), spans_.end(), number,
                                     [](uint64_t n, const Span& each) { return n < each.first; });
  if (span == spans_.begin() || number >= std::prev(span)->end) return;
  frame.forwardEntry = std::prev(span)->entry;
  frame.layer = entries[static_cast<size_t>(frame.forwardEntry)].layer;
}

void Session::openedOperator(Frame& frame, const at::RecordFunction& call) {
  const Frame* parent = frame.parent;
  frame.node = parent == nullptr ? nullptr : parent->node;
  frame.owner = parent == nullptr || parent->owner == nullptr ? &frame : parent->owner;
  const std::vector<at::Tensor> tensors = tensorsIn(call.inputs());
  for (const at::Tensor& tensor : tensors) {
    if (frame.inputs.size() == kTensorsNoted) break;
    frame.inputs.push_back(noteOf(tensor));
    frame.inputTensors.push_back(tensor.unsafeGetTensorImpl());
  }
  const auto lead =
      std::find_if(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) { return tensor.is_floating_point(); });
  if (lead != tensors.end()) {
    frame.device = lead->device().type();
  } else if (!tensors.empty()) {
    frame.device = tensors[0].device().type();
  }
  if (frame.owner == &frame) {
    frame.rule = lead == tensors.end() ? Rule::NoFloats : Rule::Inputs;
    frame.firstSequence = at::sequence_number::peek();
    place(frame);
    if (frame.phase == Phase::Forward) {
      for (const at::Tensor& tensor : tensors) noteConversion(frame, tensor);
    }
  }
  decide(frame, call);
  if (finiteness_) measureInputs(frame, call);
  synchronize(frame.device);
}

void Session::place(Frame& owner) {
  const bool observing = at::RecordFunction::currentThreadId() == thread_;
  // Recomputed forwards run inside a node: the layers entered there count, those around the backward do not.
  const bool inLayer = observing && !layers_.empty() && layers_.back().node == owner.node;
  if (inLayer) {
    owner.layer = layers_.back().id;
  } else if (owner.node != nullptr) {
    owner.phase = Phase::Backward;
    owner.layer = owner.node->layer;
    owner.forwardEntry = owner.node->forwardEntry;
  }
  if (owner.node == nullptr && torch::autograd::get_current_graph_task_id() >= 0) owner.phase = Phase::Backward;
  if (owner.phase == Phase::Backward) owner.rule = Rule::Backward;
}

// The first call with a kernel under the active autocast key is where the dtypes are chosen: the outermost operator
// itself, or, when that is a composite without a kernel of its own, one inside it. What that kernel calls shows the
// dtypes that are computed in.
void Session::decide(Frame& frame, const at::RecordFunction& call) {
  Frame& owner = *frame.owner;
  const Frame* parent = frame.parent;
  if (parent != nullptr && parent->decides && parent->name == frame.name && !owner.computed) {
    owner.computed = frame.inputs;
  }
  if (owner.rule != Rule::Inputs || !at::autocast::is_autocast_available(frame.device)) return;
  if (!at::autocast::is_autocast_enabled(frame.device)) {
    if (&frame == &owner && insideEnabledAutocast(frame.device)) owner.rule = Rule::Island;
    return;
  }
  const auto name = call.operator_name();
  const auto op = name ? c10::Dispatcher::singleton().findSchema(*name) : std::nullopt;
  if (!op) return;
  switch (autocastRule(*op, frame.device).policy) {
    case AutocastPolicy::None: return;
    case AutocastPolicy::Low: owner.rule = Rule::LowList; break;
    case AutocastPolicy::Float32: owner.rule = Rule::Float32List; break;
    case AutocastPolicy::Promote: owner.rule = Rule::Promotion; break;
    case AutocastPolicy::Passes:
    case AutocastPolicy::Banned: return;
  }
  frame.decides = true;
  owner.decidedBy = frame.name;
}

void Session::closed(Frame& frame, const at::RecordFunction& call) {
  if (frame.owner == nullptr) return;
  synchronize(frame.device);
  frame.time = now() - frame.start - (overhead - frame.overheadBefore);
  if (frame.parent != nullptr) frame.parent->children += frame.time;
  const std::vector<at::Tensor> outputs = tensorsIn(call.outputs());
  if (const auto cast = castOf(frame, outputs)) frame.owner->casts.push_back(*cast);
  if (finiteness_) judgeOutputs(frame, outputs);
  if (frame.owner == &frame) closedOwner(frame, outputs);
}

void Session::closedOwner(Frame& owner, const std::vector<at::Tensor>& outputs) {
  std::vector<at::ScalarType> dtypes;
  for (const at::Tensor& tensor : outputs) {
    if (dtypes.size() < kTensorsNoted) dtypes.push_back(tensor.scalar_type());
  }
  const bool converts = owner.name == "aten::to" || owner.name == "aten::_to_copy" || owner.name == "aten::copy_";
  if (converts && !owner.casts.empty() && owner.phase == Phase::Forward) owner.rule = Rule::Cast;

  const std::lock_guard lock(mutex_);
  const int32_t id = entryOf(owner, dtypes);
  Entry& entry = entries[static_cast<size_t>(id)];
  entry.count++;
  entry.time += owner.time;
  entry.selfTime += owner.time - owner.children;
  for (const Cast& cast : owner.casts) {
    entry.casts++;
    entry.castBytes += cast.bytes;
    entry.castTime += cast.time;
  }
  if (at::RecordFunction::currentThreadId() == thread_) {
    const uint64_t sequence = at::sequence_number::peek();
    if (sequence > owner.firstSequence) spans_.push_back({owner.firstSequence, sequence, id});
  }
  if (owner.phase == Phase::Forward) follow(owner, id, outputs);
}

int32_t Session::entryOf(const Frame& owner, const std::vector<at::ScalarType>& outputs) {
  std::string key;
  append(key, owner.layer);
  append(key, static_cast<int64_t>(owner.phase));
  append(key, static_cast<int64_t>(owner.rule));
  append(key, owner.name);
  append(key, owner.node == nullptr ? "" : owner.node->name);
  append(key, owner.forwardEntry < 0 ? "" : entries[static_cast<size_t>(owner.forwardEntry)].op);
  for (const TensorNote& input : owner.inputs) append(key, static_cast<int64_t>(input.dtype));
  append(key, ">");
  for (const at::ScalarType dtype : outputs) append(key, static_cast<int64_t>(dtype));
  const auto [known, isNew] = index_.emplace(key, static_cast<int32_t>(entries.size()));
  if (isNew) {
    Entry entry{.layer = owner.layer, .phase = owner.phase, .rule = owner.rule};
    entry.op = owner.name;
    entry.decidedBy = owner.decidedBy;
    if (owner.node != nullptr) entry.node = owner.node->name;
    if (owner.forwardEntry >= 0) entry.forwardOp = entries[static_cast<size_t>(owner.forwardEntry)].op;
    entry.device = c10::DeviceTypeName(owner.device, true);
    entry.inputs = owner.inputs;
    entry.computed = owner.computed.value_or(owner.inputs);
    entry.outputs = outputs;
    entries.push_back(std::move(entry));
  }
  return known->second;
}

}  // namespace mezzo::observer
