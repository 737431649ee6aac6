// Processes that are killed at crash points in the middle of transfers and started again; then the
// books must balance, nothing may be left prepared, and every answer that a client got must still
// be true. Here are the points that simple transfers pass, and deaths that follow each other; the
// matrix of all points and faults is a program of its own (crash_matrix.cc).
//
// Killing a process keeps what it wrote but did not force, so a missing force cannot be seen here:
// that is the simulator's task, whose disk forgets.
#include "integration/fixture.h"

#include <csignal>
#include <tuple>

namespace twofold::integration {
namespace {

const std::vector<std::string> kCoordinatorPoints = {
    "coord_after_begin",
    "coord_after_decision_forced",
    "coord_after_end_appended",
    "coord_after_first_commit_ack",
    "coord_after_first_vote",
    "coord_after_last_vote",
    "coord_after_prepare_sent",
    "coord_before_client_answer",
    "coord_before_commit_sent",
    "coord_before_decision_appended",
    "wal_after_force",
    "wal_after_write",
    "wal_before_write",
    "wal_checkpoint_after_delete",
    "wal_checkpoint_after_force",
    "wal_checkpoint_before_write",
    "wal_mid_batch",
    "wal_segment_after_create",
    "wal_segment_before_create",
};
const std::vector<std::string> kRecoveryPoints = {
    "coord_recovery_after_fold",
    "coord_recovery_after_force",
    "coord_recovery_after_redrive",
    "coord_recovery_start",
};
const std::vector<std::string> kSidecarPoints = {
    "part_after_commit_before_reply",
    "part_after_prepare_before_reply",
    "part_before_commit",
    "part_before_prepare",
};
const std::vector<std::string> kSqlitePoints = {
    "part_during_work",
    "sqlite_after_commit",
    "sqlite_after_prepare",
    "sqlite_after_rehearsal",
    "sqlite_before_commit",
    "sqlite_before_prepare_commit",
};
const std::vector<std::string> kPostgresPoints = {
    "pg_after_commit_prepared",
    "pg_after_prepare",
    "pg_before_commit_prepared",
    "pg_before_prepare",
};

std::vector<std::string> both(std::vector<std::string> first,
                              const std::vector<std::string>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
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
                         ::testing::ValuesIn(kCoordinatorPoints),
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
    for (const std::string& first : kRecoveryPoints) {
        for (const std::string& second : kRecoveryPoints) {
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
                         ::testing::ValuesIn(both(kSidecarPoints, kSqlitePoints)),
                         point_name);

TEST_F(CrashTest, SidecarOnPostgres) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    int turn = 0;
    // Without part_during_work: one message carries all statements and the PREPARE, there is no
    // moment in between.
    for (const std::string& point : both(kSidecarPoints, kPostgresPoints)) {
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
