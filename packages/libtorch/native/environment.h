// What one JavaScript environment (the main thread or a worker) owns: its tensors, scopes and generators.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "napi.h"

namespace mezzo {

// A handle is a number: the slot in its low 26 bits, the slot's generation above. Reusing a slot changes the
// generation, so a stale handle is an error and never another tensor. 0 is the undefined tensor.
class TensorTable {
 public:
  double add(at::Tensor tensor);  // 0 for an undefined tensor; enters the innermost scope
  const at::Tensor& get(double handle) const;
  const at::Tensor* find(double handle) const;  // nullptr when stale
  at::Tensor optional(double handle) const { return handle == 0 ? at::Tensor() : get(handle); }
  bool isLive(double handle) const;
  void free(double handle);  // a stale handle is ignored
  size_t live() const { return slots_.size() - freeSlots_.size(); }

  int64_t pushScope();
  int64_t popScope(int64_t depth);  // returns how many tensors were freed
  bool inScope() const { return !scopeStarts_.empty(); }
  void keep(double handle);
  void escape(double handle);

  int64_t setTracked(double handle, int64_t bytes);  // returns the change in tracked bytes
  int64_t takeTrackedChange();                       // bytes released since the last call (negative or 0)
  void clear();

 private:
  struct Slot {
    at::Tensor tensor;
    int64_t trackedBytes = 0;
    uint32_t generation = 0;
    uint32_t scope = 0;  // depth of the scope that owns it, 0 = none
  };
  static constexpr uint64_t kSlotBits = 26;
  static constexpr uint64_t kSlotMask = (1ULL << kSlotBits) - 1;
  static constexpr uint32_t kMaxGeneration = (1U << 26) - 1;

  const Slot* slotOf(double handle) const;
  Slot& require(double handle);
  void release(uint32_t index);
  [[noreturn]] static void stale(double handle);

  std::vector<Slot> slots_;
  std::vector<uint32_t> freeSlots_;
  std::vector<double> scoped_;       // handles created in open scopes, oldest first
  std::vector<size_t> scopeStarts_;  // where each open scope begins in scoped_
  int64_t releasedTracked_ = 0;
};

class GeneratorTable {
 public:
  double add(at::Generator generator);
  at::Generator& get(double handle);
  void free(double handle);

 private:
  std::vector<at::Generator> generators_;
};

struct Environment {
  TensorTable tensors;
  GeneratorTable generators;
  napi_ref errorFactory = nullptr;  // (code, message, trace) => Error

  // An operator's stack keeps its memory from call to call; a call inside a call (a hook) gets a fresh one.
  std::vector<c10::IValue> borrowStack() { return std::exchange(spareStack_, {}); }
  void returnStack(std::vector<c10::IValue>&& stack) {
    stack.clear();
    spareStack_ = std::move(stack);
  }

  static Environment& of(napi_env env);
  static void create(napi_env env);

 private:
  std::vector<c10::IValue> spareStack_;
};

napi_value toHandles(napi_env env, Environment& environment, const std::vector<at::Tensor>& tensors);
std::vector<at::Tensor> tensorsOf(const Call& call, size_t argument);  // a Float64Array of handles

}  // namespace mezzo
