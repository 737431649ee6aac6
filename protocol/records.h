// Log records: what the coordinator writes to its log. Versioned, little-endian; the bytes are in
// docs/record_format.md and pinned by golden tests. A log is a sequence of records; the first ones
// of every start are a checkpoint that repeats all that still matters.
//
// Forced before anything depends on them: EpochRecord, ParticipantRecord, DecisionRecord(commit),
// HorizonRecord, GivenUpRecord, BranchOutcomeRecord, IdempotentAbortRecord, AcknowledgedRecord,
// RestoreRecord, KeyTurnRecord.
// Lazy: PreparingRecord, DecisionRecord(abort), EndRecord, PositionRecord, OutcomeTurnRecord.
// Losing a lazy record never changes an outcome: an absent decision above the horizon is abort.
#pragma once

#include "base/result.h"
#include "protocol/types.h"

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace twofold::protocol {

// A coordinator start. All are kept in every checkpoint: old ids are checked with their keys.
struct EpochRecord {
    Incarnation incarnation;
    Epoch epoch = 0;
    base::HashKey key{};
    // The newest number that was given before it; the default: it was not noted.
    ParticipantNumber last_participant{0xffff};

    friend bool operator==(const EpochRecord&, const EpochRecord&) = default;
};

// A participant got its number. Never removed, so that numbers are never reused.
struct ParticipantRecord {
    ParticipantNumber number;
    ParticipantUuid uuid;
    std::string name;
    Identity identity;
    bool retired = false;
    // What persons have decided about it, with their reasons, the newest last.
    std::vector<std::string> decisions{};

    friend bool operator==(const ParticipantRecord&, const ParticipantRecord&) = default;
};

// A branch as the log names it. The database's own name for it is
// make_gid({group, branch, attempt}, uuid): a fixed encoding, never rendered differently.
struct BranchRecord {
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;
    ParticipantNumber participant;
    ParticipantUuid uuid;
    Identity identity;
    std::uint32_t participant_epoch = 0;
    Vote vote = Vote::yes;
    std::optional<ProofToken> proof;

    friend bool operator==(const BranchRecord&, const BranchRecord&) = default;
};

struct MemberRecord {
    TxnId txn;
    std::optional<IdempotencyKey> idempotency;
    std::map<std::string, std::string> labels;

    friend bool operator==(const MemberRecord&, const MemberRecord&) = default;
};

// Lazy: lets recovery abort at once what was on its way, instead of waiting to be asked.
struct PreparingRecord {
    TxnId group;
    std::vector<MemberRecord> members;
    std::vector<BranchRecord> branches;

    friend bool operator==(const PreparingRecord&, const PreparingRecord&) = default;
};

struct DecisionRecord {
    TxnId group;
    Decision decision = Decision::commit;
    std::vector<MemberRecord> members;
    std::vector<BranchRecord> branches;
    std::string reason;  // of an abort: a reason code

    friend bool operator==(const DecisionRecord&, const DecisionRecord&) = default;
};

// Every branch has acknowledged: nothing of this group is anywhere any more.
struct EndRecord {
    TxnId group;
    Outcome outcome = Outcome::committed;

    friend bool operator==(const EndRecord&, const EndRecord&) = default;
};

// Which ids of one epoch were committed and have ended: one bit per sequence number, from
// `first_sequence`. In checkpoints and in sealed files; several may speak of the same ids, and a
// bit that is set in any of them is set.
struct OutcomesRecord {
    Epoch epoch = 0;
    Sequence first_sequence = 0;
    base::Bytes committed_bits;

    friend bool operator==(const OutcomesRecord&, const OutcomesRecord&) = default;
};

// The forget horizon: ids below it have no remembered outcome ("expired").
struct HorizonRecord {
    IdPosition horizon;

    friend bool operator==(const HorizonRecord&, const HorizonRecord&) = default;
};

// A branch ended against the decision, or nobody can prove how; or an operator overrode it.
struct BranchOutcomeRecord {
    BranchKey key;
    ParticipantNumber participant;
    Outcome outcome = Outcome::heuristic_hazard;
    std::string evidence;
    bool by_operator = false;

    friend bool operator==(const BranchOutcomeRecord&, const BranchOutcomeRecord&) = default;
};

// The newest id given up at a participant by retire, resolve or forget: at and below it an inquiry
// is never answered abort there.
struct GivenUpRecord {
    ParticipantNumber participant;
    IdPosition newest;

    friend bool operator==(const GivenUpRecord&, const GivenUpRecord&) = default;
};

// The last known position of a participant.
struct PositionRecord {
    ParticipantNumber participant;
    Position position;

    friend bool operator==(const PositionRecord&, const PositionRecord&) = default;
};

// An abort that a client was told under an idempotency key.
struct IdempotentAbortRecord {
    TxnId txn;
    IdempotencyKey idempotency;
    std::string reason;

    friend bool operator==(const IdempotentAbortRecord&, const IdempotentAbortRecord&) = default;
};

// A person has seen that this transaction did not end everywhere as decided. It is kept, like any
// other outcome, until the horizon has passed it.
struct AcknowledgedRecord {
    TxnId txn;
    std::string reason;

    friend bool operator==(const AcknowledgedRecord&, const AcknowledgedRecord&) = default;
};

// An idempotency key whose outcome is fixed. Its transaction's id without what can be calculated.
struct SettledKey {
    IdempotencyKey idempotency;
    IdPosition position;
    ParticipantNumber participant;  // of a one-phase id, else 0
    bool committed = false;         // decided so
    std::string reason;             // of an abort: a reason code

    friend bool operator==(const SettledKey&, const SettledKey&) = default;
};

// Settled keys of one generation. In checkpoints and in sealed files.
struct KeysRecord {
    std::uint32_t generation = 0;
    std::vector<SettledKey> keys;

    friend bool operator==(const KeysRecord&, const KeysRecord&) = default;
};

// The keys of this sealed file count as if they stood here. Only in checkpoints.
struct SealedRecord {
    std::uint64_t file = 0;
    std::uint32_t generation = 0;  // of the newest of its keys
    std::uint32_t keys = 0;        // how many are in it
    // content_checksum() of its records. Two copies of a log that were both used have files of one
    // number with different content.
    std::uint32_t checksum = 0;

    friend bool operator==(const SealedRecord&, const SealedRecord&) = default;
};

// A new generation of keys has begun: a fixed part of the time for which keys are remembered has
// passed. Keys that are over by it are free to be used again when it is durable, not before.
struct KeyTurnRecord {
    std::uint32_t generation = 0;

    friend bool operator==(const KeyTurnRecord&, const KeyTurnRecord&) = default;
};

// The outcomes of this sealed file count as if they stood here. Only in checkpoints.
struct SealedOutcomesRecord {
    std::uint64_t file = 0;
    IdPosition newest;            // of its committed ids
    std::uint32_t committed = 0;  // how many are in it
    std::uint32_t checksum = 0;   // as in SealedRecord

    friend bool operator==(const SealedOutcomesRecord&, const SealedOutcomesRecord&) = default;
};

// A fixed part of the time for which outcomes are remembered has passed. Lost, outcomes are
// remembered for longer.
struct OutcomeTurnRecord {
    std::uint32_t number = 0;
    IdPosition next;  // ids from this one on had not been given then

    friend bool operator==(const OutcomeTurnRecord&, const OutcomeTurnRecord&) = default;
};

// A participant has heard of starts of this coordinator that this log does not know: it was
// restored from a copy, or somebody newer drives. No start of this log says anything until a person
// has accepted it; then what may have been forgotten is never presumed.
struct RestoreRecord {
    bool accepted = false;
    ParticipantNumber participant;  // that refused it
    Epoch epoch = 0;                // the highest that anybody is known to have heard
    std::uint64_t position = 0;     // of this log, that anybody is known to have heard
    std::string code;               // of the refusal
    std::string reason;             // what the participant says; the person's, when accepted

    friend bool operator==(const RestoreRecord&, const RestoreRecord&) = default;
};

using Record = std::variant<EpochRecord,
                            ParticipantRecord,
                            PreparingRecord,
                            DecisionRecord,
                            EndRecord,
                            OutcomesRecord,
                            HorizonRecord,
                            BranchOutcomeRecord,
                            GivenUpRecord,
                            PositionRecord,
                            IdempotentAbortRecord,
                            AcknowledgedRecord,
                            KeysRecord,
                            SealedRecord,
                            KeyTurnRecord,
                            RestoreRecord,
                            SealedOutcomesRecord,
                            OutcomeTurnRecord>;

// Type byte, version byte, fields. Never fails: sizes are bounded by the limits of the API.
[[nodiscard]] base::Bytes encode_record(const Record& record);
// corrupt: not a record; unsupported_version: written by a newer program.
[[nodiscard]] base::Result<Record> decode_record(base::ByteSpan bytes);
// A sealed file, and content_checksum() of its records.
struct SealedContent {
    std::uint64_t number = 0;
    std::uint32_t checksum = 0;
};
// The sealed file that this record refers to.
[[nodiscard]] std::optional<SealedContent> sealed_file_of(const Record& record);
// CRC-32C of these records as they stand in a sealed file: each with its length before it.
[[nodiscard]] std::uint32_t content_checksum(const std::vector<Record>& records);
// One line for people and tests, without secrets (keys are printed as "…").
[[nodiscard]] std::string describe_record(const Record& record);
// The same as a JSON object.
[[nodiscard]] std::string describe_record_json(const Record& record);

}  // namespace twofold::protocol
