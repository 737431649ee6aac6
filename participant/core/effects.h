// What a participant's machine wants done. The shell does it and comes back with an input; it never
// decides. Effects are in order: the shell starts them in that order.
#pragma once

#include "participant/core/inputs.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace twofold::participant {

struct RunAndPrepare {  // -> WorkDone
    protocol::BranchWork work;
};
struct RunOnePhase {  // -> WorkDone
    protocol::BranchWork work;
};
struct ExecuteWork {  // -> ExecuteDone; opens the branch's session at sequence 1
    protocol::BranchWork work;
    std::uint32_t sequence = 0;
};
struct PrepareExecuted {  // -> WorkDone
    protocol::BranchKey key;
    std::string gid;
};
struct CancelWork {  // -> CancelDone
    protocol::BranchKey key;
};
struct CommitPrepared {  // -> FinishDone
    protocol::FinishRequest request;
};
struct RollbackPrepared {  // -> FinishDone
    protocol::FinishRequest request;
};
struct SettleOnePhase {  // -> FinishDone
    protocol::BranchKey key;
    std::optional<protocol::IdempotencyKey> idempotency;
};
struct PersistSender {             // -> SenderPersisted
    protocol::SenderStamp sender;  // without start_position
};
// What this coordinator will not ask about any more: tombstones and two-phase witnesses below
// low_water and one-phase witnesses below the horizon may go. Replaces what was said before, and
// can be lower: it never passes a branch that still runs here.
struct NoteMarks {
    protocol::Incarnation incarnation;
    protocol::IdPosition low_water;
    protocol::IdPosition horizon;
};
struct ListPrepared {};                          // -> Listed
struct SendInquiry {                             // -> InquiryAnswered or InquiryFailed
    std::vector<protocol::SenderStamp> senders;  // what is known of the coordinators asked about
    std::vector<protocol::InquiryItem> items;
};
enum class ExecuteStatus : std::uint8_t {
    executed,  // the statements ran; the branch's session is open
    failed,    // the branch has ended: the transaction can only abort
    refused,   // this call did nothing; reason says why
    unknown,   // the session was lost: the transaction can only abort
};
[[nodiscard]] std::string_view to_string(ExecuteStatus status);
// The answer to ExecuteReceived, for the application. Never a vote.
struct ExecuteReply {
    std::uint32_t sequence = 0;
    ExecuteStatus status = ExecuteStatus::unknown;
};
struct SendReply {
    ReplyTicket ticket;
    protocol::ItemResult result;
    // Set when the ticket is an ExecuteReceived's. `result` then has the echo (op prepare), reason
    // and results, and its status is unknown or refused: it cannot be mistaken for a vote.
    std::optional<ExecuteReply> execute = std::nullopt;
};
// The answer to SenderSeen.
struct AnswerOffer {
    ReplyTicket ticket;
    protocol::OfferReply reply;
};
// Fires once after a random time in [delay_min, delay_max]: the shell has the randomness.
struct ArmTimer {
    TimerId timer;
    std::chrono::milliseconds delay_min{};
    std::chrono::milliseconds delay_max{};
};
struct RaiseAlarm {
    // Stable: protocol_violation, heuristic_commit, heuristic_abort, hazard, expired,
    // foreign_branch, lost_branch, not_finishable, reappeared, identity_mismatch. Once per branch
    // and code. sender_conflict, log_went_back: once per start of a coordinator.
    std::string code;
    protocol::BranchKey key;
    std::string text;
};

using Effect = std::variant<RunAndPrepare,
                            RunOnePhase,
                            ExecuteWork,
                            PrepareExecuted,
                            CancelWork,
                            CommitPrepared,
                            RollbackPrepared,
                            SettleOnePhase,
                            PersistSender,
                            NoteMarks,
                            ListPrepared,
                            SendInquiry,
                            SendReply,
                            AnswerOffer,
                            AskCoordinators,
                            AnswerResolve,
                            ArmTimer,
                            RaiseAlarm>;
using Effects = std::vector<Effect>;

}  // namespace twofold::participant
