// What the coordinator's machine wants done. The shell does it, in order, and never decides. The
// write-ahead law needs no discipline of the shell: an effect that depends on a durable record is
// emitted only in the step that receives Decided or Durable.
#pragma once

#include "coordinator/core/inputs.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace twofold::coordinator {

// Lazily: lost in a crash without harm.
struct Append {
    protocol::Record record;
};
// Force, then answer Durable{token}.
struct AppendForced {
    protocol::Record record;
    ForceToken token;
};
// Force this commit decision, then answer Decided.
struct Propose {
    protocol::DecisionRecord record;
};
// Write these records into the sealed file of this number, a file of its own that is never written
// again. Every checkpoint made from now on refers to it: it must be durable before such a one is.
struct Seal {
    std::uint64_t file = 0;
    std::vector<protocol::Record> records;
};
// Queue for the participant's next batch; answered by Reply or CallFailed. The item's deadline_ms
// is the whole time of its transaction: the shell sends what is left of it.
struct Send {
    protocol::ParticipantNumber participant;
    protocol::Item item;
};
// Send a batch without items: it shows our start and our marks. Answered by OfferAnswered, always,
// with the same number.
struct Offer {
    protocol::ParticipantNumber participant;
    std::uint64_t offer = 0;
};
// Fires once after a random time in [delay_min, delay_max]: the shell has the randomness.
struct ArmTimer {
    TimerId timer;
    Milliseconds delay_min{};
    Milliseconds delay_max{};
};
struct CancelTimer {
    TimerId timer;
};

enum class AnswerKind : std::uint8_t {
    begun,  // interactive transaction exists
    enlisted,
    finished,        // outcome is final: committed or aborted (or heuristic)
    decided,         // commit decided, not applied everywhere yet
    undecided,       // not known yet: ask again (the time to answer is up)
    opposite,        // the request asked for the opposite of the taken decision
    not_found,       // never existed here
    expired,         // below the forget horizon
    cannot_tell,     // depends on a participant that has not answered: ask again
    wrong_state,     // for example enlist after commit
    doomed,          // branch_lost: the transaction can only abort
    overloaded,      // no room: try later
    keys_exhausted,  // too many idempotency keys are remembered: try later
    draining,        // shutting down: try later
    unsettled,       // nothing is decided under this idempotency key: repeat the request
    invalid,         // the request itself: reason says what
    done,            // a person's decision is durable
    changed,         // not the version that the person looked at
};

struct BranchReport {
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;
    protocol::ParticipantNumber participant;
    std::uint32_t participant_epoch = 0;                     // of its enlistment
    std::string state;                                       // name of the branch's state
    protocol::Outcome outcome = protocol::Outcome::unknown;  // heuristic_*: how it ended instead
    std::string evidence;                                    // of that
    bool by_operator = false;                                // a person's word
    protocol::Reason reason;
    protocol::JsonText results;
    std::uint32_t tries = 0;
};

struct TransactionReport {
    protocol::TxnId txn;
    std::string state;  // name of the transaction's state
    protocol::Outcome outcome = protocol::Outcome::unknown;
    bool recorded = true;
    bool results_lost = false;  // the outcome is known from the log; results are not
    protocol::Reason reason;    // of an abort
    std::uint16_t blamed_branch = 0;
    // Of an abort: this id changed nothing, but the request that came with it may take effect, or
    // have taken effect, by another id. Only an answer under its idempotency key tells.
    bool key_open = false;
    std::optional<protocol::TxnId> answered_by;  // that other id, where it is known
    std::vector<BranchReport> branches;
    std::map<std::string, std::string> labels;
    std::uint64_t version = 0;  // +1 with every change, for long polls
    Milliseconds deadline{};
    Milliseconds idle_deadline{};  // 0: none
};

struct Answer {
    Ticket ticket;
    AnswerKind kind = AnswerKind::undecided;
    TransactionReport report;  // txn is set where one exists
    protocol::Reason reason;   // invalid, overloaded, wrong_state, doomed, cannot_tell
    std::uint16_t branch = 0;  // enlisted: which one of the report's
    // Another request did it: one under the same idempotency key, or the same enlistment before.
    bool repeated = false;
};
struct AnswerInquiry {
    Ticket ticket;
    protocol::InquiryReply reply;
};
// The transaction changed; watchers may want its report.
struct Changed {
    protocol::TxnId txn;
    std::uint64_t version = 0;
    std::string_view state = {};  // its new one; empty: the state is the same as before
    bool forgotten = false;       // it has left the memory, with no end of its own
};
// For metrics and the log: it reached its outcome.
struct Finished {
    protocol::TxnId txn;
    protocol::Outcome outcome = protocol::Outcome::unknown;
    std::string reason_code;
    bool recovered = false;
};
struct ParticipantRegistered {
    protocol::ParticipantUuid uuid;
    protocol::ParticipantNumber number;
};
struct RaiseAlarm {
    std::string
        code;  // stable: "hazard", "heuristic", "identity_mismatch", "protocol_violation", …
    protocol::TxnId txn;
    protocol::ParticipantNumber participant;
    std::string text;
};

using Effect = std::variant<Append,
                            AppendForced,
                            Propose,
                            Seal,
                            Send,
                            Offer,
                            ArmTimer,
                            CancelTimer,
                            Answer,
                            AnswerInquiry,
                            Changed,
                            Finished,
                            ParticipantRegistered,
                            RaiseAlarm>;
using Effects = std::vector<Effect>;

}  // namespace twofold::coordinator
