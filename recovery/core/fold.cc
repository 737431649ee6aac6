#include "recovery/core/fold.h"

#include <algorithm>
#include <utility>

namespace twofold::recovery {

using base::Errc;
using base::fail;
using base::ok;
using base::Result;
using protocol::Outcome;
using protocol::TxnId;

base::Error Fold::inconsistent(std::string what) const {
    return fail(Errc::corrupt,
                "log record " + std::to_string(lsn_) + ": " + std::move(what) +
                    ". No crash explains this; the log is not used. Look at it with: twofold wal "
                    "dump");
}

base::Error Fold::inconsistent(const TxnId& id, std::string what) const {
    return inconsistent("transaction " + id.text() + ": " + std::move(what));
}

Result<void> Fold::apply(std::uint64_t lsn, const protocol::Record& record) {
    lsn_ = lsn;
    return std::visit([this](const auto& alternative) { return take(alternative); }, record);
}

// ---- one function for each record -----------------------------------------------------

Result<void> Fold::take(const protocol::EpochRecord& record) {
    if (state_.epochs.empty()) state_.incarnation = record.incarnation;
    if (record.incarnation != state_.incarnation) return inconsistent("another log's epoch record");
    auto [known, added] = state_.epochs.emplace(record.epoch, record);
    if (!added && known->second != record) return inconsistent("an epoch with two keys");
    return ok();
}

Result<void> Fold::take(const protocol::ParticipantRecord& record) {
    if (record.number.value == 0) return inconsistent("a participant without a number");
    auto found = state_.participants.find(record.number);
    if (found != state_.participants.end() && found->second.uuid != record.uuid) {
        return inconsistent("a participant's number was used again");
    }
    state_.participants[record.number] = record;
    return ok();
}

// A later one replaces an earlier one: a branch got a new attempt.
Result<void> Fold::take(const protocol::PreparingRecord& record) {
    Group& group = groups_[record.group];
    if (group.commit || group.abort)
        return inconsistent(record.group, "prepared after its decision");
    group.preparing = record;
    return ok();
}

Result<void> Fold::take(const protocol::DecisionRecord& record) {
    Group& group = groups_[record.group];
    bool commit = record.decision == protocol::Decision::commit;
    if (group.commit || group.abort) return inconsistent(record.group, "decided twice");
    (commit ? group.commit : group.abort) = record;
    return ok();
}

Result<void> Fold::take(const protocol::EndRecord& record) {
    Group& group = groups_[record.group];
    group.end = record.outcome;
    TWOFOLD_TRY(judge(record.group, group));
    groups_.erase(record.group);
    return ok();
}

Result<void> Fold::take(const protocol::OutcomesRecord& record) {
    std::vector<bool>& bits = state_.committed[record.epoch];
    for (std::size_t i = 0; i < record.committed_bits.size() * 8; ++i) {
        if (((record.committed_bits[i / 8] >> (i % 8)) & 1U) == 0) continue;
        auto at = static_cast<std::size_t>(record.first_sequence) + i;
        if (at >= bits.size()) bits.resize(at + 1, false);
        bits[at] = true;
    }
    return ok();
}

Result<void> Fold::take(const protocol::HorizonRecord& record) {
    if (record.horizon < state_.horizon) return inconsistent("the forget horizon goes back");
    state_.horizon = record.horizon;
    return ok();
}

Result<void> Fold::take(const protocol::BranchOutcomeRecord& record) {
    std::vector<protocol::BranchOutcomeRecord>& outcomes = groups_[record.key.group].outcomes;
    // An operator's word replaces what was found before.
    std::erase_if(outcomes, [&](const auto& known) { return known.key == record.key; });
    outcomes.push_back(record);
    return ok();
}

Result<void> Fold::take(const protocol::GivenUpRecord& record) {
    protocol::IdPosition& newest = state_.given_up[record.participant];
    newest = std::max(newest, record.newest);
    return ok();
}

Result<void> Fold::take(const protocol::PositionRecord& record) {
    // A rebound participant counts anew.
    if (record.position == protocol::Position{}) {
        state_.positions.erase(record.participant);
    } else {
        state_.positions[record.participant] = record.position;
    }
    return ok();
}

Result<void> Fold::take(const protocol::IdempotentAbortRecord& record) {
    auto group = groups_.find(record.txn);
    bool committed = is_remembered(record.txn.position()) ||
                     (group != groups_.end() && group->second.commit.has_value());
    if (committed) return inconsistent(record.txn, "committed, and told to be aborted");
    if (!state_.epochs.contains(record.txn.epoch())) {
        return inconsistent(record.txn, "of an unknown epoch");
    }
    state_.keys.settle(
        {record.idempotency, record.txn.position(), record.txn.participant(), false, record.reason},
        true);
    return ok();
}

Result<void> Fold::take(const protocol::KeysRecord& record) { return take_keys(record, true); }

Result<void> Fold::take_keys(const protocol::KeysRecord& record, bool is_loose) {
    if (record.generation > state_.keys.generation()) {
        return inconsistent("keys of a generation that has not begun");
    }
    for (const protocol::SettledKey& key : record.keys) {
        bool contradicts = !key.committed && is_remembered(key.position);
        if (contradicts) return inconsistent("a key of an abort, and its bit says committed");
        // Its id could not be made again.
        bool known = state_.epochs.contains(key.position.epoch);
        if (!known) return inconsistent("a key of an unknown epoch");
    }
    state_.keys.restore(record, is_loose);
    return ok();
}

Result<void> Fold::take(const protocol::SealedRecord& record) {
    if (!state_.sealed.emplace(record.file, record).second) {
        return inconsistent("sealed file " + std::to_string(record.file) + " is named twice");
    }
    unread_files_.insert(record.file);
    return ok();
}

Result<void> Fold::apply_sealed(const protocol::SealedRecord& file,
                                const std::vector<protocol::Record>& records) {
    std::string name = "sealed file " + std::to_string(file.file);
    std::size_t keys = 0;
    for (const protocol::Record& record : records) {
        const auto* some = std::get_if<protocol::KeysRecord>(&record);
        if (some == nullptr || some->generation > file.generation) {
            return inconsistent(name + " holds something else than its record says");
        }
        keys += some->keys.size();
        TWOFOLD_TRY(take_keys(*some, false));
    }
    if (keys != file.keys) {
        return inconsistent(name + " holds " + std::to_string(keys) + " keys, not " +
                            std::to_string(file.keys));
    }
    unread_files_.erase(file.file);
    return ok();
}

Result<void> Fold::take(const protocol::KeyTurnRecord& record) {
    if (record.generation < state_.keys.generation()) {
        return inconsistent("the generations of keys go back");
    }
    state_.keys.turn(record.generation);
    return ok();
}

Result<void> Fold::take(const protocol::AcknowledgedRecord& record) {
    if (!state_.heuristic.contains(record.txn)) {
        return inconsistent(record.txn, "acknowledged, but it did not end against its decision");
    }
    state_.acknowledged[record.txn] = record.reason;
    return ok();
}

// A later acceptance covers an earlier one, and the refusal that it is about.
Result<void> Fold::take(const protocol::RestoreRecord& record) {
    auto& known = record.accepted ? state_.accepted : state_.refused;
    protocol::RestoreRecord merged = record;
    if (known) {
        merged.epoch = std::max(merged.epoch, known->epoch);
        merged.position = std::max(merged.position, known->position);
    }
    known = std::move(merged);
    if (record.accepted) state_.refused.reset();
    return ok();
}

protocol::Epoch Fold::epoch_heard() const { return state_.accepted ? state_.accepted->epoch : 0; }

// ---- judging --------------------------------------------------------------------------

bool Fold::is_remembered(const protocol::IdPosition& position) const {
    auto found = state_.committed.find(position.epoch);
    if (found == state_.committed.end() || position.sequence >= found->second.size()) return false;
    return found->second[static_cast<std::size_t>(position.sequence)];
}

Facts Fold::facts_of(const TxnId& id, const Group& group) const {
    Facts facts;
    facts.commit = group.commit.has_value();
    facts.abort = group.abort.has_value();
    facts.preparing = group.preparing.has_value();
    facts.end = group.end.has_value();
    facts.remembered = is_remembered(id.position());
    facts.branch_outcome = !group.outcomes.empty();
    facts.one_phase = id.participant().value != 0;
    facts.above_horizon = id.position() >= state_.horizon;
    return facts;
}

Result<void> Fold::judge(const TxnId& id, Group& group) {
    const Row& row = decide(facts_of(id, group));
    switch (row.action) {
        case Action::redrive_commit: {
            coordinator::UnfinishedGroup& unfinished = state_.unfinished_commits[id];
            unfinished.decision = std::move(*group.commit);
            for (auto& outcome : group.outcomes) {
                unfinished.branch_outcomes[outcome.key] = std::move(outcome);
            }
            return ok();
        }
        case Action::drive_abort: drive_abort(id, group); return ok();
        case Action::remember_committed: remember_committed(id, group); return ok();
        case Action::remember_heuristic: remember_heuristic(id, group); return ok();
        // A client's key is remembered for its own time, whatever the horizon does.
        case Action::forget: remember_keys(group); return ok();
        case Action::settle_at_participant: return ok();
        case Action::refuse_inconsistent: break;
    }
    return inconsistent(id, std::string(row.label) + ": " + std::string(row.why));
}

void Fold::remember_committed(const TxnId& id, const Group& group) {
    std::vector<bool>& bits = state_.committed[id.epoch()];
    auto at = static_cast<std::size_t>(id.sequence());
    if (at >= bits.size()) bits.resize(at + 1, false);
    bits[at] = true;
    remember_keys(group);
}

void Fold::remember_keys(const Group& group) {
    if (!group.commit) return;
    for (const protocol::MemberRecord& member : group.commit->members) {
        if (!member.idempotency || !state_.epochs.contains(member.txn.epoch())) continue;
        state_.keys.settle({*member.idempotency, member.txn.position(), {}, true, {}}, true);
    }
}

void Fold::remember_heuristic(const TxnId& id, Group& group) {
    Outcome outcome = Outcome::heuristic_hazard;  // its END was lost: nothing better is known
    if (group.end) outcome = *group.end;
    state_.heuristic[id] = outcome;
    state_.branch_outcomes[id] = std::move(group.outcomes);
    remember_keys(group);
}

// The branches to tell: those of the newest record that names them all.
void Fold::drive_abort(const TxnId& id, Group& group) {
    protocol::PreparingRecord& record = state_.undecided[id];
    if (group.preparing) {
        record = std::move(*group.preparing);
    } else {
        record.group = id;
        record.members = std::move(group.abort->members);
        record.branches = std::move(group.abort->branches);
    }
    if (!group.outcomes.empty()) state_.branch_outcomes[id] = std::move(group.outcomes);
}

// ---- the end of the log ---------------------------------------------------------------

Result<void> Fold::check_references() const {
    auto check = [this](const TxnId& id,
                        const std::vector<protocol::BranchRecord>& branches) -> Result<void> {
        if (id.incarnation() != state_.incarnation) return inconsistent(id, "of another log");
        if (!state_.epochs.contains(id.epoch())) return inconsistent(id, "of an unknown epoch");
        for (const protocol::BranchRecord& branch : branches) {
            if (!state_.participants.contains(branch.participant)) {
                return inconsistent(id, "a branch at an unknown participant");
            }
        }
        return ok();
    };
    for (const auto& [id, group] : state_.unfinished_commits) {
        TWOFOLD_TRY(check(id, group.decision.branches));
    }
    for (const auto& [id, record] : state_.undecided) {
        TWOFOLD_TRY(check(id, record.branches));
    }
    return ok();
}

// The log was restored from a copy, and a person has accepted that. What it does not call committed
// may have been committed after the copy was made: nobody can tell, and nobody guesses.
void Fold::give_up_undecided() {
    if (!state_.accepted) return;
    for (auto undecided = state_.undecided.begin(); undecided != state_.undecided.end();) {
        const auto& [id, record] = *undecided;
        if (id.epoch() > state_.accepted->epoch) {
            ++undecided;
            continue;
        }
        std::vector<protocol::BranchOutcomeRecord>& outcomes = state_.branch_outcomes[id];
        for (const protocol::BranchRecord& branch : record.branches) {
            protocol::BranchKey key{id, branch.branch, branch.attempt};
            bool known = std::ranges::any_of(
                outcomes, [&key](const auto& outcome) { return outcome.key == key; });
            if (known) continue;
            outcomes.push_back({key,
                                branch.participant,
                                Outcome::heuristic_hazard,
                                std::string(coordinator::kLostWithTheLog),
                                false});
        }
        state_.heuristic[id] = Outcome::heuristic_hazard;
        undecided = state_.undecided.erase(undecided);
    }
}

// One form for equal states: no bits below the horizon, no zeros at the end, nothing below it that
// a person has seen.
void Fold::normalise() {
    std::erase_if(state_.acknowledged, [this](const auto& entry) {
        if (entry.first.position() >= state_.horizon) return false;
        state_.heuristic.erase(entry.first);
        state_.branch_outcomes.erase(entry.first);
        return true;
    });
    for (auto& [epoch, bits] : state_.committed) {
        for (std::size_t i = 0; i < bits.size(); ++i) {
            if (protocol::IdPosition{epoch, i} >= state_.horizon) break;
            bits[i] = false;
        }
        while (!bits.empty() && !bits.back()) bits.pop_back();
    }
    std::erase_if(state_.committed, [](const auto& entry) { return entry.second.empty(); });
    std::erase_if(state_.sealed, [this](const auto& entry) {
        return coordinator::KeyMemory::is_over(entry.second.generation, state_.keys.generation());
    });
}

Result<RecoveredState> Fold::finish(const protocol::EpochRecord& new_epoch) && {
    for (auto& [id, group] : groups_) {
        TWOFOLD_TRY(judge(id, group));
    }
    groups_.clear();
    if (!unread_files_.empty()) {
        return inconsistent("sealed file " + std::to_string(*unread_files_.begin()) +
                            " was not read");
    }
    if (!state_.epochs.empty()) {
        if (new_epoch.incarnation != state_.incarnation) {
            return inconsistent("the new epoch is of another log");
        }
        if (new_epoch.epoch <= state_.epochs.rbegin()->first) {
            return inconsistent("the new epoch is not the highest");
        }
    }
    state_.incarnation = new_epoch.incarnation;
    TWOFOLD_TRY(check_references());
    state_.epochs.emplace(new_epoch.epoch, new_epoch);
    state_.epoch = new_epoch.epoch;
    give_up_undecided();
    normalise();
    return std::move(state_);
}

}  // namespace twofold::recovery
