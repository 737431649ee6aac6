// Attempts that were replaced, over crashes: the decision does not name them.
#include "coordinator/core/small_world.h"
#include "recovery/core/fold_script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::recovery {
namespace {

using coordinator::epoch_record;
using protocol::Outcome;
using protocol::ParticipantNumber;
using protocol::Record;
using protocol::TxnId;

// Branch 2 had a second attempt, which the decision names.
std::vector<Record> log_with_replaced_attempt() {
    TxnId id = make_id(1, 1);
    protocol::DecisionRecord commit = commit_of(id);
    commit.branches[1].attempt = 2;
    protocol::PreparingRecord preparing = preparing_of(id);
    preparing.branches.push_back(commit.branches[1]);
    auto log = base_log();
    log.emplace_back(preparing_of(id));
    log.emplace_back(preparing);
    log.emplace_back(commit);
    return log;
}

// It may not have heard its abort: there is no END before it has.
TEST(Fold, a_replaced_attempt_of_a_commit_is_aborted_again) {
    TxnId id = make_id(1, 1);
    auto state = fold_all(log_with_replaced_attempt(), 2);
    ASSERT_TRUE(state.has_value());
    for (protocol::Epoch epoch : {3, 4}) {
        coordinator::Machine machine({}, state.value());
        coordinator::Effects effects;
        machine.start(effects);
        std::vector<std::string> sent;
        for (const auto& effect : effects) {
            if (std::holds_alternative<coordinator::Send>(effect)) sent.push_back(describe(effect));
        }
        EXPECT_EQ(sent,
                  (std::vector<std::string>{"send commit t1.1/1.1 to 1",
                                            "send commit t1.1/2.2 to 2",
                                            "send abort t1.1/2.1 to 2"}));
        EXPECT_EQ(machine.query(id).report.branches.size(), 3U);
        state = fold_all(machine.checkpoint(), epoch);
        ASSERT_TRUE(state.has_value());
    }
}

// Nothing was replaced: a branch that the decision does not name has voted read-only.
TEST(Fold, a_read_only_branch_of_a_commit_is_not_aborted) {
    TxnId id = make_id(1, 1);
    protocol::DecisionRecord commit = commit_of(id);
    commit.branches.pop_back();
    auto log = base_log();
    log.emplace_back(preparing_of(id));
    log.emplace_back(commit);
    auto state = fold_all(log, 2);
    ASSERT_TRUE(state.has_value());
    EXPECT_TRUE(state.value().unfinished_commits.at(id).replaced.empty());
}

TEST(Fold, a_replaced_attempt_that_was_committed_by_hand_is_still_against_the_decision) {
    TxnId id = make_id(1, 1);
    auto log = log_with_replaced_attempt();
    log.emplace_back(protocol::BranchOutcomeRecord{
        {id, 2, 1}, ParticipantNumber(2), Outcome::heuristic_commit, "by hand", true});
    auto state = fold_all(log, 2);
    ASSERT_TRUE(state.has_value());
    for (protocol::Epoch epoch : {3, 4}) {
        coordinator::Machine machine({}, state.value());
        coordinator::Effects effects;
        machine.start(effects);
        auto sent = std::ranges::count_if(effects, [](const auto& effect) {
            return std::holds_alternative<coordinator::Send>(effect);
        });
        EXPECT_EQ(sent, 2) << "its end is known";
        EXPECT_EQ(machine.query(id).report.outcome, Outcome::heuristic_mixed);
        state = fold_all(machine.checkpoint(), epoch);
        ASSERT_TRUE(state.has_value());
    }
}

}  // namespace
}  // namespace twofold::recovery
