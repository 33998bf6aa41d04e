// CUDA devices, through LibTorch's generic accelerator interfaces: no CUDA header is needed to build this.
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/Event.h>
#include <dlfcn.h>

#include <cmath>
#include <unordered_map>

#include "environment.h"
#include "register.h"

namespace mezzo {
namespace {

int64_t deviceCount() {
  return at::globalContext().hasCUDA() ? static_cast<int64_t>(at::accelerator::deviceCount()) : 0;
}

c10::DeviceIndex device(const Call& call) {
  const int64_t index = call.integer(0);
  const int64_t count = deviceCount();
  if (count == 0) throw BridgeError("CUDA_MISSING", "no CUDA device is available (`mezzo doctor` says why)");
  if (index < 0 || index >= count) {
    throw BridgeError("CUDA_MISSING", "there is no CUDA device " + std::to_string(index) + ", only " +
                                          std::to_string(count));
  }
  return static_cast<c10::DeviceIndex>(index);
}

// The runtime and driver that LibTorch itself has loaded, so that both see the same context.
void* runtimeSymbol(const char* name) {
  for (const char* library : {"libcudart.so.13", "libcudart.so.12", "libcuda.so.1"}) {
    if (void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD)) {
      if (void* symbol = dlsym(handle, name)) return symbol;
    }
  }
  throw BridgeError("CUDA_MISSING", std::string("the CUDA runtime has no ") + name);
}

int attribute(c10::DeviceIndex index, int which) {
  using Getter = int (*)(int*, int, int);
  static const auto get = reinterpret_cast<Getter>(runtimeSymbol("cudaDeviceGetAttribute"));
  int value = 0;
  if (get(&value, which, index) != 0) throw BridgeError("CUDA_MISSING", "the CUDA device does not answer");
  return value;
}

napi_value available(const Call& call) { return toJs(call.env, deviceCount() > 0); }
napi_value count(const Call& call) { return toJs(call.env, static_cast<double>(deviceCount())); }

napi_value capability(const Call& call) {
  constexpr int kMajor = 75, kMinor = 76;  // cudaDevAttrComputeCapabilityMajor, …Minor
  const c10::DeviceIndex index = device(call);
  const int64_t version[] = {attribute(index, kMajor), attribute(index, kMinor)};
  return toJs(call.env, std::span<const int64_t>(version));
}

napi_value name(const Call& call) {
  using GetDevice = int (*)(int*, int);
  using GetName = int (*)(char*, int, int);
  const c10::DeviceIndex index = device(call);
  static const auto getDevice = reinterpret_cast<GetDevice>(runtimeSymbol("cuDeviceGet"));
  static const auto getName = reinterpret_cast<GetName>(runtimeSymbol("cuDeviceGetName"));
  int handle = 0;
  char text[256] = "";
  if (getDevice(&handle, index) != 0 || getName(text, sizeof(text), handle) != 0) {
    throw BridgeError("CUDA_MISSING", "the CUDA device does not answer");
  }
  return toJs(call.env, std::string(text));
}

napi_value synchronize(const Call& call) {
  at::accelerator::synchronizeDevice(device(call));
  return nullptr;
}

napi_value memory(const Call& call) {
  const c10::DeviceIndex index = device(call);
  auto* allocator = at::getDeviceAllocator(at::kCUDA);
  constexpr size_t kAll = 0;  // StatType::AGGREGATE
  napi_value result = newObject(call.env);
  const auto put = [&](const char* name, double value) { setProperty(call.env, result, name, toJs(call.env, value)); };
  int64_t allocated = 0, peakAllocated = 0, reserved = 0, peakReserved = 0;
  if (allocator->initialized()) {
    const auto stats = allocator->getDeviceStats(index);
    allocated = stats.allocated_bytes[kAll].current;
    peakAllocated = stats.allocated_bytes[kAll].peak;
    reserved = stats.reserved_bytes[kAll].current;
    peakReserved = stats.reserved_bytes[kAll].peak;
  }
  const auto [free, total] = allocator->getMemoryInfo(index);
  put("allocated", static_cast<double>(allocated));
  put("peakAllocated", static_cast<double>(peakAllocated));
  put("reserved", static_cast<double>(reserved));
  put("peakReserved", static_cast<double>(peakReserved));
  put("free", static_cast<double>(free));
  put("total", static_cast<double>(total));
  return result;
}

napi_value resetPeak(const Call& call) {
  const c10::DeviceIndex index = device(call);
  at::getDeviceAllocator(at::kCUDA)->resetPeakStats(index);
  return nullptr;
}

napi_value emptyCache(const Call& call) {
  device(call);
  at::getDeviceAllocator(at::kCUDA)->emptyCache();
  return nullptr;
}

// Marks in a device's current stream, by number: whether what was queued before has been done.
std::unordered_map<int64_t, c10::Event>& events() {
  thread_local std::unordered_map<int64_t, c10::Event> marks;
  return marks;
}

napi_value record(const Call& call, c10::EventFlag flag) {
  static thread_local int64_t next = 1;
  const c10::DeviceIndex index = device(call);
  c10::Event event(at::kCUDA, flag);
  event.record(at::accelerator::getCurrentStream(index));
  events().emplace(next, std::move(event));
  return toJs(call.env, static_cast<double>(next++));
}

napi_value recordEvent(const Call& call) { return record(call, c10::EventFlag::PYTORCH_DEFAULT); }
napi_value recordTimedEvent(const Call& call) { return record(call, c10::EventFlag::BACKEND_DEFAULT); }

napi_value elapsed(const Call& call) {
  const auto from = events().find(call.integer(0));
  const auto to = events().find(call.integer(1));
  if (from == events().end() || to == events().end()) throw BridgeError("BAD_ARGUMENT", "no such CUDA event");
  if (!to->second.query()) return toJs(call.env, std::nan(""));
  const double milliseconds = from->second.elapsedTime(to->second);
  events().erase(from);
  return toJs(call.env, milliseconds);
}

// An event that is done is forgotten, unless it is timed; asked again it is done still.
napi_value queryEvent(const Call& call) {
  const auto found = events().find(call.integer(0));
  if (found == events().end()) return toJs(call.env, true);
  const bool done = found->second.query();
  if (done && found->second.flag() == c10::EventFlag::PYTORCH_DEFAULT) events().erase(found);
  return toJs(call.env, done);
}

}  // namespace

void registerCuda(napi_env env, napi_value exports) {
  define<available>(env, exports, "cudaAvailable");
  define<count>(env, exports, "cudaDeviceCount");
  define<capability>(env, exports, "cudaCapability");
  define<name>(env, exports, "cudaName");
  define<synchronize>(env, exports, "cudaSynchronize");
  define<memory>(env, exports, "cudaMemory");
  define<resetPeak>(env, exports, "cudaResetPeak");
  define<emptyCache>(env, exports, "cudaEmptyCache");
  define<recordEvent>(env, exports, "cudaRecordEvent");
  define<queryEvent>(env, exports, "cudaQueryEvent");
  define<recordTimedEvent>(env, exports, "cudaRecordTimedEvent");
  define<elapsed>(env, exports, "cudaElapsed");
}

}  // namespace mezzo
