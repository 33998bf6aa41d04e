// Stores and collectives of c10d for JavaScript.
#define USE_C10D_GLOO
#include "gloo/algorithm.h"
#include "gloo/common/error.h"
#include "gloo/context.h"
#include "gloo/rendezvous/store.h"
#include "gloo/transport/device.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>

#include "distributed.h"
#include "register_distributed.h"

namespace mezzo {
namespace distributed {
namespace {

using Milliseconds = std::chrono::milliseconds;
using Store = c10::intrusive_ptr<c10d::Store>;
using Bytes = std::vector<uint8_t>;
using Settle = std::function<napi_value(napi_env)>;

// --- work that blocks, off the JavaScript thread -----------------------------------------------------------------------

struct Job {
  napi_deferred deferred = nullptr;
  std::function<Settle()> work;
  Settle settle;
  std::exception_ptr error;
};

void settle(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (env == nullptr) return;  // the environment ends
  napi_value value = nullptr;
  try {
    if (job->error) std::rethrow_exception(job->error);
    value = job->settle(env);
    napi_resolve_deferred(env, job->deferred, value);
  } catch (...) {
    throwIntoJs(env);
    napi_get_and_clear_last_exception(env, &value);
    napi_reject_deferred(env, job->deferred, value);
  }
}

// A promise of what `work` gives, which runs on a thread of its own: libuv's few are for files, and it may take minutes.
napi_value inBackground(napi_env env, std::function<Settle()> work) {
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  napi_value promise = nullptr;
  napi_threadsafe_function done = nullptr;
  check(env, napi_create_promise(env, &job->deferred, &promise));
  check(env, napi_create_threadsafe_function(env, nullptr, nullptr, toJs(env, "mezzo.distributed"), 0, 1, nullptr,
                                             nullptr, nullptr, settle, &done));
  std::thread([done, owned = std::move(job)]() mutable {
    try {
      owned->settle = owned->work();
    } catch (...) {
      owned->error = std::current_exception();
    }
    owned->work = nullptr;
    if (napi_call_threadsafe_function(done, owned.get(), napi_tsfn_blocking) == napi_ok) {
      owned.release();  // NOLINT: `settle` owns it
    }
    napi_release_threadsafe_function(done, napi_tsfn_release);
  }).detach();
  return promise;
}

napi_value settleUndefined(napi_env env) { return undefined(env); }

// --- stores ----------------------------------------------------------------------------------------------------------

const Store& storeOf(const Call& call) {
  const auto& store = fromExternal<Store>(call, 0);
  if (!store) throw BridgeError("DISTRIBUTED", "the store was closed");
  return store;
}

Bytes bytesOf(const Call& call, size_t argument) {
  const ArrayView view = typedArray(call.env, call[argument]);
  const auto* data = static_cast<const uint8_t*>(view.data);
  return {data, data + view.bytes};
}

napi_value toJs(napi_env env, const Bytes& bytes) {
  void* data = nullptr;
  napi_value array = newTypedArray(env, napi_uint8_array, bytes.size(), &data);
  std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(data));
  return array;
}

std::vector<std::string> stringsOf(const Call& call, size_t argument) {
  uint32_t length = 0;
  check(call.env, napi_get_array_length(call.env, call[argument], &length));
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < length; i++) {
    napi_value element = nullptr;
    check(call.env, napi_get_element(call.env, call[argument], i, &element));
    strings.push_back(stringOf(call.env, element));
  }
  return strings;
}

// What c10d's sockets write to standard error comes as an exception too.
void quiet() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("TORCH_CPP_LOG_LEVEL", "FATAL", 0);
    c10::initLogging();
  });
}

// host, port, world size or 0, whether to serve, timeout, whether the server waits for the others
napi_value storeOpen(const Call& call) {
  quiet();
  c10d::TCPStoreOptions options;
  const std::string host = call.string(0);
  options.port = static_cast<uint16_t>(call.integer(1));
  if (const auto workers = call.integer(2); workers > 0) options.numWorkers = static_cast<size_t>(workers);
  options.isServer = call.boolean(3);
  options.timeout = Milliseconds(call.integer(4));
  options.waitWorkers = call.boolean(5);
  return inBackground(call.env, [host, options]() -> Settle {
    Store store = c10::make_intrusive<c10d::TCPStore>(host, options);
    return [store](napi_env env) { return toExternal(env, store); };
  });
}

napi_value storePrefix(const Call& call) {
  return toExternal<Store>(call.env, c10::make_intrusive<c10d::PrefixStore>(call.string(1), storeOf(call)));
}

napi_value storePort(const Call& call) {
  const auto* store = dynamic_cast<const c10d::TCPStore*>(storeOf(call).get());
  return store == nullptr ? null(call.env) : mezzo::toJs(call.env, static_cast<double>(store->getPort()));
}

napi_value storeClose(const Call& call) {
  fromExternal<Store>(call, 0) = Store();
  return nullptr;
}

napi_value storeSet(const Call& call) {
  storeOf(call)->set(call.string(1), bytesOf(call, 2));
  return nullptr;
}

napi_value storeCompareSet(const Call& call) {
  return toJs(call.env, storeOf(call)->compareSet(call.string(1), bytesOf(call, 2), bytesOf(call, 3)));
}

napi_value storeAdd(const Call& call) {
  return toJsInteger(call.env, storeOf(call)->add(call.string(1), call.integer(2)));
}

napi_value storeDelete(const Call& call) { return mezzo::toJs(call.env, storeOf(call)->deleteKey(call.string(1))); }
napi_value storeCheck(const Call& call) { return mezzo::toJs(call.env, storeOf(call)->check(stringsOf(call, 1))); }

napi_value storeNumKeys(const Call& call) {
  return mezzo::toJs(call.env, static_cast<double>(storeOf(call)->getNumKeys()));
}

// A store serves one call after the other on its connection, so what waits for a key has a connection of its own.
napi_value storeGet(const Call& call) {
  const Milliseconds timeout(call.integer(2));
  return inBackground(call.env, [store = storeOf(call), key = call.string(1), timeout]() -> Settle {
    const Store own = store->clone();
    own->setTimeout(timeout);
    return [bytes = own->get(key)](napi_env env) { return toJs(env, bytes); };
  });
}

napi_value storeWait(const Call& call) {
  const Milliseconds timeout(call.integer(2));
  return inBackground(call.env, [store = storeOf(call), keys = stringsOf(call, 1), timeout]() -> Settle {
    store->clone()->wait(keys, timeout);
    return settleUndefined;
  });
}

// --- groups ----------------------------------------------------------------------------------------------------------

// store, rank, size, timeout
napi_value groupOpen(const Call& call) {
  const auto rank = static_cast<int>(call.integer(1)), size = static_cast<int>(call.integer(2));
  const Milliseconds timeout(call.integer(3));
  return inBackground(call.env, [store = storeOf(call), rank, size, timeout]() -> Settle {
    auto options = c10d::ProcessGroupGloo::Options::create_default(timeout);
    // Sooner or later another device is to have another backend, so each has a prefix of its own, as in PyTorch.
    const Store own = c10::make_intrusive<c10d::PrefixStore>("cpu/", store);
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(own, rank, size, std::move(options));
    Group group;
    group.backend = c10::make_intrusive<NotedBackend>(std::move(gloo), own->clone());
    group.processes = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
    group.processes->setBackend(c10::kCPU, c10d::ProcessGroup::BackendType::GLOO, group.backend);
    group.processes->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
    return [group](napi_env env) { return toExternal(env, group); };
  });
}

napi_value groupClose(const Call& call) {
  fromExternal<Group>(call, 0) = Group();
  return nullptr;
}

// --- collectives -----------------------------------------------------------------------------------------------------

struct Arguments {
  Tensors outputs, inputs;
  int64_t root;  // the other rank of send and recv
  int64_t tag;
  c10d::ReduceOp op;
};

using Start = Work (*)(NotedBackend&, Arguments&);

template <class Options>
Options rooted(const Arguments& arguments) {
  Options options;
  options.rootRank = arguments.root;
  return options;
}

template <class Options>
Options reducing(const Arguments& arguments) {
  Options options;
  options.reduceOp = arguments.op;
  return options;
}

std::vector<Tensors> listed(const Tensors& tensors) {
  return tensors.empty() ? std::vector<Tensors>() : std::vector<Tensors>{tensors};
}

// On ranks other than the root, gather has no outputs and scatter no inputs.
const std::map<std::string, Start>& collectives() {
  static const std::map<std::string, Start> table = {
      {"broadcast",
       [](NotedBackend& to, Arguments& a) { return to.broadcast(a.inputs, rooted<c10d::BroadcastOptions>(a)); }},
      {"allReduce",
       [](NotedBackend& to, Arguments& a) { return to.allreduce(a.inputs, reducing<c10d::AllreduceOptions>(a)); }},
      {"reduce",
       [](NotedBackend& to, Arguments& a) {
         auto options = rooted<c10d::ReduceOptions>(a);
         options.reduceOp = a.op;
         return to.reduce(a.inputs, options);
       }},
      {"allGather",
       [](NotedBackend& to, Arguments& a) {
         auto outputs = listed(a.outputs);
         return to.allgather(outputs, a.inputs, {});
       }},
      {"gather",
       [](NotedBackend& to, Arguments& a) {
         auto outputs = listed(a.outputs);
         return to.gather(outputs, a.inputs, rooted<c10d::GatherOptions>(a));
       }},
      {"scatter",
       [](NotedBackend& to, Arguments& a) {
         auto inputs = listed(a.inputs);
         return to.scatter(a.outputs, inputs, rooted<c10d::ScatterOptions>(a));
       }},
      {"reduceScatter",
       [](NotedBackend& to, Arguments& a) {
         auto inputs = listed(a.inputs);
         return to.reduce_scatter(a.outputs, inputs, reducing<c10d::ReduceScatterOptions>(a));
       }},
      {"allToAll", [](NotedBackend& to, Arguments& a) { return to.alltoall(a.outputs, a.inputs, {}); }},
      {"barrier", [](NotedBackend& to, Arguments&) { return to.barrier({}); }},
      {"send",
       [](NotedBackend& to, Arguments& a) {
         return to.send(a.inputs, static_cast<int>(a.root), static_cast<int>(a.tag));
       }},
      {"recv",
       [](NotedBackend& to, Arguments& a) {
         return to.recv(a.outputs, static_cast<int>(a.root), static_cast<int>(a.tag));
       }},
  };
  return table;
}

c10d::ReduceOp reduceOpOf(const std::string& name) {
  static const std::map<std::string, c10d::ReduceOp::RedOpType> table = {
      {"sum", c10d::ReduceOp::SUM},   {"product", c10d::ReduceOp::PRODUCT}, {"min", c10d::ReduceOp::MIN},
      {"max", c10d::ReduceOp::MAX},   {"band", c10d::ReduceOp::BAND},       {"bor", c10d::ReduceOp::BOR},
      {"bxor", c10d::ReduceOp::BXOR},
  };
  const auto found = table.find(name);
  if (found == table.end()) throw BridgeError("BAD_ARGUMENT", "unknown reduction: " + name);
  return found->second;
}

struct Pending {
  Work work;
  c10::intrusive_ptr<NotedBackend> backend;
  Entered entered;

  void wait() const {
    try {
      work->wait();  // until the timeout of the group
    } catch (const c10::Error& error) {
      backend->fail(entered, error.what_without_backtrace());
    } catch (const std::exception& error) {
      backend->fail(entered, error.what());
    }
  }
};

// group, name, outputs, inputs, root, tag, reduction
napi_value collectiveStart(const Call& call) {
  const Group& group = groupOf(call, 0);
  const auto found = collectives().find(call.string(1));
  if (found == collectives().end()) throw BridgeError("BAD_ARGUMENT", "unknown collective: " + call.string(1));
  Arguments arguments{tensorsOf(call, 2), tensorsOf(call, 3), call.integer(4), call.integer(5),
                      reduceOpOf(call.string(6))};
  Work work = found->second(*group.backend, arguments);
  return toExternal(call.env, Pending{std::move(work), group.backend, group.backend->last()});
}

napi_value workWait(const Call& call) {
  fromExternal<Pending>(call, 0).wait();
  return nullptr;
}

napi_value workDone(const Call& call) {
  return inBackground(call.env, [pending = fromExternal<Pending>(call, 0)]() -> Settle {
    pending.wait();
    return settleUndefined;
  });
}

// A work keeps its group and the store; one that has ended is not to do so until it is collected.
napi_value workRelease(const Call& call) {
  fromExternal<Pending>(call, 0) = Pending();
  return nullptr;
}

napi_value workIsCompleted(const Call& call) {
  return mezzo::toJs(call.env, fromExternal<Pending>(call, 0).work->isCompleted());
}

}  // namespace

Group& groupOf(const Call& call, size_t argument) {
  auto& group = fromExternal<Group>(call, argument);
  if (!group.backend) throw BridgeError("DISTRIBUTED", "the process group was destroyed");
  return group;
}

}  // namespace distributed

void registerDistributed(napi_env env, napi_value exports) {
  using namespace distributed;
  define<storeOpen>(env, exports, "storeOpen");
  define<storePrefix>(env, exports, "storePrefix");
  define<storePort>(env, exports, "storePort");
  define<storeClose>(env, exports, "storeClose");
  define<storeSet>(env, exports, "storeSet");
  define<storeCompareSet>(env, exports, "storeCompareSet");
  define<storeAdd>(env, exports, "storeAdd");
  define<storeDelete>(env, exports, "storeDelete");
  define<storeCheck>(env, exports, "storeCheck");
  define<storeNumKeys>(env, exports, "storeNumKeys");
  define<storeGet>(env, exports, "storeGet");
  define<storeWait>(env, exports, "storeWait");
  define<groupOpen>(env, exports, "groupOpen");
  define<groupClose>(env, exports, "groupClose");
  define<collectiveStart>(env, exports, "collectiveStart");
  define<workWait>(env, exports, "workWait");
  define<workDone>(env, exports, "workDone");
  define<workRelease>(env, exports, "workRelease");
  define<workIsCompleted>(env, exports, "workIsCompleted");
}

}  // namespace mezzo
