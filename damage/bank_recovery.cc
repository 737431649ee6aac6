#include "damage/bank_recovery.h"

#include <utility>

namespace twofold::damage {

using protocol::FinishStatus;
using protocol::WorkStatus;

namespace {

std::string about(const char* what, std::uint64_t branch, const protocol::Reason& reason) {
    return std::string(what) + " of branch " + std::to_string(branch) + ": " + reason.code + " " +
           reason.message;
}

}  // namespace

void BankRecovery::event(Step step, std::uint64_t number) {
    promises_.take({step, number});
    if (tell_) tell_({step, number});
}

std::string BankRecovery::check_start(const protocol::ResourceStart& start) {
    for (const protocol::PreparedBranch& branch : start.prepared) {
        listed_.insert(branch.key.group.sequence());
    }
    if (start.epoch <= promises_.epoch) return "the participant epoch was given before";
    if (start.position.value < promises_.position) return "the position went back";
    std::uint64_t sender = 0;
    for (const auto& [incarnation, stamp] : start.senders) sender = stamp.position;
    if (sender < promises_.sender) return "the sender was forgotten";
    event(Step::epoch, start.epoch);
    Books books = read_books(path_);
    booked_ = books.booked;
    if (!books.problem.empty()) return books.problem;
    return promises_.problem(listed_, booked_);
}

std::string BankRecovery::commit(std::uint64_t branch) {
    event(Step::commit_begun, branch);
    auto result = opened_.store->commit(finish_of(branch));
    if (result.status != FinishStatus::committed) return about("commit", branch, result.reason);
    event(Step::committed, branch);
    booked_.insert(branch);
    return {};
}

std::string BankRecovery::rollback(std::uint64_t branch, FinishStatus expected) {
    event(Step::rollback_begun, branch);
    auto result = opened_.store->rollback(finish_of(branch));
    if (result.status != expected) return about("rollback", branch, result.reason);
    event(Step::aborted, branch);
    return {};
}

// The coordinator keeps to its decision; where there is none, and a yes, either is legal.
std::string BankRecovery::finish_listed() {
    for (std::uint64_t branch : listed_) {
        Step step = promises_.of(branch);
        bool keep = step == Step::commit_begun || (step == Step::prepared && branch % 2 == 0);
        std::string problem = keep ? commit(branch) : rollback(branch, FinishStatus::aborted);
        if (!problem.empty()) return problem;
    }
    return {};
}

std::string BankRecovery::repeat_answer(std::uint64_t branch, Step step) {
    if (step == Step::committed || step == Step::commit_begun) return commit(branch);
    if (step == Step::aborted || step == Step::rollback_begun) {
        return rollback(branch, FinishStatus::aborted);
    }
    if (step == Step::one_phase_begun || step == Step::one_phase_committed) {
        auto result = opened_.store->settle_one_phase(finish_of(branch).key);
        bool is_booked = booked_.contains(branch);
        auto expected = is_booked ? FinishStatus::committed : FinishStatus::aborted;
        if (result.status != expected) return about("settling", branch, result.reason);
        event(is_booked ? Step::one_phase_committed : Step::aborted, branch);
        return {};
    }
    if (step != Step::tombstoned) return {};
    auto late = opened_.store->execute_prepare(bank_work(branch, bank_statements(branch)));
    if (late.status != WorkStatus::refused) return about("a late prepare", branch, late.reason);
    return {};
}

std::string BankRecovery::repeat_answers() {
    const std::map<std::uint64_t, Step> branches = promises_.branches;
    for (const auto& [branch, step] : branches) {
        std::string problem = repeat_answer(branch, step);
        if (!problem.empty()) return "repeated: " + problem;
    }
    return {};
}

std::string BankRecovery::add_branch(std::uint64_t branch) {
    event(Step::prepare_begun, branch);
    auto yes = opened_.store->execute_prepare(bank_work(branch, bank_statements(branch)));
    if (yes.status != WorkStatus::prepared) return about("a new prepare", branch, yes.reason);
    event(Step::prepared, branch);
    return commit(branch);
}

std::string BankRecovery::run(std::uint64_t new_branch) {
    auto opened = open_store(path_, vfs_);
    if (!opened.has_value()) return "the store cannot be opened: " + opened.error().text();
    opened_ = std::move(opened.value());
    std::string problem = check_start(opened_.start);
    if (problem.empty()) problem = finish_listed();
    if (problem.empty()) problem = repeat_answers();
    if (problem.empty()) problem = add_branch(new_branch);
    opened_.store.reset();
    if (!problem.empty()) return problem;
    Books books = read_books(path_);
    if (!books.problem.empty()) return "afterwards: " + books.problem;
    return books.booked == booked_ ? "" : "afterwards other branches are in the books";
}

}  // namespace twofold::damage
