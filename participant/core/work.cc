// One-shot and one-phase work: admission, start, votes, cancelling.
#include "base/assert.h"
#include "participant/core/machine_impl.h"

#include <utility>

namespace twofold::participant {

using protocol::ItemOp;
using protocol::ItemStatus;
using protocol::WorkResult;
using protocol::WorkStatus;
namespace reason = protocol::reason;

// ---- admission
// -----------------------------------------------------------------------------------

// The participant epoch is what makes forgetting safe. Tombstones are kept in memory only: after a
// crash of the sidecar a late message of the older epoch would find none, and would run work that
// was aborted long ago. It cannot, because every session of an older epoch is ended before the
// branches are listed at the start, and work that was enlisted in an older epoch is refused here.
bool Machine::Impl::refuse_other_epoch(const ItemReceived& input) {
    if (input.item.participant_epoch == epoch_) return false;
    if (config_.sabotage.accept_any_participant_epoch) return false;
    refuse(input,
           reason::kStaleParticipantEpoch,
           "enlisted in epoch " + std::to_string(input.item.participant_epoch) +
               ", this is epoch " + std::to_string(epoch_));
    return true;
}

bool Machine::Impl::has_no_room() const {
    if (slots_.capacity() == 0) return true;
    return !slots_.is_free() && slots_.waiting() >= config_.queue_max;
}

void Machine::Impl::on_work_item(const ItemReceived& input) {
    const protocol::Item& item = input.item;
    if (refuse_other_epoch(input)) return;
    bool is_one_phase = item.op == ItemOp::one_phase;
    if (Branch* known = table_.find(item.key)) {
        return is_one_phase ? repeat_one_phase(*known, input) : repeat_vote(*known, input);
    }
    if (is_below_low_water(item.key)) {
        refuse(input, reason::kBelowLowWater, "the transaction has ended");
        return;
    }
    if (refuse_key_in_progress(input)) return;
    if (has_no_room()) {
        refuse(input, reason::kSlotsExhausted, "too many branches wait for a prepared slot");
        return;
    }
    Branch& branch = create(item.key);
    branch.idempotency = item.idempotency;
    if (is_one_phase && item.idempotency) {
        keys_in_progress_.insert_or_assign(item.idempotency->key_hash, item.key);
    }
    branch.mode = is_one_phase ? WorkMode::one_phase : WorkMode::one_shot;
    branch.work = {
        item.key, branch.gid, item.work, item.options, item.deadline_ms, item.idempotency};
    branch.sender_epoch = input.sender.epoch;
    attach(branch, input.ticket, item.op);
    enqueue(branch, std::chrono::milliseconds(item.deadline_ms));
}

// A coordinator that has restarted does not know what its former life had sent under the same key,
// and sends it again under another id. The first one may run still, or hold the locks that make the
// second one fail: whatever is said of the second one now, the first may commit later.
bool Machine::Impl::refuse_key_in_progress(const ItemReceived& input) {
    if (!input.item.idempotency || config_.sabotage.ignore_key_in_progress) return false;
    auto found = keys_in_progress_.find(input.item.idempotency->key_hash);
    if (found == keys_in_progress_.end() || found->second == input.item.key) return false;
    if (table_.find(found->second) == nullptr) {  // forgotten since
        keys_in_progress_.erase(found);
        return false;
    }
    refuse(input,
           reason::kKeyInProgress,
           "branch " + found->second.text() + " has the same idempotency key and has not ended");
    return true;
}

// Work that still waits was accepted from a process that has been replaced since. It must not
// start: its successor has already decided, by not knowing it, that the transaction aborts.
void Machine::Impl::refuse_waiting_work_below(const protocol::Incarnation& incarnation,
                                              protocol::Epoch epoch) {
    for (const protocol::BranchKey& key : slots_.waiting_keys()) {
        Branch& branch = *table_.find(key);
        bool is_older = branch.sender_epoch > 0 && branch.sender_epoch < epoch;
        if (!is_older || key.group.incarnation() != incarnation) continue;
        leave_queue(branch);
        branch.reason =
            make_reason(reason::kStaleSender, "a newer process of this coordinator has spoken");
        answer_workers(branch, {ItemStatus::refused, branch.reason, false});
        finish(branch, BranchState::aborted);
    }
}

// The vote of a branch that is already known. A vote is given once; later messages hear it again.
void Machine::Impl::repeat_vote(Branch& branch, const ItemReceived& input) {
    auto answer = [&](ItemStatus status, protocol::Reason why) {
        reply_for(branch, input.ticket, input.item.op, {status, std::move(why), branch.executed});
    };
    WorkMode mode = input.item.op == ItemOp::prepare ? WorkMode::interactive : WorkMode::one_shot;
    if (branch.original) return answer(ItemStatus::committed, branch.reason);
    if (branch.voted_no) return answer(ItemStatus::no, branch.reason);
    if (branch.state == BranchState::aborted || branch.decision == protocol::Decision::abort) {
        return answer(ItemStatus::refused,
                      make_reason(reason::kAfterAbort, "the branch was aborted before"));
    }
    // A yes stands as long as it can be kept, and after it was kept.
    bool is_kept = branch.state == BranchState::committed || !is_end(branch.state);
    if (branch.voted_yes && is_kept) return answer(ItemStatus::yes, {});
    if (branch.mode != WorkMode::none && branch.mode != mode) {
        return answer(ItemStatus::refused,
                      make_reason(reason::kBadRequest, "the branch runs in another mode"));
    }
    switch (branch.state) {
        case BranchState::read_only: return answer(ItemStatus::read_only, {});
        case BranchState::queued:
        case BranchState::running:
        case BranchState::preparing: return attach(branch, input.ticket, input.item.op);
        default:
            // The first try's connection was lost: it may be prepared with an expectation missed,
            // so not even a listing that shows it makes it a yes.
            return answer(ItemStatus::unknown,
                          make_reason(reason::kUnansweredPrepare,
                                      "the first try was interrupted; it cannot be voted on"));
    }
}

void Machine::Impl::repeat_one_phase(Branch& branch, const ItemReceived& input) {
    auto answer = [&](ItemStatus status, protocol::Reason why) {
        reply_for(branch, input.ticket, input.item.op, {status, std::move(why), branch.executed});
    };
    if (branch.mode != WorkMode::one_phase && branch.state != BranchState::aborted) {
        return answer(ItemStatus::refused,
                      make_reason(reason::kBadRequest, "the branch runs in another mode"));
    }
    switch (branch.state) {
        case BranchState::queued:
        case BranchState::running: return attach(branch, input.ticket, input.item.op);
        case BranchState::committed: return answer(ItemStatus::committed, branch.reason);
        case BranchState::hazard: return answer(ItemStatus::hazard, branch.reason);
        case BranchState::aborted:
            if (branch.original) return answer(ItemStatus::committed, branch.reason);
            if (branch.voted_no) return answer(ItemStatus::aborted, branch.reason);
            return answer(ItemStatus::refused,
                          make_reason(reason::kAfterAbort, "the branch was aborted before"));
        default:
            return answer(ItemStatus::unknown,
                          make_reason(reason::kUnavailable, "its outcome is being settled"));
    }
}

// ---- the queue
// -----------------------------------------------------------------------------------

void Machine::Impl::enqueue(Branch& branch, std::chrono::milliseconds limit) {
    enter(branch, BranchState::queued);
    branch.queue_number = slots_.enqueue(branch.key);
    start_waiting_work();
    if (branch.state == BranchState::queued && limit.count() > 0) {
        branch.timer = arm(TimerKind::queue_limit, branch.key, limit, limit);
    }
}

void Machine::Impl::leave_queue(Branch& branch) {
    TWOFOLD_ASSERT(branch.state == BranchState::queued, "only a waiting branch leaves the queue");
    slots_.leave(branch.queue_number);
    branch.timer = TimerId();
    branch.executed = false;
}

void Machine::Impl::start_waiting_work() {
    while (slots_.can_start()) {
        Branch* branch = table_.find(slots_.take_first());
        TWOFOLD_ASSERT(branch != nullptr, "a branch that waits for a slot is known");
        branch->holds_slot = true;
        branch->timer = TimerId();
        branch->work_running = true;
        start_work(*branch);
    }
}

void Machine::Impl::start_work(Branch& branch) {
    protocol::BranchWork work = std::exchange(branch.work, {});
    switch (branch.mode) {
        case WorkMode::interactive:
            enter(branch, BranchState::executing);
            emit(ExecuteWork{std::move(work), branch.sequence});
            return;
        case WorkMode::one_phase:
            enter(branch, BranchState::running);
            emit(RunOnePhase{std::move(work)});
            return;
        case WorkMode::one_shot: break;
        case WorkMode::none: TWOFOLD_UNREACHABLE("a branch without work waits for a slot");
    }
    enter(branch, BranchState::running);
    emit(RunAndPrepare{std::move(work)});
    if (config_.sabotage.vote_yes_before_durable) {
        branch.voted_yes = true;
        answer_workers(branch, {ItemStatus::yes, {}});
    }
}

void Machine::Impl::on_queue_limit(Branch& branch) {
    leave_queue(branch);
    bool is_interactive = branch.mode == WorkMode::interactive;
    branch.reason = make_reason(is_interactive ? reason::kLockTimeout : reason::kDeadline,
                                "no prepared slot was free in time");
    branch.voted_no = true;
    branch.execute_status = ExecuteStatus::failed;
    bool is_one_phase = branch.mode == WorkMode::one_phase;
    // Under a key the answer is about the key's work, which may have been committed before.
    if (is_one_phase && branch.idempotency) return start_settle(branch);
    answer_workers(branch,
                   {is_one_phase ? ItemStatus::aborted : ItemStatus::no, branch.reason, false});
    answer_executes(branch, ExecuteStatus::failed, branch.reason);
    finish(branch, BranchState::aborted);
}

// ---- the answer of the work
// ----------------------------------------------------------------------

void Machine::Impl::on(WorkDone&& input) {
    Branch* branch = table_.find(input.key);
    if (branch == nullptr || !branch->work_running) return;
    branch->work_running = false;
    if (branch->state == BranchState::cancelling) {
        return on_late_work(*branch, std::move(input.result));
    }
    TWOFOLD_ASSERT(branch->state == BranchState::running || branch->state == BranchState::preparing,
                   "work answers to a branch that does not run");
    branch->executed = input.result.executed;
    if (branch->mode == WorkMode::one_phase) {
        on_one_phase_done(*branch, std::move(input.result));
    } else {
        on_vote(*branch, std::move(input.result));
    }
}

void Machine::Impl::on_vote(Branch& branch, WorkResult&& result) {
    if (result.original) return end_replayed(branch, *result.original, result.reason);
    switch (result.status) {
        case WorkStatus::prepared:
            // It is durable: from here on a crash leaves a branch that the next start lists.
            branch.proof = result.proof;
            branch.results = std::move(result.results);
            branch.voted_yes = true;
            enter(branch, BranchState::prepared);
            answer_workers(branch, {ItemStatus::yes, {}, true});
            return;
        case WorkStatus::read_only:
            branch.results = std::move(result.results);
            enter(branch, BranchState::read_only);
            answer_workers(branch, {ItemStatus::read_only, {}, branch.executed});
            return;
        case WorkStatus::refused: return end_refused(branch, std::move(result));
        case WorkStatus::committed:
            // Against the contract: no statement of a branch may commit it.
            branch.reason = make_reason(reason::kProtocolViolation, "its work committed by itself");
            raise_alarm(branch, "heuristic_commit", "the branch's work committed before the vote");
            answer_workers(branch, {ItemStatus::unknown, branch.reason});
            return finish(branch, BranchState::heuristic_commit);
        case WorkStatus::unknown: break;
    }
    // Not a vote. The session is ended first: until it is gone it could still become prepared, and
    // a listing before that moment would prove nothing.
    branch.reason = std::move(result.reason);
    answer_workers(branch, {ItemStatus::unknown, branch.reason});
    start_cancel(branch);
}

void Machine::Impl::on_one_phase_done(Branch& branch, WorkResult&& result) {
    if (result.original) return end_replayed(branch, *result.original, result.reason);
    switch (result.status) {
        case WorkStatus::read_only: result.recorded = false; [[fallthrough]];
        case WorkStatus::committed: return keep_committed(branch, std::move(result));
        case WorkStatus::refused: return end_refused(branch, std::move(result));
        case WorkStatus::prepared:
        case WorkStatus::unknown: break;
    }
    branch.reason = std::move(result.reason);
    answer_workers(branch, {ItemStatus::unknown, branch.reason});
    start_cancel(branch);
}

void Machine::Impl::keep_committed(Branch& branch, WorkResult&& result) {
    branch.proof = result.proof;
    branch.results = std::move(result.results);
    branch.recorded = result.recorded;
    branch.reason = std::move(result.reason);  // that no standby has confirmed it
    finish(branch, BranchState::committed);
}

void Machine::Impl::end_refused(Branch& branch, WorkResult&& result) {
    branch.voted_no = true;
    branch.reason = std::move(result.reason);
    branch.key_free = result.key_free;
    bool is_one_phase = branch.mode == WorkMode::one_phase;
    if (!is_one_phase) answer_workers(branch, {ItemStatus::no, branch.reason, branch.executed});
    bool is_about_key =
        !branch.idempotency || branch.key_free || branch.reason.code == reason::kKeyConflict;
    // Refused without a look at the key: before that counts, it must be known that the key's work
    // was not committed by another branch before.
    if (is_one_phase && !is_about_key) return start_settle(branch);
    finish(branch, BranchState::aborted);
}

// Its work had been committed under the same key by another transaction before. That is what those
// who wait want to know; this branch itself has done nothing and never will.
void Machine::Impl::end_replayed(Branch& branch,
                                 const protocol::TxnId& original,
                                 const protocol::Reason& why) {
    if (config_.sabotage.replay_is_abort) {
        branch.key_free = true;
        return finish(branch, BranchState::aborted);
    }
    branch.original = original;
    branch.executed = false;
    branch.reason = make_reason(
        reason::kKeyReplayed,
        "transaction " + original.text() + " had committed under the same idempotency key");
    if (why.code == reason::kNotReplicated) branch.reason = why;
    enter(branch, BranchState::aborted);
    answer_all(branch, {ItemStatus::committed, branch.reason, false});
}

// ---- cancelling
// ----------------------------------------------------------------------------------

void Machine::Impl::start_cancel(Branch& branch) {
    branch.cancel_confirmed = false;
    branch.late_work = {};
    branch.tries = 0;
    enter(branch, BranchState::cancelling);
    emit(CancelWork{branch.key});
}

void Machine::Impl::on(CancelDone&& input) {
    Branch* branch = table_.find(input.key);
    if (branch == nullptr || branch->state != BranchState::cancelling) return;
    if (!input.confirmed) {
        ++branch->tries;
        std::vector<Waiter> all = std::exchange(branch->waiters, {});
        for (Waiter& waiter : all) {
            if (++waiter.tries < config_.tries_before_unknown) {
                branch->waiters.push_back(waiter);
                continue;
            }
            waiting_.erase(waiter.ticket);
            reply(waiter.ticket,
                  waiter.op,
                  branch->key,
                  {ItemStatus::unknown,
                   make_reason(reason::kUnavailable, "its session cannot be ended yet")});
        }
        branch->timer = arm_retry(TimerKind::cancel_again, branch->key, branch->tries);
        return;
    }
    branch->cancel_confirmed = true;
    if (!branch->work_running) on_cancelled(*branch);
}

void Machine::Impl::on_late_work(Branch& branch, WorkResult&& result) {
    branch.late_work = std::move(result);
    if (branch.cancel_confirmed) on_cancelled(branch);
}

// The session is gone and its work has answered: nothing changes by itself any more. What is left
// in the database, if anything, is a prepared branch.
void Machine::Impl::on_cancelled(Branch& branch) {
    if (branch.mode == WorkMode::one_phase) return on_cancelled_one_phase(branch);
    const WorkResult& late = branch.late_work;
    if (late.original) return finish(branch, BranchState::aborted);
    if (late.status == WorkStatus::committed) {
        raise_alarm(branch, "heuristic_commit", "the branch's work committed before the vote");
        return finish(branch, BranchState::heuristic_commit);
    }
    bool was_never_prepared = branch.mode == WorkMode::interactive && !branch.prepare_sent;
    if (was_never_prepared || late.status == WorkStatus::refused ||
        late.status == WorkStatus::read_only) {
        return finish(branch, BranchState::aborted);
    }
    if (branch.decision == protocol::Decision::abort) {
        branch.proof = late.proof;
        enter(branch, BranchState::rolling_back);
        branch.tries = 0;
        return call_finish(branch);
    }
    enter(branch, BranchState::checking);
    list();
}

void Machine::Impl::on_cancelled_one_phase(Branch& branch) {
    WorkResult& late = branch.late_work;
    if (late.original) return end_replayed(branch, *late.original, late.reason);
    if (late.status == WorkStatus::committed || late.status == WorkStatus::read_only) {
        if (late.status == WorkStatus::read_only) late.recorded = false;
        return keep_committed(branch, std::move(late));
    }
    bool is_about_key = !branch.idempotency || late.key_free;
    branch.key_free = late.key_free;
    if (late.status == WorkStatus::refused && is_about_key) {
        return finish(branch, BranchState::aborted);
    }
    branch.reason = {};
    start_settle(branch);
}

}  // namespace twofold::participant
