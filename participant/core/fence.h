// Which coordinator process may speak. Per incarnation (each is an independent coordinator) only
// the newest epoch counts: a process that was stopped for minutes and wakes up after its successor
// has started is refused. The highest epoch is durable before anything under it is done: if a crash
// could forget it, the older process could act again after the restart. Compared is the sender's
// epoch, never the transaction's: recovered transactions are older than who sends for them.
#pragma once

#include "participant/core/effects.h"
#include "participant/core/inputs.h"

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
        stale,    // a newer process of this coordinator has spoken
        persist,  // wait(), and make this epoch durable first
        wait,     // wait(): an epoch is on its way to the disk
    };

    void restore(const std::map<protocol::Incarnation, protocol::Epoch>& durable);
    [[nodiscard]] Admission admit(const protocol::SenderStamp& sender);

    // Keeps the input until persisted(). has_room() first.
    void wait(const protocol::Incarnation& incarnation, Waiting input);
    [[nodiscard]] bool has_room(const protocol::Incarnation& incarnation) const;
    // The inputs that waited, in order: admit them again when it succeeded, refuse them otherwise.
    [[nodiscard]] std::vector<Waiting> persisted(const SenderPersisted& input);
    // Nobody waits for this item's answer any more; it is done nevertheless.
    void abandon(ReplyTicket ticket);
    void set_waiting_max(std::size_t waiting_max) { waiting_max_ = waiting_max; }

    // An accepted sender's marks. True when low_water rose.
    bool raise_marks(const protocol::Incarnation& incarnation, const SenderMarks& marks);
    [[nodiscard]] SenderMarks marks(const protocol::Incarnation& incarnation) const;
    // This coordinator spoke since our start.
    [[nodiscard]] bool has_spoken(const protocol::Incarnation& incarnation) const;

private:
    struct Sender {
        protocol::Epoch durable = 0;  // 0: none yet
        protocol::Epoch seen = 0;
        bool persisting = false;
        bool has_spoken = false;
        std::vector<Waiting> waiting;
        SenderMarks marks;
    };
    std::map<protocol::Incarnation, Sender> senders_;
    std::size_t waiting_max_ = 10'000;
};

}  // namespace twofold::participant
