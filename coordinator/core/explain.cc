#include "coordinator/core/explain.h"

#include "coordinator/core/machine_impl.h"

#include <iterator>
#include <utility>

namespace twofold::coordinator {

namespace {

constexpr std::string_view kSettle =
    "if the participant never comes back, look in its database for what the transaction changed "
    "and "
    "resolve the branch with what was found there";

// What is still prepared has not ended: a person's word on how it ended would be wrong.
std::string after_looking(const Branch& branch) {
    return std::string("look for the gid in its database. Still prepared there: do not resolve, ") +
           (branch.in_decision ? "commit it" : "roll it back") +
           " there by hand as was decided, then resolve the branch so. Gone: resolve the branch "
           "with what the data shows";
}

Advice parked_advice(const Transaction& txn, const Branch& branch) {
    if (branch.parked == ParkedBecause::identity) {
        return {
            "nothing is sent while another database answers for the participant; it goes on by "
            "itself when " +
                branch.at->identity.text() + " is back",
            "correct the participant's address; or, if the new database is meant, resolve its "
            "open branches and rebind it"};
    }
    return {"nothing: the participant answered what no participant may answer",
            txn.state == TransactionState::settling ? std::string(kSettle) : after_looking(branch)};
}

std::string tries_of(const Branch& branch) {
    return std::to_string(branch.tries) + (branch.tries == 1 ? " try" : " tries") + " so far" +
           (branch.undelivered ? ", for so long that an alarm was raised (decision_undelivered)"
                               : "");
}

}  // namespace

Advice advice_for(const Transaction& txn, const Branch& branch) {
    switch (branch.state) {
        case BranchState::waiting: return {"its work is sent when all its slots are free", ""};
        case BranchState::enlisted:
            return {"its session at the participant waits for the application", ""};
        case BranchState::preparing:
            return {"its vote is awaited; without one by the deadline the transaction is aborted",
                    ""};
        case BranchState::yes: return {"it holds its promise and waits for the decision", ""};
        case BranchState::one_phase: return {"its participant runs and commits it", ""};
        case BranchState::settling:
            return {"its participant is asked how it ended, for ever; " + tries_of(branch),
                    std::string(kSettle)};
        case BranchState::committing:
        case BranchState::aborting:
            return {"it is told the decision again and again, for ever; " + tries_of(branch),
                    "bring the participant back. If it never comes back, " + after_looking(branch)};
        case BranchState::recording: return {"how it ended is being written to the log", ""};
        case BranchState::heuristic:
            return {"nothing: it ended as " + std::string(to_string(branch.outcome)) + " (" +
                        branch.evidence + ")",
                    txn.state == TransactionState::heuristic
                        ? "correct the data by hand where needed, then forget the transaction"
                        : ""};
        case BranchState::parked: return parked_advice(txn, branch);
        case BranchState::no:
        case BranchState::read_only:
        case BranchState::committed:
        case BranchState::aborted: break;
    }
    return {"nothing: it has ended", ""};
}

Advice advice_for(const Transaction& txn) {
    switch (txn.state) {
        case TransactionState::fresh:
        case TransactionState::waiting:
            return {"it waits for slots at its participants; at the deadline it is aborted", ""};
        case TransactionState::active:
            return {"it waits for the client's commit; at its deadline it is aborted",
                    "abort it, if the client is gone"};
        case TransactionState::preparing:
            return {"votes are outstanding; at the deadline it is aborted", ""};
        case TransactionState::proposing:
            return {"the commit decision is on its way to the disk", ""};
        case TransactionState::one_phase: return {"its only participant commits it", ""};
        case TransactionState::settling:
            return {"its only participant is asked how it ended, for ever",
                    "bring the participant back"};
        case TransactionState::committing:
            return {"commit is durable: every branch is told until it has acknowledged",
                    "bring participants back that do not answer; nothing else is needed"};
        case TransactionState::aborting:
            return {"it is aborted: every branch is told until it has acknowledged",
                    "bring participants back that do not answer; nothing else is needed"};
        case TransactionState::heuristic:
            return {
                "nothing: it did not end everywhere as decided, or nobody can prove that it "
                "did",
                "look at the branches, correct the data by hand, then forget it"};
        case TransactionState::committed:
        case TransactionState::aborted: break;
    }
    return {"nothing: it has ended", ""};
}

std::optional<Explanation> Machine::Impl::explain(const protocol::TxnId& id) const {
    const Transaction* txn = find(id);
    if (txn == nullptr) return std::nullopt;
    Explanation out;
    out.report = report(*txn);
    out.advice = advice_for(*txn);
    RecoveredState saved;
    save_transaction(*txn, saved);
    out.records = checkpoint_records(saved);
    if (txn->logged && is_ended(txn->state) && txn->state != TransactionState::heuristic) {
        out.records.emplace_back(protocol::EndRecord{txn->id, outcome_of(*txn)});
    }
    out.branches.reserve(txn->branches.size());
    for (const Branch& branch : txn->branches) {
        protocol::BranchKey key{txn->id, branch.branch, branch.attempt};
        out.branches.push_back({branch.branch,
                                branch.attempt,
                                branch.replaced,
                                branch.at->number,
                                std::string(to_string(branch.state)),
                                protocol::make_gid(key, branch.at->uuid),
                                branch.at->identity.text(),
                                branch.proof,
                                advice_for(*txn, branch)});
    }
    return out;
}

std::optional<Explanation> Machine::explain(const protocol::TxnId& txn) const {
    return impl_->explain(txn);
}

}  // namespace twofold::coordinator
