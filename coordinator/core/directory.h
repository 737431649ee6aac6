// Participants: who they are (durable: a number is given once and never again) and what is known of
// them now (reachable, epoch, slots). Numbers are small and dense, so looking one up is an index.
#pragma once

#include "base/boxed.h"
#include "coordinator/core/state.h"
#include "protocol/messages.h"
#include "protocol/records.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace twofold::coordinator {

struct Participant {
    EnlistmentPtr enlistment;
    bool seen = false;                // it has answered since this coordinator started
    bool reachable = false;           // and not been lost since
    bool mismatched = false;          // another database answers in its place: nothing is sent
    bool retiring = false;            // its record is being forced: no new work
    std::optional<Enlistment> found;  // who answered instead, when mismatched
    bool went_back = false;           // its database was restored: no new work, no presumed abort
    std::uint32_t epoch = 0;          // the newest known; 0: none
    bool one_phase = false;
    bool keys = false;       // it finds its one-phase commits by their idempotency keys
    bool read_only = false;  // it says that it can vote so
    bool exclusive = false;
    protocol::Position position;         // the newest known
    protocol::Position logged_position;  // the newest in the log
    // Commits that it has acknowledged, but not yet with a position that is certainly newer: an
    // older copy of its database could hold their branches again and not look older than that.
    struct Acknowledged {
        std::uint64_t number = 0;
        protocol::IdPosition id;
    };
    std::deque<Acknowledged> uncovered;
    std::uint64_t acknowledged = 0;  // how many so far
    // Positions of transactions that may have something there, with the number of branches.
    std::map<protocol::IdPosition, std::uint32_t> outstanding;
    std::set<BranchRef> sleeping;  // wait for their retry timer
    bool undelivered = false;      // an alarm was raised, and it has acknowledged nothing since

    // Another database, or another life of it: its positions count anew.
    void forget_position() {
        position = {};
        logged_position = {};
        uncovered.clear();
    }
};

class Directory {
public:
    explicit Directory(
        const std::map<protocol::ParticipantNumber, protocol::ParticipantRecord>& records);

    [[nodiscard]] const std::map<protocol::ParticipantNumber, protocol::ParticipantRecord>&
    records() const {
        return records_;
    }
    // nullptr: no such number.
    [[nodiscard]] Participant* find(protocol::ParticipantNumber number);
    [[nodiscard]] const Participant* find(protocol::ParticipantNumber number) const;
    [[nodiscard]] Participant& at(protocol::ParticipantNumber number);
    [[nodiscard]] const protocol::ParticipantRecord* find_by_uuid(
        const protocol::ParticipantUuid& uuid) const;
    [[nodiscard]] std::string name_of(protocol::ParticipantNumber number) const;
    // Retired, or about to be: no new work. The participant must exist.
    [[nodiscard]] bool is_retired(protocol::ParticipantNumber number) const;
    // Adds or replaces. The record must be durable.
    void put(const protocol::ParticipantRecord& record);
    // The next unused number; nothing when all 65535 are taken.
    [[nodiscard]] std::optional<protocol::ParticipantNumber> next_number() const;

private:
    std::map<protocol::ParticipantNumber, protocol::ParticipantRecord> records_;
    std::map<protocol::ParticipantUuid, protocol::ParticipantNumber> by_uuid_;
    std::vector<base::Boxed<Participant>> entries_;  // by number
};

}  // namespace twofold::coordinator
