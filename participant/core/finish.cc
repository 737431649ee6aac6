// Commit, abort and settle: what the coordinator decided, and what the database makes of it.
#include "base/assert.h"
#include "participant/core/machine_impl.h"

#include <utility>

namespace twofold::participant {

using protocol::Decision;
using protocol::FinishStatus;
using protocol::ItemOp;
using protocol::ItemStatus;
namespace reason = protocol::reason;

// ---- commit
// --------------------------------------------------------------------------------------

void Machine::Impl::on_commit(const ItemReceived& input) {
    Branch* known = table_.find(input.item.key);
    if (known == nullptr) return on_commit_of_unknown(input);
    Branch& branch = *known;
    if (!branch.proof) branch.proof = input.item.proof;
    if (answer_for_operator(branch, input)) return;
    auto answer = [&](ItemStatus status) {
        reply(input.ticket, ItemOp::commit, branch.key, {status, branch.reason, branch.executed});
    };
    if (is_before_vote(branch.state)) {
        return refuse_violation(branch, input, "commit of a branch that has not voted");
    }
    if (branch.decision == Decision::abort || branch.state == BranchState::aborted) {
        return refuse_violation(branch, input, "commit of a branch that was aborted");
    }
    switch (branch.state) {
        case BranchState::prepared:
        case BranchState::in_doubt:
        case BranchState::parked:
            attach(branch, input.ticket, ItemOp::commit);
            return start_finish(branch, Decision::commit);
        case BranchState::hazard:
            if (branch.decision != Decision::commit) break;  // a one-phase branch
            // Asked again: perhaps a person has repaired what was missing.
            attach(branch, input.ticket, ItemOp::commit);
            return start_finish(branch, Decision::commit);
        case BranchState::committing: return attach(branch, input.ticket, ItemOp::commit);
        case BranchState::committed:
        case BranchState::read_only: return answer(ItemStatus::committed);
        case BranchState::heuristic_commit: return answer(ItemStatus::heuristic_commit);
        case BranchState::heuristic_abort: return answer(ItemStatus::heuristic_abort);
        default: break;
    }
    refuse_violation(branch, input, "commit of a one-phase branch");
}

// Not in memory: finished and forgotten, or finished before this start, or never seen. The database
// is asked, with the proof that came with the vote: "no such prepared branch" alone proves nothing.
void Machine::Impl::on_commit_of_unknown(const ItemReceived& input) {
    const protocol::BranchKey& key = input.item.key;
    if (is_below_low_water(key)) {
        return reply(input.ticket, ItemOp::commit, key, {ItemStatus::finished_earlier, {}, true});
    }
    Branch& branch = create(key);
    branch.proof = input.item.proof;
    attach(branch, input.ticket, ItemOp::commit);
    if (config_.sabotage.commit_unknown_is_success) {
        return finish(branch, BranchState::committed);
    }
    start_finish(branch, Decision::commit);
}

// ---- abort
// ---------------------------------------------------------------------------------------

void Machine::Impl::on_abort(const ItemReceived& input) {
    Branch* known = table_.find(input.item.key);
    if (known == nullptr) return on_abort_of_unknown(input);
    Branch& branch = *known;
    if (branch.mode == WorkMode::one_phase) return settle_known(branch, input);
    if (!branch.proof) branch.proof = input.item.proof;
    if (answer_for_operator(branch, input)) return;
    if (branch.decision == Decision::commit) {
        return refuse_violation(branch, input, "abort of a branch that was committed");
    }
    auto answer = [&](ItemStatus status) {
        reply(input.ticket, ItemOp::abort, branch.key, {status, branch.reason, branch.executed});
    };
    switch (branch.state) {
        case BranchState::prepared:
        case BranchState::in_doubt:
        case BranchState::parked:
        case BranchState::checking:
        case BranchState::hazard:
            attach(branch, input.ticket, ItemOp::abort);
            return start_finish(branch, Decision::abort);
        case BranchState::rolling_back: return attach(branch, input.ticket, ItemOp::abort);
        case BranchState::read_only:
            attach(branch, input.ticket, ItemOp::abort);
            branch.decision = Decision::abort;
            return finish(branch, BranchState::aborted);
        case BranchState::aborted:
            branch.decision = Decision::abort;
            branch.voted_no = false;  // from now on the answer to its work is: after abort
            return answer(ItemStatus::aborted);
        case BranchState::heuristic_commit: return answer(ItemStatus::heuristic_commit);
        case BranchState::committed:
            return refuse_violation(branch, input, "abort of a branch that was committed");
        default: return abort_before_vote(branch, input);
    }
}

// The order matters: the session is ended and gone before anybody hears "aborted". Otherwise its
// work could still become prepared, hold its locks and answer yes after the abort.
void Machine::Impl::abort_before_vote(Branch& branch, const ItemReceived& input) {
    if (config_.sabotage.abort_without_cancelling && branch.state != BranchState::queued) {
        return reply(input.ticket, ItemOp::abort, branch.key, {ItemStatus::aborted, {}, true});
    }
    bool was_queued = branch.state == BranchState::queued;
    if (was_queued) leave_queue(branch);
    branch.decision = Decision::abort;
    branch.voted_no = false;
    branch.reason = {};
    protocol::Reason after_abort = make_reason(reason::kAfterAbort, "the branch was aborted");
    answer_workers(branch, {ItemStatus::refused, after_abort, branch.executed});
    answer_executes(branch, ExecuteStatus::failed, after_abort);
    attach(branch, input.ticket, ItemOp::abort);
    if (was_queued) return finish(branch, BranchState::aborted);
    if (branch.state != BranchState::cancelling) start_cancel(branch);
}

void Machine::Impl::on_abort_of_unknown(const ItemReceived& input) {
    const protocol::BranchKey& key = input.item.key;
    // A one-phase id may have committed before this start: only the database can tell.
    if (key.group.participant().value != 0) return on_settle(input);
    if (is_below_low_water(key)) {
        return reply(input.ticket, ItemOp::abort, key, {ItemStatus::finished_earlier, {}, true});
    }
    bool may_have_voted = input.item.proof.has_value() || resolved_.contains(key);
    if (may_have_voted && !config_.sabotage.rollback_without_proof) {
        // It has voted yes before this start. That it is not listed now does not say how it ended:
        // somebody may have committed it by hand meanwhile.
        Branch& branch = create(key);
        branch.proof = input.item.proof;
        attach(branch, input.ticket, ItemOp::abort);
        return start_finish(branch, Decision::abort);
    }
    // Its work may still be on its way: the tombstone refuses it.
    Branch& branch = create(key);
    branch.decision = Decision::abort;
    branch.executed = false;
    attach(branch, input.ticket, ItemOp::abort);
    finish(branch, BranchState::aborted);
}

// ---- one-phase
// -----------------------------------------------------------------------------------

void Machine::Impl::on_settle(const ItemReceived& input) {
    const protocol::BranchKey& key = input.item.key;
    if (Branch* known = table_.find(key)) return settle_known(*known, input);
    // One-phase witnesses stay until the forget horizon, so the low-water mark does not matter
    // here. Below the horizon a missing witness proves nothing any more.
    if (key.group.position() < fence_.marks(key.group.incarnation()).horizon) {
        return reply(input.ticket, input.item.op, key, {ItemStatus::finished_earlier, {}, true});
    }
    if (refuse_key_in_progress(input)) return;
    Branch& branch = create(key);
    branch.mode = WorkMode::one_phase;
    branch.idempotency = input.item.idempotency;
    attach(branch, input.ticket, input.item.op);
    start_settle(branch);
}

void Machine::Impl::settle_known(Branch& branch, const ItemReceived& input) {
    bool is_abort = input.item.op == ItemOp::abort;
    auto answer = [&](ItemStatus status, protocol::Reason why) {
        reply_for(branch, input.ticket, input.item.op, {status, std::move(why), branch.executed});
    };
    switch (branch.state) {
        case BranchState::aborted:
            return answer(branch.original ? ItemStatus::committed : ItemStatus::aborted,
                          branch.reason);
        case BranchState::committed: return answer(ItemStatus::committed, branch.reason);
        default: break;
    }
    if (branch.mode != WorkMode::one_phase) {
        return answer(ItemStatus::refused,
                      make_reason(reason::kBadRequest, "not a one-phase branch"));
    }
    switch (branch.state) {
        case BranchState::queued:
            leave_queue(branch);
            answer_workers(branch,
                           {ItemStatus::refused,
                            make_reason(reason::kAfterAbort, "the branch was settled"),
                            false});
            attach(branch, input.ticket, input.item.op);
            return start_settle(branch);
        case BranchState::hazard:
            attach(branch, input.ticket, input.item.op);
            return start_settle(branch);
        case BranchState::running:
            attach(branch, input.ticket, input.item.op);
            // A settle waits for the work's own answer; an abort does not want it any more.
            if (is_abort) start_cancel(branch);
            return;
        case BranchState::cancelling:
        case BranchState::settling: return attach(branch, input.ticket, input.item.op);
        default: TWOFOLD_UNREACHABLE("a one-phase branch in a state of two-phase ones");
    }
}

void Machine::Impl::start_settle(Branch& branch) {
    branch.tries = 0;
    enter(branch, BranchState::settling);
    call_finish(branch);
}

// ---- finishing
// -----------------------------------------------------------------------------------

void Machine::Impl::start_finish(Branch& branch, Decision decision) {
    branch.decision = decision;
    branch.tries = 0;
    branch.timer = TimerId();
    branch.reason = {};
    enter(branch,
          decision == Decision::commit ? BranchState::committing : BranchState::rolling_back);
    call_finish(branch);
}

void Machine::Impl::call_finish(Branch& branch) {
    TWOFOLD_ASSERT(!branch.finish_running, "two finishing calls for one branch at a time");
    branch.finish_running = true;
    protocol::FinishRequest request{branch.key, branch.gid, branch.proof, branch.operator_reason};
    switch (branch.state) {
        case BranchState::committing: return emit(CommitPrepared{std::move(request)});
        case BranchState::rolling_back:
            if (config_.sabotage.rollback_without_proof) request.proof.reset();
            return emit(RollbackPrepared{std::move(request)});
        case BranchState::settling: return emit(SettleOnePhase{branch.key, branch.idempotency});
        default: TWOFOLD_UNREACHABLE("finishing a branch that is not being finished");
    }
}

void Machine::Impl::on(FinishDone&& input) {
    Branch* branch = table_.find(input.key);
    if (branch == nullptr || !branch->finish_running) return;
    branch->finish_running = false;
    if (input.result.status == FinishStatus::unknown) return on_finish_unknown(*branch);
    if (branch->state == BranchState::settling) {
        return on_settling_done(*branch, std::move(input.result));
    }
    branch->reason = std::move(input.result.reason);
    switch (branch->state) {
        case BranchState::committing: return on_committing_done(*branch, input.result.status);
        case BranchState::rolling_back: return on_rolling_back_done(*branch, input.result.status);
        default: TWOFOLD_UNREACHABLE("a finishing call's answer to a branch not being finished");
    }
}

// The tries never end, whoever waits. Those who wait are told `unknown` after a few, so that a
// coordinator sees that this branch is slow and asks again on its own schedule.
void Machine::Impl::on_finish_unknown(Branch& branch) {
    ++branch.tries;
    std::vector<Waiter> all = std::exchange(branch.waiters, {});
    for (Waiter& waiter : all) {
        if (++waiter.tries < config_.tries_before_unknown) {
            branch.waiters.push_back(waiter);
            continue;
        }
        waiting_.erase(waiter.ticket);
        reply(waiter.ticket,
              waiter.op,
              branch.key,
              {ItemStatus::unknown,
               make_reason(reason::kUnavailable, "the database does not say yet; still trying")});
    }
    branch.timer = arm_retry(TimerKind::finish_again, branch.key, branch.tries);
}

void Machine::Impl::on_committing_done(Branch& branch, FinishStatus status) {
    switch (status) {
        case FinishStatus::committed: return finish(branch, BranchState::committed);
        case FinishStatus::aborted:
            raise_alarm(branch, "heuristic_abort", "told to commit, but it was aborted by others");
            return finish(branch, BranchState::heuristic_abort);
        case FinishStatus::not_found:  // "does not exist" is never a proof of a commit
        case FinishStatus::hazard:
            raise_alarm(branch, "hazard", "told to commit, but nothing proves how it ended");
            return finish(branch, BranchState::hazard);
        case FinishStatus::unknown: break;
    }
    TWOFOLD_UNREACHABLE("finish status");
}

void Machine::Impl::on_rolling_back_done(Branch& branch, FinishStatus status) {
    switch (status) {
        case FinishStatus::aborted:
        case FinishStatus::not_found: return finish(branch, BranchState::aborted);
        case FinishStatus::committed:
            raise_alarm(
                branch, "heuristic_commit", "told to abort, but it was committed by others");
            return finish(branch, BranchState::heuristic_commit);
        case FinishStatus::hazard:
            raise_alarm(branch, "hazard", "told to abort, but nothing proves how it ended");
            return finish(branch, BranchState::hazard);
        case FinishStatus::unknown: break;
    }
    TWOFOLD_UNREACHABLE("finish status");
}

void Machine::Impl::on_settling_done(Branch& branch, protocol::FinishResult&& result) {
    if (result.original) return end_replayed(branch, *result.original, result.reason);
    // Work that was refused keeps what it was refused for.
    if (!result.reason.empty() || !branch.voted_no) branch.reason = std::move(result.reason);
    switch (result.status) {
        case FinishStatus::committed: return finish(branch, BranchState::committed);
        case FinishStatus::aborted:
            branch.key_free =
                branch.idempotency.has_value() && branch.reason.code != reason::kKeyConflict;
            return finish(branch, BranchState::aborted);
        case FinishStatus::not_found:  // for a commit this would be a lie, for an abort a guess
        case FinishStatus::hazard:
            raise_alarm(branch, "hazard", "nothing proves how the one-phase branch ended");
            return finish(branch, BranchState::hazard);
        case FinishStatus::unknown: break;
    }
    TWOFOLD_UNREACHABLE("finish status");
}

}  // namespace twofold::participant
