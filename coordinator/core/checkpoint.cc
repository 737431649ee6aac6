// From RecoveredState to a running machine, and back into a checkpoint.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace twofold::coordinator {

using protocol::Decision;
using protocol::TxnId;

Machine::Impl::Impl(Config config, RecoveredState recovered)
    : config_(config),
      incarnation_(recovered.incarnation),
      epoch_(recovered.epoch),
      id_epoch_(recovered.epoch),
      epochs_(std::move(recovered.epochs)),
      directory_(recovered.participants),
      outcomes_(std::move(recovered.outcomes)),
      old_heuristic_(std::move(recovered.heuristic)),
      old_branch_outcomes_(std::move(recovered.branch_outcomes)),
      acknowledged_(std::move(recovered.acknowledged)),
      given_up_(std::move(recovered.given_up)),
      sealed_outcomes_(std::move(recovered.sealed_outcomes)),
      turns_(std::move(recovered.turns)),
      keys_(std::move(recovered.keys)),
      sealed_(std::move(recovered.sealed)),
      next_sealed_(first_sealed_file(recovered.epoch)),
      refused_(std::move(recovered.refused)),
      accepted_(std::move(recovered.accepted)) {
    TWOFOLD_ASSERT(epochs_.contains(epoch_), "the epoch's record and key come before the machine");
    outcomes_.move_horizon(recovered.horizon);
    for (const auto& [epoch, record] : epochs_) epoch_keys_.try_emplace(epoch, record.key);
    if (config_.sabotage.reuse_sequence_after_restart && epochs_.contains(epoch_ - 1)) {
        id_epoch_ = epoch_ - 1;
    }
    for (const auto& [number, position] : recovered.positions) {
        Participant* participant = directory_.find(number);
        if (participant == nullptr) continue;
        participant->position = position;
        participant->logged_position = position;
    }
    if (!config_.sabotage.forget_unfinished_on_recovery) {
        for (const auto& [id, group] : recovered.unfinished_commits) restore_commit(id, group);
    }
    for (const auto& [id, record] : recovered.undecided) {
        restore_undecided(id, record, recovered.aborted.contains(id));
    }
    std::map<TxnId, protocol::Outcome> unseen = old_heuristic_;
    for (const auto& [id, outcome] : unseen) {
        if (!acknowledged_.contains(id)) restore_heuristic(id, outcome);
    }
    auto skip = [this](const auto& files) {
        if (!files.empty()) next_sealed_ = std::max(next_sealed_, files.rbegin()->first + 1);
    };
    skip(sealed_);
    skip(sealed_outcomes_);
    if (keys_.size() > 0) time_keys();
    if (!outcomes_.is_empty()) time_outcomes();
}

// Re-drives what recovery found. The constructor's effects (timers) come first.
void Machine::Impl::start(Effects& effects) {
    for (Effect& effect : scratch_) effects.push_back(std::move(effect));
    scratch_.clear();
    out_ = &effects;
    horizon_rests_ = epochs_.begin()->first < epoch_;
    if (refused_) {
        stay_stopped();
        out_ = &scratch_;
        return;
    }
    await_offers();
    std::vector<protocol::IdPosition> all;
    all.reserve(transactions_.size());
    for (const auto& [position, txn] : transactions_) all.push_back(position);
    for (protocol::IdPosition position : all) {
        Transaction* txn = find(position);
        if (txn == nullptr) continue;
        for (Branch& branch : txn->branches) {
            bool told =
                branch.state == BranchState::committing || branch.state == BranchState::aborting;
            if (told) drive(*txn, branch);
        }
        if (!is_presumed(*txn)) finish_if_done(*txn);
    }
    out_ = &scratch_;
}

void Machine::Impl::restore_branch(Transaction& txn, const protocol::BranchRecord& record) {
    // A branch of a participant without a record cannot be: participants are forced first.
    TWOFOLD_ASSERT(directory_.find(record.participant) != nullptr,
                   "branch of an unknown participant");
    Branch branch;
    branch.branch = record.branch;
    branch.attempt = record.attempt;
    // As enlisted then, not as the directory knows it now.
    branch.at = std::make_shared<const Enlistment>(
        Enlistment{record.participant, record.uuid, record.identity});
    branch.participant_epoch = record.participant_epoch;
    branch.proof = record.proof;
    branch.delay = config_.retry_min;
    // Not among the current attempts: the numbers of branches may have gaps here.
    branch.replaced = false;
    txn.branches.push_back(std::move(branch));
}

void Machine::Impl::restore_commit(const TxnId& id, const UnfinishedGroup& group) {
    Transaction& txn = create(id);
    txn.recovered = true;
    txn.logged = true;
    txn.sent = true;
    txn.results_lost = true;
    txn.decision = Decision::commit;
    txn.members = group.decision.members;
    if (txn.members.empty()) txn.members.push_back({id, std::nullopt, {}});
    enter(txn, TransactionState::committing);
    for (const protocol::BranchRecord& record : group.decision.branches) {
        restore_branch(txn, record);
        Branch& branch = txn.branches.back();
        branch.in_decision = true;
        auto ended = group.branch_outcomes.find({id, record.branch, record.attempt});
        if (ended != group.branch_outcomes.end()) {
            branch.outcome = ended->second.outcome;
            branch.evidence = ended->second.evidence;
            branch.by_operator = ended->second.by_operator;
            enter(txn, branch, BranchState::heuristic);
            continue;
        }
        slots_.occupy(record.participant);
        branch.holds_slot = true;
        enter(txn, branch, BranchState::committing);
    }
    for (const auto& [key, ended] : group.branch_outcomes) {
        if (find_branch(txn, key.branch, key.attempt) == nullptr) restore_odd_branch(txn, ended);
    }
    for (const protocol::BranchRecord& record : group.replaced) {
        if (find_branch(txn, record.branch, record.attempt) == nullptr) {
            restore_replaced(txn, record);
        }
    }
    // Whatever else is known under its key is older.
    if (txn.member().idempotency) keys_.erase(txn.member().idempotency->key_hash);
    remember_key(txn, true);
}

// Of an attempt that the decision does not name.
void Machine::Impl::restore_odd_branch(Transaction& txn,
                                       const protocol::BranchOutcomeRecord& ended) {
    Branch branch;
    branch.branch = ended.key.branch;
    branch.attempt = ended.key.attempt;
    branch.replaced = true;
    branch.at = directory_.at(ended.participant).enlistment;
    branch.outcome = ended.outcome;
    branch.evidence = ended.evidence;
    branch.by_operator = ended.by_operator;
    txn.branches.push_back(std::move(branch));
    enter(txn, txn.branches.back(), BranchState::heuristic);
}

// It may not have heard its abort. The newest attempt at its branch, where the decision does not
// name that one either, has voted read-only: it is only kept for the next checkpoint.
void Machine::Impl::restore_replaced(Transaction& txn, const protocol::BranchRecord& record) {
    restore_branch(txn, record);
    Branch& branch = txn.branches.back();
    branch.replaced = true;
    bool is_replaced = std::ranges::any_of(txn.branches, [&](const Branch& other) {
        return other.branch == record.branch && other.attempt > record.attempt;
    });
    enter(txn, branch, is_replaced ? BranchState::aborting : BranchState::no);
}

void Machine::Impl::restore_undecided(const TxnId& id,
                                      const protocol::PreparingRecord& record,
                                      bool is_decided) {
    Transaction& txn = create(id);
    txn.recovered = true;
    txn.logged = true;
    txn.sent = true;
    txn.results_lost = true;
    txn.decision = Decision::abort;
    txn.abort_logged = is_decided;
    txn.key_forced = keys_.abort_reason(id.position()) != nullptr;
    txn.reason = make_reason(protocol::reason::kCoordinatorRestart,
                             "the coordinator restarted before the decision");
    txn.members = record.members;
    if (txn.members.empty()) txn.members.push_back({id, std::nullopt, {}});
    enter(txn, TransactionState::aborting);
    std::vector<protocol::BranchOutcomeRecord> outcomes;
    auto odd = old_branch_outcomes_.extract(id);
    if (!odd.empty()) outcomes = std::move(odd.mapped());
    for (const protocol::BranchRecord& left : record.branches) {
        restore_branch(txn, left);
        Branch& branch = txn.branches.back();
        auto ended = std::ranges::find_if(outcomes, [&](const auto& outcome) {
            return outcome.key.branch == left.branch && outcome.key.attempt == left.attempt;
        });
        if (ended != outcomes.end()) {
            branch.outcome = ended->outcome;
            branch.evidence = ended->evidence;
            branch.by_operator = ended->by_operator;
            enter(txn, branch, BranchState::heuristic);
            continue;
        }
        slots_.occupy(left.participant);
        branch.holds_slot = true;
        enter(txn, branch, BranchState::aborting);
    }
}

// Ended, and shown until a person has seen it.
void Machine::Impl::restore_heuristic(const TxnId& id, protocol::Outcome outcome) {
    auto branches = old_branch_outcomes_.find(id);
    if (branches == old_branch_outcomes_.end()) return;
    for (const auto& branch : branches->second) {
        if (directory_.find(branch.participant) == nullptr) return;
    }
    if (find(id.position()) != nullptr) return;  // one of a lost log, or of ours, has its place
    Transaction& txn = create(id);
    txn.recovered = true;
    txn.logged = true;
    txn.sent = true;
    txn.results_lost = true;
    txn.one_shot = id.participant().value != 0;
    txn.ended_as = outcome;
    txn.members.push_back({id, std::nullopt, {}});
    for (const auto& ended : branches->second) {
        Branch branch;
        branch.branch = ended.key.branch;
        branch.attempt = ended.key.attempt;
        branch.at = directory_.at(ended.participant).enlistment;
        branch.outcome = ended.outcome;
        branch.evidence = ended.evidence;
        branch.by_operator = ended.by_operator;
        txn.branches.push_back(std::move(branch));
        enter(txn, txn.branches.back(), BranchState::heuristic);
    }
    enter(txn, TransactionState::heuristic);
    old_heuristic_.erase(id);
    old_branch_outcomes_.erase(branches);
}

// ---- checkpoint -----------------------------------------------------------------------

std::vector<protocol::Record> Machine::Impl::checkpoint() const {
    RecoveredState state = snapshot();
    auto records = checkpoint_records(state, outcomes_, keys_);
    for (const auto& [token, forcing] : forcing_) {
        bool is_key = std::holds_alternative<protocol::IdempotentAbortRecord>(forcing.record);
        if (is_key) records.push_back(forcing.record);
    }
    return records;
}

// What was appended before counts as covered: a proposed decision, and every record that is being
// forced, are part of the checkpoint although nobody was told of them yet.
RecoveredState Machine::Impl::snapshot() const {
    RecoveredState state;
    state.incarnation = incarnation_;
    state.epoch = epoch_;
    state.epochs = epochs_;
    state.participants = directory_.records();
    state.horizon = outcomes_.horizon();
    state.heuristic = old_heuristic_;
    state.branch_outcomes = old_branch_outcomes_;
    state.acknowledged = acknowledged_;
    state.given_up = given_up_;
    state.sealed = sealed_;
    state.sealed_outcomes = sealed_outcomes_;
    state.turns = turns_;
    state.refused = refused_;
    state.accepted = accepted_;
    for (const auto& [number, record] : state.participants) {
        const Participant& participant = *directory_.find(number);
        if (participant.position != protocol::Position{}) {
            state.positions[number] = participant.position;
        }
    }
    for (const auto& [token, forcing] : forcing_) {
        if (auto* record = std::get_if<protocol::ParticipantRecord>(&forcing.record)) {
            state.participants[record->number] = *record;
        } else if (auto* horizon = std::get_if<protocol::HorizonRecord>(&forcing.record)) {
            state.horizon = horizon->horizon;
        } else if (auto* given_up = std::get_if<protocol::GivenUpRecord>(&forcing.record)) {
            protocol::IdPosition& newest = state.given_up[given_up->participant];
            newest = std::max(newest, given_up->newest);
        } else if (auto* seen = std::get_if<protocol::AcknowledgedRecord>(&forcing.record)) {
            state.acknowledged[seen->txn] = seen->reason;
        } else if (auto* restore = std::get_if<protocol::RestoreRecord>(&forcing.record)) {
            if (!restore->accepted) continue;  // in refused_ at once
            state.accepted = *restore;
            state.refused.reset();
        }
    }
    forget_files_below(state.horizon, state.sealed_outcomes);
    if (config_.sabotage.drop_sealed_outcomes && !state.sealed_outcomes.empty()) {
        state.sealed_outcomes.erase(std::prev(state.sealed_outcomes.end()));
    }
    for (const auto& [position, txn] : transactions_) save_transaction(*txn, state);
    // The same may be on its way twice: the horizon has passed it since the first was durable.
    std::erase_if(state.acknowledged,
                  [&](const auto& seen) { return !state.heuristic.contains(seen.first); });
    return state;
}

// What PREPARING must name, so that the next start aborts it; nothing when all have acknowledged.
std::vector<protocol::BranchRecord> Machine::Impl::unacknowledged_replaced(const Transaction& txn) {
    std::vector<protocol::BranchRecord> records;
    bool is_any = false;
    for (const Branch& branch : txn.branches) {
        bool is_left = branch.replaced && is_outstanding(branch.state);
        bool is_newest = !branch.in_decision && (branch.state == BranchState::read_only ||
                                                 branch.state == BranchState::no);
        is_any = is_any || is_left;
        if (is_left || is_newest) records.push_back(branch_record(branch));
    }
    if (!is_any) records.clear();
    // As PREPARING is read: the newest attempts first, so that a replaced one is known as such.
    std::ranges::sort(records, [](const auto& a, const auto& b) {
        return std::pair(a.branch, b.attempt) < std::pair(b.branch, a.attempt);
    });
    return records;
}

void Machine::Impl::save_transaction(const Transaction& txn, RecoveredState& state) const {
    std::vector<protocol::BranchOutcomeRecord> outcomes;
    for (const Branch& branch : txn.branches) {
        bool odd = branch.state == BranchState::recording || branch.state == BranchState::heuristic;
        if (!odd) continue;
        outcomes.push_back({{txn.id, branch.branch, branch.attempt},
                            branch.at->number,
                            branch.outcome,
                            branch.evidence,
                            branch.by_operator});
    }
    switch (txn.state) {
        case TransactionState::proposing:
        case TransactionState::committing: {
            UnfinishedGroup& group = state.unfinished_commits[txn.id];
            group.decision = decision_record(txn);
            group.replaced = unacknowledged_replaced(txn);
            for (auto& outcome : outcomes) group.branch_outcomes[outcome.key] = std::move(outcome);
            return;
        }
        case TransactionState::preparing:
        case TransactionState::aborting: {
            protocol::PreparingRecord record{txn.id, txn.members, {}};
            for (const Branch& branch : txn.branches) {
                bool left = is_outstanding(branch.state) || branch.state == BranchState::heuristic;
                if (left) record.branches.push_back(branch_record(branch));
            }
            if (txn.logged) state.undecided[txn.id] = std::move(record);
            if (txn.logged && txn.abort_logged) state.aborted.insert(txn.id);
            if (!outcomes.empty()) state.branch_outcomes[txn.id] = std::move(outcomes);
            return;
        }
        case TransactionState::settling:
            if (outcomes.empty()) return;
            [[fallthrough]];
        case TransactionState::heuristic:
            // What is being recorded is covered; a one-phase transaction has one branch.
            state.heuristic[txn.id] = txn.state == TransactionState::settling
                                          ? outcomes.front().outcome
                                          : outcome_of(txn);
            state.branch_outcomes[txn.id] = std::move(outcomes);
            return;
        case TransactionState::fresh:
        case TransactionState::waiting:
        case TransactionState::active:
        case TransactionState::one_phase:
        case TransactionState::committed:
        case TransactionState::aborted: return;
    }
}

}  // namespace twofold::coordinator
