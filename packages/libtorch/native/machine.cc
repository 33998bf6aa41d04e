// Threads, build facts and LibTorch's global switches.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <array>
#include <utility>

#include "compat.h"
#include "environment.h"
#include "register.h"

namespace mezzo {
namespace {

napi_value setNumThreads(const Call& call) {
  const int64_t count = call.integer(0);
  if (count < 1) throw BridgeError("BAD_ARGUMENT", "the number of threads must be at least 1");
  at::set_num_threads(static_cast<int>(count));
  return nullptr;
}

napi_value getNumThreads(const Call& call) {
  return toJs(call.env, static_cast<double>(at::get_num_threads()));
}

napi_value cpuCapability(const Call& call) { return toJs(call.env, at::get_cpu_capability()); }

napi_value buildInfo(const Call& call) {
  const at::Context& context = at::globalContext();
  napi_value result = newObject(call.env);
  setProperty(call.env, result, "version", toJs(call.env, std::string_view(TORCH_VERSION)));
  setProperty(call.env, result, "mkldnn", toJs(call.env, context.hasMKLDNN()));
  setProperty(call.env, result, "openmp", toJs(call.env, context.hasOpenMP()));
  setProperty(call.env, result, "mkl", toJs(call.env, context.hasMKL()));
  setProperty(call.env, result, "parallel", toJs(call.env, at::get_parallel_info()));
  return result;
}

struct Flag {
  const char* name;
  bool (*get)(at::Context&);
  void (*set)(at::Context&, bool);
};

constexpr std::array<Flag, 6> kFlags = {{
    {"cudnn.benchmark", [](at::Context& c) { return c.benchmarkCuDNN(); },
     [](at::Context& c, bool on) { c.setBenchmarkCuDNN(on); }},
    {"cudnn.deterministic", [](at::Context& c) { return c.deterministicCuDNN(); },
     [](at::Context& c, bool on) { c.setDeterministicCuDNN(on); }},
    {"cudnn.allowTf32", [](at::Context& c) { return compat::allowTf32Cudnn(c); },
     [](at::Context& c, bool on) { compat::setAllowTf32Cudnn(c, on); }},
    {"cuda.matmul.allowTf32", [](at::Context& c) { return compat::allowTf32Matmul(c); },
     [](at::Context& c, bool on) { compat::setAllowTf32Matmul(c, on); }},
    {"mkldnn.enabled", [](at::Context& c) { return c.userEnabledMkldnn(); },
     [](at::Context& c, bool on) { c.setUserEnabledMkldnn(on); }},
    // warn only, as trainers use it: an op without a deterministic kernel still runs
    {"deterministic", [](at::Context& c) { return c.deterministicAlgorithms(); },
     [](at::Context& c, bool on) { c.setDeterministicAlgorithms(on, true); }},
}};

const Flag& flag(const Call& call) {
  const std::string name = call.string(0);
  for (const Flag& known : kFlags) {
    if (name == known.name) return known;
  }
  throw BridgeError("BAD_ARGUMENT", "there is no flag '" + name + "'");
}

napi_value getFlag(const Call& call) { return toJs(call.env, flag(call).get(at::globalContext())); }
napi_value setFlag(const Call& call) {
  flag(call).set(at::globalContext(), call.boolean(1));
  return nullptr;
}

// libtorch_cuda registers its kernels when it is opened, which must happen before anything asks for CUDA.
napi_value openLibrary(const Call& call) {
  const std::string path = call.string(0);
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    throw BridgeError("LIBRARY", reason != nullptr ? reason : "could not open " + path);
  }
  return nullptr;
}

}  // namespace

void registerMachine(napi_env env, napi_value exports) {
  define<setNumThreads>(env, exports, "setNumThreads");
  define<getNumThreads>(env, exports, "getNumThreads");
  define<cpuCapability>(env, exports, "cpuCapability");
  define<buildInfo>(env, exports, "buildInfo");
  define<getFlag>(env, exports, "getFlag");
  define<setFlag>(env, exports, "setFlag");
  define<openLibrary>(env, exports, "openLibrary");
}

}  // namespace mezzo
