// Which situations a run gets into, as far as it shows from outside: in what arrives, in what is
// answered, in what is durable when a process dies. Nothing is judged here.
#include "sim/checkers.h"

#include <algorithm>

namespace twofold::sim {

using coordinator::AnswerKind;
using protocol::BranchKey;
using protocol::Decision;
using protocol::ItemOp;
using protocol::ItemStatus;
using protocol::Outcome;
using protocol::TxnId;
namespace reason = protocol::reason;

// ---- what arrives ---------------------------------------------------------------------------

void Checkers::note_arrival(const protocol::Item& item,
                            std::uint32_t participant,
                            std::uint32_t epoch,
                            const protocol::SenderStamp& sender) {
    const ModelDatabase& database = *databases_[participant];
    auto reached_if = [this](bool happened, Situation what) { world_.reached_if(happened, what); };
    bool is_older_start = item.participant_epoch != 0 && item.participant_epoch < epoch;
    reached_if(is_older_start && sender.epoch < database.accepted(sender.incarnation),
               Situation::message_from_before_both_restarts);
    bool was_aborted = abort_acknowledged_.contains(item.key);
    switch (item.op) {
        case ItemOp::execute_prepare:
        case ItemOp::prepare:
        case ItemOp::one_phase:
            reached_if(!work_received_.insert({item.key, item.op}).second,
                       Situation::prepare_is_duplicated);
            reached_if(was_aborted, Situation::stale_prepare_after_abort);
            return;
        case ItemOp::abort: {
            bool seen = work_received_.contains({item.key, ItemOp::execute_prepare}) ||
                        work_received_.contains({item.key, ItemOp::one_phase}) ||
                        database.is_running(item.key) || database.ever_prepared(item.key);
            reached_if(!seen && !was_aborted, Situation::abort_of_a_branch_never_seen);
            reached_if(database.is_running(item.key), Situation::abort_arrives_while_work_runs);
            reached_if(was_aborted, Situation::abort_is_duplicated);
            reached_if(database.applied(item.key), Situation::abort_after_commit);
            return;
        }
        case ItemOp::commit:
            reached_if(database.applied(item.key), Situation::commit_is_duplicated);
            reached_if(!database.ever_prepared(item.key),
                       Situation::commit_of_a_branch_never_prepared);
            reached_if(was_aborted && database.ever_prepared(item.key),
                       Situation::commit_after_abort);
            return;
        case ItemOp::settle_one_phase: return;
    }
}

void Checkers::note_execute(const BranchKey& key) {
    world_.reached_if(abort_acknowledged_.contains(key), Situation::stale_execute_after_abort);
}

void Checkers::note_result(const protocol::ItemResult& result) {
    const std::string& code = result.reason.code;
    if (result.status == ItemStatus::refused) {
        world_.reached_if(code == reason::kIdentityMismatch,
                          Situation::address_leads_to_another_database);
        world_.reached_if(code == reason::kStaleSender, Situation::replaced_coordinator_is_refused);
        world_.reached_if(code == reason::kStaleParticipantEpoch,
                          Situation::work_for_an_older_start_of_its_participant);
    }
    world_.reached_if(result.status == ItemStatus::finished_earlier,
                      Situation::decision_repeated_below_the_mark);
    bool against = (result.op == ItemOp::commit && result.status == ItemStatus::heuristic_abort) ||
                   (result.op == ItemOp::abort && result.status == ItemStatus::heuristic_commit);
    world_.reached_if(against && is_heuristic(result.key.group),
                      Situation::branch_finished_by_hand_against_the_decision);
}

void Checkers::on_result_received(const protocol::ItemResult& result) {
    auto group = groups_.find(result.key.group);
    bool aborting = group != groups_.end() && group->second.abort_sent;
    world_.reached_if(result.status == ItemStatus::yes && aborting,
                      Situation::late_yes_after_abort);
}

void Checkers::on_lock_wait(std::uint32_t participant,
                            const BranchKey& waiter,
                            const BranchKey& holder) {
    // Tried again every 20 ms at most, so what is older is over.
    constexpr Time kFresh = ms(21);
    waits_[waiter.group] = {holder.group, participant, world_.now()};
    auto other = waits_.find(holder.group);
    bool crossed = other != waits_.end() && other->second.holder == waiter.group &&
                   other->second.participant != participant &&
                   other->second.at + kFresh >= world_.now();
    world_.reached_if(crossed, Situation::locks_cross_between_two_databases);
}

// ---- what somebody may forge ----------------------------------------------------------------

void Checkers::keep_decision(const protocol::BatchRequest& batch, const protocol::Item& item) {
    constexpr std::size_t kKept = 16;
    if (decisions_sent_.size() == kKept) decisions_sent_.erase(decisions_sent_.begin());
    decisions_sent_.push_back(batch);
    decisions_sent_.back().items = {item};
}

bool Checkers::is_over(const BranchKey& key) const {
    auto group = groups_.find(key.group);
    return group != groups_.end() && group->second.has_ended;
}

// ---- what is answered -----------------------------------------------------------------------

void Checkers::note_answer(std::uint32_t operation, const coordinator::Answer& answer) {
    const TxnId& txn = answer.report.txn;
    if (answer.kind == AnswerKind::begun) {
        auto [begun, is_first] = begun_.emplace(operation, txn);
        if (is_first) return;
        world_.reached_if(answer.repeated, Situation::begin_repeated_under_its_key);
        world_.reached_if(begun->second != txn && !answer.repeated,
                          Situation::begin_repeated_without_key);
        return;
    }
    world_.reached_if(answer.kind == AnswerKind::expired,
                      Situation::outcome_asked_below_the_horizon);
    Outcome outcome = answer.report.outcome;
    bool has_outcome = answer.kind == AnswerKind::finished || answer.kind == AnswerKind::opposite;
    if (!has_outcome) return;
    world_.reached_if(answer.repeated, Situation::request_repeated_under_its_key);
    auto told = told_txn_.find(txn);
    bool was_told = told != told_txn_.end() && told->second != Told::nothing;
    world_.reached_if(was_told, Situation::outcome_answered_again);
    if (answer.kind == AnswerKind::opposite) {
        world_.reached(outcome == Outcome::committed ? Situation::abort_comes_after_commit
                                                     : Situation::commit_comes_after_abort);
    }
    auto group = groups_.find(txn);
    bool is_empty = group == groups_.end() || group->second.branches.empty();
    world_.reached_if(outcome == Outcome::committed && is_empty && !answer.report.recorded,
                      Situation::commit_of_nothing);
}

void Checkers::on_finished(const coordinator::Finished& finished) {
    if (key_lifetime_ < seconds(3'600)) finished_at_.emplace(finished.txn, world_.now());
    auto operation = operation_of_.find(finished.txn);
    bool vanished = operation != operation_of_.end() && vanished_.contains(operation->second);
    world_.reached_if(vanished && finished.reason_code == reason::kDeadline,
                      Situation::client_vanishes_in_open_transaction);
}

void Checkers::on_answer_of_made_up_id(const coordinator::Answer& answer) {
    world_.reached_if(answer.kind == AnswerKind::not_found,
                      Situation::outcome_asked_of_an_id_never_given);
    if (answer.kind == AnswerKind::not_found || answer.kind == AnswerKind::cannot_tell) return;
    violate("no-lies", "an id that was never given is answered as if it had been");
}

void Checkers::note_inquiry_answer(const protocol::InquiryAnswerItem& item, bool committed) {
    world_.reached_if(item.answer == protocol::InquiryAnswer::expired && committed && restored_,
                      Situation::forgotten_commit_is_asked_about);
}

void Checkers::note_decision(const protocol::DecisionRecord& record) {
    world_.reached_if(record.branches.size() == 1, Situation::single_branch_in_two_phases);
    if (vanished_.empty() || record.branches.empty()) return;
    const protocol::BranchRecord& branch = record.branches.front();
    auto work = work_of_.find({record.group, branch.branch, branch.attempt});
    auto known = operation_of_.find(record.group);
    bool vanished = work != work_of_.end()
                        ? vanished_.contains(work_.at(work->second).operation)
                        : known != operation_of_.end() && vanished_.contains(known->second);
    world_.reached_if(vanished, Situation::client_vanishes_after_sending_commit);
}

// ---- a coordinator dies ---------------------------------------------------------------------

void Checkers::on_coordinator_death(const coordinator::Machine& machine) {
    unforced_.clear();
    for (const auto& [id, group] : groups_) {
        if (group.has_ended) continue;
        if (group.decision == Decision::commit) {
            note_death_after_decision(group);
        } else if (group.proposed) {
            unforced_.push_back(id);
            world_.reached(Situation::coordinator_dies_while_decision_is_forced);
        } else if (!group.abort_sent && !group.branches.empty() &&
                   machine.query(id).kind == AnswerKind::undecided) {
            note_death_undecided(group);
        }
    }
}

void Checkers::note_death_after_decision(const Group& group) {
    std::size_t applied = 0;
    for (const BranchKey& key : group.in_decision) {
        auto at = group.participants.find(key);
        if (at != group.participants.end() && databases_[at->second]->applied(key)) ++applied;
    }
    bool all = applied == group.in_decision.size();
    if (!group.commit_sent && applied == 0) {
        world_.reached(Situation::coordinator_dies_between_decision_and_first_commit);
    } else if (all) {
        world_.reached(Situation::coordinator_dies_before_end_is_logged);
    } else if (applied > 0) {
        world_.reached(Situation::coordinator_dies_between_first_and_last_commit);
    }
}

void Checkers::note_death_undecided(const Group& group) {
    auto prepared = std::ranges::count_if(group.participants, [&](const auto& entry) {
        return databases_[entry.second]->is_prepared(entry.first);
    });
    if (prepared == 0) {
        world_.reached(Situation::coordinator_dies_with_nothing_prepared);
    } else if (static_cast<std::size_t>(prepared) < group.branches.size()) {
        world_.reached(Situation::coordinator_dies_with_some_branches_prepared);
    } else {
        world_.reached(Situation::coordinator_dies_with_all_branches_prepared);
    }
}

void Checkers::on_proposed(const TxnId& group) { groups_[group].proposed = true; }

void Checkers::on_recovered(const coordinator::RecoveredState& state) {
    for (const TxnId& id : unforced_) {
        world_.reached(state.unfinished_commits.contains(id)
                           ? Situation::unforced_decision_survives
                           : Situation::unforced_decision_is_lost);
    }
    unforced_.clear();
}

}  // namespace twofold::sim
