// What can happen to a participant's machine. Every input is a value: the simulator and the driver
// build the same ones.
#pragma once

#include "participant/core/resolution.h"
#include "protocol/branch_work.h"
#include "protocol/messages.h"

#include <variant>
#include <vector>

namespace twofold::participant {

using TimerId = base::StrongId<struct ParticipantTimerTag>;

// The resource is ready. Everything before it is refused with not_ready.
struct ResourceStarted {
    protocol::ResourceStart start;
};

// One item of a batch. The batch's stamp, address and marks travel with each item.
struct ItemReceived {
    ReplyTicket ticket;
    protocol::SenderStamp sender;
    protocol::ParticipantUuid addressed_uuid;
    protocol::Identity addressed_identity;
    protocol::IdPosition low_water;
    protocol::IdPosition horizon;
    protocol::Item item;
};

// A batch without items: a coordinator that has just started shows itself like this, and idle ones
// move their low-water mark. Answered when its start is durable here.
struct SenderSeen {
    protocol::SenderStamp sender;
    protocol::ParticipantUuid addressed_uuid;
    protocol::Identity addressed_identity;
    protocol::IdPosition low_water;
    protocol::IdPosition horizon;
    ReplyTicket ticket;
};

// Interactive work of an application, for an enlisted branch.
struct ExecuteReceived {
    ReplyTicket ticket;
    protocol::BranchKey key;
    std::uint32_t participant_epoch = 0;
    std::uint32_t sequence = 0;  // from 1, per branch
    protocol::JsonText work;
    protocol::BranchOptions options;
    std::uint32_t deadline_ms = 0;  // what is left of the transaction's time, a duration; 0 = none
    // Of the coordinator's answer to the enlistment; epoch 0: it did not say. The transaction's id
    // alone proves nothing about the log of who made it.
    protocol::SenderStamp sender{};
};

// Nobody waits for this ticket's answer any more (the connection closed). Work goes on.
struct ReplyAbandoned {
    ReplyTicket ticket;
};

struct WorkDone {
    protocol::BranchKey key;
    protocol::WorkResult result;
};
// The answer to ExecuteWork.
struct ExecuteDone {
    protocol::BranchKey key;
    std::uint32_t sequence = 0;
    protocol::WorkResult result;  // `prepared` means executed; refused ends the branch
};
// The session of this branch is gone; it cannot become prepared any more by itself.
struct CancelDone {
    protocol::BranchKey key;
    bool confirmed = true;  // false: could not be confirmed, try again
};
struct FinishDone {
    protocol::BranchKey key;
    protocol::ItemOp op = protocol::ItemOp::commit;  // commit, abort or settle_one_phase
    protocol::FinishResult result;
};
struct SenderPersisted {
    protocol::SenderStamp sender;  // as PersistSender had it
    bool succeeded = true;
    protocol::Reason reason;  // when it did not; empty: the database is not ready
};
struct Listed {
    bool known = false;  // false: the listing failed, which proves nothing
    std::vector<protocol::PreparedBranch> prepared;
};
struct InquiryAnswered {
    protocol::InquiryReply reply;
};
struct InquiryFailed {};
struct TimerFired {
    TimerId timer;
};

using Input = std::variant<ResourceStarted,
                           ItemReceived,
                           SenderSeen,
                           ExecuteReceived,
                           ReplyAbandoned,
                           WorkDone,
                           ExecuteDone,
                           CancelDone,
                           FinishDone,
                           SenderPersisted,
                           Listed,
                           InquiryAnswered,
                           InquiryFailed,
                           ResolveReceived,
                           CoordinatorsAnswered,
                           TimerFired>;

}  // namespace twofold::participant
