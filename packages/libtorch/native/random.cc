// Generators: seeds and states.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <mutex>

#include "environment.h"
#include "register.h"

namespace mezzo {
namespace {

uint64_t seedOf(const Call& call, size_t i) { return static_cast<uint64_t>(call.integer(i)); }

napi_value manualSeed(const Call& call) {
  at::manual_seed(seedOf(call, 0));
  return nullptr;
}

napi_value defaultGenerator(const Call& call) {
  return toJs(call.env,
              call.environment.generators.add(at::globalContext().defaultGenerator(at::Device(call.string(0)))));
}

napi_value newGenerator(const Call& call) {
  const at::Device device(call.string(0));
  at::Generator generator = device.is_cpu() ? at::detail::createCPUGenerator(seedOf(call, 1))
                                            : at::globalContext().defaultGenerator(device).clone();
  const std::lock_guard lock(generator.mutex());
  generator.set_current_seed(seedOf(call, 1));
  return toJs(call.env, call.environment.generators.add(std::move(generator)));
}

napi_value setSeed(const Call& call) {
  at::Generator& generator = call.environment.generators.get(call.number(0));
  const std::lock_guard lock(generator.mutex());
  generator.set_current_seed(seedOf(call, 1));
  return nullptr;
}

napi_value state(const Call& call) {
  at::Generator& generator = call.environment.generators.get(call.number(0));
  const std::lock_guard lock(generator.mutex());
  const at::Tensor bytes = generator.get_state();
  void* data = nullptr;
  napi_value array = newTypedArray(call.env, napi_uint8_array, bytes.nbytes(), &data);
  std::memcpy(data, bytes.const_data_ptr(), bytes.nbytes());
  return array;
}

napi_value setState(const Call& call) {
  at::Generator& generator = call.environment.generators.get(call.number(0));
  const ArrayView view = typedArray(call.env, call[1]);
  at::Tensor bytes = at::empty({static_cast<int64_t>(view.bytes)}, at::kByte);
  std::memcpy(bytes.data_ptr(), view.data, view.bytes);
  const std::lock_guard lock(generator.mutex());
  generator.set_state(bytes);
  return nullptr;
}

napi_value freeGenerator(const Call& call) {
  call.environment.generators.free(call.number(0));
  return nullptr;
}

}  // namespace

void registerRandom(napi_env env, napi_value exports) {
  define<manualSeed>(env, exports, "manualSeed");
  define<defaultGenerator>(env, exports, "defaultGenerator");
  define<newGenerator>(env, exports, "newGenerator");
  define<setSeed>(env, exports, "generatorSeed");
  define<state>(env, exports, "generatorState");
  define<setState>(env, exports, "setGeneratorState");
  define<freeGenerator>(env, exports, "freeGenerator");
}

}  // namespace mezzo
