// The JavaScript face of the observer.
#include <array>

#include "autocast_policy.h"
#include "marshal.h"
#include "observer.h"
#include "register.h"

namespace mezzo {
namespace {

using namespace observer;

constexpr std::array<const char*, 8> kRules = {"inputs", "low list", "fp32 list", "promotion",
                                               "island", "cast",     "backward",  "no floats"};

napi_value name(napi_env env, const std::string& text) { return text.empty() ? null(env) : toJs(env, text); }
napi_value seconds(napi_env env, Nanoseconds time) { return toJs(env, static_cast<double>(time) * 1e-9); }
napi_value count(napi_env env, int64_t number) { return toJs(env, static_cast<double>(number)); }

template <typename T, typename Convert>
napi_value list(napi_env env, const std::vector<T>& values, Convert convert) {
  napi_value array = nullptr;
  check(env, napi_create_array_with_length(env, values.size(), &array));
  for (size_t i = 0; i < values.size(); i++) {
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), convert(values[i])));
  }
  return array;
}

napi_value tensor(napi_env env, const TensorNote& note) {
  napi_value result = newObject(env);
  setProperty(env, result, "dtype", toJs(env, dtypeName(note.dtype)));
  setProperty(env, result, "shape", toJs(env, note.shape));
  setProperty(env, result, "layout", toJs(env, note.layout));
  return result;
}

template <typename T>
void setPlace(napi_env env, napi_value result, const T& item) {
  setProperty(env, result, "layer", count(env, item.layer));
  setProperty(env, result, "phase", toJs(env, item.phase == Phase::Forward ? "forward" : "backward"));
  setProperty(env, result, "op", toJs(env, item.op));
  setProperty(env, result, "node", name(env, item.node));
  setProperty(env, result, "forwardOp", name(env, item.forwardOp));
  setProperty(env, result, "rule", toJs(env, kRules.at(static_cast<size_t>(item.rule))));
}

napi_value entryToJs(napi_env env, const Entry& entry) {
  napi_value result = newObject(env);
  const auto note = [&](const TensorNote& each) { return tensor(env, each); };
  setPlace(env, result, entry);
  setProperty(env, result, "decidedBy", name(env, entry.decidedBy));
  setProperty(env, result, "device", toJs(env, entry.device));
  setProperty(env, result, "inputs", list(env, entry.inputs, note));
  setProperty(env, result, "computed", list(env, entry.computed, note));
  setProperty(env, result, "outputs",
              list(env, entry.outputs, [&](at::ScalarType dtype) { return toJs(env, dtypeName(dtype)); }));
  setProperty(env, result, "count", count(env, entry.count));
  setProperty(env, result, "seconds", seconds(env, entry.time));
  setProperty(env, result, "selfSeconds", seconds(env, entry.selfTime));
  setProperty(env, result, "casts", count(env, entry.casts));
  setProperty(env, result, "castBytes", count(env, entry.castBytes));
  setProperty(env, result, "castSeconds", seconds(env, entry.castTime));
  return result;
}

napi_value eventToJs(napi_env env, const NonFinite& event) {
  napi_value result = newObject(env);
  setPlace(env, result, event);
  setProperty(env, result, "inner", name(env, event.inner));
  setProperty(env, result, "inputs", list(env, event.inputs, [&](const Magnitude& each) {
                napi_value input = tensor(env, each.tensor);
                setProperty(env, input, "largest", toJs(env, each.largest));
                return input;
              }));
  setProperty(env, result, "output", tensor(env, *event.output));
  return result;
}

napi_value roundTripToJs(napi_env env, const RoundTrip& trip) {
  napi_value result = newObject(env);
  setProperty(env, result, "chain", list(env, trip.chain, [&](int32_t entry) { return count(env, entry); }));
  setProperty(env, result, "back", count(env, trip.back));
  setProperty(env, result, "from", toJs(env, dtypeName(trip.from)));
  setProperty(env, result, "to", toJs(env, dtypeName(trip.to)));
  setProperty(env, result, "count", count(env, trip.count));
  setProperty(env, result, "bytes", count(env, trip.bytes));
  setProperty(env, result, "seconds", seconds(env, trip.time));
  return result;
}

Session& session() {
  Session* running = Session::current();
  if (running == nullptr) throw BridgeError("BAD_ARGUMENT", "nothing is being observed on this thread");
  return *running;
}

napi_value begin(const Call& call) {
  if (Session::current() != nullptr) throw BridgeError("BAD_ARGUMENT", "this thread is being observed already");
  Session::begin(call.boolean(0), call.boolean(1));
  return nullptr;
}

napi_value end(const Call& call) {
  session();
  const auto ended = Session::end();
  napi_value result = newObject(call.env);
  setProperty(call.env, result, "ops",
              list(call.env, ended->entries, [&](const Entry& entry) { return entryToJs(call.env, entry); }));
  setProperty(call.env, result, "nonFinite",
              list(call.env, ended->events, [&](const NonFinite& event) { return eventToJs(call.env, event); }));
  setProperty(call.env, result, "roundTrips",
              list(call.env, ended->roundTrips, [&](const RoundTrip& trip) { return roundTripToJs(call.env, trip); }));
  setProperty(call.env, result, "failure", name(call.env, ended->failure));
  return result;
}

napi_value enter(const Call& call) {
  session().enter(static_cast<int32_t>(call.integer(0)));
  return nullptr;
}

napi_value leave(const Call&) {
  session().leave();
  return nullptr;
}

napi_value own(const Call& call) {
  const auto layer = static_cast<int32_t>(call.integer(0));
  for (const at::Tensor& parameter : tensorsOf(call, 1)) session().own(layer, parameter);
  return nullptr;
}

napi_value policy(const Call& call) {
  const AutocastRule& rule = autocastRule(operatorById(static_cast<size_t>(call.integer(0))).handle,
                                          at::Device(call.string(1)).type());
  napi_value result = newObject(call.env);
  setProperty(call.env, result, "policy", toJs(call.env, policyName(rule.policy)));
  setProperty(call.env, result, "refusal", name(call.env, rule.refusal));
  return result;
}

}  // namespace

void registerObserver(napi_env env, napi_value exports) {
  define<begin>(env, exports, "observerBegin");
  define<end>(env, exports, "observerEnd");
  define<enter>(env, exports, "observerEnter");
  define<leave>(env, exports, "observerLeave");
  define<own>(env, exports, "observerOwn");
  define<policy>(env, exports, "autocastPolicy");
}

}  // namespace mezzo
