// What a participant's machine wants done. The shell does it and comes back with an input; it never
// decides. Effects are in order: the shell starts them in that order.
#pragma once

#include "participant/core/inputs.h"

#include <chrono>
#include <string>
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
};
struct PersistSender {  // -> SenderPersisted
    protocol::Incarnation incarnation;
    protocol::Epoch epoch = 0;
};
struct ListPrepared {};  // -> Listed
struct SendInquiry {     // -> InquiryAnswered or InquiryFailed
    std::vector<protocol::InquiryItem> items;
};
struct SendReply {
    ReplyTicket ticket;
    protocol::ItemResult result;
};
// Fires once after a random time in [delay_min, delay_max]: the shell has the randomness.
struct ArmTimer {
    TimerId timer;
    std::chrono::milliseconds delay_min{};
    std::chrono::milliseconds delay_max{};
};
struct RaiseAlarm {
    std::string code;  // stable, for example "protocol_violation", "hazard", "foreign_branch"
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
                            ListPrepared,
                            SendInquiry,
                            SendReply,
                            ArmTimer,
                            RaiseAlarm>;
using Effects = std::vector<Effect>;

}  // namespace twofold::participant
