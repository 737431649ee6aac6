// The crash matrix: every named crash point of the coordinator, the log and the sidecars. A process
// is killed there in the middle of transfers, started again, and then the books must balance,
// nothing may be left prepared, and every answer that a client got must still be true.
//
// Killing a process keeps what it wrote but did not force, so a missing force cannot be seen here:
// that is the simulator's task, whose disk forgets.
#include "base/crash_point.h"
#include "integration/fixture.h"

#include <algorithm>
#include <csignal>
#include <tuple>

namespace twofold::integration {
namespace {

std::vector<std::string> points(std::initializer_list<std::string_view> prefixes,
                                std::string_view but_not = "(none)") {
    std::vector<std::string> found;
    for (std::string_view name : base::crash_point_names()) {
        bool wanted = std::ranges::any_of(
            prefixes, [name](std::string_view prefix) { return name.starts_with(prefix); });
        // These are failures, not crashes; the tests of bad input arm them.
        bool failure = name == "wal_force_error" || name == "wal_write_enospc";
        if (wanted && !failure && !name.starts_with(but_not)) found.emplace_back(name);
    }
    return found;
}

std::string point_name(const ::testing::TestParamInfo<std::string>& test) { return test.param; }

Environment armed(const std::string& point, int turn = 1) {
    return {{"TWOFOLD_CRASH_AT", point + ":" + std::to_string(turn)}};
}

class CrashTest : public ClusterTest {
protected:
    void SetUp() override { TWOFOLD_NEEDS_CRASH_POINTS(); }

    // The smallest log, so that a few dozen transfers begin new segments and checkpoints.
    static ClusterSpec small_log() {
        return {.log_yaml = "{ segment_size_bytes: 65536, checkpoint_bytes: 65536 }"};
    }

    bool killed(Process& process) {
        auto status = process.wait(std::chrono::seconds(2));
        return status && status->killed_by(SIGKILL);
    }

    // Transfers until `process` has died at its crash point. Some fail on purpose, so that aborts
    // are hit as well.
    void transfer_until_killed(Process& process, int attempts = 60) {
        for (int i = 0; i < attempts && process.running(); ++i) {
            bool overdraft = i % 5 == 3;
            transfer({.from = static_cast<std::size_t>(i % 2),
                      .to = static_cast<std::size_t>(1 - i % 2),
                      .from_account = 1 + i % kAccounts,
                      .to_account = 1 + i % kAccounts,
                      .amount = overdraft ? 100'000 : 3,
                      .deadline_ms = 1500});
            // Its sockets are closed a while before the system reports its end, and an answer can
            // come a moment before it.
            bool suspicious = !told_.back().reply.answered() || i <= 3;
            std::ignore = process.wait(std::chrono::milliseconds(suspicious ? 20 : 0));
        }
        EXPECT_TRUE(killed(process)) << "the crash point was never passed";
    }

    // One row of the matrix for the coordinator.
    void crash_coordinator(const std::string& point, int turn) {
        SCOPED_TRACE(point + ":" + std::to_string(turn));
        // A log point can be passed before the coordinator is ready: then it dies in its start.
        bool ready = cluster().start_coordinator(armed(point, turn));
        if (ready) {
            ASSERT_TRUE(cluster().wait_participants_up() || !cluster().coordinator().running());
            transfer_until_killed(cluster().coordinator());
        }
        ASSERT_TRUE(killed(cluster().coordinator())) << cluster().logs();
        ASSERT_NO_FATAL_FAILURE(start_missing());
        expect_consistent();
        EXPECT_EQ(transfer().status, 200) << told_.back().reply.summary();
    }

    // One row for a sidecar.
    void crash_participant(std::size_t index, const std::string& point, int turn) {
        SCOPED_TRACE(point + ":" + std::to_string(turn));
        ASSERT_TRUE(cluster().start_participant(index, armed(point, turn))) << cluster().logs();
        ASSERT_TRUE(cluster().wait_participants_up()) << cluster().logs();
        transfer_until_killed(cluster().participant(index), 12);
        ASSERT_NO_FATAL_FAILURE(start_missing());
        expect_consistent();
    }
};

// ---- the coordinator
// -------------------------------------------------------------------------------

class CoordinatorCrash : public CrashTest, public ::testing::WithParamInterface<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CoordinatorCrash);  // a build without crash points

TEST_P(CoordinatorCrash, RecoversOnSqlite) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite, small_log()));
    crash_coordinator(GetParam(), 1);
    // Another passage: for points of the log, one that a transaction and not the start went
    // through.
    bool rare = GetParam().starts_with("wal_checkpoint_") || GetParam().starts_with("wal_segment_");
    crash_coordinator(GetParam(), rare ? 2 : 4);
}

INSTANTIATE_TEST_SUITE_P(Point,
                         CoordinatorCrash,
                         ::testing::ValuesIn(points({"coord_", "wal_"}, "coord_recovery_")),
                         point_name);

TEST_F(CrashTest, CoordinatorOnPostgres) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres, small_log()));
    for (const char* point : {"coord_after_first_vote",
                              "coord_after_last_vote",
                              "coord_before_decision_appended",
                              "coord_after_decision_forced",
                              "coord_before_commit_sent",
                              "coord_after_first_commit_ack",
                              "coord_before_client_answer",
                              "wal_mid_batch",
                              "wal_after_force"}) {
        crash_coordinator(point, point[0] == 'w' ? 4 : 2);
        if (HasFailure()) break;
    }
}

// A crash in the recovery from a crash in the recovery from a crash.
TEST_F(CrashTest, RecoveryItselfCrashes) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::mixed, small_log()));
    std::vector<std::string> names = points({"coord_recovery_"});
    for (const std::string& first : names) {
        for (const std::string& second : names) {
            SCOPED_TRACE(first + " then " + second);
            ASSERT_TRUE(cluster().start_coordinator(armed("coord_after_decision_forced", 2)));
            ASSERT_TRUE(cluster().wait_participants_up());
            transfer_until_killed(cluster().coordinator());
            for (const std::string& point : {first, second}) {
                cluster().launch_coordinator(armed(point));
                auto status = cluster().coordinator().wait(kPatience);
                ASSERT_TRUE(status && status->killed_by(SIGKILL)) << point << cluster().logs();
            }
            ASSERT_NO_FATAL_FAILURE(start_missing());
            expect_consistent();
            ASSERT_FALSE(HasFailure());
        }
    }
}

TEST_F(CrashTest, RecoveredTransactionsAreCounted) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    ASSERT_TRUE(cluster().start_coordinator(armed("coord_after_decision_forced")));
    ASSERT_TRUE(cluster().wait_participants_up());
    transfer_until_killed(cluster().coordinator());
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
    EXPECT_GE(client().metric("twofold_recovery_transactions_total"), 1);
}

// Many crashes at moments that nobody chose.
TEST_F(CrashTest, KilledAtAnyMoment) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite, small_log()));
    TransferLoad load(cluster(), {.clients = 3, .overdraft_every = 9});
    for (int round = 0; round < 8; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(60 + 37 * round));
        bool sidecar = round % 3 == 2;
        std::size_t index = static_cast<std::size_t>(round) % 2;
        Process& victim = sidecar ? cluster().participant(index) : cluster().coordinator();
        victim.kill();
        ASSERT_NO_FATAL_FAILURE(start_missing());
    }
    remember(load.stop());
    EXPECT_GT(load.committed(), 0);
    expect_consistent();
}

// ---- the sidecars
// ----------------------------------------------------------------------------------

class SidecarCrash : public CrashTest, public ::testing::WithParamInterface<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SidecarCrash);

TEST_P(SidecarCrash, RecoversOnSqlite) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    crash_participant(0, GetParam(), 1);
    crash_participant(1, GetParam(), 3);
}

INSTANTIATE_TEST_SUITE_P(Point,
                         SidecarCrash,
                         ::testing::ValuesIn(points({"part_", "sqlite_"}, "part_recovery_")),
                         point_name);

TEST_F(CrashTest, SidecarOnPostgres) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    int turn = 0;
    for (const std::string& point : points({"part_", "pg_"}, "part_recovery_")) {
        // One message carries all statements and the PREPARE: there is no moment in between.
        if (point == "part_during_work") continue;
        crash_participant(static_cast<std::size_t>(turn % 2), point, 1 + turn % 2);
        ++turn;
        if (HasFailure()) break;
    }
}

// It dies again while it looks for what it left behind.
TEST_F(CrashTest, SidecarDiesInItsRecovery) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    ASSERT_TRUE(cluster().start_participant(1, armed("part_after_prepare_before_reply")));
    ASSERT_TRUE(cluster().wait_participants_up());
    transfer_until_killed(cluster().participant(1));
    cluster().launch_participant(1, armed("part_recovery_after_list"));
    auto status = cluster().participant(1).wait(kPatience);
    ASSERT_TRUE(status && status->killed_by(SIGKILL)) << cluster().logs();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
}

// Coordinator and sidecar die in the same transaction.
TEST_F(CrashTest, BothDie) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::mixed));
    ASSERT_TRUE(cluster().start_participant(1, armed("part_before_commit")));
    ASSERT_TRUE(cluster().start_coordinator(armed("coord_after_first_commit_ack")));
    ASSERT_TRUE(cluster().wait_participants_up());
    transfer_until_killed(cluster().coordinator());
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
}

}  // namespace
}  // namespace twofold::integration
