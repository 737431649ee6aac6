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
    return take_outcomes(record, true);
}

Result<void> Fold::take_outcomes(const protocol::OutcomesRecord& record, bool is_loose) {
    bool can_be = record.first_sequence % 8 == 0 &&
                  record.first_sequence <= protocol::kSequenceMax &&
                  record.committed_bits.size() <= protocol::kSequenceMax / 8;
    if (!can_be) return inconsistent("outcomes of ids that there are not");
    state_.outcomes.restore(record, is_loose);
    return ok();
}

Result<void> Fold::take(const protocol::HorizonRecord& record) {
    if (record.horizon < state_.horizon) return inconsistent("the forget horizon goes back");
    state_.horizon = record.horizon;
    state_.outcomes.move_horizon(record.horizon);
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

// ---- sealed files -----------------------------------------------------------------------

Result<void> Fold::take_file(std::uint64_t file) {
    if (!files_.insert(file).second) {
        return inconsistent("sealed file " + std::to_string(file) + " is named twice");
    }
    unread_files_.insert(file);
    return ok();
}

Result<void> Fold::take(const protocol::SealedRecord& record) {
    TWOFOLD_TRY(take_file(record.file));
    state_.sealed.emplace(record.file, record);
    return ok();
}

Result<void> Fold::take(const protocol::SealedOutcomesRecord& record) {
    TWOFOLD_TRY(take_file(record.file));
    state_.sealed_outcomes.emplace(record.file, record);
    return ok();
}

Result<void> Fold::apply_sealed(const protocol::Record& reference,
                                const std::vector<protocol::Record>& records) {
    if (const auto* keys = std::get_if<protocol::SealedRecord>(&reference)) {
        return take_content(*keys, records);
    }
    if (const auto* outcomes = std::get_if<protocol::SealedOutcomesRecord>(&reference)) {
        return take_content(*outcomes, records);
    }
    return inconsistent("a record refers to no sealed file");
}

namespace {

std::string name_of(std::uint64_t file) { return "sealed file " + std::to_string(file); }

}  // namespace

Result<void> Fold::take_content(const protocol::SealedRecord& file,
                                const std::vector<protocol::Record>& records) {
    std::size_t keys = 0;
    for (const protocol::Record& record : records) {
        const auto* some = std::get_if<protocol::KeysRecord>(&record);
        if (some == nullptr || some->generation > file.generation) {
            return inconsistent(name_of(file.file) + " holds something else than its record says");
        }
        keys += some->keys.size();
        TWOFOLD_TRY(take_keys(*some, false));
    }
    if (keys != file.keys) {
        return inconsistent(name_of(file.file) + " holds " + std::to_string(keys) + " keys, not " +
                            std::to_string(file.keys));
    }
    unread_files_.erase(file.file);
    return ok();
}

Result<void> Fold::take_content(const protocol::SealedOutcomesRecord& file,
                                const std::vector<protocol::Record>& records) {
    coordinator::OutcomesCount count;
    for (const protocol::Record& record : records) {
        const auto* some = std::get_if<protocol::OutcomesRecord>(&record);
        if (some == nullptr) {
            return inconsistent(name_of(file.file) + " holds something else than its record says");
        }
        count.add(*some);
        TWOFOLD_TRY(take_outcomes(*some, false));
    }
    if (count.committed != file.committed || count.newest != file.newest) {
        return inconsistent(name_of(file.file) + " holds " + std::to_string(count.committed) +
                            " outcomes, not " + std::to_string(file.committed) +
                            ", or of other ids than its record says");
    }
    unread_files_.erase(file.file);
    return ok();
}

// ---- time -------------------------------------------------------------------------------

Result<void> Fold::take(const protocol::OutcomeTurnRecord& record) {
    bool follows = state_.turns.empty() || (record.number > state_.turns.back().number &&
                                            record.next >= state_.turns.back().next);
    if (!follows) return inconsistent("the turns of outcomes go back");
    coordinator::add_turn(state_.turns, record);
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

// Ids of a lost log are known to it as well; they may have the positions of its own ones.
bool Fold::is_remembered(const TxnId& id) const {
    if (!is_remembered(id.position())) return false;
    auto epoch = state_.epochs.find(id.epoch());
    return epoch != state_.epochs.end() &&
           protocol::tag_matches(id, base::KeyedHash(epoch->second.key));
}

bool Fold::is_remembered(const protocol::IdPosition& position) const {
    return state_.outcomes.is_committed(position);
}

Facts Fold::facts_of(const TxnId& id, const Group& group) const {
    Facts facts;
    facts.commit = group.commit.has_value();
    facts.abort = group.abort.has_value();
    facts.preparing = group.preparing.has_value();
    facts.end = group.end.has_value();
    facts.remembered = is_remembered(id);
    facts.branch_outcome = !group.outcomes.empty();
    facts.one_phase = id.participant().value != 0;
    facts.above_horizon = id.position() >= state_.horizon;
    return facts;
}

namespace {

// What PREPARING names and the commit does not, if there were new attempts: the newest attempt
// first. Otherwise these have voted read-only, and nothing is left of them.
std::vector<protocol::BranchRecord> not_decided(const protocol::PreparingRecord& preparing,
                                                const protocol::DecisionRecord& decision) {
    std::vector<protocol::BranchRecord> rest;
    bool is_any_replaced = false;
    for (const protocol::BranchRecord& branch : preparing.branches) {
        auto is_this = [&](const protocol::BranchRecord& other) {
            return other.branch == branch.branch && other.attempt == branch.attempt;
        };
        if (std::ranges::any_of(decision.branches, is_this)) continue;
        rest.push_back(branch);
        is_any_replaced =
            is_any_replaced || std::ranges::any_of(preparing.branches, [&](const auto& other) {
                return other.branch == branch.branch && other.attempt > branch.attempt;
            });
    }
    if (!is_any_replaced) rest.clear();
    std::ranges::sort(rest, [](const auto& a, const auto& b) {
        return std::pair(a.branch, b.attempt) < std::pair(b.branch, a.attempt);
    });
    return rest;
}

}  // namespace

Result<void> Fold::judge(const TxnId& id, Group& group) {
    const Row& row = decide(facts_of(id, group));
    switch (row.action) {
        case Action::redrive_commit: {
            coordinator::UnfinishedGroup& unfinished = state_.unfinished_commits[id];
            unfinished.decision = std::move(*group.commit);
            if (group.preparing) {
                unfinished.replaced = not_decided(*group.preparing, unfinished.decision);
            }
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
    state_.outcomes.set_committed(id.position());
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
    if (group.abort) state_.aborted.insert(id);
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
        TWOFOLD_TRY(check(id, group.replaced));
    }
    for (const auto& [id, record] : state_.undecided) {
        TWOFOLD_TRY(check(id, record.branches));
    }
    for (const auto& [id, outcome] : state_.heuristic) {
        if (id.incarnation() != state_.incarnation) return inconsistent(id, "of another log");
    }
    return check_places();
}

// A transaction is found by its place in the order of ids. Two at one place are no log of ours, and
// the machine would not start. But ids of a lost log, listed after an acceptance, may have the
// place of one another or of ours: the machine keeps the first of those that have ended.
Result<void> Fold::check_places() const {
    std::set<protocol::IdPosition> places;
    auto take_place = [&](const TxnId& id) -> Result<void> {
        if (places.insert(id.position()).second) return ok();
        return inconsistent(id, "another transaction has its place");
    };
    for (const auto& [id, group] : state_.unfinished_commits) {
        TWOFOLD_TRY(take_place(id));
    }
    for (const auto& [id, record] : state_.undecided) {
        TWOFOLD_TRY(take_place(id));
    }
    for (const auto& [id, outcome] : state_.heuristic) {
        bool may_share = state_.accepted && id.epoch() <= state_.accepted->epoch;
        if (may_share) continue;
        TWOFOLD_TRY(take_place(id));
    }
    return ok();
}

// A client was told so under its key.
bool Fold::keeps_abort_of(const TxnId& id) const {
    return state_.keys.abort_reason(id.position()) != nullptr;
}

// The log was restored from a copy, and a person has accepted that. What it does not call committed
// may have been committed after the copy was made: nobody can tell, and nobody guesses. But what
// its own start had decided to abort cannot.
void Fold::give_up_undecided() {
    if (!state_.accepted) return;
    for (auto undecided = state_.undecided.begin(); undecided != state_.undecided.end();) {
        const auto& [id, record] = *undecided;
        bool is_aborted = state_.aborted.contains(id) || keeps_abort_of(id);
        if (id.epoch() > state_.accepted->epoch || is_aborted) {
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

// One form for equal states: nothing below the horizon that a person has seen, no file that only
// holds what is forgotten.
void Fold::normalise() {
    std::erase_if(state_.acknowledged, [this](const auto& entry) {
        if (entry.first.position() >= state_.horizon) return false;
        state_.heuristic.erase(entry.first);
        state_.branch_outcomes.erase(entry.first);
        return true;
    });
    coordinator::forget_files_below(state_.horizon, state_.sealed_outcomes);
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
    protocol::EpochRecord& epoch = state_.epochs.emplace(new_epoch.epoch, new_epoch).first->second;
    epoch.last_participant = {};
    if (!state_.participants.empty()) {
        epoch.last_participant = state_.participants.rbegin()->first;
    }
    state_.epoch = new_epoch.epoch;
    give_up_undecided();
    normalise();
    return std::move(state_);
}

}  // namespace twofold::recovery
