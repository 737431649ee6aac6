// One-phase: the only participant of a one-shot runs and commits it, and holds its outcome. We
// write nothing. An answer that is missing leaves the outcome unknown: the participant is asked
// until it proves that it has committed or has forbidden it for ever. An id has no second attempt:
// which attempts there were would be forgotten in a crash, and each would have to be settled. Where
// it is certain that an id has done nothing and never will, its work may go on under another id.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;
namespace reason = protocol::reason;

void Machine::Impl::one_phase_committed(Transaction& txn, Branch& branch, ItemResult& result) {
    branch.results = std::move(result.results);
    branch.proof = result.proof;
    branch.reason = std::move(result.reason);  // that no standby has confirmed it
    txn.recorded = result.recorded && result.status == ItemStatus::committed;
    if (branch.results) txn.results_lost = false;
    txn.decision = protocol::Decision::commit;
    txn.reason = {};
    txn.blamed_branch = 0;
    enter(txn, branch, BranchState::committed);
    end(txn);
}

void Machine::Impl::one_phase_aborted(Transaction& txn, Branch& branch, protocol::Reason why) {
    txn.decision = protocol::Decision::abort;
    if (!why.empty()) {
        txn.blamed_branch = branch.branch;
        txn.reason = std::move(why);
    }
    if (is_key_in_question(txn)) forget_key(txn);
    bool asked = branch.state == BranchState::settling;
    enter(txn, branch, asked ? BranchState::aborted : BranchState::no);
    end(txn);
}

void Machine::Impl::on_one_phase_reply(Transaction& txn, Branch& branch, ItemResult& result) {
    if (result.op != ItemOp::one_phase) return;
    const std::string& code = result.reason.code;
    switch (result.status) {
        case ItemStatus::committed:
        case ItemStatus::read_only: one_phase_committed(txn, branch, result); return;
        case ItemStatus::no:
        case ItemStatus::aborted:
            if (code == reason::kOnePhaseUnavailable && !result.executed) {
                directory_.at(branch.at->number).one_phase = false;
                if (can_rerun(txn, branch)) return rerun(txn, branch, std::move(result.reason));
            }
            one_phase_aborted(txn, branch, std::move(result.reason));
            return;
        case ItemStatus::refused: {
            if (code == reason::kIdentityMismatch) {
                wrong_database(txn, branch, "it refuses the identity that it was addressed with");
                return;
            }
            // A duplicate of this message may have committed before the restart that this refusal
            // is about. Only the participant's own books can say.
            bool depends_on_moment = result.executed || code == reason::kStaleParticipantEpoch ||
                                     code == reason::kNotReady || code == reason::kBelowLowWater ||
                                     code == reason::kAfterAbort;
            bool key_is_open = is_key_in_question(txn) && code != reason::kKeyConflict;
            if (depends_on_moment || key_is_open) {
                settle(txn, branch, std::move(result.reason));
            } else {
                one_phase_aborted(txn, branch, std::move(result.reason));
            }
            return;
        }
        case ItemStatus::unknown:
        case ItemStatus::yes:
        case ItemStatus::finished_earlier:
        case ItemStatus::heuristic_commit:
        case ItemStatus::heuristic_abort:
        case ItemStatus::hazard: {
            bool is_told = code == reason::kSlotsExhausted || code == reason::kKeyInProgress ||
                           code == reason::kStaleParticipantEpoch;
            settle(txn,
                   branch,
                   make_reason(is_told ? code : reason::kUnansweredPrepare,
                               "the participant could not tell: " + result.reason.message));
            return;
        }
    }
}

// The same work under another id: the client must learn of that one. Who gave a key asks under it;
// otherwise the request itself must still wait, so that nobody was told the old id.
bool Machine::Impl::can_rerun(const Transaction& txn, const Branch& branch) const {
    bool is_wanted = !branch.cancel_first && txn.deadline_timer.value != 0 && branch.work;
    bool is_abort_wanted = std::ranges::any_of(
        txn.waiters, [](const Waiter& waiter) { return waiter.wish == Wish::abort; });
    bool is_first_waiting = std::ranges::any_of(
        txn.waiters, [](const Waiter& waiter) { return waiter.by_key && !waiter.repeated; });
    bool is_learned = txn.member().idempotency ? owns_key(txn) : is_first_waiting;
    return is_wanted && !is_abort_wanted && is_learned;
}

// Its participant restarted before it saw the work, and has forbidden the id since.
bool Machine::Impl::has_missed_epoch(const Transaction& txn, const Branch& branch) const {
    bool newer_known = directory_.find(branch.at->number)->epoch > branch.participant_epoch;
    return txn.reason.code == reason::kStaleParticipantEpoch && newer_known;
}

// This id has done nothing and never will: its participant has said so. What it was to do goes on
// under a new id, because an id that names its participant cannot be two-phase, and is settled by
// the name of its only attempt.
void Machine::Impl::rerun(Transaction& txn, Branch& branch, protocol::Reason why) {
    const Participant& participant = directory_.at(branch.at->number);
    protocol::ParticipantNumber one_phase;
    if (participant.one_phase) one_phase = branch.at->number;
    Transaction& next = create(next_id(one_phase));
    next.one_shot = true;
    next.deadline = txn.deadline;
    next.members.push_back({next.id, txn.member().idempotency, txn.member().labels});
    next.key_confirmed = txn.key_confirmed;
    if (owns_key(txn)) {
        forget_key(txn);
        remember_key(next, false);
    }
    add_branch(next, branch.at->number);
    next.branches.front().work = std::move(branch.work);
    count_bytes(next);
    count_bytes(txn);
    next.branches.front().options = branch.options;
    next.deadline_timer = std::exchange(txn.deadline_timer, TimerId{});
    next.waiters = std::move(txn.waiters);
    txn.waiters.clear();
    auto move_timer = [&](TimerId timer) {
        if (timer.value != 0) timers_.at(timer).ref.position = next.position;
    };
    move_timer(next.deadline_timer);
    for (const Waiter& waiter : next.waiters) move_timer(waiter.timer);
    enter(next, TransactionState::waiting);
    txn.answered_by = next.id;
    one_phase_aborted(txn, branch, std::move(why));
    request_slots(next);
}

// `why` becomes the reason of the abort, should it turn out to be one.
void Machine::Impl::settle(Transaction& txn, Branch& branch, protocol::Reason why) {
    if (config_.sabotage.rerun_before_settling && can_rerun(txn, branch)) {
        return rerun(txn, branch, std::move(why));
    }
    txn.reason = std::move(why);
    txn.blamed_branch = branch.branch;
    enter(txn, TransactionState::settling);
    enter(txn, branch, BranchState::settling);
    drive(txn, branch);
}

void Machine::Impl::on_settle_reply(Transaction& txn, Branch& branch, ItemResult& result) {
    if (result.op == ItemOp::one_phase) {
        // The answer to the work itself, overtaken by our question. Both tell the same.
        if (result.status == ItemStatus::committed || result.status == ItemStatus::read_only) {
            one_phase_committed(txn, branch, result);
        }
        return;
    }
    if (result.op != ItemOp::settle_one_phase && result.op != ItemOp::abort) return;
    switch (result.status) {
        case ItemStatus::committed:
        case ItemStatus::read_only: one_phase_committed(txn, branch, result); return;
        case ItemStatus::aborted:
            // Why it was asked is the reason, but for a key of another request.
            if (result.reason.code != reason::kKeyConflict) {
                if (has_missed_epoch(txn, branch) && can_rerun(txn, branch)) {
                    return rerun(txn, branch, txn.reason);
                }
                result.reason = {};
            }
            one_phase_aborted(txn, branch, std::move(result.reason));
            return;
        case ItemStatus::hazard:
            record_outcome(txn, branch, protocol::Outcome::heuristic_hazard, result);
            return;
        case ItemStatus::refused: on_refused_decision(txn, branch, result); return;
        case ItemStatus::unknown:
        case ItemStatus::finished_earlier:  // says that, not how: its witness must still be found
        case ItemStatus::yes:
        case ItemStatus::no:
        case ItemStatus::heuristic_commit:
        case ItemStatus::heuristic_abort: schedule_retry(txn, branch); return;
    }
}

}  // namespace twofold::coordinator
