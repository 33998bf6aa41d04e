#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "distributed.h"
#include "marshal.h"

namespace mezzo::distributed {
namespace {

constexpr std::chrono::milliseconds kNoteTimeout(2000);

std::string noteKey(int rank) { return "mezzo/entered/" + std::to_string(rank); }

std::string describe(const Tensors& tensors) {
  if (tensors.empty()) return "";
  const std::string first = c10::str(dtypeName(tensors[0].scalar_type()), " ", tensors[0].sizes());
  return tensors.size() == 1 ? first : c10::str(tensors.size(), " x ", first);
}

const char* nameOf(const c10d::ReduceOp& op) {
  static constexpr std::array<const char*, 8> kNames = {"sum", "avg", "product", "min", "max", "band", "bor", "bxor"};
  const auto index = static_cast<size_t>(op.op_);
  return index < kNames.size() ? kNames.at(index) : "another operation";
}

std::string seconds(std::chrono::duration<double> time) { return c10::str(std::round(time.count() * 10) / 10, " s"); }

// The library's text without the place in its sources before it, and the advice and stack after it.
std::string bare(const std::string& reason) {
  const size_t place = reason.starts_with('[') ? reason.find("] ") : std::string::npos;
  const size_t start = place == std::string::npos ? 0 : place + 2;
  const size_t end = std::min(reason.find(". This is typically", start), reason.find("\nException raised from", start));
  return reason.substr(start, end - start);
}

bool contains(const std::string& text, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const char* part) { return text.find(part) != std::string::npos; });
}

}  // namespace

NotedBackend::NotedBackend(c10::intrusive_ptr<c10d::Backend> inner, c10::intrusive_ptr<c10d::Store> notes)
    : Backend(inner->getRank(), inner->getSize()),
      inner_(std::move(inner)),
      notes_(std::move(notes)) {
  notes_->setTimeout(kNoteTimeout);
}

void NotedBackend::enter(const char* operation, const Tensors& tensors, const std::string& detail, bool counts) {
  std::string what = operation;
  if (!tensors.empty()) what += " of " + describe(tensors);
  if (!detail.empty()) what += ", " + detail;
  const std::lock_guard lock(mutex_);
  last_ = {last_.number + (counts ? 1 : 0), std::move(what), std::chrono::steady_clock::now()};
  if (!notesLost_.empty()) return;
  const std::string note = std::to_string(last_.number) + "\n" + last_.what;
  try {
    notes_->set(noteKey(getRank()), std::vector<uint8_t>(note.begin(), note.end()));
  } catch (const std::exception& error) {
    // Rank 0, which serves the store, may have ended in good order, with this as the last collective.
    notesLost_ = bare(error.what());
  }
}

Entered NotedBackend::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

// One line for every rank that is elsewhere, one for all that are in the same collective.
std::string NotedBackend::positions(const Entered& entered) const {
  std::string lines;
  std::vector<std::string> together;
  for (int rank = 0; rank < getSize(); rank++) {
    if (rank == getRank()) continue;
    const std::string subject = c10::str("\n  rank ", rank, ": ");
    try {
      if (!notes_->check({noteKey(rank)})) {
        lines += subject + "has entered no collective of this group";
        continue;
      }
      const auto bytes = notes_->get(noteKey(rank));
      const std::string note(bytes.begin(), bytes.end());
      const size_t end = note.find('\n');
      const Entered other{std::stoull(note.substr(0, end)), note.substr(end + 1), {}};
      if (other.number < entered.number) {
        lines += subject + "has not entered it; the last it entered is " + other.title();
      } else if (other.number > entered.number) {
        lines += subject + "is past it, in " + other.title();
      } else if (other.what != entered.what) {
        lines += subject + "has entered " + other.title() + " instead";
      } else {
        together.push_back(std::to_string(rank));
      }
    } catch (const std::exception& error) {
      lines += "\n  the store, which rank 0 serves, does not answer: " + bare(error.what());
      break;
    }
  }
  if (!together.empty()) lines += c10::str("\n  in it too: rank ", c10::Join(", ", together));
  return lines;
}

void NotedBackend::fail(const Entered& entered, const std::string& reason) const {
  const auto waited = std::chrono::steady_clock::now() - entered.at;
  const bool late = contains(reason, {"imed out", "imeout"});
  const bool lost = contains(reason, {"onnection closed", "onnection reset", "onnection refused", "roken pipe"});
  const char* code = late ? "DISTRIBUTED_TIMEOUT" : lost ? "DISTRIBUTED_PEER_LOST" : "DISTRIBUTED";
  const std::string how = late   ? "waited " + seconds(waited) + " in vain"
                          : lost ? "lost the connection to another rank"
                                 : "failed";
  throw BridgeError(code, c10::str(entered.title(), " on rank ", getRank(), " of ", getSize(), " ", how, ":",
                                   positions(entered), "\n  ", bare(reason)));
}

Work NotedBackend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
  enter("broadcast", tensors, c10::str("from rank ", options.rootRank));
  return inner_->broadcast(tensors, options);
}

Work NotedBackend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
  enter("allReduce", tensors, nameOf(options.reduceOp));
  return inner_->allreduce(tensors, options);
}

Work NotedBackend::reduce(Tensors& tensors, const c10d::ReduceOptions& options) {
  enter("reduce", tensors, c10::str(nameOf(options.reduceOp), " to rank ", options.rootRank));
  return inner_->reduce(tensors, options);
}

Work NotedBackend::allgather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions& options) {
  enter("allGather", inputs, "");
  return inner_->allgather(outputs, inputs, options);
}

Work NotedBackend::gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& options) {
  enter("gather", inputs, c10::str("to rank ", options.rootRank));
  return inner_->gather(outputs, inputs, options);
}

Work NotedBackend::scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& options) {
  enter("scatter", outputs, c10::str("from rank ", options.rootRank));
  return inner_->scatter(outputs, inputs, options);
}

Work NotedBackend::reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                                  const c10d::ReduceScatterOptions& options) {
  enter("reduceScatter", outputs, nameOf(options.reduceOp));
  return inner_->reduce_scatter(outputs, inputs, options);
}

Work NotedBackend::alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& options) {
  enter("allToAll", inputs, "");
  return inner_->alltoall(outputs, inputs, options);
}

Work NotedBackend::barrier(const c10d::BarrierOptions& options) {
  enter("barrier", {}, "");
  return inner_->barrier(options);
}

Work NotedBackend::send(Tensors& tensors, int rank, int tag) {
  enter("send", tensors, c10::str("to rank ", rank, ", tag ", tag), false);
  return inner_->send(tensors, rank, tag);
}

Work NotedBackend::recv(Tensors& tensors, int rank, int tag) {
  enter("recv", tensors, c10::str("from rank ", rank, ", tag ", tag), false);
  return inner_->recv(tensors, rank, tag);
}

}  // namespace mezzo::distributed
