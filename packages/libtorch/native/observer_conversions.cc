// Follows data that was cast until it is cast back: X → Y → X is work and traffic for nothing when no operator
// between the two needed Y.
#include <algorithm>

#include "observer.h"

namespace mezzo::observer {
namespace {

constexpr size_t kLongestChain = 8;  // a longer one is a region of its own, not a detour

bool isParameter(const at::Tensor& tensor) { return tensor.requires_grad() && tensor.is_leaf(); }

}  // namespace

void Session::noteConversion(Frame& owner, const at::Tensor& tensor) {
  const c10::TensorImpl* key = tensor.unsafeGetTensorImpl();
  const auto known = converted_.find(key);
  // Another tensor may have taken the place of one that is gone.
  if (known != converted_.end() && !known->second.tensor.expired()) {
    owner.conversions.emplace_back(key, known->second.conversion);
  } else if (!isParameter(tensor)) {
    owner.conversions.emplace_back(key, Conversion{tensor.scalar_type(), tensor.scalar_type(), {}});
  }
}

void Session::noteRoundTrip(const Conversion& out, const Cast& back, int32_t entry) {
  const auto same = std::find_if(roundTrips.begin(), roundTrips.end(), [&](const RoundTrip& each) {
    return each.back == entry && each.chain == out.chain;
  });
  RoundTrip& trip =
      same != roundTrips.end() ? *same : roundTrips.emplace_back(RoundTrip{out.chain, entry, out.from, out.to});
  trip.count++;
  trip.bytes += out.bytes + back.bytes;
  trip.time += out.time + back.time;
}

void Session::follow(const Frame& owner, int32_t entry, const std::vector<at::Tensor>& outputs) {
  std::optional<Conversion> begun, continued;
  for (const auto& [tensor, conversion] : owner.conversions) {
    const auto cast = std::find_if(owner.casts.begin(), owner.casts.end(),
                                   [source = tensor](const Cast& each) { return each.source == source; });
    const bool converted = !conversion.chain.empty();
    if (cast == owner.casts.end()) {
      if (converted && !continued) continued = conversion;
    } else if (converted && cast->from == conversion.to && cast->to == conversion.from) {
      noteRoundTrip(conversion, *cast, entry);
    } else if (!begun) {
      begun = Conversion{cast->from, cast->to, {}, cast->bytes, cast->time};
    }
  }
  // An operator of the low list computes something new, in the dtype it is there for.
  if (owner.rule == Rule::LowList) return;
  std::optional<Conversion>& next = continued ? continued : begun;
  if (continued && begun && begun->from == continued->from && begun->to == continued->to) {
    continued->bytes += begun->bytes;
    continued->time += begun->time;
  }
  if (!next || next->chain.size() >= kLongestChain) return;
  next->chain.push_back(entry);
  for (const at::Tensor& output : outputs) {
    if (output.scalar_type() != next->to) continue;
    converted_.insert_or_assign(
        output.unsafeGetTensorImpl(),
        Converted{c10::weak_intrusive_ptr<c10::TensorImpl>(output.getIntrusivePtr()), *next});
  }
}

}  // namespace mezzo::observer
