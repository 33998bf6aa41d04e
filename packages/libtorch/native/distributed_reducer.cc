// The engine of DistributedDataParallel: c10d's Reducer, which averages gradients in buckets while backward runs.
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <optional>
#include <type_traits>
#include <unordered_map>

#include "distributed.h"
#include "register_distributed.h"

namespace mezzo {
namespace distributed {
namespace {

using Future = c10::ivalue::Future;

// How the buckets of a Reducer travel, and what this rank gave to them.
struct Exchange {
  c10::intrusive_ptr<NotedBackend> backend;
  std::optional<at::ScalarType> wire;  // the dtype in which wider buckets travel
  std::unordered_map<const c10::TensorImpl*, size_t> positions;
  bool measures = false;
  std::mutex mutex;                  // buckets of several devices come from several threads
  std::vector<at::Tensor> largest;  // by parameter, int32 [1]: the largest magnitude of this rank's share of the mean

  void measure(const c10d::GradBucket& share) {
    static const auto magnitudes = c10::Dispatcher::singleton()
                                       .findSchemaOrThrow("mezzo::magnitudes", "")
                                       .typed<at::Tensor(at::TensorList)>();
    const auto found = magnitudes.call(share.getGradients()).split(1);
    const auto parameters = share.getParameters();
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < found.size(); i++) largest[positions.at(parameters[i].unsafeGetTensorImpl())] = found[i];
  }
};

// Averages a bucket. An error of the group is told with what the other ranks do.
class AverageHook final : public c10d::CppCommHookInterface<std::shared_ptr<Exchange>> {
 public:
  using CppCommHookInterface::CppCommHookInterface;

  c10::intrusive_ptr<Future> runHook(c10d::GradBucket& bucket) override {
    const auto& backend = state_->backend;
    const at::Tensor wide = bucket.getBuffer();
    const bool packs = state_->wire && wide.element_size() > 2;
    c10d::GradBucket share = bucket;
    if (packs) {
      at::Tensor packed = wide.to(*state_->wire);
      share.setBuffer(packed);
    }
    Tensors tensors = {share.getBuffer()};
    // Before the sum, which 16 bits may not hold where they hold the mean.
    tensors[0].div_(backend->getSize());
    if (state_->measures) state_->measure(share);
    const Work work = backend->allreduce(tensors, {});
    const auto finish = [backend, entered = backend->last(), wide, packs](Future& done) -> c10::IValue {
      if (done.hasError()) backend->fail(entered, done.tryRetrieveErrorMessage());
      if (!packs) return done.value();
      wide.copy_(c10d::detail::parseCppCommHookResult(done.value()));
      return wide;
    };
    const auto reduced = work->getFuture();
    return reduced->then(finish, packs ? c10::TypePtr(c10::TensorType::get()) : reduced->elementType());
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

struct Reducer {
  std::shared_ptr<c10d::Reducer> engine;
  std::shared_ptr<Exchange> exchange;
};

// group, parameters, names, bytes of a bucket, bytes of the first, find unused parameters, gradients as bucket views,
// the dtype in which they travel ('' for their own)
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
  const std::string wire = stringOf(call.env, call[7]);
  const auto exchange = std::make_shared<Exchange>();
  exchange->backend = group.backend;
  if (!wire.empty()) exchange->wire = wire == "float16" ? at::kHalf : at::kBFloat16;
  for (size_t i = 0; i < parameters.size(); i++) {
    exchange->positions.emplace(parameters[i].unsafeGetTensorImpl(), i);
  }
  const std::vector<bool> sparse(parameters.size(), false);
  // Backward comes to the last layers first, so their gradients go into the first bucket.
  auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(
      parameters, {static_cast<size_t>(firstBytes), static_cast<size_t>(bytes)}, sparse);
  std::reverse(buckets.begin(), buckets.end());
  auto engine = makeReducer<c10d::Reducer>(parameters, std::move(buckets), group.processes, sparse, bytes, findUnused,
                                           asViews, std::move(names), firstBytes, false, false);
  engine->register_comm_hook(std::make_unique<AverageHook>(exchange));
  return toExternal<Reducer>(call.env, {std::move(engine), exchange});
}

Reducer& openReducer(const Call& call) {
  auto& reducer = fromExternal<Reducer>(call, 0);
  if (!reducer.engine) throw BridgeError("DISTRIBUTED", "DistributedDataParallel was disposed");
  return reducer;
}

c10d::Reducer& reducerOf(const Call& call) { return *openReducer(call).engine; }

// From now on notes what this rank gives to each mean.
napi_value reducerMeasure(const Call& call) {
  Exchange& exchange = *openReducer(call).exchange;
  exchange.largest.assign(exchange.positions.size(), at::zeros({1}, at::kInt));
  exchange.measures = true;
  return nullptr;
}

// int32 [parameters]: the largest magnitude of what this rank gave to the last mean, as float32 bits.
napi_value reducerMeasured(const Call& call) {
  const Exchange& exchange = *openReducer(call).exchange;
  return toJs(call.env, call.environment.tensors.add(at::cat(exchange.largest)));
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
  if (reducer.engine) reducer.engine->remove_autograd_hooks();
  reducer.engine.reset();
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
  define<reducerMeasure>(env, exports, "reducerMeasure");
  define<reducerMeasured>(env, exports, "reducerMeasured");
  define<reducerForward>(env, exports, "reducerForward");
  define<reducerBackward>(env, exports, "reducerBackward");
  define<reducerClose>(env, exports, "reducerClose");
  define<reducerBuckets>(env, exports, "reducerBuckets");
}

}  // namespace mezzo
