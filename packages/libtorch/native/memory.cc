// Counts what LibTorch allocates on the host: live and peak bytes, and a limit that turns into a JavaScript error.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <limits>

#include "environment.h"
#include "register.h"

namespace mezzo {
namespace {

struct Counters {
  std::atomic<int64_t> liveBytes = 0;
  std::atomic<int64_t> peakBytes = 0;
  std::atomic<int64_t> allocations = 0;
  std::atomic<int64_t> limitBytes = 0;  // 0 = none
};

Counters& counters() {
  static Counters instance;
  return instance;
}

void tellProfiler(void* data, int64_t change, int64_t live) {
  if (!c10::memoryProfilingEnabled()) return;
  c10::reportMemoryUsageToProfiler(data, change, static_cast<size_t>(live), 0, at::Device(at::kCPU));
}

void release(void* data) {
  if (data == nullptr) return;
  const auto size = static_cast<int64_t>(malloc_usable_size(data));
  const int64_t live = counters().liveBytes.fetch_sub(size, std::memory_order_relaxed) - size;
  tellProfiler(data, -size, live);
  c10::free_cpu(data);
}

// The block has no header of ours: oneDNN frees raw blocks through `raw_deleter`, which must see the same pointer.
class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    Counters& count = counters();
    const int64_t limit = count.limitBytes.load(std::memory_order_relaxed);
    if (limit > 0 && count.liveBytes.load(std::memory_order_relaxed) + static_cast<int64_t>(bytes) > limit) {
      C10_THROW_ERROR(OutOfMemoryError,
                      "CPU out of memory: " + std::to_string(bytes) + " bytes wanted, " +
                          std::to_string(count.liveBytes.load()) + " in use, limit " + std::to_string(limit));
    }
    void* data = c10::alloc_cpu(bytes);
    if (data != nullptr) {
      const auto size = static_cast<int64_t>(malloc_usable_size(data));
      const int64_t live = count.liveBytes.fetch_add(size, std::memory_order_relaxed) + size;
      int64_t peak = count.peakBytes.load(std::memory_order_relaxed);
      while (live > peak && !count.peakBytes.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
      }
      count.allocations.fetch_add(1, std::memory_order_relaxed);
      tellProfiler(data, size, live);
    }
    return {data, data, &release, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* destination, const void* source, size_t bytes) const override {
    default_copy_data(destination, source, bytes);
  }
};

// A training step takes and returns the same blocks of many megabytes over and over. By default glibc maps and unmaps
// each of them, and every page is faulted in anew: 5 to 8 % of the CPU time of a bf16 step (`mezzo bench step`).
void keepFreedMemory() {
  for (const char* name : {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}) {
    if (std::getenv(name) != nullptr) return;  // the user decides
  }
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

napi_value stats(const Call& call) {
  const Counters& count = counters();
  napi_value result = newObject(call.env);
  const auto put = [&](const char* name, int64_t value) {
    setProperty(call.env, result, name, toJs(call.env, static_cast<double>(value)));
  };
  put("liveTensors", static_cast<int64_t>(call.environment.tensors.live()));
  put("liveBytes", count.liveBytes.load());
  put("peakBytes", count.peakBytes.load());
  put("allocations", count.allocations.load());
  put("limitBytes", count.limitBytes.load());
  return result;
}

napi_value resetPeak(const Call&) {
  counters().peakBytes.store(counters().liveBytes.load());
  return nullptr;
}

napi_value trim(const Call&) {
  malloc_trim(0);
  return nullptr;
}

napi_value setLimit(const Call& call) {
  counters().limitBytes.store(call.integer(0));
  return nullptr;
}

}  // namespace

void registerMemory(napi_env env, napi_value exports) {
  keepFreedMemory();
  static CountingAllocator allocator;
  c10::SetCPUAllocator(&allocator, 100);
  define<stats>(env, exports, "memoryStats");
  define<resetPeak>(env, exports, "resetPeak");
  define<setLimit>(env, exports, "setMemoryLimit");
  define<trim>(env, exports, "trimMemory");
}

}  // namespace mezzo
