// Named scenarios as transcripts. A random seed finds; a script explains. Regenerate the expected
// output with TWOFOLD_SIM_REGENERATE=1 and read the difference before committing it.
#include "sim/coordinator_node.h"
#include "sim/participant_node.h"
#include "sim/script.h"

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
    script.note("Both branches are prepared, no decision was made. The next start must abort them.");
    script.transfer();
    ASSERT_TRUE(script.run_until("database1      prepared e1.1"));
    script.cluster().kill_coordinator(true);
    ASSERT_TRUE(script.run_until("rolled back e1.1"));
    script.expect_settled();
    compare(script, "coordinator_restarts_undecided");
}

TEST(Script, PrepareArrivesAfterAbort) {
    Script script(2);
    script.note("The second branch's work is held up in the network; the transaction is aborted and");
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
    script.note("One participant commits but its answer is lost: the commit is sent again and again.");
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
    script.note("A sidecar dies while its database prepares; the session is ended by the next start.");
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
    script.note("A coordinator is replaced while it lives on. What it still sends must not matter.");
    script.transfer();
    ASSERT_TRUE(script.run_until("database0      prepared e1.1"));
    script.cluster().make_zombie();
    script.run_for(seconds(5));
    script.expect_settled();
    compare(script, "zombie_coordinator");
}

}  // namespace
}  // namespace twofold::sim
