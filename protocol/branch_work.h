// What a participant's machine asks of its resource (the database) and what the resource answers.
// Shared by the machine, the adapters and the simulator's model database.
#pragma once

#include "protocol/messages.h"
#include "protocol/types.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace twofold::protocol {

// One branch to run. `work` is the JSON array of statements as the client sent it.
struct BranchWork {
    BranchKey key;
    std::string gid;  // make_gid(key, our uuid)
    JsonText work;
    BranchOptions options;
    std::uint32_t deadline_ms = 0;  // what is left, a duration; 0 = none
    // One-phase: goes into the witness. Two-phase: only looked for.
    std::optional<IdempotencyKey> idempotency;
};

enum class WorkStatus : std::uint8_t {
    prepared,   // durable: this branch can be committed whatever crashes
    read_only,  // nothing was written, no lock is held, nothing is left
    committed,  // one-phase only: durable, with a witness when something was written
    refused,    // nothing is left in the database; reason says why
    unknown,    // the connection was lost at a bad moment: it may be prepared (or committed) or may
                // become so until its session is gone
};

struct WorkResult {
    WorkStatus status = WorkStatus::unknown;
    Reason reason;                    // refused, unknown; committed: kNotReplicated or nothing
    std::optional<ProofToken> proof;  // prepared, committed
    JsonText results;      // prepared, read_only, committed: JSON array, one per statement
    bool executed = true;  // false: no statement of the branch can have run
    bool recorded = true;  // committed: false when nothing was written
    // committed: by this transaction, under the same key and fingerprint; this branch did nothing
    std::optional<TxnId> original;
    // refused: the key was looked for before the work, and nothing committed has it
    bool key_free = false;
};

// A branch to finish. The proof is what came with its vote, as far as known.
struct FinishRequest {
    BranchKey key;
    std::string gid;
    std::optional<ProofToken> proof;
    // Not empty: a person decided it, not the coordinator. The resource remembers that durably
    // before the branch is finished, or together with it.
    std::string operator_reason;
};

enum class FinishStatus : std::uint8_t {
    committed,  // durable now, or proved to have been committed before
    aborted,    // gone: rolled back now, or proved that nothing of it is left
    not_found,  // rollback without a proof only: no such prepared branch, and nobody knows of a
                // promise; for an abort that is a normal success
    hazard,     // the gid is gone and nothing proves how it ended; reason has the evidence
    unknown,    // try again later
};

struct FinishResult {
    FinishStatus status = FinishStatus::unknown;
    Reason reason;  // committed: kNotReplicated when no standby has confirmed it, or nothing
    std::optional<TxnId> original = std::nullopt;  // of settling by a key, as in WorkResult
};

// A prepared branch of ours as the database lists it.
struct PreparedBranch {
    BranchKey key;
    std::string gid;
    std::optional<ProofToken> proof;
    std::uint64_t age_ms = 0;
    bool finishable = true;  // false: another role owns it; reported, left alone
};

// What a person decided about a branch of this database, as the resource remembers it.
struct Resolution {
    BranchKey key;
    Decision decision = Decision::abort;
    std::string reason;
};

// What a resource says once it is ready: the new participant epoch is durable, every session of an
// older sidecar is gone, and only then was `prepared` listed.
struct ResourceStart {
    ParticipantUuid uuid;
    Identity identity;
    std::uint32_t epoch = 0;
    Position position;
    std::uint32_t slots = 0;                     // branches that may be prepared at a time
    bool exclusive = false;                      // one at a time, taken before its work starts
    std::map<Incarnation, SenderStamp> senders;  // the newest accepted start of each, durable
    std::vector<PreparedBranch> prepared;
    std::vector<Resolution> resolved;
    // The low-water marks up to which outcomes have been forgotten for good: what is asked about
    // below them was finished, though nothing says so any more.
    std::map<Incarnation, IdPosition> forgotten;
};

}  // namespace twofold::protocol
