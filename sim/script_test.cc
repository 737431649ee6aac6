// Named scenarios as transcripts. A random seed finds; a script explains. Regenerate the expected
// output with TWOFOLD_SIM_REGENERATE=1 and read the difference before committing it.
#include "sim/script.h"

#include "sim/coordinator_node.h"
#include "sim/participant_node.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace twofold::sim {
namespace {

void compare(Script& script, const std::string& name) {
    ASSERT_FALSE(script.cluster().world.violation().has_value())
        << script.cluster().world.violation()->checker << ": "
        << script.cluster().world.violation()->text << "\n"
        << script.transcript();
    std::string path = "sim/testdata/" + name + ".txt";
    if (std::getenv("TWOFOLD_SIM_REGENERATE") != nullptr) {
        std::ofstream(path) << script.transcript();
        return;
    }
    std::ifstream file(path);
    std::stringstream expected;
    expected << file.rdbuf();
    EXPECT_EQ(script.transcript(), expected.str()) << path;
}

TEST(Script, CrashAfterDecisionIsForced) {
    Script script(2);
    script.note("The decision is durable, nobody was told. The next start must commit.");
    script.transfer();
    ASSERT_TRUE(script.run_until("commit of e1.1 is durable"));
    script.cluster().kill_coordinator(true);
    ASSERT_TRUE(script.run_until("finished e1.1 committed"));
    script.expect_settled();
    compare(script, "crash_after_decision_is_forced");
}

TEST(Script, CoordinatorRestartsUndecided) {
    Script script(2);
    script.note(
        "Both branches are prepared, no decision was made. The next start must abort them.");
    script.transfer();
    ASSERT_TRUE(script.run_until("database1      prepared e1.1"));
    script.cluster().kill_coordinator(true);
    ASSERT_TRUE(script.run_until("rolled back e1.1"));
    script.expect_settled();
    compare(script, "coordinator_restarts_undecided");
}

TEST(Script, PrepareArrivesAfterAbort) {
    Script script(2);
    script.note(
        "The second branch's work is held up in the network; the transaction is aborted and");
    script.note("that abort is answered before the work arrives. It must be refused.");
    script.transfer();
    ASSERT_TRUE(script.run_until("sends execute_prepare e1.1/1.1"));
    auto duplicate = script.cluster().checkers.last_work_sent();
    ASSERT_TRUE(duplicate.has_value());
    ParticipantNode& node = *script.cluster().participants[0];
    script.cluster().kill_coordinator(false);
    ASSERT_TRUE(script.run_until("rolled back e1.1/1.1"));
    script.run_for(seconds(1));
    script.note("now the old message arrives once more");
    node.receive_batch(*duplicate, [](const protocol::ItemResult&) {});
    script.run_for(seconds(1));
    script.expect_settled();
    compare(script, "prepare_arrives_after_abort");
}

TEST(Script, AcknowledgementOfCommitIsLost) {
    Script script(2);
    script.note(
        "One participant commits but its answer is lost: the commit is sent again and again.");
    script.transfer();
    ASSERT_TRUE(script.run_until("database0      committed e1.1"));
    script.cluster().net.cut(Cluster::address_of(0), kCoordinatorAddress);
    script.run_for(seconds(3));
    script.note("the network is whole again");
    script.cluster().net.mend_all();
    script.run_for(seconds(3));
    script.expect_settled();
    compare(script, "acknowledgement_of_commit_is_lost");
}

TEST(Script, LatePrepareAfterSidecarRestart) {
    Script script(2);
    script.note(
        "A sidecar dies while its database prepares; the session is ended by the next start.");
    script.transfer();
    ASSERT_TRUE(script.run_until("participant0   runs e1.1"));
    script.cluster().participants[0]->kill();
    script.cluster().participants[0]->start();
    script.run_for(seconds(4));
    script.expect_settled();
    compare(script, "late_prepare_after_sidecar_restart");
}

TEST(Script, TornTail) {
    Script script(2);
    script.note("Power is lost while the decision is being written: it was told to nobody.");
    script.transfer();
    ASSERT_TRUE(script.run_until("proposes commit of e1.1"));
    script.cluster().kill_coordinator(true);
    script.run_for(seconds(3));
    script.expect_settled();
    compare(script, "torn_tail");
}

TEST(Script, ZombieCoordinator) {
    Script script(2);
    script.note(
        "A coordinator is replaced while it lives on. What it still sends must not matter.");
    script.transfer();
    ASSERT_TRUE(script.run_until("database0      prepared e1.1"));
    script.cluster().make_zombie();
    script.run_for(seconds(5));
    script.expect_settled();
    compare(script, "zombie_coordinator");
}

// Work that was aborted, acknowledged and forgotten arrives once more, from the same coordinator.
void work_below_the_mark(Script& script) {
    script.note("The vote is lost, the deadline aborts; later the low-water mark passes the id.");
    script.transfer();
    ASSERT_TRUE(script.run_until("sends execute_prepare e1.1/1.1"));
    auto late = script.cluster().checkers.last_work_sent();
    ASSERT_TRUE(late.has_value());
    script.cluster().net.cut(Cluster::address_of(0), kCoordinatorAddress);
    script.run_for(seconds(4));
    script.cluster().net.mend_all();
    script.run_for(seconds(4));
    for (int i = 0; i < 3; ++i) {
        script.transfer();
        script.run_for(seconds(1));
    }
    script.note("now the old message arrives once more");
    script.cluster().participants[0]->receive_batch(*late, [](const protocol::ItemResult&) {});
    script.run_for(seconds(1));
}

TEST(Script, WorkBelowTheMarkIsRefused) {
    Script script(2);
    work_below_the_mark(script);
    script.expect_settled();
    compare(script, "work_below_the_mark");
}

TEST(SabotagedScript, IgnoreLowWaterIsCaught) {
    Sabotage bug;
    bug.participant.ignore_low_water = true;
    Script script(2, bug);
    work_below_the_mark(script);
    ASSERT_TRUE(script.cluster().world.violation().has_value()) << script.transcript();
}

// A database goes back to where a branch was prepared that has long been committed and forgotten.
void restored_below_the_horizon(Script& script) {
    script.note("A backup holds e1.1 prepared. It commits, ends, and the horizon passes it.");
    script.transfer();
    ASSERT_TRUE(script.run_until("database0      prepared e1.1"));
    script.cluster().databases[0]->take_backup();
    script.run_for(seconds(1));
    for (int i = 0; i < 12; ++i) {
        script.transfer();
        script.run_for(ms(200));
    }
    script.note("the backup is restored while the coordinator restarts");
    script.cluster().kill_coordinator(false);
    script.cluster().participants[0]->kill();
    script.cluster().databases[0]->crash();
    script.cluster().databases[0]->restore_backup();
    script.cluster().checkers.database_restored();
    script.cluster().databases[0]->restart();
    script.cluster().participants[0]->start();
    script.run_for(seconds(3));
}

TEST(Script, RestoredBelowTheHorizonIsExpired) {
    Script script(2, {}, 4);
    restored_below_the_horizon(script);
    EXPECT_FALSE(script.cluster().world.violation().has_value()) << script.transcript();
    EXPECT_TRUE(script.cluster().alarms().contains("expired")) << script.transcript();
}

TEST(SabotagedScript, AbortBelowTheHorizonIsCaught) {
    Sabotage bug;
    bug.coordinator.inquiry_abort_below_horizon = true;
    Script script(2, bug, 4);
    restored_below_the_horizon(script);
    ASSERT_TRUE(script.cluster().world.violation().has_value()) << script.transcript();
}

}  // namespace
}  // namespace twofold::sim
