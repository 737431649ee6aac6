// Interactive branches on a real server: the session stays with its branch between the calls.
#include "participant/postgres/postgres_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace twofold::participant::postgres {
namespace {

using protocol::FinishStatus;
using protocol::WorkResult;
using protocol::WorkStatus;
using testing::HasSubstr;
namespace reason = protocol::reason;

class InteractiveTest : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        one_ = sidecar();
    }

    WorkResult execute(const protocol::BranchKey& key,
                       std::uint32_t sequence,
                       const std::string& statement) {
        return one_->execute(key, sequence, work({statement}));
    }
    void expect_ran(const WorkResult& result) {
        EXPECT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    }
    void expect_refused(const WorkResult& result, std::string_view code) {
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, code) << result.reason.message;
    }
    // Sessions of ours that are inside of a transaction.
    [[nodiscard]] std::string open_sessions() const {
        return sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'twofold %' "
            "AND state LIKE 'idle in transaction%'");
    }
    // Ends the backend of the branch's session from outside.
    void terminate_open_session() {
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE "
            "'twofold %' AND state = 'idle in transaction'");
        ASSERT_TRUE(one_->wait([this] { return open_sessions() == "0"; }));
    }

    std::unique_ptr<Sidecar> one_;
};

TEST_F(InteractiveTest, CallsSeeWhatEarlierOnesDidAndCommitTogether) {
    auto key = new_key();
    expect_ran(execute(key, 1, "UPDATE account SET balance = balance - 30 WHERE id = 1"));
    EXPECT_EQ(open_sessions(), "1");
    WorkResult read = execute(key, 2, "SELECT balance FROM account WHERE id = 1");
    expect_ran(read);
    EXPECT_THAT(*read.results, HasSubstr("[[70]]"));
    expect_ran(execute(key, 3, "UPDATE account SET balance = balance + 30 WHERE id = 2"));
    EXPECT_EQ(balance(1), "100");
    WorkResult yes = one_->prepare_executed(key);
    ASSERT_EQ(yes.status, WorkStatus::prepared) << yes.reason.message;
    ASSERT_TRUE(yes.proof.has_value());
    EXPECT_GT(yes.proof->xid, 0U);
    EXPECT_EQ(yes.results, nullptr);
    EXPECT_EQ(open_sessions(), "0");
    EXPECT_EQ(one_->commit(key, yes.proof).status, FinishStatus::committed);
    EXPECT_EQ(balance(1), "70");
    EXPECT_EQ(balance(2), "130");
}

TEST_F(InteractiveTest, ReadersPrepareNothing) {
    auto key = new_key();
    expect_ran(execute(key, 1, "SELECT balance FROM account"));
    EXPECT_EQ(one_->prepare_executed(key).status, WorkStatus::read_only);
    EXPECT_EQ(prepared_count(), 0);
}

// Others keep theirs while they wait for ours, perhaps.
TEST_F(InteractiveTest, ASessionIsNotWaitedForLongerThanALock) {
    PostgresOptions wanted = options();
    wanted.interactive_connections = 1;
    one_ = sidecar(std::move(wanted));
    auto first = new_key();
    expect_ran(execute(first, 1, "SELECT 1"));
    WorkResult late = one_->execute(new_key(), 1, work({"SELECT 1"}), {.lock_timeout_ms = 50});
    expect_refused(late, reason::kLockTimeout);
    EXPECT_FALSE(late.executed);
    EXPECT_THAT(late.reason.message, HasSubstr("interactive_connections"));
    expect_ran(execute(first, 2, "SELECT 2"));
}

TEST_F(InteractiveTest, AFailedCallEndsTheSession) {
    for (const auto& [statement, code] :
         std::initializer_list<std::pair<std::string, std::string_view>>{
             {"UPDATE account SET balance = -1 WHERE id = 1", reason::kConstraint},
             {"SELECT 1; SELECT 2", reason::kStatementFailed},
             {"COMMIT AND CHAIN", reason::kNotAllowed},
             {"SELECT generate_series(1, 1001)", reason::kNotAllowed}}) {
        SCOPED_TRACE(statement);
        auto key = new_key();
        expect_ran(execute(key, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
        expect_refused(execute(key, 2, statement), code);
        // The server hears a moment later that a connection was closed in the middle of a result.
        EXPECT_TRUE(one_->wait([this] { return open_sessions() == "0"; }));
        expect_refused(execute(key, 3, "SELECT 1"), reason::kBranchLost);
        expect_refused(one_->prepare_executed(key), reason::kBranchLost);
    }
    EXPECT_EQ(balance(1), "100");
}

TEST_F(InteractiveTest, AMissedExpectationEndsTheSession) {
    auto key = new_key();
    expect_refused(
        one_->execute(
            key, 1, R"([{"sql": "UPDATE account SET balance = 5", "expect": {"rows": 1}}])"),
        reason::kExpectationMissed);
    EXPECT_EQ(open_sessions(), "0");
    EXPECT_EQ(balance(1), "100");
}

TEST_F(InteractiveTest, DeferredConstraintsAreJudgedAtPrepare) {
    sql("CREATE TABLE child (account int REFERENCES account (id) DEFERRABLE INITIALLY DEFERRED)");
    sql("GRANT ALL ON child TO PUBLIC");
    auto key = new_key();
    expect_ran(execute(key, 1, "INSERT INTO child VALUES (77)"));
    expect_refused(one_->prepare_executed(key), reason::kConstraint);
    auto other = new_key();
    expect_ran(execute(other, 1, "INSERT INTO child VALUES (77)"));
    expect_ran(execute(other, 2, "INSERT INTO account VALUES (77, 1)"));
    ASSERT_EQ(one_->prepare_executed(other).status, WorkStatus::prepared);
    EXPECT_EQ(one_->rollback(other).status, FinishStatus::aborted);
}

TEST_F(InteractiveTest, CancellingAnIdleSessionFreesItsLocks) {
    auto key = new_key();
    expect_ran(execute(key, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
    EXPECT_TRUE(one_->cancel(key).has_value());
    EXPECT_EQ(open_sessions(), "0");
    sql("UPDATE account SET balance = 7 WHERE id = 1");
    EXPECT_EQ(one_->counters().sessions_ended, 0U);  // a rollback was enough
    expect_refused(one_->prepare_executed(key), reason::kBranchLost);
}

TEST_F(InteractiveTest, ABackendThatIsEndedBetweenTwoCallsLosesTheBranch) {
    auto key = new_key();
    expect_ran(execute(key, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
    terminate_open_session();
    WorkResult lost = execute(key, 2, "SELECT 1");
    EXPECT_NE(lost.status, WorkStatus::prepared);
    EXPECT_TRUE(one_->cancel(key).has_value());
    expect_refused(one_->prepare_executed(key), reason::kBranchLost);
    EXPECT_EQ(balance(1), "100");
}

TEST_F(InteractiveTest, ABackendThatIsEndedBeforePrepareIsNoVote) {
    auto key = new_key();
    expect_ran(execute(key, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
    terminate_open_session();
    WorkResult lost = one_->prepare_executed(key);
    EXPECT_TRUE(lost.status == WorkStatus::refused || lost.status == WorkStatus::unknown);
    EXPECT_TRUE(one_->cancel(key).has_value());
    EXPECT_EQ(prepared_count(), 0);
}

TEST_F(InteractiveTest, TheNextSidecarEndsTheSessionsOfTheLast) {
    auto key = new_key();
    expect_ran(execute(key, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
    auto two = sidecar();
    EXPECT_EQ(open_sessions(), "0");
    EXPECT_NE(execute(key, 2, "SELECT 1").status, WorkStatus::prepared);
    EXPECT_EQ(prepared_count(), 0);
    EXPECT_EQ(balance(1), "100");
}

TEST_F(InteractiveTest, ALockTimeoutIsAClearRefusal) {
    auto first = new_key();
    auto second = new_key();
    expect_ran(execute(first, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
    protocol::BranchOptions options;
    options.lock_timeout_ms = 50;
    expect_ran(one_->execute(second, 1, work({"SELECT 1"}), options));
    expect_refused(execute(second, 2, "UPDATE account SET balance = 2 WHERE id = 1"),
                   reason::kLockTimeout);
    expect_ran(execute(first, 2, "SELECT 1"));
}

TEST_F(InteractiveTest, AStatementBeyondTheTransactionsTimeIsEnded) {
    auto key = new_key();
    expect_ran(execute(key, 1, "UPDATE account SET balance = 1 WHERE id = 1"));
    expect_refused(one_->execute(key, 2, work({"SELECT pg_sleep(30)"}), {}, 100),
                   reason::kDeadline);
    EXPECT_EQ(open_sessions(), "0");
    EXPECT_EQ(prepared_count(), 0);
}

TEST_F(InteractiveTest, SessionsAreCleanedAfterTheirBranch) {
    auto key = new_key();
    expect_ran(execute(key, 1, "SELECT set_config('search_path', 'nowhere', false)"));
    EXPECT_EQ(one_->prepare_executed(key).status, WorkStatus::read_only);
    auto other = new_key();
    expect_ran(execute(other, 1, "SELECT balance FROM account"));
    EXPECT_EQ(one_->prepare_executed(other).status, WorkStatus::read_only);
}

}  // namespace
}  // namespace twofold::participant::postgres
