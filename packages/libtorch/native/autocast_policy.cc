#include "autocast_policy.h"

#include <ATen/autocast_mode.h>
#include <ATen/record_function.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace mezzo {
namespace {

using torch::jit::Stack;

constexpr c10::DispatchKey kProbe = c10::DispatchKey::TESTING_ONLY_GenericMode;

// What the inner call, the one that the autocast kernel makes, was given.
struct InnerCall {
  std::vector<at::ScalarType> floats;
  bool asksForFloat32 = false;
};

// Leaves the operator before it computes.
struct Reached {
  InnerCall inner;
};

thread_local int depth = 0;

// Memory that is never touched, so that it may belong to a device that is not there.
at::Tensor standIn(at::DeviceType device, at::ScalarType dtype) {
  const c10::Device place(device, device == at::kCPU ? -1 : 0);
  c10::Storage storage(c10::Storage::use_byte_size_t(), 0, c10::DataPtr(nullptr, place));
  const auto key = device == at::kCPU ? c10::DispatchKey::CPU : c10::DispatchKey::CUDA;
  return at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key),
                                                  c10::scalarTypeToTypeMeta(dtype));
}

void collectFloats(const c10::IValue& value, std::vector<at::ScalarType>& floats) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    if (tensor.defined() && tensor.is_floating_point()) floats.push_back(tensor.scalar_type());
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) collectFloats(element, floats);
  }
}

std::optional<at::ScalarType> dtypeArgument(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> values) {
  for (size_t i = 0; i < values.size(); i++) {
    if (schema.arguments()[i].name() == "dtype" && values[i].isInt()) {
      return static_cast<at::ScalarType>(values[i].toInt());
    }
  }
  return std::nullopt;
}

// Stands in front of every kernel while a probe runs: lets the operator itself through to its autocast kernel, answers
// casts with another stand-in, and ends the probe at the first other call.
void intercept(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  if (depth++ == 0) {
    const auto below = keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kProbe);
    op.redispatchBoxed(below, stack);
    return;
  }
  const size_t count = schema.arguments().size();
  const auto values = torch::jit::last(*stack, count);
  const auto dtype = dtypeArgument(schema, values);
  const std::string& name = schema.name();
  if (dtype && (name == "aten::to" || name == "aten::_to_copy")) {
    const at::Tensor result = standIn(values[0].toTensor().device().type(), *dtype);
    torch::jit::drop(*stack, count);
    torch::jit::push(*stack, result);
    return;
  }
  Reached reached;
  for (const c10::IValue& value : values) collectFloats(value, reached.inner.floats);
  reached.inner.asksForFloat32 = dtype == at::kFloat;
  throw reached;
}

// The simplest value of an argument's type; the operator's own checks are never reached.
c10::IValue simplest(const c10::Argument& argument, const std::vector<at::Tensor>& tensors, size_t& next) {
  const auto nextTensor = [&]() { return tensors[next++ % tensors.size()]; };
  const auto isTensor = [](const c10::Type& type) { return type.kind() == c10::TypeKind::TensorType; };
  const c10::TypePtr& declared = argument.real_type();
  if (isTensor(*declared)) return nextTensor();
  if (auto list = declared->cast<c10::ListType>(); list && isTensor(*list->getElementType())) {
    c10::List<at::Tensor> all;
    for (size_t i = 0; i < tensors.size(); i++) all.push_back(nextTensor());
    return all;
  }
  if (argument.default_value()) return *argument.default_value();
  switch (declared->kind()) {
    case c10::TypeKind::OptionalType: return c10::IValue();
    case c10::TypeKind::FloatType: return 1.0;
    case c10::TypeKind::BoolType: return false;
    case c10::TypeKind::StringType: return "";
    case c10::TypeKind::ListType: {
      const auto element = declared->castRaw<c10::ListType>()->getElementType()->kind();
      if (element == c10::TypeKind::FloatType) return c10::List<double>({1.0});
      if (element == c10::TypeKind::BoolType) return c10::List<bool>({false});
      if (element == c10::TypeKind::OptionalType) {  // indices, which are no floats
        return c10::List<std::optional<at::Tensor>>({standIn(tensors[0].device().type(), at::kLong)});
      }
      return c10::List<int64_t>({1});
    }
    case c10::TypeKind::ScalarTypeType: return static_cast<int64_t>(at::kFloat);
    default: return int64_t{1};
  }
}

std::optional<InnerCall> probe(const c10::OperatorHandle& op, const std::vector<at::Tensor>& tensors) {
  Stack stack;
  size_t next = 0;
  for (const c10::Argument& argument : op.schema().arguments()) stack.push_back(simplest(argument, tensors, next));
  depth = 0;
  try {
    op.callBoxed(&stack);
  } catch (const Reached& reached) {
    return reached.inner;
  }
  return std::nullopt;
}

bool all(const InnerCall& call, at::ScalarType dtype) {
  for (const at::ScalarType each : call.floats) {
    if (each != dtype) return false;
  }
  return !call.floats.empty();
}

AutocastRule ask(const c10::OperatorHandle& op, at::DeviceType device) {
  const auto key = at::autocast::get_autocast_dispatch_key_from_device_type(device);
  if (!op.hasKernelForDispatchKey(key)) return {};
  const c10::DispatchKeySet included = c10::default_included_set | c10::DispatchKeySet(kProbe);
  const c10::impl::ForceDispatchKeyGuard keys(included, c10::autocast_dispatch_keyset.remove(key));
  const at::DisableRecordFunctionGuard unseen;
  const at::ScalarType low = at::autocast::get_autocast_dtype(device);
  const at::Tensor wide = standIn(device, at::kFloat), narrow = standIn(device, low);
  try {
    const auto fromWide = probe(op, {wide, wide});
    if (fromWide && all(*fromWide, low)) return {AutocastPolicy::Low, {}};
    const auto fromNarrow = probe(op, {narrow, narrow});
    if (fromNarrow && (fromNarrow->asksForFloat32 || all(*fromNarrow, at::kFloat))) {
      return {AutocastPolicy::Float32, {}};
    }
    const auto mixed = probe(op, {wide, narrow});
    return {mixed && all(*mixed, at::kFloat) ? AutocastPolicy::Promote : AutocastPolicy::Passes, {}};
  } catch (const c10::Error& error) {
    return {AutocastPolicy::Banned, error.what_without_backtrace()};
  }
}

}  // namespace

const AutocastRule& autocastRule(const c10::OperatorHandle& op, at::DeviceType device) {
  static std::mutex mutex;
  static std::map<std::pair<const c10::FunctionSchema*, at::DeviceType>, AutocastRule> known;
  const std::lock_guard lock(mutex);
  const auto key = std::make_pair(&op.schema(), device);
  const auto found = known.find(key);
  return found != known.end() ? found->second : known.emplace(key, ask(op, device)).first->second;
}

const char* policyName(AutocastPolicy policy) {
  static constexpr std::array<const char*, 6> kNames = {"none", "low list", "fp32 list", "promotion", "passes",
                                                       "banned"};
  return kNames.at(static_cast<size_t>(policy));
}

}  // namespace mezzo

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&mezzo::intercept>());
}
