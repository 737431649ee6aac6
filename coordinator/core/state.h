// What the machine remembers of a transaction and of its branches, and which changes are legal.
// Every change of state goes through Machine::Impl::enter, which asserts these tables in release
// too: an illegal edge means that somebody was told something that is no longer true.
#pragma once

#include "coordinator/core/effects.h"
#include "coordinator/core/inputs.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::coordinator {

enum class TransactionState : std::uint8_t {
    fresh,       // being made; never seen from outside
    waiting,     // one-shot: for its slots; nothing was sent
    active,      // interactive: branches may enlist
    preparing,   // votes are outstanding
    proposing,   // the commit decision is on its way to the disk: nothing can be said
    one_phase,   // its only participant runs and commits it
    settling,    // one-phase: the participant is asked how it ended, until it answers
    committing,  // commit is durable; branches are told until all have acknowledged
    aborting,    // abort is decided; branches are told until all have acknowledged
    committed,   // ended
    aborted,     // ended
    heuristic,   // ended, but not everywhere as decided, or nobody can prove how
};
inline constexpr std::size_t kTransactionStates = 12;

enum class BranchState : std::uint8_t {
    waiting,     // nothing was sent
    enlisted,    // interactive: the participant works for the application
    preparing,   // prepare was sent; it may or may not have arrived
    yes,         // holds its promise
    no,          // nothing of it is left: it refused, or nothing ever reached it
    read_only,   // has nothing to finish
    one_phase,   // work with commit was sent; it may or may not have arrived
    settling,    // one-phase: asked how it ended
    committing,  // told to commit, not acknowledged
    aborting,    // told to abort, not acknowledged
    committed,   // acknowledged
    aborted,     // acknowledged
    recording,   // ended against the decision or unprovably; its record is being forced
    heuristic,   // the same, recorded
    parked,      // needs a person (or the right database); nothing is sent to it
};
inline constexpr std::size_t kBranchStates = 15;

[[nodiscard]] std::string_view to_string(TransactionState state);
// Whether to_string() gives this for any state of a transaction.
[[nodiscard]] bool is_state_name(std::string_view name);
[[nodiscard]] std::string_view to_string(BranchState state);
[[nodiscard]] bool is_legal(TransactionState from, TransactionState to);
[[nodiscard]] bool is_legal(BranchState from, BranchState to);

// No decision exists and one can still be made: holds the horizon.
[[nodiscard]] bool is_undecided(TransactionState state);
// Undecided, and something of it may still be sent to anybody: holds every low-water mark. What is
// one-phase concerns its own participant only, where it is outstanding.
[[nodiscard]] bool holds_every_mark(TransactionState state);
[[nodiscard]] bool is_ended(TransactionState state);
// Something of this branch may be at its participant: holds that participant's low-water mark.
[[nodiscard]] bool is_outstanding(BranchState state);
// Its participant is told the decision, or asked how it ended, until it has answered.
[[nodiscard]] bool is_being_told(BranchState state);

// A participant as it was when branches were enlisted there. Shared and immutable: a rebind makes a
// new one, and what was enlisted before keeps the old identity.
struct Enlistment {
    protocol::ParticipantNumber number;
    protocol::ParticipantUuid uuid;
    protocol::Identity identity;
};
using EnlistmentPtr = std::shared_ptr<const Enlistment>;

struct BranchRef {
    protocol::IdPosition position;
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;

    friend auto operator<=>(const BranchRef&, const BranchRef&) = default;
};

enum class ParkedBecause : std::uint8_t { not_parked, identity, violation };

// One attempt at one branch. The current attempts come first in Transaction::branches, in order of
// their branch number; replaced attempts follow, and only wait for their abort.
struct Branch {
    std::uint16_t branch = 0;
    std::uint16_t attempt = 1;
    bool replaced = false;
    BranchState state = BranchState::waiting;
    EnlistmentPtr at;
    std::uint32_t participant_epoch = 0;
    std::uint64_t session = 0;  // interactive
    std::optional<std::uint32_t> expected_executes;
    protocol::JsonText work;
    protocol::BranchOptions options;
    // The answers
    protocol::Reason reason;
    protocol::JsonText results;
    std::optional<protocol::ProofToken> proof;
    protocol::Outcome outcome = protocol::Outcome::unknown;  // heuristic_* in recording, heuristic
    std::string evidence;
    bool by_operator = false;   // `outcome` is a person's word
    bool contradicted = false;  // and its participant has said otherwise since; an alarm told it
    ParkedBecause parked = ParkedBecause::not_parked;
    // Retries
    std::uint32_t tries = 0;
    Milliseconds delay{0};
    TimerId retry_timer;
    TimerId undelivered_timer;
    bool undelivered = false;  // for so long that it deserved an alarm
    std::optional<protocol::ItemOp> last_op;
    protocol::Position position_at_send;     // the participant's, known when last_op was first sent
    std::uint64_t acknowledged_at_send = 0;  // commits of the participant, then
    bool cancel_first = false;  // one-phase: the client does not want its work any more
    bool in_decision = false;   // named by the commit decision
    bool holds_slot = false;
};

enum class Wish : std::uint8_t { commit, abort, outcome };

struct Waiter {
    Ticket ticket;
    Wish wish = Wish::outcome;
    WaitFor wait = WaitFor::applied;
    TimerId timer;          // 0: answered with the transaction's own deadline
    bool repeated = false;  // came under the key of another request
    bool by_key = false;    // asks for the outcome of its idempotency key, not of this id
};

// A transaction's version goes up with every change, over restarts too: a transaction of a former
// start begins with the number of this one here. What was forgotten has the last one of its start.
inline constexpr std::uint64_t kVersionsPerStart = std::uint64_t{1} << 20U;

struct Transaction {
    protocol::TxnId id;
    protocol::IdPosition position;
    TransactionState state = TransactionState::fresh;
    bool one_shot = false;
    bool recovered = false;
    bool logged = false;        // the log has a record of it: an END is worth writing
    bool abort_logged = false;  // its abort is in the log, and not only presumed
    bool sent = false;          // something left for a participant
    bool recorded = true;       // false: committed without any record (nothing was written)
    bool results_lost = false;
    std::optional<protocol::Decision> decision;
    std::vector<protocol::MemberRecord> members;  // one
    std::vector<Branch> branches;
    std::uint16_t branch_count = 0;  // without replaced attempts
    std::uint32_t outstanding = 0;   // branches in an outstanding state
    Milliseconds deadline{0};
    Milliseconds idle_deadline{0};
    protocol::Reason reason;
    std::uint16_t blamed_branch = 0;
    // Of one that ended before this start, not everywhere as decided: as it was recorded then.
    std::optional<protocol::Outcome> ended_as;
    std::vector<Waiter> waiters;
    TimerId deadline_timer;
    TimerId idle_timer;
    std::uint64_t version = 0;
    // The client's key is being forced with the abort, or has been: answers wait for it.
    bool key_forcing = false;
    // The participant has said that no other id has done the key's work.
    bool key_confirmed = false;
    // This id did nothing: the same request was, or is, answered by that one.
    std::optional<protocol::TxnId> answered_by;
    bool key_forced = false;
    std::size_t bytes = 0;           // of work, labels and results, while it has not ended
    std::size_t results_bytes = 0;   // since it has ended
    std::uint64_t results_kept = 0;  // its place among those whose results are kept; 0: none

    [[nodiscard]] const protocol::MemberRecord& member() const { return members.front(); }
};

}  // namespace twofold::coordinator
