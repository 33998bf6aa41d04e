// Process groups: a backend of c10d that keeps note of what each rank is doing, for errors that name who waits for whom.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "environment.h"

namespace mezzo::distributed {

using Tensors = std::vector<at::Tensor>;
using Work = c10::intrusive_ptr<c10d::Work>;

// A collective as this rank entered it. All ranks of a group number them alike; send and recv have the number of the
// collective before them.
struct Entered {
  uint64_t number = 0;
  std::string what;  // 'allReduce of float32 [2, 3], sum'
  std::chrono::steady_clock::time_point at;

  std::string title() const { return what + " (#" + std::to_string(number) + ")"; }
};

// Passes every call on to another backend. Before, the rank writes to the store what it enters; after a failure it reads
// what the others wrote.
class NotedBackend final : public c10d::Backend {
 public:
  NotedBackend(c10::intrusive_ptr<c10d::Backend> inner, c10::intrusive_ptr<c10d::Store> notes);

  const std::string getBackendName() const override { return inner_->getBackendName(); }

  Work broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override;
  Work allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override;
  Work reduce(Tensors& tensors, const c10d::ReduceOptions& options) override;
  Work allgather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions& options) override;
  Work gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& options) override;
  Work scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& options) override;
  Work reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                      const c10d::ReduceScatterOptions& options) override;
  Work alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& options) override;
  Work barrier(const c10d::BarrierOptions& options) override;
  Work send(Tensors& tensors, int rank, int tag) override;
  Work recv(Tensors& tensors, int rank, int tag) override;

  Entered last() const;

  // Throws BridgeError for what went wrong in `entered`: the rank, the collective, and where the other ranks are.
  [[noreturn]] void fail(const Entered& entered, const std::string& reason) const;

 private:
  void enter(const char* operation, const Tensors& tensors, const std::string& detail, bool counts = true);
  std::string positions(const Entered& entered) const;

  const c10::intrusive_ptr<c10d::Backend> inner_;
  const c10::intrusive_ptr<c10d::Store> notes_;  // on a connection of its own
  mutable std::mutex mutex_;
  Entered last_;
  std::string notesLost_;  // why the store took no note, from then on
};

struct Group {
  c10::intrusive_ptr<NotedBackend> backend;
  c10::intrusive_ptr<c10d::ProcessGroup> processes;
};

Group& groupOf(const Call& call, size_t argument);  // throws BridgeError once it was destroyed

// An object of C++ that JavaScript holds.
template <class T>
napi_value toExternal(napi_env env, T value) {
  auto owned = std::make_unique<T>(std::move(value));
  napi_value external = nullptr;
  const auto finalize = [](node_api_basic_env, void* data, void*) {
    const std::unique_ptr<T> dying(static_cast<T*>(data));
  };
  check(env, napi_create_external(env, owned.get(), finalize, nullptr, &external));
  owned.release();  // NOLINT: the External owns it
  return external;
}

template <class T>
T& fromExternal(const Call& call, size_t argument) {
  void* data = nullptr;
  check(call.env, napi_get_value_external(call.env, call[argument], &data));
  return *static_cast<T*>(data);
}

}  // namespace mezzo::distributed
