// The exhaustive search: nothing is wrong within small bounds, and it notices bugs that are
// planted.
#include "sim/explore.h"

#include <gtest/gtest.h>

#include <string>

namespace twofold::sim {
namespace {

using protocol::WorkStatus;

const std::vector<WorkStatus> kYesYes{WorkStatus::prepared, WorkStatus::prepared};
const std::vector<WorkStatus> kYesNo{WorkStatus::prepared, WorkStatus::refused};

std::string text(const ExploreReport& report) {
    std::string out = report.wrong + "\n";
    for (const std::string& line : report.path) out += "  " + line + "\n";
    return out;
}

void expect_clean(const std::vector<WorkStatus>& votes, const Budget& budget) {
    ExploreReport report = explore({.votes = votes, .budget = budget}, {});
    EXPECT_EQ(report.wrong, "") << text(report);
    EXPECT_TRUE(report.complete);
    EXPECT_GT(report.ends, 0U);
    ::testing::Test::RecordProperty("states", std::to_string(report.states));
}

TEST(Explore, NoFault) {
    expect_clean(kYesYes, {});
    expect_clean(kYesNo, {});
}

TEST(Explore, OneDuplicateAndOneLoss) {
    expect_clean(kYesYes, {.duplicates = 1, .losses = 1});
    expect_clean(kYesNo, {.duplicates = 1, .losses = 1});
}

TEST(Explore, OneEarlyTimerAndOneDuplicate) {
    expect_clean(kYesYes, {.duplicates = 1, .early_timers = 1});
}

TEST(Explore, OneDeathOfTheCoordinator) {
    expect_clean(kYesNo, {.coordinator_crashes = 1});
    expect_clean({WorkStatus::prepared, WorkStatus::read_only}, {.coordinator_crashes = 1});
}

TEST(Explore, OneDeathOfAParticipant) {
    expect_clean(kYesNo, {.participant_crashes = 1});
    expect_clean({WorkStatus::prepared, WorkStatus::read_only}, {.participant_crashes = 1});
}

TEST(Explore, TheSameSearchTwiceSeesTheSame) {
    Exploration exploration{.votes = kYesYes, .budget = {.duplicates = 1}};
    ExploreReport first = explore(exploration, {});
    ExploreReport second = explore(exploration, {});
    EXPECT_EQ(first.states, second.states);
    EXPECT_EQ(first.transitions, second.transitions);
}

TEST(Explore, ALimitIsTold) {
    ExploreReport report = explore({.votes = kYesYes, .budget = {.losses = 1}}, {.states_max = 20});
    EXPECT_FALSE(report.complete);
}

// ---- planted bugs ---------------------------------------------------------------------

// Within a single branch, or two of which one decides nothing: these are small worlds.
void expect_noticed(void (*plant)(Exploration&), const Budget& budget, std::string_view what) {
    const std::vector<std::vector<WorkStatus>> worlds{
        {WorkStatus::prepared}, kYesNo, {WorkStatus::prepared, WorkStatus::read_only}, kYesYes};
    for (const auto& votes : worlds) {
        Exploration exploration{.votes = votes, .budget = budget};
        plant(exploration);
        ExploreReport report = explore(exploration, {.states_max = 30'000});
        if (report.wrong.empty()) continue;
        EXPECT_NE(report.wrong.find(what), std::string::npos) << text(report);
        EXPECT_FALSE(report.path.empty());
        return;
    }
    ADD_FAILURE() << "nothing was noticed";
}

TEST(ExploreSabotage, WriteAhead) {
    expect_noticed([](Exploration& e) { e.coordinator.send_commit_before_decided = true; },
                   {},
                   "before its decision is durable");
    expect_noticed([](Exploration& e) { e.coordinator.answer_before_decided = true; },
                   {},
                   "before the decision is durable");
}

TEST(ExploreSabotage, Votes) {
    expect_noticed([](Exploration& e) { e.coordinator.commit_without_all_votes = true; }, {}, "");
    expect_noticed([](Exploration& e) { e.coordinator.treat_unknown_prepare_as_yes = true; },
                   {.losses = 1},
                   "");
}

TEST(ExploreSabotage, Recovery) {
    expect_noticed([](Exploration& e) { e.coordinator.forget_unfinished_on_recovery = true; },
                   {.coordinator_crashes = 1},
                   "");
}

TEST(ExploreSabotage, Participants) {
    expect_noticed([](Exploration& e) { e.participant.vote_yes_before_durable = true; },
                   {.participant_crashes = 1},
                   "");
    expect_noticed([](Exploration& e) { e.participant.forget_tombstone = true; },
                   {.duplicates = 1, .early_timers = 1},
                   "work is done after its abort");
    expect_noticed([](Exploration& e) { e.participant.resolve_alone_after_restart = true; },
                   {.participant_crashes = 1},
                   "");
    expect_noticed([](Exploration& e) { e.participant.abort_on_still_active = true; },
                   {.participant_crashes = 1},
                   "");
}

}  // namespace
}  // namespace twofold::sim
