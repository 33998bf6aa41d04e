// Finds where the first number that is not finite comes from: float inputs are read before a call, outputs after.
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <string_view>

#include "observer.h"

namespace mezzo::observer {
namespace {

constexpr size_t kEvents = 64;

bool isOneOf(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](auto prefix) { return name.starts_with(prefix); });
}

// Their outputs hold whatever was in memory.
bool isUninitialised(std::string_view name) {
  return isOneOf(name, {"aten::empty", "aten::new_empty", "aten::resize", "aten::_empty", "aten::set_"});
}

// They write to their first argument without reading it.
bool overwrites(std::string_view name) {
  return isOneOf(name, {"aten::copy_", "aten::fill_", "aten::zero_", "aten::normal_", "aten::uniform_",
                        "aten::bernoulli_", "aten::exponential_", "aten::random_"});
}

bool isMeasured(const at::Tensor& tensor) {
  static constexpr std::array<at::ScalarType, 4> kTypes = {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble};
  return tensor.layout() == at::kStrided && !tensor.is_meta() && !tensor.is_nested() &&
         std::find(kTypes.begin(), kTypes.end(), tensor.scalar_type()) != kTypes.end();
}

double largestOf(const at::Tensor& tensor) {
  static const auto magnitudes = c10::Dispatcher::singleton()
                                     .findSchemaOrThrow("mezzo::magnitudes", "")
                                     .typed<at::Tensor(at::TensorList)>();
  const at::DisableRecordFunctionGuard unseen;
  const c10::impl::ExcludeDispatchKeyGuard plain(c10::autocast_dispatch_keyset |
                                                 c10::autograd_dispatch_keyset_with_ADInplaceOrView);
  const int32_t bits = magnitudes.call({tensor}).item<int32_t>();
  return static_cast<double>(__builtin_bit_cast(float, bits));
}

// The arguments that an operator reads: not those it writes its results to.
std::vector<c10::IValue> readBy(const at::RecordFunction& call) {
  std::vector<c10::IValue> values(call.inputs().begin(), call.inputs().end());
  if (!values.empty() && overwrites(call.name())) values.erase(values.begin());
  const auto name = call.operator_name();
  const auto op = name ? c10::Dispatcher::singleton().findSchema(*name) : std::nullopt;
  if (!op) return values;
  const auto& arguments = op->schema().arguments();
  while (!values.empty() && values.size() <= arguments.size() && arguments[values.size() - 1].is_out()) {
    values.pop_back();
  }
  return values;
}

}  // namespace

void Session::measureInputs(Frame& frame, const at::RecordFunction& call) {
  Frame& owner = *frame.owner;
  const std::vector<c10::IValue> values = readBy(call);
  frame.finiteInputs = std::all_of(values.begin(), values.end(), [](const c10::IValue& value) {
    return !value.isDouble() || std::isfinite(value.toDouble());
  });
  for (const at::Tensor& tensor : tensorsIn(values)) {
    if (!isMeasured(tensor)) continue;
    // An operator hands its inputs from call to call; what it makes itself may change unseen.
    const c10::TensorImpl* key = tensor.unsafeGetTensorImpl();
    const auto known = owner.magnitudes.find(key);
    const double largest = known != owner.magnitudes.end() ? known->second : largestOf(tensor);
    if (&frame == &owner) owner.magnitudes.emplace(key, largest);
    frame.read.push_back({noteOf(tensor), largest});
    frame.finiteInputs = frame.finiteInputs && std::isfinite(largest);
  }
}

void Session::judgeOutputs(Frame& frame, const std::vector<at::Tensor>& tensors) {
  Frame& owner = *frame.owner;
  for (const at::Tensor& tensor : tensors) owner.magnitudes.erase(tensor.unsafeGetTensorImpl());
  const bool insideCopy = frame.parent != nullptr && frame.parent->name == "aten::_to_copy";
  if (!frame.finiteInputs || insideCopy || isUninitialised(frame.name)) return;
  const auto bad = std::find_if(tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
    return isMeasured(tensor) && !std::isfinite(largestOf(tensor));
  });
  if (bad == tensors.end()) return;
  if (!owner.innermost) {
    NonFinite event{.layer = owner.layer, .phase = owner.phase};
    event.op = owner.name;
    if (&frame != &owner) event.inner = frame.name;
    if (owner.node != nullptr) event.node = owner.node->name;
    event.inputs = frame.read;
    event.output = noteOf(*bad);
    owner.innermost = std::move(event);
  }
  if (&frame != &owner) return;
  const std::lock_guard lock(mutex_);
  if (events.size() >= kEvents) return;
  owner.innermost->rule = owner.rule;
  if (owner.forwardEntry >= 0) owner.innermost->forwardOp = entries[static_cast<size_t>(owner.forwardEntry)].op;
  events.push_back(*owner.innermost);
}

}  // namespace mezzo::observer
