// What can happen to the coordinator's machine. Every input is a value; "I do not know whether it
// arrived" (CallFailed with unknown) and "the log is durable" (Decided, Durable) are inputs like
// any other, so no shell can forget to wait for them.
#pragma once

#include "protocol/messages.h"
#include "protocol/records.h"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace twofold::coordinator {

// A client's request that waits for an answer. Given by the shell, answered exactly once.
using Ticket = base::StrongId<struct TicketTag>;
using TimerId = base::StrongId<struct CoordinatorTimerTag>;
// Identifies an AppendForced effect in the Durable input that answers it.
using ForceToken = base::StrongId<struct ForceTokenTag>;
using Milliseconds = std::chrono::milliseconds;

enum class WaitFor : std::uint8_t {
    applied,  // answer after phase 2, so that the caller reads its own writes
    decided,  // answer when the decision is durable
};

struct BranchRequest {
    protocol::ParticipantNumber participant;
    protocol::JsonText work;
    protocol::BranchOptions options;
};

struct BeginOptions {
    Milliseconds deadline{30'000};  // until the decision
    Milliseconds idle_deadline{0};  // interactive: without any call; 0 = none
    Milliseconds answer_within{0};  // wait=applied: answer "decided" after this; 0 = deadline
    WaitFor wait = WaitFor::applied;
    std::map<std::string, std::string> labels;
    std::optional<protocol::IdempotencyKey> idempotency;
};

// Execute and prepare all branches in parallel, decide, finish.
struct SubmitOneShot {
    Ticket ticket;
    std::vector<BranchRequest> branches;
    BeginOptions options;
};
struct Begin {
    Ticket ticket;
    BeginOptions options;
};
struct Enlist {
    Ticket ticket;
    protocol::TxnId txn;
    protocol::ParticipantNumber participant;
    // 0: the participant's newest known one (an application enlists on its behalf).
    std::uint32_t participant_epoch = 0;
    std::uint64_t session = 0;  // the database session of the branch; another one dooms it
    protocol::BranchOptions options;
};
struct CommitRequest {
    Ticket ticket;
    protocol::TxnId txn;
    WaitFor wait = WaitFor::applied;
    Milliseconds answer_within{0};
    std::map<protocol::ParticipantNumber, std::uint32_t> expected_executes;
};
struct AbortRequest {
    Ticket ticket;
    protocol::TxnId txn;
};
// How did it end? Unlike Machine::query this waits for the answer and, where only a participant
// knows it (an old one-phase id, for which query says cannot_tell), asks that participant.
struct OutcomeRequest {
    Ticket ticket;
    protocol::TxnId txn;
    Milliseconds answer_within{0};  // 0 = the transaction's deadline
};

// ---- what a person decides. `reason` is written to the log and never empty. `version` is that of
// the report that the person looked at: when it has changed since, nothing is done. A dry run is
// answered like the real one and changes nothing.

// One branch that does not follow its decision ended like this: found out at the database. Counts
// as that person's word, never as a proof.
struct ResolveBranch {
    Ticket ticket;
    protocol::TxnId txn;
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;  // 0: the one that needs it
    protocol::Decision found = protocol::Decision::abort;
    std::uint64_t version = 0;
    std::string reason;
    bool dry_run = false;
};
// The heuristic outcome of a transaction was seen: it need not be shown any more.
struct Acknowledge {
    Ticket ticket;
    protocol::TxnId txn;
    std::uint64_t version = 0;
    std::string reason;
};
// It will never come back. Its unfinished branches can be proved by nobody: hazards.
struct RetireParticipant {
    Ticket ticket;
    protocol::ParticipantNumber participant;
    std::string reason;
    bool dry_run = false;
    std::uint64_t version = 0;  // of the participant, as it was looked at
};
// The other database that answers under the participant's uuid is the right one from now on.
struct RebindParticipant {
    Ticket ticket;
    protocol::ParticipantNumber participant;
    std::string reason;
    bool dry_run = false;
    std::uint64_t version = 0;  // of the participant, as it was looked at
};

// The participant refuses the coordinator's log, which was restored from a copy: it is used
// nevertheless, by the next start, and what it may have forgotten is never presumed. Or the
// participant's own database was restored: it gets work again.
struct AcceptRestore {
    Ticket ticket;
    protocol::ParticipantNumber participant;
    std::string reason;
    bool dry_run = false;
    std::uint64_t version = 0;  // of the participant, as it was looked at
};

// A complete answer with the right echo. The shell has checked form and addressee; the machine
// checks that it fits.
struct Reply {
    protocol::ParticipantNumber from;
    protocol::ItemResult result;
};
// An item got no answer.
struct CallFailed {
    protocol::ParticipantNumber participant;
    protocol::BranchKey key;
    protocol::ItemOp op = protocol::ItemOp::abort;
    protocol::CallOutcome outcome = protocol::CallOutcome::unknown;  // not_sent or unknown
    std::string why;
};

// The log's answer to Propose: this decision is durable. A local log echoes the proposal; a
// replicated one may return the opposite, which then counts.
struct Decided {
    protocol::TxnId group;
    protocol::Decision decision = protocol::Decision::abort;
};
// The record of AppendForced is durable.
struct Durable {
    ForceToken token;
};
struct TimerFired {
    TimerId timer;
};
// GET /v1/participant answered, or the participant called: it is there and is this. After a start
// this or ParticipantLost comes for every participant.
struct ParticipantSeen {
    protocol::ParticipantNumber number;
    protocol::ParticipantInfo info;
    // Machine::participant_epoch() when it was asked: an older one in the answer proves that its
    // database went back. 0: not known, proves nothing.
    std::uint32_t known_epoch = 0;
};
// It could not be reached, or is another database than enlisted.
struct ParticipantLost {
    protocol::ParticipantNumber number;
    std::string why;
};
// Every address of the configuration has answered, or failed, once since the start: who had not
// been known has been submitted by then. After a start this comes once.
struct AddressesLookedAt {};
// A configured participant without a number yet, or one whose name or uuid was just learned.
struct RegisterParticipant {
    protocol::ParticipantUuid uuid;
    std::string name;
    protocol::Identity identity;
};
struct Inquire {
    Ticket ticket;
    protocol::InquiryRequest request;
};
// The answer to Offer; nothing when it did not answer, or cannot say.
struct OfferAnswered {
    protocol::ParticipantNumber participant;
    std::uint64_t offer = 0;
    std::optional<protocol::OfferReply> reply;
};
// Room in the log: without it no new work is accepted, but work that was accepted is finished.
struct LogRoom {
    bool room_for_new_work = true;
};
// Orderly shutdown: no new work from now on.
struct Drain {};

using Input = std::variant<SubmitOneShot,
                           Begin,
                           Enlist,
                           CommitRequest,
                           AbortRequest,
                           OutcomeRequest,
                           ResolveBranch,
                           Acknowledge,
                           RetireParticipant,
                           RebindParticipant,
                           AcceptRestore,
                           Reply,
                           CallFailed,
                           Decided,
                           Durable,
                           TimerFired,
                           ParticipantSeen,
                           ParticipantLost,
                           AddressesLookedAt,
                           RegisterParticipant,
                           Inquire,
                           OfferAnswered,
                           LogRoom,
                           Drain>;

}  // namespace twofold::coordinator
