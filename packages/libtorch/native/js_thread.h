// JavaScript that LibTorch's autograd calls. Node-API may be used on the environment's own thread only, but the engine
// calls from any thread: on the CPU from the one that called backward, on a device from the device's own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "environment.h"

namespace mezzo {

class JsThread;

// A JavaScript value that C++ keeps. It may be dropped on any thread and during garbage collection.
class JsReference {
 public:
  JsReference(JsThread& thread, napi_value value);
  ~JsReference();
  JsReference(const JsReference&) = delete;
  JsReference& operator=(const JsReference&) = delete;

  napi_value get(napi_env env) const;
  JsThread& thread() const { return thread_; }

 private:
  JsThread& thread_;
  napi_ref reference_ = nullptr;
};

// What a JavaScript function threw, on its way through the engine.
struct JsError : std::exception {
  explicit JsError(std::shared_ptr<JsReference> holder_) : holder(std::move(holder_)) {}
  const char* what() const noexcept override { return "a JavaScript function that autograd called has thrown"; }
  std::shared_ptr<JsReference> holder;  // an array around the value, which may be a primitive
};

class JsThread {
 public:
  static void open(napi_env env, Environment& environment);
  static JsThread& current();  // the one that this thread is

  Environment& environment() { return environment_; }

  // Runs `work` on the JavaScript thread and waits for it. Throws JsError for what JavaScript throws.
  void call(const std::function<void(napi_env)>& work);

  // Runs a call of the engine, from the JavaScript thread, so that `call` can be served meanwhile.
  void runEngine(const std::function<void()>& engine);

  void alwaysUseHelper(bool on) { alwaysHelper_ = on; }
  size_t references() const { return references_; }

 private:
  friend class JsReference;
  struct Job;
  struct Callback;
  struct Shared;

  explicit JsThread(napi_env env, Environment& environment);
  void close();

  bool needsHelper() const;
  void post(Job& job);
  void requireOneDevice() const;
  void pump(Job& job);
  void serve(Callback& callback);
  void runOnThisThread(const std::function<void(napi_env)>& work);

  void release(napi_ref reference);
  void drain();

  napi_env env_;
  Environment& environment_;
  const std::thread::id id_ = std::this_thread::get_id();
  const std::shared_ptr<Shared> shared_;  // with the helper thread, which may outlive this object at process exit
  std::vector<Callback*> serving_;        // outermost first
  int depth_ = 0;                         // engine calls that run on the JavaScript thread itself, one in the other
  bool alwaysHelper_ = false;
  std::atomic<size_t> references_ = 0;

  std::mutex releasedMutex_;
  std::vector<napi_ref> released_;
  bool drainPosted_ = false;
  bool closed_ = false;
};

}  // namespace mezzo
