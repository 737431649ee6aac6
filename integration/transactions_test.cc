// Transactions that end as they should: committed with their results, or aborted with a reason.
#include "integration/fixture.h"

namespace twofold::integration {
namespace {

class Transactions : public ClusterTest, public ::testing::WithParamInterface<Databases> {
protected:
    void SetUp() override { ASSERT_NO_FATAL_FAILURE(start(GetParam())); }

    // A branch that takes one row of `index`, so that there is something to undo.
    std::string harmless(std::size_t index) {
        return branch(index,
                      {statement(index, "UPDATE accounts SET balance = balance - 1 WHERE id = 1")});
    }

    void expect_aborted(const RestReply& reply, std::string_view code, std::size_t blamed) {
        EXPECT_EQ(reply.status, 409) << reply.summary();
        EXPECT_EQ(reply.content_type, "application/problem+json");
        EXPECT_EQ(reply.text_at("code"), "transaction_aborted");
        EXPECT_EQ(reply.text_at("outcome"), "aborted");
        EXPECT_EQ(reply.text_at("reason.code"), code) << reply.summary();
        EXPECT_EQ(reply.text_at("participant"), cluster().spec(blamed).name) << reply.summary();
        EXPECT_FALSE(reply.text_at("reason.message").empty());
        EXPECT_EQ(cluster().balance(0, 1), kBalance);
        EXPECT_EQ(cluster().balance(1, 1), kBalance);
        EXPECT_TRUE(wait_until([this] { return cluster().prepared_left() == 0; }));
    }
};

TEST_P(Transactions, CommitsBothBranches) {
    RestReply reply = transfer({.amount = 25});
    ASSERT_EQ(reply.status, 200) << reply.summary();
    EXPECT_EQ(reply.text_at("outcome"), "committed");
    EXPECT_EQ(reply.text_at("id").size(), 48U);
    EXPECT_EQ(reply.text_at("branches.0.participant"), "orders");
    EXPECT_EQ(reply.text_at("branches.1.participant"), "stock");
    // 200 was waited for until both databases had it.
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 25);
    EXPECT_EQ(cluster().balance(1, 1), kBalance + 25);
    expect_consistent();
}

TEST_P(Transactions, ReturnsRowsOfQueriesAndReturning) {
    RestReply reply = submit(
        {branch(0,
                {statement(0,
                           "UPDATE accounts SET balance = balance - ? WHERE id = ? RETURNING "
                           "id, balance",
                           "[5,2]",
                           1)}),
         branch(
             1,
             {statement(1, "UPDATE accounts SET balance = balance + 5 WHERE id = 2"),
              statement(1, "SELECT id, balance FROM accounts WHERE id <= ? ORDER BY id", "[2]")})});
    ASSERT_EQ(reply.status, 200) << reply.summary();
    EXPECT_EQ(reply.text_at("branches.0.results.0.rows_affected"), "1");
    EXPECT_EQ(reply.text_at("branches.0.results.0.columns"), R"(["id","balance"])");
    EXPECT_EQ(reply.text_at("branches.0.results.0.rows"), "[[2,995]]");
    EXPECT_EQ(reply.text_at("branches.1.results.0.rows_affected"), "1");
    EXPECT_EQ(reply.text_at("branches.1.results.1.rows"), "[[1,1000],[2,1005]]");
}

TEST_P(Transactions, OneBranchCommitsInOnePhase) {
    RestReply reply =
        submit({branch(1, {statement(1, "UPDATE accounts SET balance = 7 WHERE id = 3")})});
    ASSERT_EQ(reply.status, 200) << reply.summary();
    EXPECT_EQ(reply.text_at("outcome"), "committed");
    EXPECT_EQ(cluster().balance(1, 3), 7);
    RestReply again = client().get("/v1/transactions/" + reply.text_at("id"));
    EXPECT_EQ(again.text_at("outcome"), "committed") << again.summary();
}

TEST_P(Transactions, ReadingOnlyRecordsNothing) {
    RestReply reply = submit({branch(0, {statement(0, "SELECT sum(balance) FROM accounts")}),
                              branch(1, {statement(1, "SELECT sum(balance) FROM accounts")})});
    ASSERT_EQ(reply.status, 200) << reply.summary();
    EXPECT_EQ(reply.text_at("recorded"), "false");
    EXPECT_EQ(cluster().prepared_left(), 0);
}

TEST_P(Transactions, LabelsAreListed) {
    RestReply reply = submit({harmless(0),
                              branch(1,
                                     {statement(1,
                                                "UPDATE accounts SET balance = "
                                                "balance + 1 WHERE id = 1")})},
                             R"(,"labels":{"order":"A-17"},"wait":"decided")");
    ASSERT_TRUE(reply.status == 200 || reply.status == 202) << reply.summary();
    RestReply list = client().get("/v1/transactions?label=order=A-17");
    EXPECT_EQ(list.text_at("transactions.0.id"), reply.text_at("id")) << list.summary();
    EXPECT_EQ(list.text_at("transactions.0.labels.order"), "A-17");
    RestReply none = client().get("/v1/transactions?label=order=A-18");
    EXPECT_EQ(none.text_at("transactions"), "[]") << none.summary();
}

TEST_P(Transactions, StatementErrorAborts) {
    RestReply reply =
        submit({harmless(0), branch(1, {statement(1, "UPDATE no_such_table SET x = 1")})});
    expect_aborted(reply, "statement_failed", 1);
    EXPECT_NE(reply.text_at("reason.message").find("no_such_table"), std::string::npos)
        << reply.summary();
    EXPECT_EQ(reply.text_at("reason.statement"), "0");
}

TEST_P(Transactions, OverdraftIsAConstraintViolation) {
    RestReply reply = transfer({.amount = kBalance + 1});
    expect_aborted(reply, "constraint_violation", 0);
    EXPECT_EQ(reply.text_at("retryable"), "false");
}

TEST_P(Transactions, DeferredConstraintIsCheckedBeforeTheVote) {
    for (std::size_t index : {0U, 1U}) {
        auto made = cluster().database(index).query(
            "CREATE TABLE parent (id INTEGER NOT NULL PRIMARY KEY);"
            "CREATE TABLE child (id INTEGER NOT NULL PRIMARY KEY, parent INTEGER NOT NULL"
            " REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)");
        ASSERT_TRUE(made.has_value()) << made.error().text();
    }
    RestReply broken =
        submit({harmless(0), branch(1, {statement(1, "INSERT INTO child VALUES (1, 99)")})});
    expect_aborted(broken, "constraint_violation", 1);
    RestReply whole = submit({branch(0, {statement(0, "INSERT INTO parent VALUES (1)")}),
                              branch(1,
                                     {statement(1, "INSERT INTO child VALUES (1, 99)"),
                                      statement(1, "INSERT INTO parent VALUES (99)")})});
    EXPECT_EQ(whole.status, 200) << whole.summary();
}

TEST_P(Transactions, MissedExpectationAborts) {
    RestReply reply = submit(
        {harmless(1),
         branch(0, {statement(0, "UPDATE accounts SET balance = 0 WHERE id = ?", "[4711]", 1)})});
    expect_aborted(reply, "expectation_missed", 0);
    EXPECT_EQ(reply.text_at("reason.statement"), "0");
}

TEST_P(Transactions, StatementTimeoutAborts) {
    std::string slow =
        cluster().database(1).kind() == DatabaseKind::postgres
            ? "SELECT pg_sleep(60)"
            : "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
              "i < 2000000000) SELECT count(*) FROM n";
    RestReply reply = submit(
        {harmless(0),
         branch(1,
                {statement(1, "UPDATE accounts SET balance = 1 WHERE id = 1"), statement(1, slow)},
                R"(,"statement_timeout_ms":300)")});
    expect_aborted(reply, "statement_timeout", 1);
    EXPECT_EQ(reply.text_at("reason.statement"), "1");
}

TEST_P(Transactions, LockTimeoutAborts) {
    // The first contact writes the coordinator's epoch, which would have to wait for the lock, too.
    ASSERT_EQ(transfer({.amount = 0}).status, 200);
    bool postgres = cluster().database(1).kind() == DatabaseKind::postgres;
    auto lock = cluster().database(1).hold(
        postgres ? "BEGIN; UPDATE accounts SET balance = balance WHERE id = 1" : "BEGIN IMMEDIATE");
    ASSERT_TRUE(lock.has_value()) << lock.error().text();
    RestReply reply = submit({harmless(0),
                              branch(1,
                                     {statement(1, "UPDATE accounts SET balance = 1 WHERE id = 1")},
                                     R"(,"lock_timeout_ms":300)")});
    expect_aborted(reply, "lock_timeout", 1);
    EXPECT_EQ(reply.text_at("retryable"), "true");
    lock.value().reset();
    EXPECT_EQ(transfer().status, 200);
}

TEST_P(Transactions, DeadlineAborts) {
    bool postgres = cluster().database(1).kind() == DatabaseKind::postgres;
    auto lock = cluster().database(1).hold(
        postgres ? "BEGIN; UPDATE accounts SET balance = balance WHERE id = 1" : "BEGIN IMMEDIATE");
    ASSERT_TRUE(lock.has_value()) << lock.error().text();
    RestReply reply = transfer({.deadline_ms = 500});
    EXPECT_EQ(reply.status, 409) << reply.summary();
    EXPECT_EQ(reply.text_at("outcome"), "aborted");
    lock.value().reset();
    expect_consistent();
}

TEST_P(Transactions, OppositeOrdersAllFinish) {
    // Half of the transfers go the other way round: opposite order of the same two databases.
    TransferLoad load(cluster(), {.clients = 4, .deadline_ms = 20'000});
    EXPECT_TRUE(wait_until([&load] { return load.committed() >= 60; }));
    remember(load.stop());
    // Two databases know nothing of each other's locks, so row locks of PostgreSQL may end some by
    // lock_timeout. SQLite files are granted in one step: none may wait for another for ever.
    if (GetParam() == Databases::sqlite) {
        EXPECT_EQ(load.aborted() + load.unanswered(), 0);
    }
    expect_consistent();
}

INSTANTIATE_TEST_SUITE_P(Both,
                         Transactions,
                         ::testing::Values(Databases::sqlite,
                                           Databases::postgres,
                                           Databases::mixed),
                         [](const auto& test) { return databases_name(test.param); });

}  // namespace
}  // namespace twofold::integration
