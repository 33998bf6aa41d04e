// What an observed stretch of a program did, operator by operator, summed in C++: no JavaScript runs per operator.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace mezzo::observer {

constexpr int32_t kOutside = -1;  // the layer of whatever runs outside all layers

using Nanoseconds = int64_t;
Nanoseconds now();

enum class Phase : uint8_t { Forward, Backward };

// Why an operator ran in its dtype.
enum class Rule : uint8_t { Inputs, LowList, Float32List, Promotion, Island, Cast, Backward, NoFloats };

struct TensorNote {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  const char* layout;  // 'contiguous', 'channels_last', 'both' or 'strided'
};
TensorNote noteOf(const at::Tensor& tensor);

struct Cast {
  const c10::TensorImpl* source;
  at::ScalarType from, to;
  int64_t bytes;  // read and written
  Nanoseconds time;
};

// Calls of one operator in one layer with the same dtypes, rule and place in the graph.
struct Entry {
  int32_t layer;
  Phase phase;
  Rule rule;
  std::string op, decidedBy, node, forwardOp, device;
  std::vector<TensorNote> inputs, computed;  // of the first call: as given, and as the kernel got them
  std::vector<at::ScalarType> outputs;
  int64_t count = 0, casts = 0, castBytes = 0;
  Nanoseconds time = 0, selfTime = 0, castTime = 0;
};

struct Magnitude {
  TensorNote tensor;
  double largest;
};

// An operator whose float inputs were all finite and one of whose outputs was not.
struct NonFinite {
  int32_t layer = kOutside;
  Phase phase = Phase::Forward;
  Rule rule = Rule::Inputs;
  std::string op, inner, node, forwardOp;  // `inner`: the call within `op` where it began, empty when `op` itself
  std::vector<Magnitude> inputs;           // of the innermost call
  std::optional<TensorNote> output;
};

// Data that was cast from one dtype to another, went through `chain`, and was cast back by `back`.
struct RoundTrip {
  std::vector<int32_t> chain;  // entries
  int32_t back;
  at::ScalarType from, to;
  int64_t count = 0, bytes = 0;
  Nanoseconds time = 0;
};

// How a tensor's data was cast: from and to what, and through which operators it went since (none: never cast).
struct Conversion {
  at::ScalarType from, to;
  std::vector<int32_t> chain;
  int64_t bytes = 0;
  Nanoseconds time = 0;
};

struct Converted {
  c10::weak_intrusive_ptr<c10::TensorImpl> tensor;
  Conversion conversion;
};

// One running call. The outermost operator ("owner") collects what happens inside it.
struct Frame : at::ObserverContext {
  Frame* parent = nullptr;
  Frame* owner = nullptr;  // itself for an outermost operator, null for a backward node
  Frame* node = nullptr;   // the backward node around it
  std::string name;
  std::vector<TensorNote> inputs;
  std::vector<const c10::TensorImpl*> inputTensors;
  at::DeviceType device = at::kCPU;
  Nanoseconds start = 0, overheadBefore = 0, children = 0, time = 0;
  bool decides = false;  // its autocast kernel runs and makes the next call

  // of a backward node
  int32_t layer = kOutside;
  int32_t forwardEntry = -1;

  // of an owner
  Phase phase = Phase::Forward;
  Rule rule = Rule::Inputs;
  std::string decidedBy;
  std::optional<std::vector<TensorNote>> computed;
  std::vector<Cast> casts;
  std::vector<std::pair<const c10::TensorImpl*, Conversion>> conversions;
  uint64_t firstSequence = 0;
  std::optional<NonFinite> innermost;
  std::unordered_map<const c10::TensorImpl*, double> magnitudes;  // of its inputs

  // where finiteness is watched: the float tensors that are read
  bool finiteInputs = false;
  std::vector<Magnitude> read;
};

// Lives on the observing thread and, carried by LibTorch's thread state, on the threads that run its backward.
class Session : public c10::DebugInfoBase {
 public:
  Session(bool finiteness, bool synchronize);

  static Session* current();
  static std::shared_ptr<Session> begin(bool finiteness, bool synchronize);
  static std::shared_ptr<Session> end();

  void enter(int32_t layer);
  void leave();
  void own(int32_t layer, const at::Tensor& parameter);

  void fail(const std::string& op);  // notes the exception that is being handled, if it is the first

  void opened(Frame& frame, const at::RecordFunction& call);
  void closed(Frame& frame, const at::RecordFunction& call);

  std::vector<Entry> entries;
  std::vector<NonFinite> events;
  std::vector<RoundTrip> roundTrips;
  std::string failure;  // the first call that could not be observed, and why

 private:
  struct Layer {
    int32_t id;
    const Frame* node;
  };
  struct Span {
    uint64_t first, end;  // sequence numbers of the backward nodes it made
    int32_t entry;
  };
  struct Change {
    uint64_t from;
    int32_t layer;
  };

  void openedNode(Frame& frame, const at::RecordFunction& call);
  void locate(Frame& node, const at::RecordFunction& call);
  void openedOperator(Frame& frame, const at::RecordFunction& call);
  void decide(Frame& frame, const at::RecordFunction& call);
  void place(Frame& owner);
  void closedOwner(Frame& owner, const std::vector<at::Tensor>& outputs);
  int32_t entryOf(const Frame& owner, const std::vector<at::ScalarType>& outputs);
  int32_t innermostLayer() const { return layers_.empty() ? kOutside : layers_.back().id; }
  void synchronize(at::DeviceType device) const;

  void noteConversion(Frame& owner, const at::Tensor& tensor);
  void noteRoundTrip(const Conversion& out, const Cast& back, int32_t entry);
  void follow(const Frame& owner, int32_t entry, const std::vector<at::Tensor>& outputs);

  void measureInputs(Frame& frame, const at::RecordFunction& call);
  void judgeOutputs(Frame& frame, const std::vector<at::Tensor>& tensors);

  const bool finiteness_, synchronize_;
  const uint64_t thread_;
  at::CallbackHandle callback_ = at::INVALID_CALLBACK_HANDLE;
  std::mutex mutex_;
  std::vector<Layer> layers_;  // of the observing thread
  std::vector<Span> spans_;
  std::vector<Change> changes_;
  std::unordered_map<const c10::TensorImpl*, int32_t> owners_;
  std::unordered_map<std::string, int32_t> index_;
  std::unordered_map<const c10::TensorImpl*, Converted> converted_;
};

std::vector<at::Tensor> tensorsIn(c10::ArrayRef<c10::IValue> values);

}  // namespace mezzo::observer
