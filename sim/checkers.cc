#include "sim/checkers.h"

#include <utility>

namespace twofold::sim {

using protocol::BranchKey;
using protocol::Decision;
using protocol::ItemOp;
using protocol::ItemStatus;

// ---- the log --------------------------------------------------------------------------------

void Checkers::on_record_durable(const protocol::Record& record) {
    if (const auto* decision = std::get_if<protocol::DecisionRecord>(&record)) {
        on_decision(*decision);
    } else if (const auto* end = std::get_if<protocol::EndRecord>(&record)) {
        groups_[end->group].has_ended = true;
    }
}

void Checkers::on_decision(const protocol::DecisionRecord& record) {
    Group& group = groups_[record.group];
    if (group.decision.has_value()) {
        if (*group.decision != record.decision) {
            violate("one-decision", short_text(record.group) + " was decided both ways");
        }
        return;  // repeated by a checkpoint
    }
    group.decision = record.decision;
    world_.mark(1, record.group.sequence(), static_cast<std::uint64_t>(record.decision));
    if (record.decision == Decision::abort) return;
    ++commits_;
    note_decision(record);
    if (world_.tracing())
        world_.say("log", "commit of " + short_text(record.group) + " is durable");
    if (!record.branches.empty()) {
        check_votes(record, group);
    } else if (!one_phase_done(record.group) && !all_read_only(group)) {
        // A checkpoint's way of remembering the key of a transaction that a participant committed.
        violate("validity", short_text(record.group) + " is remembered as committed without proof");
    }
    if (group.abort_said) {
        violate("no-abort-before-commit",
                short_text(record.group) + " is decided commit after somebody was told abort");
    }
}

void Checkers::check_votes(const protocol::DecisionRecord& record, const Group& group) {
    std::set<std::uint16_t> covered;
    for (const protocol::BranchRecord& branch : record.branches) {
        BranchKey key{record.group, branch.branch, branch.attempt};
        covered.insert(branch.branch);
        bool yes = false;
        bool read_only = false;
        for (const auto& database : databases_) {
            if (database->uuid() != branch.uuid) continue;
            yes = database->ever_prepared(key);
            read_only = database->ever_read_only(key);
        }
        if (branch.vote == protocol::Vote::yes ? !yes : !read_only) {
            violate("validity", short_text(key) + " is committed without having voted so");
        }
        if (branch.vote == protocol::Vote::yes) groups_[record.group].in_decision.insert(key);
    }
    for (std::uint16_t branch : group.branches) {
        if (covered.contains(branch)) continue;
        bool read_only = false;
        for (const auto& [key, participant] : group.participants) {
            if (key.branch == branch) {
                read_only = read_only || databases_[participant]->ever_read_only(key);
            }
        }
        if (!read_only) {
            violate("validity",
                    short_text(record.group) + " is committed without branch " +
                        std::to_string(branch));
        }
    }
}

// ---- messages -------------------------------------------------------------------------------

void Checkers::on_batch_sent(const protocol::BatchRequest& batch) {
    for (const protocol::Item& item : batch.items) {
        if (world_.tracing() && item.work != nullptr) last_work_sent_ = batch;
        bool is_decision = item.op == ItemOp::commit || item.op == ItemOp::abort;
        if (keeps_decisions_ && is_decision) keep_decision(batch, item);
        check_item(item);
        for (std::uint32_t i = 0; i < databases_.size(); ++i) {
            if (databases_[i]->uuid() != batch.participant) continue;
            Group& group = groups_[item.key.group];
            group.participants.emplace(item.key, i);
        }
    }
}

void Checkers::check_item(const protocol::Item& item) {
    Group& group = groups_[item.key.group];
    switch (item.op) {
        case ItemOp::commit:
            group.commit_sent = true;
            if (group.decision != Decision::commit || !group.in_decision.contains(item.key)) {
                violate("write-ahead",
                        "commit of " + short_text(item.key) +
                            " is sent although no durable decision has it");
            }
            return;
        case ItemOp::abort:
            group.abort_sent = true;
            if (item.proof.has_value()) {
                aborts_with_proof_.insert(item.key);
            } else {
                aborts_with_proof_.erase(item.key);
            }
            if (group.decision == Decision::commit && group.in_decision.contains(item.key)) {
                violate("agreement",
                        "abort of " + short_text(item.key) + " is sent, which was decided commit");
            }
            return;
        case ItemOp::execute_prepare:
        case ItemOp::one_phase: {
            group.branches.insert(item.key.branch);
            if (group.first_sent == 0) group.first_sent = world_.now();
            std::uint32_t work = WorkTable::id_of(item.work);
            auto [known, is_new] = work_of_.emplace(item.key, work);
            if (known->second != work) {
                violate("unique-ids", short_text(item.key) + " names two different pieces of work");
            }
            return;
        }
        case ItemOp::prepare: group.branches.insert(item.key.branch); return;
        case ItemOp::settle_one_phase: return;
    }
}

void Checkers::on_inquiry_answered(const protocol::InquiryReply& reply) {
    for (const protocol::InquiryAnswerItem& item : reply.items) {
        Group& group = groups_[item.key.group];
        bool committed = group.decision == Decision::commit && group.in_decision.contains(item.key);
        note_inquiry_answer(item, committed);
        if (item.answer == protocol::InquiryAnswer::commit && !committed) {
            violate("write-ahead",
                    "an inquiry is answered commit for " + short_text(item.key) +
                        " although no durable decision has it");
        }
        if (item.answer != protocol::InquiryAnswer::abort) continue;
        if (committed) {
            violate("agreement",
                    "an inquiry is answered abort for " + short_text(item.key) +
                        ", which was decided commit");
        }
        if (group.decision != Decision::commit) group.abort_said = true;
    }
}

void Checkers::on_work_started(std::uint32_t participant,
                               const BranchKey& key,
                               const protocol::SenderStamp& sender) {
    const ModelDatabase& database = *databases_[participant];
    groups_[key.group].branches.insert(key.branch);
    groups_[key.group].participants.emplace(key, participant);
    auto work = work_of_.find(key);
    if (work != work_of_.end() && work_.at(work->second).participant != participant) {
        violate("identity",
                short_text(key) + " is started in the database of participant " +
                    std::to_string(participant) + ", which it is not for");
    }
    if (database.accepted(sender.incarnation) > sender.epoch) {
        violate("fencing",
                short_text(key) + " is started for a coordinator of epoch " +
                    std::to_string(sender.epoch) + " although epoch " +
                    std::to_string(database.accepted(sender.incarnation)) + " was accepted");
    }
    if (abort_acknowledged_.contains(key) && !restored_) {
        violate("no-work-after-abort",
                short_text(key) + " is started after its abort was answered");
    }
    bool occupied =
        database.prepared() > 0 || (database.running() > 0 && !database.is_running(key));
    if (database.exclusive() && occupied && !database.is_prepared(key)) {
        violate("slots", short_text(key) + " is started in an exclusive database that is taken");
    }
}

void Checkers::on_result_sent(std::uint32_t participant, const protocol::ItemResult& result) {
    const ModelDatabase& database = *databases_[participant];
    const BranchKey& key = result.key;
    note_result(result);
    bool votes = result.op == ItemOp::execute_prepare || result.op == ItemOp::prepare;
    switch (result.status) {
        case ItemStatus::yes:
            if (votes && !database.ever_prepared(key)) {
                violate("write-ahead", "yes for " + short_text(key) + ", which is not prepared");
            }
            return;
        case ItemStatus::read_only:
            if (!database.ever_read_only(key)) {
                violate("write-ahead", "read-only vote for " + short_text(key) + ", which wrote");
            }
            return;
        case ItemStatus::committed:
            if (result.original.has_value()) {
                if (!one_phase_done(*result.original)) {
                    violate("write-ahead",
                            short_text(key) + " is answered with the commit of " +
                                short_text(*result.original) + ", which nothing proves");
                }
                return;
            }
            if (!database.ever_applied(key) && !database.answered_without_effect(key) &&
                !database.ever_read_only(key)) {
                violate("write-ahead",
                        short_text(key) + " is reported committed, which the database is not");
            }
            return;
        case ItemStatus::aborted:
            if (database.applied(key) && !is_heuristic(key.group)) {
                violate("agreement", short_text(key) + " is reported aborted but is committed");
            }
            if (result.op == ItemOp::abort && database.applied(key) && !restored_ &&
                aborts_with_proof_.contains(key)) {
                violate(
                    "heuristic",
                    short_text(key) + " is reported aborted although an operator has committed it");
            }
            abort_acknowledged_.insert(key);
            return;
        default: return;
    }
}

// ---- the databases --------------------------------------------------------------------------

void Checkers::on_prepared(std::uint32_t participant, const BranchKey& key) {
    world_.mark(2, participant, key.group.sequence());
    if (abort_acknowledged_.contains(key) && !restored_) {
        violate("no-prepare-after-abort",
                short_text(key) + " becomes prepared after its abort was answered");
    }
}

void Checkers::on_committed(std::uint32_t participant, const BranchKey& key) {
    world_.mark(3, participant, key.group.sequence());
    if (operator_acts_) {
        heuristic_.insert(key.group);
        const auto& effects = databases_[participant]->ledger();
        auto effect = effects.find(key);
        if (effect == effects.end()) return;
        for (std::uint32_t work : effect->second.work) {
            heuristic_operations_.insert(work_.at(work).operation);
        }
        return;
    }
    check_work_committed(key);
    Group& group = groups_[key.group];
    // The message was on its way when the log was replaced: the decision is not gone after all.
    if (group.lost.contains(key) && !group.abort_said) {
        group.decision = Decision::commit;
        group.in_decision = std::exchange(group.lost, {});
    }
    if (group.decision != Decision::commit || !group.in_decision.contains(key)) {
        violate("agreement", short_text(key) + " is committed without a durable decision");
    }
}

void Checkers::on_rolled_back(std::uint32_t participant, const BranchKey& key) {
    world_.mark(4, participant, key.group.sequence());
    if (operator_acts_) {
        heuristic_.insert(key.group);
        return;
    }
    const Group& group = groups_[key.group];
    if (group.decision == Decision::commit && group.in_decision.contains(key)) {
        violate("agreement", short_text(key) + " is rolled back although it was decided commit");
    }
}

void Checkers::on_one_phase(std::uint32_t participant, const BranchKey& key) {
    world_.mark(5, participant, key.group.sequence());
    world_.reached(Situation::single_branch_in_one_phase);
    check_work_committed(key);
    bool aborted = abort_acknowledged_.contains(key) || told_txn_[key.group] == Told::aborted;
    if (aborted && !restored_) {
        violate("no-prepare-after-abort",
                short_text(key) + " commits in one phase after it was said to be aborted");
    }
}

void Checkers::on_read_only(std::uint32_t participant, const BranchKey& key) {
    world_.mark(6, participant, key.group.sequence());
}

void Checkers::on_slots_exceeded(std::uint32_t participant, const BranchKey& key) {
    violate("slots",
            "participant " + std::to_string(participant) + " prepares " + short_text(key) +
                " although no slot is free");
}

}  // namespace twofold::sim
