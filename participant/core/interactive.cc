// Interactive branches: an application executes statements one by one in a session of the branch,
// and the coordinator prepares it later. Executes are numbered from 1 per branch; the session lives
// only in this participant epoch.
#include "base/assert.h"
#include "base/planted_bug.h"
#include "participant/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

using protocol::ItemOp;
using protocol::ItemStatus;
using protocol::Reason;
using protocol::WorkStatus;
namespace reason = protocol::reason;

std::string_view to_string(ExecuteStatus status) {
    switch (status) {
        case ExecuteStatus::executed: return "executed";
        case ExecuteStatus::failed: return "failed";
        case ExecuteStatus::refused: return "refused";
        case ExecuteStatus::unknown: break;
    }
    return "unknown";
}

// ---- answers
// -------------------------------------------------------------------------------------

void Machine::Impl::reply_execute(ReplyTicket ticket,
                                  const protocol::BranchKey& key,
                                  ExecuteReply execute,
                                  Reason why,
                                  protocol::JsonText results) {
    if (ticket == ReplyTicket()) return;
    protocol::ItemResult result = echo(ItemOp::prepare, key);
    result.status =
        execute.status == ExecuteStatus::refused ? ItemStatus::refused : ItemStatus::unknown;
    result.reason = std::move(why);
    result.results = std::move(results);
    result.executed = execute.status != ExecuteStatus::refused;
    emit(SendReply{ticket, std::move(result), execute});
}

void Machine::Impl::answer_executes(Branch& branch, ExecuteStatus status, const Reason& why) {
    for (ReplyTicket ticket : std::exchange(branch.execute_waiters, {})) {
        waiting_.erase(ticket);
        protocol::JsonText results =
            status == ExecuteStatus::executed ? branch.execute_results : nullptr;
        reply_execute(ticket, branch.key, {branch.sequence, status}, why, std::move(results));
    }
}

// ---- executes
// ------------------------------------------------------------------------------------

void Machine::Impl::on(ExecuteReceived&& input) {
    auto refuse_with = [&](std::string_view code, std::string message) {
        reply_execute(input.ticket,
                      input.key,
                      {input.sequence, ExecuteStatus::refused},
                      make_reason(code, std::move(message)),
                      nullptr);
    };
    if (!ready_) return refuse_with(reason::kNotReady, "the database is not ready");
    bool is_other_epoch = input.participant_epoch != epoch_;
    if (is_other_epoch && !config_.sabotage.accept_any_participant_epoch) {
        return refuse_with(reason::kStaleParticipantEpoch,
                           "the participant has restarted since the branch was enlisted");
    }
    Branch* known = table_.find(input.key);
    if (known == nullptr) {
        if (is_below_low_water(input.key)) {
            return refuse_with(reason::kBelowLowWater, "the transaction has ended");
        }
        if (has_no_room()) {
            return refuse_with(reason::kSlotsExhausted, "too many branches wait for a slot");
        }
        // The coordinator's start is durable before the session opens: on SQLite it could not be
        // written afterwards, and the prepare would be refused.
        std::optional<protocol::SenderStamp> issuer = issuer_of(input);
        if (!issuer) {
            return refuse_with(reason::kNotReady,
                               "the start of the coordinator that made the transaction has not "
                               "spoken here yet");
        }
        Fence::Admission admission = admit(*issuer);
        if (admission == Fence::Admission::accepted) return on_first_execute(input);
        if (admission == Fence::Admission::wait) return wait_in_fence(std::move(input));
        protocol::Reason why = why_refused(admission);
        return refuse_with(why.code, std::move(why.message));
    }
    if (known->state == BranchState::aborted && known->mode != WorkMode::interactive) {
        return refuse_with(reason::kAfterAbort, "the branch was aborted before");
    }
    if (known->mode != WorkMode::interactive) {
        return refuse_with(reason::kBadRequest, "the branch is not an interactive one");
    }
    if (input.sequence == known->sequence) return repeat_execute(*known, input);
    on_next_execute(*known, input);
}

// The start that enlisted the branch, as it has shown itself with the enlistment. An id names an
// epoch, but not how far the log of that start goes: by itself it never counts as a newer start
// than those that have spoken.
std::optional<protocol::SenderStamp> Machine::Impl::issuer_of(const ExecuteReceived& input) const {
    protocol::SenderStamp named;
    named.incarnation = input.key.group.incarnation();
    named.epoch = input.key.group.epoch();
    if (config_.sabotage.execute_raises_fence) return named;
    bool is_shown =
        input.sender.incarnation == named.incarnation && input.sender.epoch == named.epoch;
    if (is_shown) return input.sender;
    if (named.epoch > fence_.newest(named.incarnation).epoch) return std::nullopt;
    return named;
}

void Machine::Impl::on_first_execute(const ExecuteReceived& input) {
    Branch& branch = create(input.key);
    branch.mode = WorkMode::interactive;
    branch.sequence = input.sequence;
    branch.execute_waiters.push_back(input.ticket);
    waiting_.emplace(input.ticket, input.key);
    if (input.sequence != 1) {
        // An earlier statement never came here, or came to a session that a crash has ended. Doing
        // the rest without it would prepare half of the work: the branch is refused for good.
        branch.executed = false;
        branch.voted_no = true;
        branch.execute_status = ExecuteStatus::failed;
        branch.reason = make_reason(reason::kBranchLost,
                                    "execute " + std::to_string(input.sequence) +
                                        " came first: the branch has no session here");
        answer_executes(branch, ExecuteStatus::failed, branch.reason);
        return finish(branch, BranchState::aborted);
    }
    branch.work = {
        input.key, branch.gid, input.work, input.options, input.deadline_ms, std::nullopt};
    std::chrono::milliseconds limit(input.options.lock_timeout_ms);
    if (limit.count() == 0) limit = config_.interactive_wait;
    if (input.deadline_ms > 0) {
        std::chrono::milliseconds left(input.deadline_ms);
        limit = std::min(limit, left);
        left += config_.session_grace;
        branch.session_timer = arm(TimerKind::session_limit, input.key, left, left);
    }
    enqueue(branch, limit);
}

// Its coordinator aborts such a transaction by itself, if it still lives. No decision is taken
// here: what has not voted cannot be committed any more, and its locks must not outlive its time.
void Machine::Impl::on_session_limit(Branch& branch) {
    bool has_session = branch.state == BranchState::open ||
                       branch.state == BranchState::executing ||
                       branch.state == BranchState::queued;
    if (branch.mode != WorkMode::interactive || !has_session) return;
    lose(branch, make_reason(reason::kDeadline, "the transaction's time was over"));
}

// The same number again: the same answer again, never a second execution.
void Machine::Impl::repeat_execute(Branch& branch, const ExecuteReceived& input) {
    if (branch.state == BranchState::queued || branch.state == BranchState::executing) {
        branch.execute_waiters.push_back(input.ticket);
        waiting_.emplace(input.ticket, input.key);
        return;
    }
    bool is_executed = branch.execute_status == ExecuteStatus::executed;
    reply_execute(input.ticket,
                  branch.key,
                  {input.sequence, branch.execute_status},
                  is_executed ? Reason{} : branch.reason,
                  is_executed ? branch.execute_results : nullptr);
}

void Machine::Impl::on_next_execute(Branch& branch, const ExecuteReceived& input) {
    auto answer = [&](ExecuteStatus status, Reason why) {
        reply_execute(input.ticket, branch.key, {input.sequence, status}, std::move(why), nullptr);
    };
    bool has_session = branch.state == BranchState::open ||
                       branch.state == BranchState::executing ||
                       branch.state == BranchState::queued;
    if (!has_session) {
        bool is_over = branch.voted_no || branch.decision == protocol::Decision::abort ||
                       branch.state == BranchState::cancelling ||
                       branch.state == BranchState::aborted;
        if (is_over && !branch.reason.empty()) return answer(ExecuteStatus::failed, branch.reason);
        if (is_over) {
            return answer(ExecuteStatus::refused,
                          make_reason(reason::kAfterAbort, "the branch was aborted before"));
        }
        return answer(ExecuteStatus::refused,
                      make_reason(reason::kBadRequest, "the branch is prepared already"));
    }
    if (input.sequence < branch.sequence) {
        // A delayed duplicate of a statement that was answered long ago. It does no harm.
        return answer(ExecuteStatus::refused,
                      make_reason(reason::kBadRequest, "an old execute, answered before"));
    }
    bool is_next = input.sequence == branch.sequence + 1;
    if (is_next && branch.state != BranchState::open) {
        return answer(ExecuteStatus::refused,
                      make_reason(reason::kBadRequest, "the statement before it still runs"));
    }
    if (!is_next) {
        Reason why = make_reason(reason::kBranchLost,
                                 "execute " + std::to_string(branch.sequence + 1) + " is missing");
        answer(ExecuteStatus::failed, why);
        return lose(branch, std::move(why));
    }
    branch.sequence = input.sequence;
    branch.execute_waiters.push_back(input.ticket);
    waiting_.emplace(input.ticket, input.key);
    branch.work_running = true;
    enter(branch, BranchState::executing);
    emit(ExecuteWork{
        {input.key, branch.gid, input.work, input.options, input.deadline_ms, std::nullopt},
        input.sequence});
}

void Machine::Impl::on(ExecuteDone&& input) {
    Branch* known = table_.find(input.key);
    if (known == nullptr || !known->work_running || known->sequence != input.sequence) return;
    Branch& branch = *known;
    branch.work_running = false;
    if (branch.state == BranchState::cancelling) {
        return on_late_work(branch, std::move(input.result));
    }
    TWOFOLD_ASSERT(branch.state == BranchState::executing,
                   "an execute answers to a branch that does not run");
    switch (input.result.status) {
        case WorkStatus::prepared:
        case WorkStatus::read_only:
            branch.execute_status = ExecuteStatus::executed;
            branch.execute_results = std::move(input.result.results);
            enter(branch, BranchState::open);
            return answer_executes(branch, ExecuteStatus::executed, {});
        case WorkStatus::refused:
            branch.execute_status = ExecuteStatus::failed;
            branch.executed = branch.sequence > 1 || input.result.executed;
            branch.voted_no = true;
            branch.reason = std::move(input.result.reason);
            answer_executes(branch, ExecuteStatus::failed, branch.reason);
            return finish(branch, BranchState::aborted);
        case WorkStatus::committed:
            raise_alarm(branch, "protocol_violation", "an execute committed its session");
            [[fallthrough]];
        case WorkStatus::unknown: break;
    }
    branch.execute_status = ExecuteStatus::unknown;
    branch.reason = make_reason(reason::kBranchLost, "the branch's session was lost");
    branch.voted_no = true;
    answer_executes(branch, ExecuteStatus::unknown, branch.reason);
    start_cancel(branch);
}

void Machine::Impl::lose(Branch& branch, Reason why) {
    branch.reason = std::move(why);
    branch.voted_no = branch.mode == WorkMode::interactive;
    branch.execute_status = ExecuteStatus::failed;
    answer_executes(branch, ExecuteStatus::failed, branch.reason);
    bool was_queued = branch.state == BranchState::queued;
    if (was_queued) leave_queue(branch);
    if (branch.mode == WorkMode::one_phase) {
        answer_workers(branch, {ItemStatus::unknown, branch.reason, branch.executed});
    } else {
        bool is_vote = branch.mode == WorkMode::interactive;
        answer_workers(
            branch,
            {is_vote ? ItemStatus::no : ItemStatus::refused, branch.reason, branch.executed});
    }
    if (was_queued) return finish(branch, BranchState::aborted);
    start_cancel(branch);
}

// ---- prepare
// -------------------------------------------------------------------------------------

void Machine::Impl::on_prepare_item(const ItemReceived& input) {
    if (refuse_other_epoch(input)) return;
    Branch* known = table_.find(input.item.key);
    if (known == nullptr) {
        if (is_below_low_water(input.item.key)) {
            refuse(input, reason::kBelowLowWater, "the transaction has ended");
            return;
        }
        // Nothing was executed here in this epoch. A tombstone stays, so that an execute that is
        // still on its way cannot begin the branch after its no.
        Branch& branch = create(input.item.key);
        branch.mode = WorkMode::interactive;
        branch.voted_no = true;
        branch.reason = make_reason(reason::kBranchLost, "the branch has no session here");
        reply_for(branch, input.ticket, ItemOp::prepare, {ItemStatus::no, branch.reason, true});
        return finish(branch, BranchState::aborted);
    }
    bool has_session = known->state == BranchState::open ||
                       known->state == BranchState::executing ||
                       known->state == BranchState::queued;
    if (known->mode == WorkMode::interactive && has_session) return prepare_open(*known, input);
    repeat_vote(*known, input);
}

void Machine::Impl::prepare_open(Branch& branch, const ItemReceived& input) {
    bool is_running = branch.state != BranchState::open;
    const auto& expected = input.item.expected_executes;
    bool differs = expected && *expected != branch.sequence &&
                   !TWOFOLD_PLANTED_BUG("participant.ignore_expected_executes");
    if (is_running || differs) {
        // The application and this participant do not agree about what was done.
        Reason why = make_reason(reason::kExecutesDiffer,
                                 is_running ? "a statement still runs"
                                            : std::to_string(branch.sequence) + " executes here, " +
                                                  std::to_string(*expected) + " expected");
        attach(branch, input.ticket, ItemOp::prepare);
        return lose(branch, std::move(why));
    }
    attach(branch, input.ticket, ItemOp::prepare);
    branch.prepare_sent = true;
    branch.work_running = true;
    enter(branch, BranchState::preparing);
    emit(PrepareExecuted{branch.key, branch.gid});
}

}  // namespace twofold::participant
