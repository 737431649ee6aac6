// From the slots to the votes.
//
// A prepare is sent exactly once per attempt and never repeated. Whatever is not a complete answer
// aborts the transaction, and the abort goes to every branch that may exist, the silent one too.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ItemOp;
using protocol::ItemStatus;
namespace reason = protocol::reason;

// The first branch whose participant cannot take new work now.
const Branch* Machine::Impl::unusable_branch(const Transaction& txn, protocol::Reason& why) const {
    for (const Branch& branch : txn.branches) {
        const Participant& participant = *directory_.find(branch.at->number);
        std::string name = directory_.name_of(branch.at->number);
        if (participant.mismatched) {
            why = make_reason(reason::kIdentityMismatch,
                              "another database answers for participant " + name);
        } else if (participant.went_back) {
            why = make_reason(reason::kUnavailable,
                              "the database of participant " + name + " went back in time");
        } else if (!participant.seen) {
            why = make_reason(reason::kUnavailable,
                              "participant " + name + " has not been reached yet");
        } else if (!participant.reachable) {
            why = make_reason(reason::kUnavailable, "participant " + name + " cannot be reached");
        } else {
            continue;
        }
        return &branch;
    }
    return nullptr;
}

void Machine::Impl::request_slots(Transaction& txn) {
    std::vector<protocol::ParticipantNumber> participants;
    participants.reserve(txn.branches.size());
    for (const Branch& branch : txn.branches) participants.push_back(branch.at->number);
    if (slots_.request(txn.position, participants)) launch(txn);
}

void Machine::Impl::run_granted() {
    // Launching may end a transaction at once and so free slots for the next.
    for (auto granted = slots_.take_granted(); !granted.empty(); granted = slots_.take_granted()) {
        for (protocol::IdPosition position : granted) {
            Transaction* txn = find(position);
            TWOFOLD_ASSERT(txn != nullptr && txn->state == TransactionState::waiting,
                           "slots are granted to transactions that wait");
            launch(*txn);
        }
    }
}

// Every slot is ours: send everything in one step.
void Machine::Impl::launch(Transaction& txn) {
    for (Branch& branch : txn.branches) {
        branch.participant_epoch = directory_.at(branch.at->number).epoch;
        branch.holds_slot = true;
    }
    txn.sent = true;
    if (txn.id.participant().value == 0) {
        send_prepares(txn);
        return;
    }
    Branch& branch = txn.branches.front();
    enter(txn, TransactionState::one_phase);
    enter(txn, branch, BranchState::one_phase);
    send(txn, branch, ItemOp::one_phase);
}

void Machine::Impl::send_prepares(Transaction& txn) {
    append_preparing(txn);
    enter(txn, TransactionState::preparing);
    for (Branch& branch : txn.branches) {
        enter(txn, branch, BranchState::preparing);
        send(txn, branch, txn.one_shot ? ItemOp::execute_prepare : ItemOp::prepare);
    }
}

void Machine::Impl::append_preparing(Transaction& txn) {
    if (!config_.log_preparing) return;
    txn.logged = true;
    protocol::PreparingRecord record{txn.id, txn.members, {}};
    record.branches.reserve(txn.branches.size());
    for (const Branch& branch : txn.branches) record.branches.push_back(branch_record(branch));
    emit(Append{std::move(record)});
}

void Machine::Impl::send(Transaction& txn, Branch& branch, ItemOp op) {
    protocol::Item item;
    item.op = op;
    item.key = {txn.id, branch.branch, branch.attempt};
    item.participant_epoch = branch.participant_epoch;
    bool runs_work = op == ItemOp::execute_prepare || op == ItemOp::one_phase;
    if (runs_work) {
        item.work = branch.work;
        item.options = branch.options;
    }
    if (runs_work || op == ItemOp::prepare) {
        // The machine has no clock: this is the whole of the time. The shell puts in what is left
        // of it when the batch is sent.
        item.deadline_ms = static_cast<std::uint32_t>(txn.deadline.count());
    }
    if (op == ItemOp::prepare) item.expected_executes = branch.expected_executes;
    if (op == ItemOp::commit || op == ItemOp::abort) item.proof = branch.proof;
    bool is_single = txn.one_shot && txn.branch_count == 1;
    bool is_one_phase = txn.id.participant().value != 0;
    bool is_about_key = op == ItemOp::one_phase || op == ItemOp::settle_one_phase ||
                        (op == ItemOp::abort && is_one_phase) ||
                        (op == ItemOp::execute_prepare && is_single);
    if (is_about_key && directory_.at(branch.at->number).keys) {
        item.idempotency = txn.member().idempotency;
    }
    ++branch.tries;
    // Of the first try: any answer to this operation is younger than that.
    if (branch.last_op != op) {
        const Participant& participant = directory_.at(branch.at->number);
        branch.position_at_send = participant.position;
        branch.acknowledged_at_send = participant.acknowledged;
        branch.last_op = op;
    }
    emit(Send{branch.at->number, std::move(item)});
}

// ---- votes ----------------------------------------------------------------------------

void Machine::Impl::on_vote(Transaction& txn, Branch& branch, protocol::ItemResult& result) {
    if (result.op != ItemOp::execute_prepare && result.op != ItemOp::prepare) return;
    branch.reason = result.reason;
    std::uint16_t number = branch.branch;
    switch (result.status) {
        case ItemStatus::yes:
            // The promise was made by another life of the participant than the one that was asked.
            if (result.participant_epoch != branch.participant_epoch &&
                !config_.sabotage.accept_stale_epoch_vote) {
                on_unanswered_vote(txn, branch, "the vote came from another participant epoch");
                return;
            }
            branch.proof = result.proof;
            branch.results = std::move(result.results);
            count_bytes(txn);
            enter(txn, branch, BranchState::yes);
            count_votes(txn);
            return;
        case ItemStatus::read_only:
            // It has no such vote: whatever it means, it may hold something.
            if (!directory_.at(branch.at->number).read_only) {
                on_impossible_vote(txn, branch, result);
                return;
            }
            branch.results = std::move(result.results);
            count_bytes(txn);
            enter(txn, branch, BranchState::read_only);
            count_votes(txn);
            return;
        case ItemStatus::no:
            enter(txn, branch, BranchState::no);
            decide_abort(txn, std::move(result.reason), number);
            return;
        case ItemStatus::refused: on_refused_vote(txn, branch, result); return;
        case ItemStatus::unknown:
            on_unanswered_vote(txn, branch, "it cannot tell: " + result.reason.message);
            return;
        case ItemStatus::aborted:
        case ItemStatus::committed:
        case ItemStatus::finished_earlier:
        case ItemStatus::heuristic_commit:
        case ItemStatus::heuristic_abort:
        case ItemStatus::hazard: on_impossible_vote(txn, branch, result); return;
    }
}

void Machine::Impl::on_impossible_vote(Transaction& txn,
                                       Branch& branch,
                                       const protocol::ItemResult& result) {
    std::string status(to_string(result.status));
    alarm("protocol_violation", txn.id, branch.at->number, "prepare was answered with " + status);
    decide_abort(txn,
                 make_reason(reason::kProtocolViolation, "impossible answer to prepare: " + status),
                 branch.branch);
}

// Refused: this message did nothing. Where the refusal depends on the moment (a restart, a mark),
// an earlier duplicate of the same message may have done something: such a branch is aborted as
// well.
void Machine::Impl::on_refused_vote(Transaction& txn,
                                    Branch& branch,
                                    const protocol::ItemResult& result) {
    const std::string& code = result.reason.code;
    std::uint16_t number = branch.branch;
    if (code == reason::kIdentityMismatch) {
        wrong_database(txn, branch, "it refuses the identity that it was addressed with");
        return;
    }
    bool stale = code == reason::kStaleParticipantEpoch;
    if (stale && config_.sabotage.accept_stale_epoch_vote) {
        enter(txn, branch, BranchState::read_only);
        count_votes(txn);
        return;
    }
    bool newer_known = directory_.at(branch.at->number).epoch > branch.participant_epoch;
    if (stale && txn.one_shot && !result.executed && newer_known &&
        branch.attempt < config_.attempts_max) {
        retry_in_new_epoch(txn, branch);
        return;
    }
    if (code == reason::kBelowLowWater) {
        alarm("protocol_violation",
              txn.id,
              branch.at->number,
              "a live transaction was refused as below low water");
    }
    bool depends_on_moment = result.executed || stale || code == reason::kNotReady ||
                             code == reason::kBelowLowWater || code == reason::kAfterAbort;
    if (!depends_on_moment) enter(txn, branch, BranchState::no);
    if (stale && !txn.one_shot) {
        decide_abort(txn,
                     make_reason(reason::kBranchLost,
                                 "the participant restarted: the branch's work is lost"),
                     number);
        return;
    }
    decide_abort(txn, result.reason, number);
}

void Machine::Impl::on_unanswered_vote(Transaction& txn, Branch& branch, std::string why) {
    if (config_.sabotage.treat_unknown_prepare_as_yes) {
        enter(txn, branch, BranchState::yes);
        count_votes(txn);
        return;
    }
    branch.reason = make_reason(reason::kUnansweredPrepare, std::move(why));
    std::uint16_t number = branch.branch;
    decide_abort(txn, branch.reason, number);
}

// The participant restarted before it saw the work. The same work goes to its new epoch as a new
// attempt; the old one is aborted by name, in case a duplicate of it did arrive in time.
void Machine::Impl::retry_in_new_epoch(Transaction& txn, Branch& branch) {
    std::size_t index = branch.branch - 1U;
    Branch replaced = branch;
    replaced.replaced = true;
    replaced.holds_slot = false;
    replaced.work = nullptr;
    replaced.state = BranchState::waiting;
    txn.branches.push_back(std::move(replaced));

    Branch& current = txn.branches[index];
    ++current.attempt;
    current.tries = 0;
    current.reason = {};
    current.participant_epoch = directory_.at(current.at->number).epoch;
    append_preparing(txn);
    send(txn, current, ItemOp::execute_prepare);

    Branch& old = txn.branches.back();
    enter(txn, old, BranchState::aborting);
    drive(txn, old);
}

void Machine::Impl::count_votes(Transaction& txn) {
    bool any_yes = false;
    for (std::size_t i = 0; i < txn.branch_count; ++i) {
        BranchState state = txn.branches[i].state;
        any_yes = any_yes || state == BranchState::yes;
        if (state == BranchState::preparing && !config_.sabotage.commit_without_all_votes) return;
    }
    if (config_.sabotage.commit_without_all_votes) {
        if (!any_yes) return;
        for (std::size_t i = 0; i < txn.branch_count; ++i) {
            Branch& branch = txn.branches[i];
            if (branch.state == BranchState::preparing) enter(txn, branch, BranchState::yes);
        }
    }
    propose(txn);
}

}  // namespace twofold::coordinator
