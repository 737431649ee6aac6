// What clients are told, and what is there in the end.
#include "sim/checkers.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

using coordinator::AnswerKind;
using protocol::BranchKey;
using protocol::Decision;
using protocol::Outcome;
using protocol::TxnId;

bool Checkers::applied_anywhere(const TxnId& txn) const {
    return std::ranges::any_of(databases_, [&](const auto& database) {
        return std::ranges::any_of(database->ledger(),
                                   [&](const auto& entry) { return entry.first.group == txn; });
    });
}

bool Checkers::one_phase_done(const TxnId& txn) const {
    BranchKey key{txn, 1, 1};
    return std::ranges::any_of(databases_, [&](const auto& database) {
        return database->ever_applied(key) || database->answered_without_effect(key);
    });
}

bool Checkers::all_read_only(const Group& group) const {
    return std::ranges::all_of(group.branches, [&](std::uint16_t branch) {
        return std::ranges::any_of(group.participants, [&](const auto& entry) {
            return entry.first.branch == branch &&
                   databases_[entry.second]->ever_read_only(entry.first);
        });
    });
}

void Checkers::on_batch_received(const protocol::BatchRequest& batch) {
    auto& heard = heard_[batch.participant];
    heard = std::max(heard, {batch.sender.epoch, batch.sender.position});
    for (const protocol::Item& item : batch.items) {
        if (item.op == protocol::ItemOp::commit) groups_[item.key.group].commit_heard = true;
    }
}

void Checkers::log_restored() {
    log_restored_ = true;
    for (auto& [id, group] : groups_) {
        if (group.decision != Decision::commit || group.commit_heard || applied_anywhere(id)) {
            continue;
        }
        group.decision.reset();
        group.lost = std::exchange(group.in_decision, {});
        told_txn_.erase(id);
        auto operation = operation_of_.find(id);
        if (operation != operation_of_.end()) told_.erase(operation->second);
    }
}

bool Checkers::is_commit_under_way() const {
    for (const auto& [id, group] : groups_) {
        if (group.decision != Decision::commit || !group.commit_heard) continue;
        for (const auto& [key, participant] : group.participants) {
            if (databases_[participant]->is_prepared(key)) return true;
        }
    }
    return false;
}

std::vector<TxnId> Checkers::committed_groups() const {
    std::vector<TxnId> committed;
    for (const auto& [id, group] : groups_) {
        if (group.decision == Decision::commit) committed.push_back(id);
    }
    return committed;
}

std::vector<TxnId> Checkers::groups() const {
    std::vector<TxnId> all;
    all.reserve(groups_.size());
    for (const auto& [id, group] : groups_) all.push_back(id);
    return all;
}

std::pair<protocol::Epoch, std::uint64_t> Checkers::heard_by(std::uint32_t participant) const {
    auto found = heard_.find(databases_[participant]->uuid());
    if (found == heard_.end()) return {};
    return found->second;
}

// An id belongs to one intention of one client, and an (epoch, sequence) to one id.
void Checkers::check_identity(std::uint32_t operation, const TxnId& txn) {
    auto [known, is_new] = operation_of_.emplace(txn, operation);
    if (known->second != operation) {
        violate("unique-ids", short_text(txn) + " was given to two clients");
    }
    auto [issued, first] = issued_.emplace(txn.position(), Issued{txn, operation});
    bool is_after_restore = accepted_epoch_ && txn.epoch() >= *accepted_epoch_;
    world_.reached_if(first && is_after_restore, Situation::ids_are_given_after_the_log_went_back);
    if (issued->second.txn != txn && (!log_restored_ || is_after_restore)) {
        violate("unique-ids", "two ids share the place " + short_text(txn));
    }
}

void Checkers::check_committed_answer(const TxnId& txn, const coordinator::Answer& answer) {
    Group& group = groups_[txn];
    bool decided = group.decision == Decision::commit;
    bool by_participant = one_phase_done(txn);
    bool empty = all_read_only(group) && !applied_anywhere(txn);
    if (!decided && !by_participant && !empty) {
        violate("write-ahead", short_text(txn) + " is answered committed, which nothing proves");
        return;
    }
    if (answer.kind != AnswerKind::finished) return;
    // What an operator has rolled back by hand is reported as such, never as committed.
    for (const BranchKey& key : group.in_decision) {
        const auto& database = databases_[group.participants.at(key)];
        if (!database->ever_applied(key)) {
            violate("applied",
                    short_text(key) + " is not applied although the client was told finished");
        }
    }
}

void Checkers::check_aborted_answer(const TxnId& txn, std::string_view who) {
    Group& group = groups_[txn];
    if (is_heuristic(txn)) return;
    if (group.decision == Decision::commit || applied_anywhere(txn)) {
        violate("answered-outcomes",
                std::string(who) + " is told that " + short_text(txn) +
                    " aborted, which was committed");
    }
    group.abort_said = true;
}

// Told that its request has aborted, a client makes a new one. So none of it may have taken effect,
// by whatever id; and none may later. Until the key is over: then it may be used for another one.
void Checkers::check_request_aborted(std::uint32_t operation) {
    if (restored_ || log_restored_ || heuristic_operations_.contains(operation)) return;
    for (const auto& [txn, at] : commits_of_[operation]) {
        if (!counts(at, world_.now())) continue;
        violate("request",
                "a client is told that operation " + std::to_string(operation) +
                    " aborted, which was committed as " + short_text(txn));
    }
}

void Checkers::check_work_committed(const BranchKey& key) {
    auto work = work_of_.find(key);
    // A log that was restored has forgotten the keys that were used since the copy was made.
    if (work == work_of_.end() || restored_ || log_restored_) return;
    std::uint32_t operation = work_.at(work->second).operation;
    if (heuristic_operations_.contains(operation)) return;
    check_not_told_aborted(key, operation);
    auto& commits = commits_of_[operation];
    for (const auto& [txn, at] : commits) {
        if (txn == key.group || !counts(at, groups_[key.group].first_sent)) continue;
        violate("exactly-once",
                "operation " + std::to_string(operation) + " takes effect as " + short_text(key) +
                    " after it had as " + short_text(txn));
    }
    commits.emplace(key.group, world_.now());
}

void Checkers::check_not_told_aborted(const BranchKey& key, std::uint32_t operation) {
    const ToldRequest& told = told_[operation];
    bool is_lie = told.told == Told::aborted && counts(told.at, groups_[key.group].first_sent);
    if (!is_lie) return;
    violate("request",
            short_text(key) + " commits work of operation " + std::to_string(operation) +
                ", whose client was told that it aborted");
}

// An answer may be lost, and told again much later: the key counts from the first time on.
Time Checkers::known_since(const TxnId& txn) const {
    auto finished = finished_at_.find(txn);
    return finished == finished_at_.end() ? world_.now() : finished->second;
}

// The outcome of a request, as its client hears it.
void Checkers::check_request_told(std::uint32_t operation,
                                  const coordinator::Answer& answer,
                                  Told told) {
    ToldRequest& before = told_[operation];
    const TxnId& txn = answer.report.txn;
    if (before.told == Told::nothing || before.txn == txn) {
        if (before.told != told) before = {told, txn, known_since(txn)};
        return;
    }
    bool is_older = txn.position() < before.txn.position();
    // Of that id, by its name: it says nothing of what the key was used for since.
    if (is_older && !answer.repeated && key_lifetime_ < seconds(3'600)) return;
    bool contradicts = before.told == Told::committed && told == Told::aborted && !restored_;
    if (contradicts && (is_older || counts(before.at, world_.now()))) {
        violate("request",
                "operation " + std::to_string(operation) + " was told committed as " +
                    short_text(before.txn) + ", then aborted as " + short_text(txn));
    }
    before = {told, txn, known_since(txn)};
}

void Checkers::on_answer(std::uint32_t operation,
                         const coordinator::Answer& answer,
                         const protocol::IdPosition& horizon) {
    const TxnId& txn = answer.report.txn;
    world_.mark(7, operation, static_cast<std::uint64_t>(answer.kind));
    if (txn == TxnId{}) return;
    note_answer(operation, answer);
    switch (answer.kind) {
        case AnswerKind::not_found:
            if (operation_of_.contains(txn) && !log_restored_) {
                violate("no-lies", short_text(txn) + " is said never to have existed");
            }
            return;
        case AnswerKind::expired:
            // What a restored log cannot know is not called anything else.
            if (txn.position() >= horizon && !log_restored_) {
                violate("no-lies", short_text(txn) + " is said to be expired above the horizon");
            }
            return;
        default: break;
    }
    check_identity(operation, txn);
    Outcome outcome = answer.report.outcome;
    if (answer.kind == AnswerKind::decided) outcome = Outcome::committed;
    if (answer.kind != AnswerKind::decided && answer.kind != AnswerKind::finished &&
        answer.kind != AnswerKind::opposite) {
        return;
    }
    Told& told = told_txn_[txn];
    if (outcome == Outcome::committed) {
        // What changed nothing is recorded nowhere. That it committed and that nothing was changed
        // are both true then, in any order: a coordinator that was replaced may answer last.
        if (told == Told::aborted && answer.report.recorded) {
            violate("answered-outcomes", short_text(txn) + " was told aborted, then committed");
        }
        if (answer.report.recorded) {
            told = Told::committed;
            check_request_told(operation, answer, Told::committed);
        }
        check_committed_answer(txn, answer);
    } else if (outcome == Outcome::aborted) {
        // A one-phase outcome is in its database only: an older copy of that one has lost it.
        bool may_be_lost = restored_ && txn.participant().value != 0;
        if (told == Told::committed && !may_be_lost) {
            violate("answered-outcomes", short_text(txn) + " was told committed, then aborted");
        }
        told = Told::aborted;
        check_aborted_answer(txn, "a client");
        if (answer.report.key_open) return;  // says so of the id, not of the request
        check_request_told(operation, answer, Told::aborted);
        if (told_[operation].txn == txn) check_request_aborted(operation);
    }
}

// ---- the end --------------------------------------------------------------------------------

// How often each piece of work took effect: exactly once when its group committed, else never.
void Checkers::check_ledger() {
    std::map<std::uint32_t, std::uint32_t> times;
    for (std::uint32_t i = 0; i < databases_.size(); ++i) {
        check_balances(i, *databases_[i]);
        for (std::uint32_t work : databases_[i]->appended()) ++times[work];
        for (const auto& [key, effect] : databases_[i]->ledger()) {
            if (effect.times != 1) {
                violate("exactly-once", short_text(key) + " took effect more than once");
            }
        }
    }
    check_works(times);
    for (const auto& [txn, group] : groups_) {
        if (is_heuristic(txn)) continue;
        for (const BranchKey& key : group.in_decision) {
            if (!databases_[group.participants.at(key)]->applied(key)) {
                violate("agreement", short_text(key) + " was decided commit but is not applied");
            }
        }
    }
}

void Checkers::check_works(const std::map<std::uint32_t, std::uint32_t>& times) {
    // All or nothing, once, for every intention of a client.
    std::map<std::uint32_t, std::pair<std::uint32_t, std::uint32_t>> seen;  // done, not done
    for (std::uint32_t id = 0; id < work_.size(); ++id) {
        const WorkSpec& spec = work_.at(id);
        if (spec.changes.empty()) continue;
        auto found = times.find(id);
        std::uint32_t count = found == times.end() ? 0 : found->second;
        // An operator's commit of an attempt that was to abort, and then the repetition's.
        bool is_used_again = commits_of_[spec.operation].size() > 1;  // judged when it was
        if (count > 1 && heuristic_.empty() && !is_used_again) {
            violate("exactly-once",
                    "work " + std::to_string(id) + " of operation " +
                        std::to_string(spec.operation) + " took effect " + std::to_string(count) +
                        " times");
        }
        auto& [done, missing] = seen[spec.operation];
        (count > 0 ? done : missing) += 1;
    }
    bool any_heuristic = !heuristic_.empty();
    for (const auto& [operation, counts] : seen) {
        if (counts.first > 0 && counts.second > 0 && !any_heuristic) {
            violate("all-or-nothing",
                    "operation " + std::to_string(operation) + " took effect in part");
        }
        if (told_[operation].told == Told::committed && counts.second > 0 && !any_heuristic) {
            violate("answered-outcomes",
                    "operation " + std::to_string(operation) +
                        " was answered committed but has left no effect");
        }
    }
}

void Checkers::check_balances(std::uint32_t participant, const ModelDatabase& database) {
    std::vector<std::int64_t> expected(database.balances().size(), ModelDatabase::kOpeningBalance);
    for (const auto& [key, effect] : database.ledger()) {
        for (std::uint32_t work : effect.work) {
            for (const Change& change : work_.at(work).changes) {
                expected[change.account] += change.amount;
            }
        }
    }
    if (expected != database.balances()) {
        violate("exactly-once",
                "the balances of participant " + std::to_string(participant) +
                    " do not follow from its ledger");
    }
}

}  // namespace twofold::sim
