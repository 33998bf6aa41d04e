#include "environment.h"

#include <memory>
#include <mutex>

namespace mezzo {

const TensorTable::Slot* TensorTable::slotOf(double handle) const {
  if (!(handle >= 1) || handle > 9007199254740991.0) return nullptr;
  const auto bits = static_cast<uint64_t>(handle);
  const auto index = bits & kSlotMask;
  if (index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  return slot.generation == bits >> kSlotBits && slot.tensor.defined() ? &slot : nullptr;
}

void TensorTable::stale(double handle) {
  if (handle == 0) throw BridgeError("STALE_HANDLE", "expected a tensor, got none");
  throw BridgeError("STALE_HANDLE", "the tensor was disposed (or belonged to a scope that has ended)");
}

TensorTable::Slot& TensorTable::require(double handle) {
  const Slot* slot = slotOf(handle);
  if (slot == nullptr) stale(handle);
  return const_cast<Slot&>(*slot);
}

const at::Tensor& TensorTable::get(double handle) const {
  const Slot* slot = slotOf(handle);
  if (slot == nullptr) stale(handle);
  return slot->tensor;
}

const at::Tensor* TensorTable::find(double handle) const {
  const Slot* slot = slotOf(handle);
  return slot == nullptr ? nullptr : &slot->tensor;
}

bool TensorTable::isLive(double handle) const { return slotOf(handle) != nullptr; }

double TensorTable::add(at::Tensor tensor) {
  if (!tensor.defined()) return 0;
  uint32_t index;
  if (freeSlots_.empty()) {
    if (slots_.size() > kSlotMask) throw BridgeError("OUT_OF_MEMORY", "more than 67 million live tensors");
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = freeSlots_.back();
    freeSlots_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.tensor = std::move(tensor);
  slot.generation = slot.generation == kMaxGeneration ? 1 : slot.generation + 1;
  slot.scope = static_cast<uint32_t>(scopeStarts_.size());
  const auto handle = static_cast<double>((static_cast<uint64_t>(slot.generation) << kSlotBits) | index);
  if (slot.scope != 0) scoped_.push_back(handle);
  return handle;
}

void TensorTable::release(uint32_t index) {
  Slot& slot = slots_[index];
  releasedTracked_ -= slot.trackedBytes;
  slot.trackedBytes = 0;
  slot.scope = 0;
  // Destroying a tensor may free a whole autograd graph, so the slot is consistent before it happens.
  const at::Tensor dying = std::move(slot.tensor);
  slot.tensor = at::Tensor();
  freeSlots_.push_back(index);
}

void TensorTable::free(double handle) {
  if (slotOf(handle) != nullptr) release(static_cast<uint32_t>(static_cast<uint64_t>(handle) & kSlotMask));
}

int64_t TensorTable::pushScope() {
  scopeStarts_.push_back(scoped_.size());
  return static_cast<int64_t>(scopeStarts_.size());
}

int64_t TensorTable::popScope(int64_t depth) {
  if (depth < 1 || depth != static_cast<int64_t>(scopeStarts_.size())) {
    throw BridgeError("BAD_ARGUMENT", "scopes must end in the reverse order of their beginning");
  }
  const size_t start = scopeStarts_.back();
  std::vector<double> escaped;
  int64_t freed = 0;
  for (size_t i = scoped_.size(); i-- > start;) {
    const double handle = scoped_[i];
    const Slot* slot = slotOf(handle);
    if (slot == nullptr) continue;
    if (slot->scope == depth) {
      release(static_cast<uint32_t>(static_cast<uint64_t>(handle) & kSlotMask));
      freed++;
    } else if (slot->scope != 0) {
      escaped.push_back(handle);
    }
  }
  scoped_.resize(start);
  scopeStarts_.pop_back();
  scoped_.insert(scoped_.end(), escaped.rbegin(), escaped.rend());
  return freed;
}

void TensorTable::keep(double handle) { require(handle).scope = 0; }

void TensorTable::escape(double handle) {
  Slot& slot = require(handle);
  if (slot.scope == scopeStarts_.size() && slot.scope > 0) slot.scope--;
}

int64_t TensorTable::setTracked(double handle, int64_t bytes) {
  Slot& slot = require(handle);
  const int64_t change = bytes - slot.trackedBytes;
  slot.trackedBytes = bytes;
  return change;
}

int64_t TensorTable::takeTrackedChange() { return std::exchange(releasedTracked_, 0); }

void TensorTable::clear() {
  slots_.clear();
  freeSlots_.clear();
  scoped_.clear();
  scopeStarts_.clear();
}

double GeneratorTable::add(at::Generator generator) {
  generators_.push_back(std::move(generator));
  return static_cast<double>(generators_.size());
}

at::Generator& GeneratorTable::get(double handle) {
  const auto index = static_cast<size_t>(handle);
  if (!(handle >= 1) || index > generators_.size() || !generators_[index - 1].defined()) {
    throw BridgeError("STALE_HANDLE", "the generator was disposed");
  }
  return generators_[index - 1];
}

void GeneratorTable::free(double handle) { get(handle) = at::Generator(); }

namespace {
// Finalizers of tracked objects may run after the environment's teardown: the (emptied) environment outlives them.
std::mutex registryMutex;
std::vector<std::unique_ptr<Environment>>& registry() {
  static std::vector<std::unique_ptr<Environment>> environments;
  return environments;
}
}  // namespace

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  check(env, napi_get_instance_data(env, &data));
  return *static_cast<Environment*>(data);
}

void Environment::create(napi_env env) {
  auto owned = std::make_unique<Environment>();
  Environment* environment = owned.get();
  {
    const std::lock_guard lock(registryMutex);
    registry().push_back(std::move(owned));
  }
  check(env, napi_set_instance_data(env, environment, nullptr, nullptr));
  check(env, napi_add_env_cleanup_hook(
                 env, [](void* data) { static_cast<Environment*>(data)->tensors.clear(); }, environment));
}

napi_value toHandles(napi_env env, Environment& environment, const std::vector<at::Tensor>& tensors) {
  void* data = nullptr;
  napi_value array = newTypedArray(env, napi_float64_array, tensors.size(), &data);
  auto* handles = static_cast<double*>(data);
  for (size_t i = 0; i < tensors.size(); i++) handles[i] = environment.tensors.add(tensors[i]);
  return array;
}

std::vector<at::Tensor> tensorsOf(const Call& call, size_t argument) {
  const ArrayView view = typedArray(call.env, call[argument]);
  if (view.type != napi_float64_array) {
    throw BridgeError("BAD_ARGUMENT", "argument " + std::to_string(argument) + " must be a Float64Array of handles");
  }
  const auto* handles = static_cast<const double*>(view.data);
  std::vector<at::Tensor> tensors;
  tensors.reserve(view.length);
  for (size_t i = 0; i < view.length; i++) tensors.push_back(call.environment.tensors.optional(handles[i]));
  return tensors;
}

}  // namespace mezzo
