#include "js_thread.h"

#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>
#include <c10/core/StreamGuard.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <optional>
#include <utility>

// Node has it since 20.10; the headers of the npm package do not.
extern "C" NAPI_EXTERN napi_status NAPI_CDECL node_api_post_finalizer(node_api_basic_env env, napi_finalize finalize,
                                                                      void* data, void* hint);

namespace mezzo {
namespace {

// The engine moves calls nested deeper than 60 to threads of its own; from here on they go over the helper thread.
constexpr int kMaxDirectDepth = 50;

// What the operations of one thread depend on, to run some on another thread.
class ThreadState {
 public:
  ThreadState() {
    if (at::accelerator::getAccelerator(false).has_value()) {
      device_ = at::accelerator::getDeviceIndex();
      stream_ = at::accelerator::getCurrentStream(device_);
    }
  }
  c10::DeviceIndex device() const { return device_; }
  const at::ThreadLocalState& local() const { return local_; }
  const std::optional<c10::Stream>& stream() const { return stream_; }

 private:
  at::ThreadLocalState local_;
  c10::DeviceIndex device_ = -1;
  std::optional<c10::Stream> stream_;
};

class ThreadStateGuard {
 public:
  explicit ThreadStateGuard(const ThreadState& state) : local_(state.local()) {
    if (state.stream().has_value()) stream_.reset_stream(*state.stream());
  }

 private:
  at::ThreadLocalStateGuard local_;
  c10::OptionalStreamGuard stream_;
};

// The number of a job, which LibTorch hands on to every thread that works for it.
struct JobMark : c10::DebugInfoBase {
  static auto kind() { return c10::DebugInfoKind::TEST_INFO_2; }  // the tests that use it are LibTorch's own

  explicit JobMark(uint64_t number_) : number(number_) {}
  static uint64_t current() {
    const auto* mark = dynamic_cast<const JobMark*>(c10::ThreadLocalDebugInfo::get(kind()));
    return mark == nullptr ? 0 : mark->number;
  }

  uint64_t number;
};

class HandleScope {
 public:
  explicit HandleScope(napi_env env) : env_(env) { check(env, napi_open_handle_scope(env, &scope_)); }
  ~HandleScope() { napi_close_handle_scope(env_, scope_); }
  HandleScope(const HandleScope&) = delete;
  HandleScope& operator=(const HandleScope&) = delete;

 private:
  napi_env env_;
  napi_handle_scope scope_ = nullptr;
};

thread_local JsThread* here = nullptr;

}  // namespace

// A call of the engine, run by the helper thread or by a thread that waits in `call`.
struct JsThread::Job {
  explicit Job(const std::function<void()>& engine_) : engine(engine_) {}

  void run() {
    try {
      const ThreadStateGuard guard(state);
      const c10::DebugInfoGuard marked(JobMark::kind(), std::make_shared<JobMark>(number));
      engine();
    } catch (...) {
      error = std::current_exception();
    }
  }

  const std::function<void()>& engine;
  const ThreadState state;
  uint64_t number = 0;
  std::thread::id runner;
  std::exception_ptr error;
  bool done = false;
};

// A thread of the engine that waits for the JavaScript thread.
struct JsThread::Callback {
  explicit Callback(const std::function<void(napi_env)>& work_) : work(work_) {}

  const std::function<void(napi_env)>& work;
  const ThreadState state;
  const std::thread::id thread = std::this_thread::get_id();
  const uint64_t origin = JobMark::current();  // the job that this call is part of
  uint64_t started = 0;                        // the job that it waits for
  Job* job = nullptr;  // a backward called from within `work`, which this thread is to run
  std::exception_ptr error;
  bool done = false;
};

struct JsThread::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Callback*> waiting;
  uint64_t jobs = 0;
  size_t pumps = 0;  // engine calls that the JavaScript thread serves
  Job* helperJob = nullptr;
  std::optional<std::thread::id> helper;
  bool closed = false;
};

// --- references ------------------------------------------------------------------------------------------------------

JsReference::JsReference(JsThread& thread, napi_value value) : thread_(thread) {
  thread.drain();
  check(thread.env_, napi_create_reference(thread.env_, value, 1, &reference_));
  thread.references_++;
}

JsReference::~JsReference() { thread_.release(reference_); }

napi_value JsReference::get(napi_env env) const {
  napi_value value = nullptr;
  check(env, napi_get_reference_value(env, reference_, &value));
  return value;
}

// A graph may die on a device's thread or in a finalizer, where references cannot be deleted.
void JsThread::release(napi_ref reference) {
  references_--;
  const std::lock_guard lock(releasedMutex_);
  if (closed_) return;  // the environment has deleted them all
  released_.push_back(reference);
  if (drainPosted_ || std::this_thread::get_id() != id_) return;
  drainPosted_ = node_api_post_finalizer(
                     env_, [](napi_env, void* data, void*) { static_cast<JsThread*>(data)->drain(); }, this, nullptr) ==
                 napi_ok;
}

void JsThread::drain() {
  std::vector<napi_ref> released;
  {
    const std::lock_guard lock(releasedMutex_);
    drainPosted_ = false;
    released.swap(released_);
  }
  for (napi_ref reference : released) napi_delete_reference(env_, reference);
}

// --- the thread ------------------------------------------------------------------------------------------------------

JsThread::JsThread(napi_env env, Environment& environment)
    : env_(env), environment_(environment), shared_(std::make_shared<Shared>()) {}

void JsThread::open(napi_env env, Environment& environment) {
  // Graphs may outlive their environment, so these stay, as environments do.
  static std::mutex mutex;
  static std::vector<std::unique_ptr<JsThread>> all;
  std::unique_ptr<JsThread> thread(new JsThread(env, environment));
  here = thread.get();
  check(env, napi_add_env_cleanup_hook(env, [](void* data) { static_cast<JsThread*>(data)->close(); }, here));
  const std::lock_guard lock(mutex);
  all.push_back(std::move(thread));
}

JsThread& JsThread::current() { return *here; }

// Threads that wait for JavaScript get an error, which ends their engine call.
void JsThread::close() {
  {
    const std::lock_guard lock(releasedMutex_);
    closed_ = true;
    released_.clear();
  }
  std::unique_lock lock(shared_->mutex);
  shared_->closed = true;
  shared_->changed.notify_all();
  shared_->changed.wait(lock, [this] { return !shared_->helper.has_value(); });
}

void JsThread::runOnThisThread(const std::function<void(napi_env)>& work) {
  const HandleScope scope(env_);
  try {
    work(env_);
  } catch (const PendingJsException&) {
    napi_value error = nullptr, holder = nullptr;
    check(env_, napi_get_and_clear_last_exception(env_, &error));
    check(env_, napi_create_array_with_length(env_, 1, &holder));
    check(env_, napi_set_element(env_, holder, 0, error));
    throw JsError(std::make_shared<JsReference>(*this, holder));
  }
}

void JsThread::call(const std::function<void(napi_env)>& work) {
  if (std::this_thread::get_id() == id_) {
    runOnThisThread(work);
    return;
  }
  Callback callback(work);
  std::unique_lock lock(shared_->mutex);
  if (shared_->pumps == 0) throw BridgeError("TORCH", "JavaScript was called by a backward that it did not start");
  shared_->waiting.push_back(&callback);
  shared_->changed.notify_all();
  while (!callback.done) {
    shared_->changed.wait(lock, [&] { return callback.done || callback.job != nullptr || shared_->closed; });
    if (shared_->closed) throw BridgeError("TORCH", "the JavaScript environment has ended");
    if (Job* job = std::exchange(callback.job, nullptr)) {
      lock.unlock();
      job->run();
      lock.lock();
      job->done = true;
      shared_->changed.notify_all();
    }
  }
  if (callback.error) std::rethrow_exception(callback.error);
}

bool JsThread::needsHelper() const {
  if (!serving_.empty() || alwaysHelper_ || depth_ >= kMaxDirectDepth) return true;
  return references_ > 0 && at::accelerator::getAccelerator(false).has_value();
}

void JsThread::runEngine(const std::function<void()>& engine) {
  try {
    if (needsHelper()) {
      Job job(engine);
      post(job);
      pump(job);
      if (job.error) std::rethrow_exception(job.error);
    } else {
      depth_++;
      try {
        engine();
      } catch (...) {
        depth_--;
        throw;
      }
      depth_--;
    }
  } catch (const JsError& error) {
    napi_value value = nullptr;
    check(env_, napi_get_element(env_, error.holder->get(env_), 0, &value));
    check(env_, napi_throw(env_, value));
    throw PendingJsException{};
  }
  drain();
}

// JavaScript has one stack. While a device's thread runs a job for the call below, it also does its part in jobs that
// this job's calls start, but not longer: were one started by the call of another device that came in between, nobody
// might be left to finish it.
void JsThread::requireOneDevice() const {
  for (size_t i = 1; i < serving_.size(); i++) {
    const Callback &outer = *serving_[i - 1], &inner = *serving_[i];
    if (inner.origin == outer.started || inner.state.device() == outer.state.device()) continue;
    if (outer.thread == shared_->helper || inner.thread == shared_->helper) continue;
    throw BridgeError("NOT_IMPLEMENTED",
                      "backward was called in JavaScript that backward runs for one GPU, while such JavaScript for "
                      "another GPU waits: in a graph over several GPUs, hooks, custom functions and checkpoints on one "
                      "of them only may call backward");
  }
}

// A thread that waits for JavaScript runs the backward that this JavaScript calls: were it another thread's, a device's
// thread would wait for work that is queued behind itself.
void JsThread::post(Job& job) {
  const std::lock_guard lock(shared_->mutex);
  job.number = ++shared_->jobs;
  if (!serving_.empty()) {
    requireOneDevice();
    serving_.back()->started = job.number;
    job.runner = serving_.back()->thread;
    serving_.back()->job = &job;
  } else {
    if (!shared_->helper.has_value()) {
      std::thread helper([shared = shared_] {
        at::init_num_threads();
        std::unique_lock lock(shared->mutex);
        while (true) {
          shared->changed.wait(lock, [&] { return shared->helperJob != nullptr || shared->closed; });
          if (shared->closed) break;
          Job* next = std::exchange(shared->helperJob, nullptr);
          lock.unlock();
          next->run();
          lock.lock();
          next->done = true;
          shared->changed.notify_all();
        }
        shared->helper.reset();
        shared->changed.notify_all();
      });
      shared_->helper = helper.get_id();
      helper.detach();  // `close` waits for its end; at process exit it must not
    }
    job.runner = *shared_->helper;
    shared_->helperJob = &job;
  }
  shared_->pumps++;
  shared_->changed.notify_all();
}

// Serves callbacks until the job is done. One from the helper thread waits while another thread runs the job: it is no
// part of the job, and a backward that it called would wait for that other thread.
void JsThread::pump(Job& job) {
  std::unique_lock lock(shared_->mutex);
  auto& waiting = shared_->waiting;
  const auto next = [&] {
    return std::find_if(waiting.begin(), waiting.end(), [&](const Callback* callback) {
      return callback->thread != shared_->helper || job.runner == shared_->helper;
    });
  };
  while (true) {
    shared_->changed.wait(lock, [&] { return job.done || next() != waiting.end(); });
    if (job.done) break;
    const auto found = next();
    Callback* callback = *found;
    waiting.erase(found);
    lock.unlock();
    serve(*callback);
    lock.lock();
    callback->done = true;
    shared_->changed.notify_all();
  }
  shared_->pumps--;
  if (!serving_.empty()) return;
  // A graph that failed on one device leaves the calls of others behind.
  for (Callback* callback : std::exchange(waiting, {})) {
    callback->error = std::make_exception_ptr(BridgeError("TORCH", "the backward that this belongs to has failed"));
    callback->done = true;
  }
  shared_->changed.notify_all();
}

void JsThread::serve(Callback& callback) {
  serving_.push_back(&callback);
  try {
    const ThreadStateGuard guard(callback.state);
    runOnThisThread(callback.work);
  } catch (...) {
    callback.error = std::current_exception();
  }
  serving_.pop_back();
}

}  // namespace mezzo
