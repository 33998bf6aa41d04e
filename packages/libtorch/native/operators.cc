// Operators by id, and what their schemas say about each argument.
#include <ATen/core/function_schema.h>
#include <ATen/core/jit_type.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "marshal.h"

namespace mezzo {
namespace {

Base baseOf(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType: return Base::Tensor;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return Base::Int;
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType: return Base::Float;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType: return Base::Bool;
    case c10::TypeKind::NumberType: return Base::Scalar;
    case c10::TypeKind::StringType: return Base::String;
    case c10::TypeKind::ScalarTypeType: return Base::DType;
    case c10::TypeKind::LayoutType: return Base::Layout;
    case c10::TypeKind::DeviceObjType: return Base::Device;
    case c10::TypeKind::MemoryFormatType: return Base::MemoryFormat;
    case c10::TypeKind::GeneratorType: return Base::Generator;
    default: return Base::Unsupported;
  }
}

Conversion conversionOf(const c10::Argument& argument) {
  Conversion conversion;
  c10::TypePtr type = argument.real_type();
  if (const auto optional = type->cast<c10::OptionalType>()) {
    conversion.optional = true;
    type = optional->getElementType();
  }
  if (const auto list = type->cast<c10::ListType>()) {
    conversion.list = true;
    conversion.length = argument.N().value_or(0);
    type = list->getElementType();
    if (const auto optional = type->cast<c10::OptionalType>()) {
      conversion.elementOptional = true;
      type = optional->getElementType();
    }
  }
  conversion.base = baseOf(*type);
  return conversion;
}

std::string typeText(const c10::Argument& argument) {
  std::string text = argument.real_type()->annotation_str();
  const Conversion conversion = conversionOf(argument);
  static constexpr const char* kNames[] = {"Tensor", "int",    "float",  "bool",         "Scalar",    "str",
                                           "dtype",  "layout", "Device", "MemoryFormat", "Generator", nullptr};
  const char* name = kNames[static_cast<size_t>(conversion.base)];
  if (name == nullptr) return text;
  text = name;
  if (conversion.elementOptional) text += "?";
  if (conversion.list) text += conversion.length > 0 ? "[" + std::to_string(conversion.length) + "]" : "[]";
  if (conversion.optional) text += "?";
  return text;
}

bool sharesAlias(const c10::Argument& argument, const c10::Argument& result) {
  const auto* given = argument.alias_info();
  const auto* returned = result.alias_info();
  if (given == nullptr || returned == nullptr || !given->isWrite() || !returned->isWrite()) return false;
  for (const auto& set : returned->beforeSets()) {
    if (given->beforeSets().count(set) != 0) return true;
  }
  return false;
}

Operator describe(const c10::OperatorHandle& handle, const std::string& name, const std::string& overload) {
  Operator op{handle, name, overload, {}, {}};
  const c10::FunctionSchema& schema = handle.schema();
  for (const c10::Argument& argument : schema.arguments()) {
    op.arguments.push_back({argument.name(), typeText(argument), conversionOf(argument), argument.default_value(),
                            argument.kwarg_only(), argument.is_out()});
  }
  for (const c10::Argument& result : schema.returns()) {
    Return described{result.real_type()->annotation_str(), -1};
    for (size_t i = 0; i < schema.arguments().size() && described.alias < 0; i++) {
      if (sharesAlias(schema.arguments()[i], result)) described.alias = static_cast<int32_t>(i);
    }
    op.returns.push_back(std::move(described));
  }
  return op;
}

// Fixed capacity, so that reading by id needs no lock while another thread adds (LibTorch registers about 3,500).
constexpr size_t kMaxOperators = 16384;

struct Registry {
  std::mutex mutex;
  std::array<std::unique_ptr<const Operator>, kMaxOperators> operators;
  std::atomic<size_t> count = 0;
  std::unordered_map<std::string, size_t> ids;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

const Operator& operatorById(size_t id) {
  Registry& all = registry();
  if (id >= all.count.load(std::memory_order_acquire)) throw BridgeError("NO_SUCH_OP", "no operator has the id " + std::to_string(id));
  return *all.operators[id];
}

size_t lookupOperator(const std::string& name, const std::string& overload) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const std::string key = name + "." + overload;
  if (const auto known = all.ids.find(key); known != all.ids.end()) return known->second;
  const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle) {
    throw BridgeError("NO_SUCH_OP", "this LibTorch has no operator " + name + (overload.empty() ? "" : "." + overload));
  }
  const size_t id = all.count.load(std::memory_order_relaxed);
  if (id == kMaxOperators) throw BridgeError("NO_SUCH_OP", "more than 16384 operators were looked up");
  all.operators[id] = std::make_unique<const Operator>(describe(*handle, name, overload));
  all.count.store(id + 1, std::memory_order_release);
  all.ids.emplace(key, id);
  return id;
}

}  // namespace mezzo
