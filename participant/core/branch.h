// One branch in a participant's memory, and the table of all of them. Every change of state goes
// through BranchTable::enter, which refuses what the transition table does not allow and keeps the
// counters and the set of watched branches: they cannot drift.
#pragma once

#include "participant/core/effects.h"
#include "participant/core/inputs.h"
#include "participant/core/state.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace twofold::participant {

enum class WorkMode : std::uint8_t {
    none,         // known from a listing or a decision only
    one_shot,     // execute_prepare
    interactive,  // executes, then prepare
    one_phase,    // runs and commits at once
};

// Somebody who waits for the answer to an item.
struct Waiter {
    ReplyTicket ticket;
    protocol::ItemOp op = protocol::ItemOp::abort;
    std::uint32_t tries = 0;  // of finishing, since it began to wait
};

struct Branch {
    protocol::BranchKey key;
    std::string gid;  // as listed, or as first made: never rendered again
    BranchState state = BranchState::absent;
    std::uint64_t changed_at = 0;  // BranchTable's order of the last change of state
    WorkMode mode = WorkMode::none;
    // What the coordinator said, by an item or by an inquiry's answer. Never changes once set.
    std::optional<protocol::Decision> decision;
    std::string operator_reason;  // not empty: a person made this decision
    std::vector<Waiter> waiters;

    // The vote or the end, for duplicates.
    bool voted_yes = false;
    bool voted_no = false;
    protocol::Reason reason;
    std::optional<protocol::ProofToken> proof;
    protocol::JsonText results;
    bool executed = true;
    bool recorded = true;
    std::optional<protocol::IdempotencyKey> idempotency;
    std::optional<protocol::TxnId> original;  // had done the same work under the same key
    bool key_free = false;                    // nothing committed has the key

    // Work
    protocol::BranchWork work;  // until it starts
    std::uint64_t queue_number = 0;
    protocol::Epoch sender_epoch = 0;  // of who sent the work; 0: an application
    bool holds_slot = false;
    bool work_running = false;  // WorkDone or ExecuteDone is to come
    bool prepare_sent = false;  // interactive: without it the branch cannot be prepared
    bool cancel_confirmed = false;
    protocol::WorkResult late_work;  // what the work answered while it was being cancelled

    // Interactive
    std::uint32_t sequence = 0;  // of the last execute that was accepted
    TimerId session_timer;       // the end of the transaction's time
    std::vector<ReplyTicket> execute_waiters;
    ExecuteStatus execute_status = ExecuteStatus::unknown;  // of the last execute
    protocol::JsonText execute_results;

    // Finishing and asking
    bool finish_running = false;  // FinishDone is to come: never two calls at a time
    std::uint32_t tries = 0;
    TimerId timer;            // the one that counts; others of this branch are stale
    std::uint32_t ticks = 0;  // inquiry intervals seen in this state
    bool asked = false;
    bool unfinishable = false;
    std::set<std::string, std::less<>> alarmed;  // codes already raised
};

// Keys of one coordinator are neighbours, oldest first, so that a low-water mark is a range.
struct KeyOrder {
    bool operator()(const protocol::BranchKey& a, const protocol::BranchKey& b) const;
};

class BranchTable {
public:
    [[nodiscard]] Branch* find(const protocol::BranchKey& key);
    // A new branch in state absent; it must enter another state in the same step.
    Branch& create(const protocol::BranchKey& key);
    // The gate. Entering absent also forgets the branch: the reference is dead afterwards.
    void enter(Branch& branch, BranchState next);

    // A moment between two changes of state. What a listing that was asked for at moment m says
    // about a branch counts only if the branch did not change since.
    std::uint64_t next_moment() { return ++moment_; }

    // Forgets ended branches of this coordinator below the mark. Held and finishing ones stay.
    void prune(const protocol::Incarnation& incarnation, protocol::IdPosition low_water);

    // The oldest branch of this coordinator that has not ended.
    [[nodiscard]] std::optional<protocol::IdPosition> oldest_unfinished(
        const protocol::Incarnation& incarnation, protocol::IdPosition below) const;

    [[nodiscard]] std::size_t count(BranchState state) const {
        return counts_.at(static_cast<std::size_t>(state));
    }
    [[nodiscard]] const std::set<protocol::BranchKey, KeyOrder>& watched() const {
        return watched_;
    }
    [[nodiscard]] const std::map<protocol::BranchKey, Branch, KeyOrder>& all() const {
        return branches_;
    }

private:
    std::map<protocol::BranchKey, Branch, KeyOrder> branches_;
    std::set<protocol::BranchKey, KeyOrder> watched_;
    std::array<std::size_t, kBranchStates> counts_{};
    std::uint64_t moment_ = 0;
};

}  // namespace twofold::participant
