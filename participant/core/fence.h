// Which coordinator process may speak. Per incarnation (each is an independent coordinator) only
// the newest start counts: a process that was stopped for minutes and wakes up after its successor
// has started is refused. Compared is the sender's epoch, never the transaction's: recovered
// transactions are older than who sends for them.
//
// A higher epoch alone proves nothing when the coordinator's log was restored from a copy: the
// copy's next start takes an epoch that was used before, and does not know what was decided after
// the copy was made. Two things give it away, in whatever order messages arrive:
//   another start nonce under the newest epoch    two starts have taken the same one
//   a newer epoch whose start has read less of    what an older start had told us was durable is
//   its log than an older start had told us       not in its log any more
//
// The newest start is durable before anything under it is done: if a crash could forget it, the
// older process could act again after the restart. How far its log is becomes durable with it, and
// now and then later.
#pragma once

#include "participant/core/effects.h"
#include "participant/core/inputs.h"

#include <cstdint>
#include <map>
#include <variant>
#include <vector>

namespace twofold::participant {

// Marks of one coordinator. Both only rise.
struct SenderMarks {
    protocol::IdPosition low_water;  // below it nothing is unfinished here
    protocol::IdPosition horizon;    // below it outcomes are forgotten

    friend bool operator==(const SenderMarks&, const SenderMarks&) = default;
};

class Fence {
public:
    using Waiting = std::variant<ItemReceived, SenderSeen, InquiryAnswered, ExecuteReceived>;
    enum class Admission : std::uint8_t {
        accepted,
        stale,      // a newer process of this coordinator has spoken
        conflict,   // another start has spoken under this epoch: one of the two has a copied log
        went_back,  // its log ends before what an older start has told us
        persist,    // wait(), and make newest() durable first
        wait,       // wait(): a start is on its way to the disk
    };

    void restore(const std::map<protocol::Incarnation, protocol::SenderStamp>& durable);
    [[nodiscard]] Admission admit(const protocol::SenderStamp& stamp);
    // The newest start that was admitted, and the highest position that was told; epoch 0: none.
    [[nodiscard]] protocol::SenderStamp newest(const protocol::Incarnation& incarnation) const;

    // Exactly this start is durable.
    [[nodiscard]] bool is_durable(const protocol::SenderStamp& stamp) const;

    // Keeps the input until persisted(). has_room() first.
    void wait(const protocol::Incarnation& incarnation, Waiting input);
    [[nodiscard]] bool has_room(const protocol::Incarnation& incarnation) const;
    // The inputs that waited, in order: admit them again when it succeeded, refuse them otherwise.
    [[nodiscard]] std::vector<Waiting> persisted(const SenderPersisted& input);
    // What should become durable because a log has grown, or a nonce is known, since; nobody waits
    // for it.
    [[nodiscard]] std::vector<protocol::SenderStamp> take_grown();
    // Nobody waits for this answer any more; what is asked for is done nevertheless.
    void abandon(ReplyTicket ticket);
    void set_waiting_max(std::size_t waiting_max) { waiting_max_ = waiting_max; }

    // An accepted sender's marks. True when low_water rose.
    bool raise_marks(const protocol::Incarnation& incarnation, const SenderMarks& marks);
    [[nodiscard]] SenderMarks marks(const protocol::Incarnation& incarnation) const;
    // This coordinator spoke since our start.
    [[nodiscard]] bool has_spoken(const protocol::Incarnation& incarnation) const;

private:
    // A start, and the highest position that any start up to it has told.
    struct Known {
        protocol::Epoch epoch = 0;  // 0: none yet
        std::uint64_t nonce = 0;    // 0: not noted
        std::uint64_t position = 0;
    };
    struct Sender {
        Known durable;
        Known seen;
        bool persisting = false;
        bool has_spoken = false;
        std::vector<Waiting> waiting;
        SenderMarks marks;
    };
    [[nodiscard]] static Admission judge(const Known& seen, const protocol::SenderStamp& stamp);
    [[nodiscard]] static protocol::SenderStamp stamp_of(const protocol::Incarnation& incarnation,
                                                        const Known& known);

    std::map<protocol::Incarnation, Sender> senders_;
    std::size_t waiting_max_ = 10'000;
};

}  // namespace twofold::participant
