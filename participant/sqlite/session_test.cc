// Interactive branches in a SQLite file: a session that stays open between calls.
#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::FinishStatus;
using protocol::WorkResult;
using protocol::WorkStatus;
using testing::HasSubstr;
namespace reason = protocol::reason;

class SessionTest : public testing::Test {
protected:
    void SetUp() override {
        path_ = folder_.file("bank.db");
        make_database(path_,
                      "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL"
                      " CHECK (balance >= 0));"
                      "INSERT INTO account VALUES (1, 100), (2, 100);");
        store_ = open_store(path_);
    }

    WorkResult execute(std::uint64_t txn, std::uint32_t sequence, const std::string& sql) {
        return store_->execute(sql_work(txn, {sql}), sequence);
    }

    void expect_ran(const WorkResult& result) {
        EXPECT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    }

    void expect_refused(const WorkResult& result, std::string_view code) {
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, code) << result.reason.message;
    }

    // Another program can write: no lock is held.
    void expect_free() {
        Plain other(path_);
        EXPECT_EQ(other.try_exec("BEGIN IMMEDIATE; ROLLBACK"), "");
    }

    TempFolder folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
};

TEST_F(SessionTest, CallsSeeWhatEarlierOnesDidAndCommitTogether) {
    expect_ran(execute(1, 1, "UPDATE account SET balance = balance - 30 WHERE id = 1"));
    WorkResult read = execute(1, 2, "SELECT balance FROM account WHERE id = 1");
    expect_ran(read);
    EXPECT_THAT(*read.results, HasSubstr("[[70]]"));
    expect_ran(execute(1, 3, "UPDATE account SET balance = balance + 30 WHERE id = 2"));
    Plain other(path_);
    EXPECT_EQ(other.query("SELECT balance FROM account"), "100\n100");
    EXPECT_THAT(other.try_exec("UPDATE account SET balance = 0"), HasSubstr("locked"));
    WorkResult yes = store_->prepare_executed(key_of(1));
    ASSERT_EQ(yes.status, WorkStatus::prepared) << yes.reason.message;
    EXPECT_TRUE(yes.proof.has_value());
    EXPECT_EQ(store_->commit(finish_of(1)).status, FinishStatus::committed);
    EXPECT_EQ(other.query("SELECT balance FROM account"), "70\n130");
}

TEST_F(SessionTest, ReadersPrepareNothing) {
    expect_ran(execute(1, 1, "SELECT 1"));
    EXPECT_EQ(store_->prepare_executed(key_of(1)).status, WorkStatus::read_only);
    expect_free();
}

TEST_F(SessionTest, AFailedStatementEndsIt) {
    expect_ran(execute(1, 1, "UPDATE account SET balance = 1"));
    expect_refused(execute(1, 2, "UPDATE account SET balance = -1"), reason::kConstraint);
    expect_free();
    expect_refused(execute(1, 3, "SELECT 1"), reason::kBranchLost);
    expect_refused(store_->prepare_executed(key_of(1)), reason::kBranchLost);
}

TEST_F(SessionTest, EndingItLeavesNothing) {
    expect_ran(execute(1, 1, "UPDATE account SET balance = 1"));
    store_->end_session(key_of(2));  // another one's
    expect_ran(execute(1, 2, "UPDATE account SET balance = 2"));
    store_->end_session(key_of(1));
    expect_free();
    EXPECT_EQ(Plain(path_).query("SELECT balance FROM account"), "100\n100");
    expect_ran(execute(2, 1, "SELECT 1"));
}

TEST_F(SessionTest, ARestartLosesIt) {
    expect_ran(execute(1, 1, "UPDATE account SET balance = 1"));
    ASSERT_TRUE(store_->start().has_value());
    expect_refused(execute(1, 2, "SELECT 1"), reason::kBranchLost);
    expect_refused(store_->prepare_executed(key_of(1)), reason::kBranchLost);
    expect_free();
    EXPECT_EQ(Plain(path_).query("SELECT balance FROM account"), "100\n100");
}

// What would have to wait for the session is answered at once: waiting for it would keep the
// session's own calls from running.
TEST_F(SessionTest, OtherWritesAreToldToComeAgain) {
    prepare(*store_, 9, {"UPDATE account SET balance = 5"});
    commit(*store_, 9);
    expect_ran(execute(1, 1, "UPDATE account SET balance = 1"));
    EXPECT_EQ(store_->rollback(finish_of(7)).status, FinishStatus::unknown);
    EXPECT_EQ(store_->commit(finish_of(9)).status, FinishStatus::unknown);
    EXPECT_EQ(store_->settle_one_phase(key_of(7)).status, FinishStatus::unknown);
    expect_refused(store_->execute_prepare(sql_work(2, {"SELECT 1"})), reason::kSlotsExhausted);
    expect_refused(store_->one_phase(sql_work(2, {"SELECT 1"})), reason::kSlotsExhausted);
    expect_refused(execute(2, 1, "SELECT 1"), reason::kSlotsExhausted);
    EXPECT_TRUE(store_->list().has_value());
    expect_ran(execute(1, 2, "SELECT 1"));
    ASSERT_EQ(store_->prepare_executed(key_of(1)).status, WorkStatus::prepared);
    EXPECT_EQ(store_->commit(finish_of(9)).status, FinishStatus::committed);
}

TEST_F(SessionTest, ANewerProcessOfItsCoordinatorEndsIt) {
    expect_ran(execute(1, 1, "UPDATE account SET balance = 1"));
    protocol::Incarnation own = key_of(1).group.incarnation();
    protocol::Epoch epoch = key_of(1).group.epoch();
    auto others = store_->persist_sender({protocol::Incarnation{{77}}, 5, 1, 1});
    EXPECT_EQ(others.error().code, base::Errc::unavailable);
    expect_ran(execute(1, 2, "SELECT 1"));
    ASSERT_TRUE(store_->persist_sender({own, epoch + 1, 1, 1}).has_value());
    expect_refused(execute(1, 3, "SELECT 1"), reason::kBranchLost);
    expect_free();
}

TEST_F(SessionTest, AThinkingClientUsesNoStatementTime) {
    store_.reset();
    std::int64_t now = 1'000;
    StoreOptions options = options_for(path_);
    options.monotonic_ms = [&now] { return now; };
    options.limits.statement_timeout = std::chrono::milliseconds(100);
    store_ = open_store(options);
    // More rows than one look at the clock is apart, so that reading their images would notice.
    expect_ran(execute(1,
                       1,
                       "WITH RECURSIVE n (i) AS"
                       " (SELECT 10 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
                       " INSERT INTO account SELECT i, 1 FROM n"));
    now += 60'000;
    EXPECT_EQ(store_->prepare_executed(key_of(1)).status, WorkStatus::prepared);
}

TEST_F(SessionTest, ACallAfterTheTimeIsOverIsRefused) {
    store_.reset();
    std::int64_t now = 1'000;
    StoreOptions options = options_for(path_);
    options.monotonic_ms = [&now] { return now += 10; };
    store_ = open_store(options);
    protocol::BranchWork work = sql_work(1, {"SELECT 1"});
    work.deadline_ms = 1;
    expect_refused(store_->execute(work, 1), reason::kDeadline);
    expect_free();
}

TEST_F(SessionTest, BadWork) {
    expect_refused(execute(1, 1, "COMMIT"), reason::kNotAllowed);
    expect_ran(execute(1, 1, "SELECT 1"));
    expect_refused(execute(1, 2, "SELECT 1; SELECT 2"), reason::kBadRequest);
    expect_free();
    expect_ran(execute(2, 1, "SELECT 1"));
    expect_refused(
        execute(2,
                2,
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1001)"
                " SELECT i FROM n"),
        reason::kNotAllowed);
    expect_free();
}

TEST_F(SessionTest, DeferredForeignKeysAreJudgedAtPrepare) {
    Plain(path_).exec(
        "CREATE TABLE child (id INTEGER PRIMARY KEY, account REFERENCES account (id)"
        " DEFERRABLE INITIALLY DEFERRED)");
    expect_ran(execute(1, 1, "INSERT INTO child VALUES (1, 77)"));
    expect_refused(store_->prepare_executed(key_of(1)), reason::kConstraint);
    expect_ran(execute(2, 1, "INSERT INTO child VALUES (1, 77)"));
    expect_ran(execute(2, 2, "INSERT INTO account VALUES (77, 1)"));
    EXPECT_EQ(store_->prepare_executed(key_of(2)).status, WorkStatus::prepared);
}

TEST_F(SessionTest, AnotherProgramsLockIsNamedAtTheFirstContact) {
    store_.reset();
    StoreOptions options = options_for(path_);
    options.limits.finish_wait = std::chrono::milliseconds(20);
    store_ = open_store(options);
    Plain other(path_);
    other.exec("BEGIN IMMEDIATE");
    auto persisted = store_->persist_sender({protocol::Incarnation{{1}}, 5});
    ASSERT_FALSE(persisted.has_value());
    EXPECT_EQ(persisted.error().code, base::Errc::timed_out);
    other.exec("ROLLBACK");
    EXPECT_TRUE(store_->persist_sender({protocol::Incarnation{{1}}, 5}).has_value());
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
