// Messages between coordinator and participant. One request carries an array of items for many
// transactions; results come back per item, in any order, keyed by (group, branch, attempt, op).
// Only an answer that echoes key, participant uuid and identity is an answer: anything else leaves
// the item unknown. Work and results are opaque JSON text here: the protocol never looks inside.
// JSON forms: protocol/json.h.
#pragma once

#include "protocol/types.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::protocol {

// Shared, immutable JSON text (a branch's work, a statement's results).
using JsonText = std::shared_ptr<const std::string>;

enum class ItemOp : std::uint8_t {
    execute_prepare = 1,   // run the work, then prepare: one round trip
    prepare = 2,           // prepare an interactive branch whose work was executed before
    one_phase = 3,         // run the work and commit at once; the participant holds the outcome
    commit = 4,            // finish a prepared branch
    abort = 5,             // finish or forbid a branch; always allowed, idempotent
    settle_one_phase = 6,  // prove the outcome of a one-phase branch, or forbid it for ever
};

enum class Isolation : std::uint8_t {
    participant_default = 0,
    read_committed = 1,
    repeatable_read = 2,
    serializable = 3,
};

struct BranchOptions {
    Isolation isolation = Isolation::participant_default;
    std::uint32_t lock_timeout_ms = 0;       // 0 = the participant's default
    std::uint32_t statement_timeout_ms = 0;  // 0 = the participant's default

    friend bool operator==(const BranchOptions&, const BranchOptions&) = default;
};

struct Item {
    ItemOp op = ItemOp::abort;
    BranchKey key;
    // Epoch of the participant at enlistment. Work is refused in any other; commit, abort and
    // settle_one_phase are valid in every epoch.
    std::uint32_t participant_epoch = 0;
    JsonText work;                  // execute_prepare, one_phase
    BranchOptions options;          // execute_prepare, one_phase
    std::uint32_t deadline_ms = 0;  // what is left of the transaction's time, a duration; 0 = none
    std::optional<std::uint32_t> expected_executes;  // prepare
    std::optional<ProofToken> proof;                 // commit, abort: what came with the vote
    // one_phase, and settle_one_phase and abort of a one-phase id; execute_prepare of a transaction
    // with a single branch: what was one-phase before may be two-phase now.
    std::optional<IdempotencyKey> idempotency;
};

enum class ItemStatus : std::uint8_t {
    // votes (execute_prepare, prepare)
    yes = 1,
    no = 2,
    read_only = 3,
    // ends (commit, abort, one_phase, settle_one_phase)
    committed = 4,
    aborted = 5,
    finished_earlier = 6,  // below low_water: ended and acknowledged long ago
    // nothing was done, and it says why: the request must not be repeated as it is
    refused = 7,
    // the participant cannot tell yet: ask again
    unknown = 8,
    // proved to have ended against the decision, or impossible to prove
    heuristic_commit = 9,
    heuristic_abort = 10,
    hazard = 11,
};

// So long, at least, a participant with `keys` finds a one-phase commit by its idempotency key.
inline constexpr std::chrono::milliseconds kParticipantKeyRetention{7'200'000};

// Codes of `refused`, `no` and `unknown`. Stable: clients and tests see them.
namespace reason {
inline constexpr std::string_view kStaleParticipantEpoch = "stale_participant_epoch";
inline constexpr std::string_view kStaleSender = "stale_sender";
// Of a coordinator whose log was restored from a copy: another start had its epoch, or its log ends
// before what an older start has told.
inline constexpr std::string_view kSenderConflict = "sender_conflict";
inline constexpr std::string_view kLogWentBack = "log_went_back";
inline constexpr std::string_view kIdentityMismatch = "identity_mismatch";
inline constexpr std::string_view kBelowLowWater = "below_low_water";
inline constexpr std::string_view kAfterAbort = "after_abort";
inline constexpr std::string_view kNotPrepared = "not_prepared";
inline constexpr std::string_view kBranchLost = "branch_lost";
inline constexpr std::string_view kStatementFailed = "statement_failed";
inline constexpr std::string_view kExpectationMissed = "expectation_missed";
inline constexpr std::string_view kNotAllowed = "not_allowed";
inline constexpr std::string_view kNotRecordable = "not_recordable";
inline constexpr std::string_view kLockTimeout = "lock_timeout";
inline constexpr std::string_view kStatementTimeout = "statement_timeout";
inline constexpr std::string_view kDeadlock = "deadlock";
inline constexpr std::string_view kSerialization = "serialization_failure";
inline constexpr std::string_view kConstraint = "constraint_violation";
inline constexpr std::string_view kSlotsExhausted = "prepared_slots_exhausted";
inline constexpr std::string_view kNotReplicated = "not_replicated";
inline constexpr std::string_view kUnavailable = "participant_unavailable";
inline constexpr std::string_view kBadRequest = "bad_request";
inline constexpr std::string_view kProtocolViolation = "protocol_violation";
inline constexpr std::string_view kDeadline = "deadline_exceeded";
inline constexpr std::string_view kNotReady = "not_ready";
inline constexpr std::string_view kExecutesDiffer = "executes_differ";
inline constexpr std::string_view kClientAbort = "client_abort";
inline constexpr std::string_view kUnansweredPrepare = "unanswered_prepare";
inline constexpr std::string_view kCoordinatorRestart = "coordinator_restart";
// A branch that had voted yes could not be carried out.
inline constexpr std::string_view kBrokenPromise = "broken_promise";
inline constexpr std::string_view kByOperator = "by_operator";  // a person has decided it
inline constexpr std::string_view kKeyConflict = "idempotency_key_conflict";
// Under the same key another branch runs or is being settled.
inline constexpr std::string_view kKeyInProgress = "idempotency_key_in_progress";
// The key's work was committed by another transaction before.
inline constexpr std::string_view kKeyReplayed = "idempotency_key_replayed";
// This database does one-phase work no more, or not yet. Nothing was done.
inline constexpr std::string_view kOnePhaseUnavailable = "one_phase_unavailable";
}  // namespace reason

struct Reason {
    std::string code;     // one of reason::k…
    std::string message;  // a sentence for a person
    // Details when a statement is to blame: from 0; -1 = none.
    std::int32_t statement_index = -1;
    std::string sqlstate;  // SQLSTATE or "SQLITE_…"; may be empty

    [[nodiscard]] bool empty() const { return code.empty(); }
    friend bool operator==(const Reason&, const Reason&) = default;
};

struct ItemResult {
    // Echo
    ItemOp op = ItemOp::abort;
    BranchKey key;
    ParticipantUuid participant;
    Identity identity;
    std::uint32_t participant_epoch = 0;
    // Answer
    ItemStatus status = ItemStatus::unknown;
    Reason reason;
    std::optional<ProofToken> proof;  // with yes, and with a one-phase commit that wrote
    JsonText results;                 // with yes, read_only and a one-phase commit
    // one-phase commit: false when nothing was written, so nothing is recorded anywhere
    bool recorded = true;
    // A statement of this branch may have taken effect before the answer. False means that a new
    // attempt is allowed.
    bool executed = true;
    // With committed: the work had been committed under the same idempotency key and fingerprint
    // by this transaction before. The branch that was asked for has done nothing and never will.
    std::optional<TxnId> original;
    // With what ends a branch without a commit: nothing else is committed under the item's
    // idempotency key, and nothing of an older start of its coordinator can be any more.
    bool key_free = false;
    Position position;  // the participant's, for noticing that it went back
};

// POST /v1/branches:batch
struct BatchRequest {
    SenderStamp sender;
    ParticipantUuid participant;  // whom the sender believes to address
    Identity identity;
    IdPosition low_water;  // below it nothing of this sender's incarnation is unfinished here
    IdPosition horizon;    // the forget horizon
    std::vector<Item> items;
};

// The answer to a batch without items, in which a coordinator only shows itself. Given when its
// start is durable at the participant: from then on no older one is obeyed there.
struct OfferReply {
    ParticipantUuid participant;
    Identity identity;
    bool accepted = false;
    Reason reason;      // why not
    SenderStamp known;  // the newest start of this incarnation that was accepted; epoch 0: none
};

// POST /v1/branches:inquire, from a participant about branches in doubt
struct InquiryItem {
    BranchKey key;
    std::optional<ProofToken> proof;
};
struct InquiryRequest {
    ParticipantUuid participant;
    Identity identity;
    std::uint32_t participant_epoch = 0;
    Position position;
    // What it knows of the coordinators that it asks about: the newest start that it has accepted,
    // and how far that one's log has been.
    std::vector<SenderStamp> senders;
    std::vector<InquiryItem> items;
};
enum class InquiryAnswer : std::uint8_t {
    commit = 1,
    abort = 2,
    still_active = 3,
    expired = 4,      // below the horizon: nobody can say; park it and raise an alarm
    cannot_tell = 5,  // another incarnation's, a bad tag, or not recovered yet
};
struct InquiryAnswerItem {
    BranchKey key;
    InquiryAnswer answer = InquiryAnswer::cannot_tell;
    std::optional<ProofToken> proof;  // with commit
};
struct InquiryReply {
    SenderStamp sender;
    std::vector<InquiryAnswerItem> items;
};

// GET /v1/participant
struct ParticipantInfo {
    ParticipantUuid uuid;
    std::string name;
    Identity identity;
    std::uint32_t epoch = 0;
    Position position;
    std::uint32_t slots = 0;  // prepared branches at a time that it can hold for us
    bool exclusive = false;   // one prepared branch at a time, others wait (SQLite)
    // What it can. In JSON a capability that is not named is one that it does not have.
    bool batch = true;      // several items in one request; otherwise it gets one at a time
    bool read_only = true;  // may vote read_only
    bool one_phase = true;  // runs and commits at once, and proves later what it did
    bool proof = true;      // its votes carry a proof token, and commits bring it back
    bool epochs = true;     // "epoch": refuses work of older participant epochs and older senders
    bool keys = true;       // finds what it has committed one-phase by its idempotency key
};

[[nodiscard]] std::string_view to_string(ItemOp value);
[[nodiscard]] std::string_view to_string(ItemStatus value);
[[nodiscard]] std::string_view to_string(Isolation value);
[[nodiscard]] std::string_view to_string(InquiryAnswer value);
[[nodiscard]] std::optional<ItemOp> parse_item_op(std::string_view text);
[[nodiscard]] std::optional<ItemStatus> parse_item_status(std::string_view text);
[[nodiscard]] std::optional<Isolation> parse_isolation(std::string_view text);
[[nodiscard]] std::optional<InquiryAnswer> parse_inquiry_answer(std::string_view text);

}  // namespace twofold::protocol
