// The coordinator as a pure machine: step(input) -> effects. No I/O, no clock, no threads, no
// randomness. The same code runs in the server and under the simulator.
//
// Owns: all transactions that are not forgotten, the participants' directory, the slot queues
// (a one-shot gets all its exclusive and prepared slots in one step before any branch is sent), the
// low-water marks and the forget horizon. Thread: one.
#pragma once

#include "coordinator/core/effects.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/inputs.h"
#include "coordinator/core/recovered.h"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace twofold::coordinator {

// Deliberate bugs for testing the tests: each switch breaks one rule, and the simulator must
// notice. All false in production; docs/testing.md lists which check catches which.
struct Sabotage {
    bool send_commit_before_decided = false;
    bool answer_before_decided = false;
    bool commit_without_all_votes = false;
    bool treat_unknown_prepare_as_yes = false;
    bool end_before_all_acks = false;
    bool inquiry_abort_while_active = false;
    bool inquiry_abort_below_horizon = false;
    bool forget_unfinished_on_recovery = false;
    bool reuse_sequence_after_restart = false;
    bool accept_stale_epoch_vote = false;
    bool skip_identity_check = false;
    bool give_up_after_three_tries = false;
    bool hazard_counts_as_committed = false;
    bool presume_before_offers = false;
    bool rerun_before_settling = false;
    bool presume_after_restore = false;
    bool drop_sealed_outcomes = false;
    bool forget_late_outcomes = false;
    bool free_keys_early = false;
    bool evict_unforced_keys = false;
};

struct Config {
    std::size_t transactions_max = 100'000;  // in flight; more are refused with `overloaded`
    std::size_t branches_max = 64;
    // At least this long an outcome is remembered, if there is room: of so many ids. A bit each, in
    // memory and in a sealed file. More push the horizon before its time, with an alarm.
    Milliseconds outcome_retention{604'800'000};
    std::uint64_t outcomes_max = 640'000'000;
    // Outcomes are put into a sealed file when so many words of 64 ids have new ones: no checkpoint
    // holds more, and no step handles more.
    std::size_t outcome_words_per_file = 8'192;
    Milliseconds deadline_default{30'000};
    Milliseconds deadline_max{3'600'000};
    Milliseconds retry_min{20};
    Milliseconds retry_max{5'000};
    // So long after a start ids of former starts are not forgotten: branches that were undecided
    // then are known to nobody but their participants, which must have had time to ask.
    Milliseconds horizon_rest{600'000};
    // A decision that a participant has not acknowledged for so long raises an alarm. 0: never.
    Milliseconds undelivered_alarm{60'000};
    std::size_t reports_max = 10'000;  // ended transactions whose report stays in memory
    // Bytes of what statements returned, of all transactions that have ended: the oldest results go
    // first, their reports stay.
    std::size_t results_size_max = 256UL << 20U;
    // Bytes of the work, and of its results, of all transactions that have not ended. New work that
    // does not fit is refused with `overloaded`.
    std::size_t work_size_max = 512UL << 20U;
    std::uint16_t attempts_max = 5;  // of one branch whose participant restarts meanwhile
    // At least this long an idempotency key is remembered; when there are too many, new work with a
    // key is refused. Never forgotten early.
    Milliseconds key_lifetime{3'600'000};
    std::size_t keys_max = 4'000'000;
    // Settled keys are put into a sealed file when there are so many: no checkpoint holds more, and
    // no step handles more.
    std::size_t keys_per_file = 8'192;
    Milliseconds settle_grace{1'000};  // for a one-phase answer after the deadline
    // Who this start is, for whoever hears of it: random; and the LSN up to which it has read its
    // log. 0: unknown.
    std::uint64_t start_nonce = 0;
    std::uint64_t start_position = 0;
    bool log_preparing = true;  // lets recovery abort at once instead of waiting to be asked
    Sabotage sabotage;
};

class Machine {
public:
    Machine(Config config, RecoveredState recovered);
    ~Machine();
    Machine(Machine&&) noexcept;
    Machine& operator=(Machine&&) noexcept;
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    // Another machine in the same state, for looking at more than one future. Between two steps;
    // used on the same thread.
    [[nodiscard]] Machine clone() const;

    // Once, before any step: re-drives what recovery found.
    void start(Effects& effects);
    void step(Input input, Effects& effects);

    // What a client would be told now, without waiting. kind is finished, decided, undecided,
    // not_found, expired or cannot_tell.
    [[nodiscard]] Answer query(const protocol::TxnId& txn) const;
    struct ListFilter {
        std::optional<std::string> state;
        std::optional<protocol::ParticipantNumber> participant;
        std::map<std::string, std::string> labels;
        std::optional<protocol::TxnId> after;  // cursor
        // What only the shell can tell, for example the age; empty: all.
        std::function<bool(const protocol::TxnId&)> accepts;
        std::size_t limit = 50;
    };
    // Transactions in memory by (epoch, sequence).
    [[nodiscard]] std::vector<TransactionReport> list(const ListFilter& filter) const;

    // A participant refuses this start (a newer one drives, or this log went back): it says and
    // decides nothing any more.
    [[nodiscard]] bool stopped() const;

    // Everything known of a transaction in memory, for people; nothing when it is not in memory.
    [[nodiscard]] std::optional<Explanation> explain(const protocol::TxnId& txn) const;

    // Marks for the next batch to this participant. Part of the message, so asked when it is built.
    [[nodiscard]] protocol::IdPosition low_water(protocol::ParticipantNumber participant) const;
    [[nodiscard]] protocol::IdPosition horizon() const;
    [[nodiscard]] protocol::Incarnation incarnation() const;
    [[nodiscard]] protocol::Epoch epoch() const;
    [[nodiscard]] const std::map<protocol::ParticipantNumber, protocol::ParticipantRecord>&
    participants() const;

    // A participant as a person looks at it before deciding something about it.
    struct ParticipantView {
        // Another one when the answer to "what is at stake?" is another one: what is unfinished
        // there, which database it has, which answers, and what it refuses.
        std::uint64_t version = 0;
        std::size_t unfinished = 0;  // branches there
        protocol::Identity enlisted;
        bool mismatched = false;  // another database answers
    };
    // The newest epoch of it that is known; 0: none.
    [[nodiscard]] std::uint32_t participant_epoch(protocol::ParticipantNumber participant) const;
    [[nodiscard]] std::optional<ParticipantView> look_at(
        protocol::ParticipantNumber participant) const;

    // Of every message; `durable_position` is the log's LSN.
    [[nodiscard]] protocol::SenderStamp stamp(std::uint64_t durable_position) const;
    // Why it takes no new work for the moment, or not any more; empty: it does. With the code
    // stale_sender or log_went_back it has stopped for good, and only a person can help.
    [[nodiscard]] protocol::Reason not_ready() const;

    // Everything a checkpoint must hold now. Call between steps; records appended before this call
    // are covered by it, later ones are not.
    [[nodiscard]] std::vector<protocol::Record> checkpoint() const;

    struct Counts {
        std::size_t active = 0;             // not finished
        std::size_t in_doubt = 0;           // decided commit, not acknowledged everywhere
        std::size_t waiting = 0;            // for slots
        std::size_t remembered = 0;         // finished, report still in memory
        std::size_t work_bytes = 0;         // see Config::work_size_max
        std::size_t results_bytes = 0;      // see Config::results_size_max
        std::uint64_t results_dropped = 0;  // transactions, since the start
    };
    [[nodiscard]] Counts counts() const;
    // Of those in doubt: once for each participant that has not acknowledged.
    using InDoubtVisitor = std::function<void(const protocol::TxnId&, protocol::ParticipantNumber)>;
    void visit_in_doubt(const InDoubtVisitor& visit) const;

private:
    class Impl;
    explicit Machine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::coordinator
