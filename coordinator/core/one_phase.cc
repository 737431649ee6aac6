// One-phase: the only participant of a one-shot runs and commits it, and holds its outcome. We
// write nothing. An answer that is missing leaves the outcome unknown: the participant is asked
// until it proves that it has committed or has forbidden it for ever. There is no second attempt:
// which attempts there were would be forgotten in a crash, and each would have to be settled.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

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
        case ItemStatus::aborted: one_phase_aborted(txn, branch, std::move(result.reason)); return;
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
            if (depends_on_moment) {
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
        case ItemStatus::hazard:
            settle(txn,
                   branch,
                   make_reason(reason::kUnansweredPrepare,
                               "the participant could not tell: " + result.reason.message));
            return;
    }
}

// `why` becomes the reason of the abort, should it turn out to be one.
void Machine::Impl::settle(Transaction& txn, Branch& branch, protocol::Reason why) {
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
        case ItemStatus::aborted: one_phase_aborted(txn, branch, {}); return;
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
