// The newest events, for those who follow them: a bounded ring, so that a reader who comes back
// with the last id it has seen gets what it missed, or is told that something is gone. An event
// costs a slot and no text; its JSON is made for readers only. Thread: the loop's.
#pragma once

#include "protocol/types.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

namespace twofold::coordinator {

struct Event {
    enum class Kind : std::uint8_t { changed, finished, participant, alarm };

    Kind kind = Kind::changed;
    std::uint64_t id = 0;
    protocol::TxnId txn;  // zero: of no transaction
    std::uint64_t version = 0;
    protocol::Outcome outcome = protocol::Outcome::unknown;  // finished
    bool up = false;                                         // participant
    std::string name;                                        // of the participant; may be empty
    std::string code;                                        // alarm; reason of an abort
    std::string text;                                        // alarm; why a participant is down
};

// "id: …", "event: …", "data: {…}" and the empty line, as text/event-stream has them.
[[nodiscard]] std::string sse_text(const Event& event);

class EventRing {
public:
    // Ids begin after `first_id`: unique over restarts when it contains the epoch.
    EventRing(std::size_t size, std::uint64_t first_id) : size_(size), last_id_(first_id) {}

    void add(Event event);
    [[nodiscard]] std::uint64_t last_id() const { return last_id_; }

    // The event after `id`, or nullptr when that was the newest. `gap` becomes true when events in
    // between are gone, or `id` is none of ours.
    [[nodiscard]] const Event* after(std::uint64_t id, bool& gap) const;

    // Called after every event, until unsubscribed. A callback may unsubscribe, itself too.
    std::uint64_t subscribe(std::function<void()> wake);
    void unsubscribe(std::uint64_t subscription) { readers_.erase(subscription); }
    // Nothing more will come: readers are woken to go.
    void close();
    [[nodiscard]] bool closed() const { return closed_; }
    [[nodiscard]] std::size_t readers() const { return readers_.size(); }

private:
    void wake_all();

    std::size_t size_;
    bool closed_ = false;
    std::uint64_t last_id_;
    std::deque<Event> ring_;  // ids without a gap
    std::map<std::uint64_t, std::function<void()>> readers_;
    std::uint64_t next_reader_ = 1;
};

}  // namespace twofold::coordinator
