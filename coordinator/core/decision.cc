// Proposing, deciding, ending.
//
// What a crash leaves:
//   before Propose is durable   no decision: recovery and every inquiry say abort
//   after it, before Decided    the decision may have survived: recovery then commits; nobody was
//   told after Decided               recovery commits again, and is acknowledged again after END
//   was appended      END may be lost: as after Decided
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::Decision;
using protocol::ItemOp;
using protocol::Outcome;

protocol::BranchRecord Machine::Impl::branch_record(const Branch& branch) {
    protocol::BranchRecord record;
    record.branch = branch.branch;
    record.attempt = branch.attempt;
    record.participant = branch.at->number;
    record.uuid = branch.at->uuid;
    record.identity = branch.at->identity;
    record.participant_epoch = branch.participant_epoch;
    record.vote = protocol::Vote::yes;
    record.proof = branch.proof;
    return record;
}

// Names the branches that hold a promise, and only those: no other gid of this group is ever told
// to commit.
protocol::DecisionRecord Machine::Impl::decision_record(const Transaction& txn) const {
    protocol::DecisionRecord record;
    record.group = txn.id;
    record.decision = Decision::commit;
    record.members = txn.members;
    for (const Branch& branch : txn.branches) {
        if (branch.in_decision) record.branches.push_back(branch_record(branch));
    }
    return record;
}

// All votes are in and none is no.
void Machine::Impl::propose(Transaction& txn) {
    bool any_yes = false;
    for (Branch& branch : txn.branches) {
        branch.in_decision = branch.state == BranchState::yes;
        any_yes = any_yes || branch.in_decision;
    }
    // Nothing was written anywhere: nothing to record, nothing to finish. But replaced attempts
    // that have not acknowledged their abort: then it is decided as any other commit, and ends
    // after them.
    if (!any_yes && txn.outstanding == 0) {
        txn.recorded = false;
        txn.decision = Decision::commit;
        end(txn);
        return;
    }
    enter(txn, TransactionState::proposing);
    txn.logged = true;
    emit(Propose{decision_record(txn)});
    if (config_.sabotage.send_commit_before_decided) {
        for (Branch& branch : txn.branches) {
            if (branch.in_decision) send(txn, branch, ItemOp::commit);
        }
    }
    if (config_.sabotage.answer_before_decided) {
        txn.decision = Decision::commit;
        for (const Waiter& waiter : std::exchange(txn.waiters, {})) {
            answer(waiter.ticket, AnswerKind::finished, txn);
        }
    }
}

void Machine::Impl::handle(Decided& input) {
    Transaction* txn = find(input.group);
    if (txn == nullptr || txn->state != TransactionState::proposing) return;
    if (input.decision == Decision::commit) {
        commit_decided(*txn);
        return;
    }
    // A replicated log: somebody else aborted it first, and that counts.
    decide_abort(*txn,
                 make_reason(protocol::reason::kCoordinatorRestart,
                             "another coordinator had aborted the transaction"),
                 0);
}

void Machine::Impl::commit_decided(Transaction& txn) {
    txn.decision = Decision::commit;
    cancel(txn.idle_timer);
    if (txn.member().idempotency) remember_key(txn, true);
    enter(txn, TransactionState::committing);
    for (Branch& branch : txn.branches) {
        if (!branch.in_decision) continue;
        enter(txn, branch, BranchState::committing);
        drive(txn, branch);
    }
    answer_ready_waiters(txn);
    finish_if_done(txn);
}

// Presumed abort: nothing is forced, the answer does not wait, and a crash changes nothing. The
// abort goes to every branch that may exist; only branches that certainly left nothing are spared.
void Machine::Impl::decide_abort(Transaction& txn, protocol::Reason reason, std::uint16_t blamed) {
    txn.decision = Decision::abort;
    txn.reason = std::move(reason);
    txn.blamed_branch = blamed;
    slots_.cancel(txn.position);
    cancel(txn.deadline_timer);
    cancel(txn.idle_timer);
    if (txn.sent) {
        protocol::DecisionRecord record;
        record.group = txn.id;
        record.decision = Decision::abort;
        record.members = txn.members;
        record.reason = txn.reason.code;
        for (const Branch& branch : txn.branches) {
            if (is_outstanding(branch.state)) record.branches.push_back(branch_record(branch));
        }
        txn.logged = true;
        txn.abort_logged = true;
        emit(Append{std::move(record)});
    }
    // Where nothing was tried, the client may use its key again.
    bool is_tried = txn.sent || txn.reason.code == protocol::reason::kClientAbort;
    if (txn.one_shot && (!is_tried || is_key_in_question(txn))) forget_key(txn);
    enter(txn, TransactionState::aborting);
    for (Branch& branch : txn.branches) {
        branch.in_decision = false;
        if (branch.state == BranchState::waiting) enter(txn, branch, BranchState::no);
        if (!is_outstanding(branch.state) || branch.replaced) continue;
        enter(txn, branch, BranchState::aborting);
        drive(txn, branch);
    }
    answer_ready_waiters(txn);
    finish_if_done(txn);
}

// Every branch has acknowledged, replaced attempts too.
void Machine::Impl::finish_if_done(Transaction& txn) {
    bool deciding =
        txn.state == TransactionState::committing || txn.state == TransactionState::aborting;
    if (!deciding) return;
    if (txn.outstanding > 0) {
        if (!config_.sabotage.end_before_all_acks) return;
        for (Branch& branch : txn.branches) {
            if (!is_outstanding(branch.state)) continue;
            count_outstanding(txn, branch, true, false);
            cancel(branch.retry_timer);
        }
    }
    end(txn);
}

// A person's word is told apart from a proof.
Outcome Machine::Impl::outcome_of(const Transaction& txn) {
    if (txn.ended_as) return *txn.ended_as;
    bool commit = txn.decision == Decision::commit;
    bool hazard = false;
    bool against = false;  // a branch ended against the decision
    bool mixed = false;
    bool as_decided = false;
    bool on_a_word = false;
    for (const Branch& branch : txn.branches) {
        // Not while it is being recorded: what may be lost must not be told.
        if (branch.state == BranchState::heuristic) {
            bool commit_it = commit && !branch.replaced;
            hazard = hazard || branch.outcome == Outcome::heuristic_hazard;
            bool other = branch.outcome ==
                         (commit_it ? Outcome::heuristic_abort : Outcome::heuristic_commit);
            // The newest attempt commits, or has ended oddly itself.
            mixed = mixed || branch.outcome == Outcome::heuristic_mixed ||
                    (other && commit && branch.replaced);
            against = against || other;
            on_a_word = on_a_word || (branch.by_operator && !other);
        } else {
            as_decided = as_decided || branch.state == BranchState::committed ||
                         (branch.state == BranchState::aborted && !branch.replaced);
        }
    }
    if (hazard) return Outcome::heuristic_hazard;
    if (!txn.decision) return Outcome::unknown;
    if (mixed || (against && (as_decided || on_a_word))) return Outcome::heuristic_mixed;
    if (against) return commit ? Outcome::heuristic_abort : Outcome::heuristic_commit;
    if (on_a_word) return commit ? Outcome::heuristic_commit : Outcome::heuristic_abort;
    return commit ? Outcome::committed : Outcome::aborted;
}

void Machine::Impl::end(Transaction& txn) {
    TWOFOLD_ASSERT(txn.outstanding == 0, "what has ended is outstanding nowhere");
    Outcome outcome = outcome_of(txn);
    TransactionState state = TransactionState::heuristic;
    if (outcome == Outcome::committed) state = TransactionState::committed;
    if (outcome == Outcome::aborted) state = TransactionState::aborted;
    if (txn.logged) {
        // The horizon has passed it while it was unfinished: what covers its commits comes into the
        // log before the END that lets it be forgotten.
        protocol::IdPosition horizon = forcing_horizon_.value_or(outcomes_.horizon());
        if (txn.position < horizon) give_up_below(horizon);
        emit(Append{protocol::EndRecord{txn.id, outcome}});
    }
    if (outcome == Outcome::committed) remember_outcome(txn.position, txn.recorded);
    if (txn.decision == Decision::commit && txn.member().idempotency) {
        settle_key(txn.id, *txn.member().idempotency, true, {});
    }
    cancel(txn.deadline_timer);
    cancel(txn.idle_timer);
    enter(txn, state);
    emit(Finished{txn.id, outcome, txn.reason.code, txn.recovered});
    answer_ready_waiters(txn);
    remember(txn);
    maybe_move_horizon();
}

// Keeps the report for late questions; the oldest goes. Heuristic outcomes stay until a person has
// acknowledged them. `txn` may be gone afterwards.
void Machine::Impl::remember(Transaction& txn) {
    for (Branch& branch : txn.branches) branch.work = nullptr;
    count_bytes(txn);
    keep_results(txn);
    if (txn.state == TransactionState::heuristic) return;
    ended_.push_back(txn.position);
    // The one that has just ended stays: its caller may look at it still.
    while (ended_.size() > std::max<std::size_t>(config_.reports_max, 1)) {
        Transaction* oldest = find(ended_.front());
        // Without its report a repetition would take its key for free, and run again, while the
        // abort under that key is becoming durable.
        bool is_held = is_key_being_forced(*oldest) && !config_.sabotage.evict_unforced_keys;
        if (is_held || !oldest->waiters.empty()) return;
        ended_.pop_front();
        erase(*oldest);
    }
}

}  // namespace twofold::coordinator
