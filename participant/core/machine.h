// A participant as a pure machine: step(input) -> effects. It votes, holds and finishes branches
// and asks the coordinator about those in doubt; it never decides an outcome by itself. No I/O, no
// clock, no threads, no randomness. Thread: one.
#pragma once

#include "participant/core/effects.h"
#include "participant/core/inputs.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace twofold::participant {

// Deliberate bugs for testing the tests; all false in production.
struct Sabotage {
    bool vote_yes_before_durable = false;
    bool forget_tombstone = false;
    bool accept_any_participant_epoch = false;
    bool accept_stale_sender = false;
    bool accept_copied_log = false;
    bool execute_raises_fence = false;
    bool commit_unknown_is_success = false;
    bool resolve_alone_after_restart = false;
    bool abort_on_cannot_tell = false;
    bool abort_on_still_active = false;
    bool failed_listing_is_empty = false;
    bool skip_identity_check = false;
    bool ignore_low_water = false;
    bool abort_without_cancelling = false;
    bool rollback_without_proof = false;
    bool ignore_key_in_progress = false;
    bool replay_is_abort = false;
};

struct Config {
    std::chrono::milliseconds inquiry_interval{5'000};
    std::chrono::milliseconds in_doubt_age{5'000};  // prepared for longer than this: inquire
    std::chrono::milliseconds retry_min{20};
    std::chrono::milliseconds retry_max{2'000};
    std::size_t queue_max = 10'000;  // items that wait for a slot; more are refused
    // Interactive work without a lock_timeout waits at most this long for a slot.
    std::chrono::milliseconds interactive_wait{10'000};
    // An interactive session that was not prepared is ended so long after its transaction's time is
    // over, whether its coordinator still lives or not.
    std::chrono::milliseconds session_grace{500};
    // Those who wait for an end are told `unknown` after so many tries; the tries go on for ever.
    std::uint32_t tries_before_unknown = 3;
    std::size_t inquiry_items_max = 500;  // keys of one SendInquiry; more become several
    Sabotage sabotage;
};

class Machine {
public:
    explicit Machine(Config config);
    ~Machine();
    Machine(Machine&&) noexcept;
    Machine& operator=(Machine&&) noexcept;
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    // Another machine in the same state, for looking at more than one future. Between two steps.
    [[nodiscard]] Machine clone() const;

    void step(Input input, Effects& effects);

    [[nodiscard]] bool ready() const;  // the resource has started and was listed
    struct BranchReport {
        protocol::BranchKey key;
        std::string state;
        protocol::Reason reason;
        std::string gid;
        std::string version;  // changes with the state, and with every start
    };
    // Branches that are not finished, by key.
    [[nodiscard]] std::vector<BranchReport> unfinished() const;
    // It runs, is prepared or is being finished.
    [[nodiscard]] bool is_unfinished(const protocol::BranchKey& key) const;
    struct Counts {
        std::size_t waiting = 0;  // for a slot
        std::size_t running = 0;
        std::size_t prepared = 0;
        std::size_t finishing = 0;
        std::size_t parked = 0;  // need a person
        std::size_t tombstones = 0;
        std::size_t in_doubt = 0;    // of `prepared`: without a vote of this process
        std::size_t remembered = 0;  // other ends kept for duplicates
        std::size_t slots_used = 0;
    };
    [[nodiscard]] Counts counts() const;

private:
    class Impl;
    explicit Machine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::participant
