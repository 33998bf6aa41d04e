// The engine of DistributedDataParallel: c10d's Reducer, which averages gradients in buckets while backward runs.
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <type_traits>
#include <unordered_map>

#include "distributed.h"
#include "register_distributed.h"

namespace mezzo {
namespace distributed {
namespace {

using Future = c10::ivalue::Future;

// Averages a bucket. An error of the group is told with what the other ranks do.
class AverageHook final : public c10d::CppCommHookInterface<c10::intrusive_ptr<NotedBackend>> {
 public:
  using CppCommHookInterface::CppCommHookInterface;

  c10::intrusive_ptr<Future> runHook(c10d::GradBucket& bucket) override {
    Tensors tensors = {bucket.getBufferRef()};
    tensors[0].div_(state_->getSize());
    const Work work = state_->allreduce(tensors, {});
    const auto tell = [backend = state_, entered = state_->last()](Future& done) -> c10::IValue {
      if (done.hasError()) backend->fail(entered, done.tryRetrieveErrorMessage());
      return done.value();
    };
    const auto reduced = work->getFuture();
    return reduced->then(tell, reduced->elementType());
  }
};

// 2.15 has more arguments than 2.10.
template <class Reducer, class... More>
std::shared_ptr<Reducer> makeReducer(More&&... arguments) {
  if constexpr (std::is_constructible_v<Reducer, More..., std::vector<int64_t>>) {
    return std::make_shared<Reducer>(std::forward<More>(arguments)..., std::vector<int64_t>());
  } else {
    return std::make_shared<Reducer>(std::forward<More>(arguments)...);
  }
}

using Reducer = std::shared_ptr<c10d::Reducer>;

// group, parameters, names, bytes of a bucket, bytes of the first, find unused parameters, gradients as bucket views
napi_value reducerNew(const Call& call) {
  const Group& group = groupOf(call, 0);
  const Tensors parameters = tensorsOf(call, 1);
  std::unordered_map<size_t, std::string> names;
  for (size_t i = 0; i < parameters.size(); i++) {
    napi_value name = nullptr;
    check(call.env, napi_get_element(call.env, call[2], static_cast<uint32_t>(i), &name));
    names.emplace(i, stringOf(call.env, name));
  }
  const int64_t bytes = call.integer(3), firstBytes = call.integer(4);
  const bool findUnused = call.boolean(5), asViews = call.boolean(6);
  const std::vector<bool> sparse(parameters.size(), false);
  // Backward comes to the last layers first, so their gradients go into the first bucket.
  auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
      parameters, {static_cast<size_t>(firstBytes), static_cast<size_t>(bytes)}, sparse);
  std::reverse(buckets.begin(), buckets.end());
  auto reducer = makeReducer<c10d::Reducer>(parameters, std::move(buckets), group.processes, sparse, bytes, findUnused,
                                            asViews, std::move(names), firstBytes, false, false);
  reducer->register_comm_hook(std::make_unique<AverageHook>(group.backend));
  return toExternal<Reducer>(call.env, std::move(reducer));
}

c10d::Reducer& reducerOf(const Call& call) {
  const auto& reducer = fromExternal<Reducer>(call, 0);
  if (!reducer) throw BridgeError("DISTRIBUTED", "DistributedDataParallel was disposed");
  return *reducer;
}

napi_value reducerForward(const Call& call) {
  reducerOf(call).prepare_for_forward();
  return toJs(call.env, reducerOf(call).rebuild_buckets());
}

napi_value reducerBackward(const Call& call) {
  reducerOf(call).prepare_for_backward(tensorsOf(call, 1));
  return nullptr;
}

napi_value reducerClose(const Call& call) {
  Reducer& reducer = fromExternal<Reducer>(call, 0);
  if (reducer) reducer->remove_autograd_hooks();
  reducer.reset();
  return nullptr;
}

// How many parameters each bucket has now.
napi_value reducerBuckets(const Call& call) {
  napi_value counts = nullptr;
  const auto buckets = reducerOf(call).get_grad_buckets();
  check(call.env, napi_create_array_with_length(call.env, buckets.size(), &counts));
  for (size_t i = 0; i < buckets.size(); i++) {
    const auto count = static_cast<double>(buckets[i].getParameters().size());
    check(call.env, napi_set_element(call.env, counts, static_cast<uint32_t>(i), toJs(call.env, count)));
  }
  return counts;
}

}  // namespace
}  // namespace distributed

void registerReducer(napi_env env, napi_value exports) {
  using namespace distributed;
  define<reducerNew>(env, exports, "reducerNew");
  define<reducerForward>(env, exports, "reducerForward");
  define<reducerBackward>(env, exports, "reducerBackward");
  define<reducerClose>(env, exports, "reducerClose");
  define<reducerBuckets>(env, exports, "reducerBuckets");
}

}  // namespace mezzo
