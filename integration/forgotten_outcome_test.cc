// A participant may forget how a branch ended once its coordinator has said that nothing is
// unfinished below a mark. The coordinator can have said so in vain: its END is written lazily, and
// a crash loses it. Then it asks again, and the participant, restarted as well, must still know
// that it was allowed to forget; otherwise a branch that has committed becomes a hazard.
#include "integration/fixture.h"

#include <csignal>

namespace twofold::integration {
namespace {

class ForgottenOutcome : public ClusterTest, public ::testing::WithParamInterface<Databases> {};

TEST_P(ForgottenOutcome, IsAskedForAfterBothHaveDied) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(GetParam()));
    // The second prepare carries the mark that lets the first outcome go. Then the coordinator dies
    // before anything forces its log, and its END of the first one is lost.
    ASSERT_TRUE(
        cluster().start_coordinator({{"TWOFOLD_CRASH_AT", "coord_before_decision_appended:2"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    EXPECT_EQ(transfer().status, 200);
    std::ignore = transfer();
    auto status = cluster().coordinator().wait(kPatience);
    ASSERT_TRUE(status && status->killed_by(SIGKILL)) << cluster().logs();
    for (std::size_t index = 0; index < cluster().size(); ++index) {
        cluster().participant(index).kill();
    }
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
    EXPECT_EQ(client().metric("twofold_alarms_total"), 0);
    EXPECT_EQ(transfer().status, 200) << told_.back().reply.summary();
}

INSTANTIATE_TEST_SUITE_P(Databases,
                         ForgottenOutcome,
                         ::testing::Values(Databases::sqlite, Databases::postgres),
                         [](const auto& test) { return databases_name(test.param); });

}  // namespace
}  // namespace twofold::integration
