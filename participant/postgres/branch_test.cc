// Branches on a real server: votes, ends and refusals.
#include "participant/postgres/postgres_fixture.h"

#include <gmock/gmock.h>

#include <chrono>

namespace twofold::participant::postgres {
namespace {

namespace reason = protocol::reason;
using protocol::FinishStatus;
using protocol::WorkStatus;
using ::testing::HasSubstr;

class Branch : public PostgresTest {
protected:
    // The work is refused with this code, and nothing is left.
    void expect_refused(Sidecar& one,
                        const std::string& work,
                        std::string_view code,
                        bool executed) {
        auto result = one.prepare(new_key(), work);
        EXPECT_EQ(result.status, WorkStatus::refused) << work;
        EXPECT_EQ(result.reason.code, code) << result.reason.message;
        EXPECT_EQ(result.executed, executed) << work;
        EXPECT_EQ(prepared_count(), 0) << work;
    }
};

TEST_F(Branch, PreparesInOneRoundTripAndCommits) {
    auto one = sidecar();
    one->prepare(new_key(), debit(1, 2));  // opens the session
    auto before = one->counters();
    auto key = new_key();
    auto result = one->prepare(key, debit());
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    ASSERT_TRUE(result.proof.has_value());
    EXPECT_GT(result.proof->xid, 0U);
    EXPECT_EQ(result.proof->position.timeline, 1U);
    EXPECT_GT(result.proof->position.value, 0U);
    EXPECT_EQ(one->resource().position(), result.proof->position);
    EXPECT_EQ(*result.results, R"([{"rows_affected":1,"columns":[],"rows":[]}])");
    EXPECT_EQ(one->counters().prepares, before.prepares + 1);
    EXPECT_LE(one->counters().round_trips, before.round_trips + 2);  // with the session's cleaning
    EXPECT_EQ(prepared_count(), 2);
    EXPECT_EQ(balance(1), "100");
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
    EXPECT_EQ(balance(1), "90");
}

TEST_F(Branch, RollsBack) {
    auto one = sidecar();
    auto key = new_key();
    ASSERT_EQ(one->prepare(key, debit()).status, WorkStatus::prepared);
    EXPECT_EQ(one->rollback(key).status, FinishStatus::aborted);
    EXPECT_EQ(one->rollback(key).status, FinishStatus::not_found);
    EXPECT_EQ(balance(1), "100");
    EXPECT_EQ(prepared_count(), 0);
}

TEST_F(Branch, VotesReadOnlyWhenNothingWasWritten) {
    auto one = sidecar();
    auto result = one->prepare(new_key(), work({"SELECT balance FROM account WHERE id = 1"}));
    EXPECT_EQ(result.status, WorkStatus::read_only) << result.reason.message;
    EXPECT_EQ(*result.results, R"([{"rows_affected":0,"columns":["balance"],"rows":[[100]]}])");
    result = one->prepare(new_key(), work({"UPDATE account SET balance = 0 WHERE id = 99"}));
    EXPECT_EQ(result.status, WorkStatus::read_only) << "a statement that changed no row";
    result = one->prepare(new_key(), "[]");
    EXPECT_EQ(result.status, WorkStatus::read_only);
    EXPECT_EQ(prepared_count(), 0);
    EXPECT_EQ(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND pid <> "
                  "pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = "
                  "current_database())"),
              "0");
}

TEST_F(Branch, RowLocksCountAsWrites) {
    auto one = sidecar();
    auto result = one->prepare(new_key(), work({"SELECT 1 FROM account WHERE id = 1 FOR UPDATE"}));
    EXPECT_EQ(result.status, WorkStatus::prepared);
}

TEST_F(Branch, SerializableReadersArePrepared) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->prepare(key,
                               work({"SELECT balance FROM account"}),
                               {.isolation = protocol::Isolation::serializable});
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_GT(result.proof->xid, 0U);
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
    result = one->prepare(new_key(),
                          work({"SELECT balance FROM account"}),
                          {.isolation = protocol::Isolation::repeatable_read});
    EXPECT_EQ(result.status, WorkStatus::read_only);
    result = one->prepare(
        new_key(), work({"SELECT set_config('transaction_isolation', 'serializable', true)"}));
    EXPECT_EQ(result.status, WorkStatus::refused) << "the isolation cannot be changed by the work";
}

TEST_F(Branch, ValuesComeBackAsTheyWentIn) {
    auto one = sidecar();
    auto key = new_key();
    ASSERT_TRUE(
        server_
            ->query(database_,
                    "CREATE TABLE v (a int, b bigint, c numeric, d bytea, e boolean, f text, "
                    "g timestamptz, h float8, j jsonb)",
                    "app")
            .has_value());
    auto result = one->prepare(
        key,
        R"([{"sql": "INSERT INTO v VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *",
             "params": [-7, "9007199254740993", "12.50", {"base64": "AP8="}, true, "it's \u00fc",
                        "2026-01-02T03:04:05Z", 1.5, "{\"k\": [1]}"], "expect": {"rows": 1}},
            {"sql": "SELECT b, h FROM v WHERE b IS NOT DISTINCT FROM $1", "params": [null]},
            {"sql": "SELECT 'NaN'::float8, 9007199254740992::bigint, 1e20::float8"}])");
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_THAT(
        *result.results,
        HasSubstr(R"("rows":[[-7,"9007199254740993","12.50",{"base64":"AP8="},true,"it's ü",)"
                  R"("2026-01-02 03:04:05+00",1.5,"{\"k\": [1]}"]])"));
    EXPECT_THAT(*result.results, HasSubstr(R"("columns":["b","h"],"rows":[])"));
    EXPECT_THAT(*result.results, HasSubstr(R"([["NaN",9007199254740992,1e+20]])"));
}

TEST_F(Branch, RefusesWhatEndsTheTransactionBeforeAnythingRuns) {
    auto one = sidecar();
    auto before = one->counters().round_trips;
    for (const char* text : {"COMMIT AND CHAIN",
                             "commit",
                             "/* x /* y */ */ -- z\\n RoLLBACK",
                             "((ABORT",
                             "END",
                             "PREPARE TRANSACTION 'x'",
                             "SAVEPOINT a",
                             "BEGIN",
                             "START TRANSACTION",
                             "COMMIT PREPARED 'x'",
                             "SET ROLE postgres",
                             "RESET ALL",
                             "COPY account TO PROGRAM 'id'",
                             "LISTEN a",
                             "NOTIFY a",
                             "DO $$BEGIN COMMIT; END$$",
                             "CALL p()",
                             "CREATE TABLE x (a int)",
                             "LOCK TABLE pg_class",
                             "DISCARD ALL",
                             "VACUUM",
                             "; SELECT 1",
                             "",
                             "-- only a comment",
                             "EXPLAIN ANALYZE DELETE FROM account"}) {
        std::string list = R"([{"sql": "UPDATE account SET balance = 0"}, {"sql": ")";
        expect_refused(*one, list + text + R"("}])", reason::kNotAllowed, false);
    }
    EXPECT_EQ(one->counters().round_trips, before) << "something was sent";
    EXPECT_EQ(balance(1), "100");
}

TEST_F(Branch, RefusesSeveralStatementsInOne) {
    auto one = sidecar();
    expect_refused(*one, work({"SELECT 1; COMMIT"}), reason::kStatementFailed, true);
    expect_refused(*one,
                   work({"UPDATE account SET balance = 1 WHERE id = 1; DELETE FROM account"}),
                   reason::kStatementFailed,
                   true);
    EXPECT_EQ(balance(1), "100");
}

TEST_F(Branch, RefusesMalformedWork) {
    auto one = sidecar();
    auto refused = [&](const std::string& text, std::string_view message) {
        auto result = one->prepare(new_key(), text);
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, reason::kBadRequest);
        EXPECT_THAT(result.reason.message, HasSubstr(message));
        EXPECT_FALSE(result.executed);
    };
    refused(R"([{"sql": "SELECT 1", "expects": 1}])", "work[0].expects");
    refused(R"([{"sql": "SELECT 1"}, {"sql": "SELECT $1", "params": [[1]]}])", "work[1].params[0]");
    refused(R"([{"sql": "SELECT $1", "params": ["a\u0000b"]}])", "zero");
    refused(R"([{"sql": "SELECT $1", "params": [12345678901234567890123]}])", "as text");
    refused(R"([{"sql": "SELECT 1", "expect": {"rows": -1}}])", "expect.rows");
    refused(R"({"sql": "SELECT 1"})", "array");
    refused("[", "work");
}

// Commits of a new start of the coordinator wait until it is written down.
TEST_F(Branch, ALockOnTheTableOfSendersKeepsNobodyWaiting) {
    auto one = sidecar();
    protocol::SenderStamp sender;
    sender.epoch = 1;
    ASSERT_TRUE(one->persist_sender(sender).has_value());
    std::optional<protocol::WorkResult> result;
    one->begin(new_key(),
               work({"SELECT set_config('application_name', 'somebody else', false)",
                     "SELECT * FROM twofold.sender FOR UPDATE",
                     "SELECT pg_sleep(300)"}),
               &result);
    ASSERT_TRUE(one->wait([this] {
        // Not by the query's text: those who asked before us have it in theirs.
        return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
    }));
    sender.epoch = 2;
    auto persisted = one->persist_sender(sender);
    EXPECT_TRUE(persisted.has_value()) << persisted.error().context;
    EXPECT_EQ(sql("SELECT epoch FROM twofold.sender"), "2");
    EXPECT_TRUE(one->wait([&] { return result.has_value(); }));
    EXPECT_NE(result->status, WorkStatus::prepared);
}

// A lock on them, prepared, would keep the next sidecar from starting; a row in them would be a
// lie.
TEST_F(Branch, OurTablesAreNotForTheWork) {
    auto one = sidecar();
    for (const std::vector<std::string>& statements : std::vector<std::vector<std::string>>{
             {"SELECT epoch FROM twofold.meta FOR UPDATE"},
             {"SELECT epoch FROM twofold.meta FOR KEY SHARE"},
             {"INSERT INTO twofold.witness (gid, outcome) VALUES ('forged', 'committed')"},
             {"SELECT set_config('search_path', 'twofold', true)", "DELETE FROM witness"},
             {"UPDATE account SET balance = 1",
              "WITH gone AS (DELETE FROM twofold.sender RETURNING 1) SELECT * FROM gone"},
             {"UPDATE twofold.session SET epoch = 0"}}) {
        SCOPED_TRACE(statements.back());
        auto prepared = one->prepare(new_key(), work(statements));
        // What has no transaction number yet has changed nothing, and is rolled back.
        if (prepared.status != WorkStatus::read_only) {
            EXPECT_EQ(prepared.status, WorkStatus::refused);
            EXPECT_EQ(prepared.reason.code, reason::kNotAllowed) << prepared.reason.message;
            EXPECT_THAT(prepared.reason.message, HasSubstr("schema twofold"));
        }
        EXPECT_EQ(one->one_phase(new_key(), work(statements)).reason.code, reason::kNotAllowed);
        // Not only at the end: an application may keep its session, and the lock, for an hour.
        auto key = new_key();
        protocol::WorkResult executed;
        for (std::uint32_t i = 0; i < statements.size(); ++i) {
            executed = one->execute(key, i + 1, work({statements[i]}));
        }
        EXPECT_EQ(executed.status, WorkStatus::refused);
        EXPECT_EQ(executed.reason.code, reason::kNotAllowed) << executed.reason.message;
        EXPECT_EQ(one->prepare_executed(key).status, WorkStatus::refused);
    }
    EXPECT_EQ(prepared_count(), 0);
    EXPECT_EQ(sql("SELECT count(*) FROM twofold.witness"), "0");
    EXPECT_EQ(balance(1), "100");
    auto key = new_key();
    auto reader =
        one->prepare(key, work({"SELECT * FROM twofold.meta", "UPDATE account SET balance = 5"}));
    EXPECT_EQ(reader.status, WorkStatus::prepared) << "reading is harmless";
    EXPECT_EQ(sidecar()->commit(key).status, FinishStatus::committed);
}

TEST_F(Branch, RawSqlAndNamedStatements) {
    PostgresOptions wanted = options();
    wanted.raw_sql = false;
    wanted.statements["debit"] =
        work::compile({"UPDATE account SET balance = balance - :amount WHERE id = :account",
                       {{"account", "integer"}, {"amount", "number"}},
                       1},
                      work::kPostgresSql)
            .value();
    auto one = sidecar(wanted);
    expect_refused(*one, debit(), reason::kNotAllowed, false);
    auto key = new_key();
    auto result =
        one->prepare(key, R"([{"statement": "debit", "params": {"amount": "30", "account": 2}}])");
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(one->commit(key).status, FinishStatus::committed);
    EXPECT_EQ(balance(2), "70");
    expect_refused(*one, R"([{"statement": "credit"}])", reason::kBadRequest, false);
    expect_refused(
        *one, R"([{"statement": "debit", "params": {"amount": 1}}])", reason::kBadRequest, false);
}

TEST_F(Branch, ErrorsAreRefusalsWithTheirCode) {
    auto one = sidecar();
    expect_refused(*one, debit(1000), reason::kConstraint, true);
    expect_refused(*one, work({"INSERT INTO account VALUES (1, 1)"}), reason::kConstraint, true);
    expect_refused(*one, work({"SELECT nothing"}), reason::kStatementFailed, true);
    expect_refused(*one, work({"SELECT 1 / 0"}), reason::kStatementFailed, true);
    auto result = one->prepare(new_key(), work({"SELECT 1", "SELECT 1 / 0"}));
    EXPECT_EQ(result.reason.statement_index, 1);
    EXPECT_EQ(result.reason.sqlstate, "22012");
    EXPECT_EQ(result.reason.message, "statement 2: division by zero");
}

TEST_F(Branch, MissedExpectationsAreRefusedAndLeaveNothing) {
    auto one = sidecar();
    expect_refused(*one,
                   R"([{"sql": "UPDATE account SET balance = 5", "expect": {"rows": 1}}])",
                   reason::kExpectationMissed,
                   true);
    EXPECT_EQ(one->counters().rolled_back_after_prepare, 1U);
    expect_refused(*one,
                   R"([{"sql": "SELECT 1 FROM account", "expect": {"rows": 2}}])",
                   reason::kExpectationMissed,
                   true);
    EXPECT_EQ(balance(1), "100");
}

TEST_F(Branch, ResultsAreLimited) {
    auto one = sidecar();
    expect_refused(*one,
                   work({"UPDATE account SET balance = 1", "SELECT generate_series(1, 100000)"}),
                   reason::kNotAllowed,
                   true);
    expect_refused(*one, work({"SELECT repeat('x', 2000000)"}), reason::kNotAllowed, true);
    auto result = one->prepare(new_key(), work({"SELECT generate_series(1, 1000)"}));
    EXPECT_EQ(result.status, WorkStatus::read_only);
    // It counts what they are on the wire: six bytes for each of these.
    expect_refused(*one, work({"SELECT repeat(chr(1), 200000)"}), reason::kNotAllowed, true);
    expect_refused(*one, work({"SELECT repeat(chr(34), 500000)"}), reason::kNotAllowed, true);
    EXPECT_EQ(one->prepare(new_key(), work({"SELECT repeat('x', 900000)"})).status,
              WorkStatus::read_only);
}

// libpq has to hold a row as a whole, and keeps its buffer: such a session is not used again.
TEST_F(Branch, ALongRowEndsTheSession) {
    auto one = sidecar();
    ASSERT_EQ(one->prepare(new_key(), work({"SELECT 1"})).status, WorkStatus::read_only);
    auto opened = one->counters().connections_opened;
    ASSERT_EQ(one->prepare(new_key(), work({"SELECT 1"})).status, WorkStatus::read_only);
    ASSERT_EQ(one->counters().connections_opened, opened);
    auto result = one->prepare(
        new_key(), work({"UPDATE account SET balance = 1", "SELECT repeat('x', 100000000)"}));
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kNotAllowed) << result.reason.message;
    EXPECT_EQ(balance(1), "100");
    EXPECT_EQ(prepared_count(), 0);
    ASSERT_EQ(one->prepare(new_key(), debit()).status, WorkStatus::prepared) << "life goes on";
    EXPECT_GT(one->counters().connections_opened, opened);
}

TEST_F(Branch, AnyNumberOfWarningsIsNoVerdict) {
    sql("CREATE FUNCTION warn(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP "
        "RAISE WARNING 'of the work'; RAISE NOTICE 'too'; END LOOP; RETURN n; END $$");
    auto one = sidecar();
    auto result =
        one->prepare(new_key(), work({"UPDATE account SET balance = 1", "SELECT warn(5000)"}));
    EXPECT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
}

TEST_F(Branch, TimeoutsAreRefusals) {
    auto one = sidecar();
    ASSERT_EQ(one->prepare(new_key(), debit()).status, WorkStatus::prepared);
    auto result = one->prepare(new_key(), debit(), {.lock_timeout_ms = 50});
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kLockTimeout);
    result = one->prepare(new_key(), work({"SELECT pg_sleep(5)"}), {.statement_timeout_ms = 50});
    EXPECT_EQ(result.reason.code, reason::kStatementTimeout);
}

TEST_F(Branch, TheDeadlineEndsTheBranchForGood) {
    auto one = sidecar();
    auto key = new_key();
    auto begin = std::chrono::steady_clock::now();
    auto result =
        one->prepare(key, work({"UPDATE account SET balance = 1", "SELECT pg_sleep(30)"}), {}, 300);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
    EXPECT_EQ(result.status, WorkStatus::refused) << result.reason.message;
    EXPECT_EQ(result.reason.code, reason::kDeadline);
    EXPECT_EQ(sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND "
                  "pid <> pg_backend_pid()"),
              "0");
    EXPECT_EQ(one->prepare(new_key(), debit()).status, WorkStatus::prepared) << "the pool goes on";
}

TEST_F(Branch, SerializationFailuresAreRefusals) {
    PostgresOptions wanted = options();
    wanted.isolation = protocol::Isolation::repeatable_read;
    auto one = sidecar(wanted);
    std::optional<protocol::WorkResult> result;
    one->begin(new_key(),
               work({"SELECT balance FROM account",
                     "SELECT pg_sleep(0.5)",
                     "UPDATE account SET balance = 1 WHERE id = 1"}),
               &result);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
    }));
    sql("UPDATE account SET balance = 2 WHERE id = 1");
    ASSERT_TRUE(one->wait([&] { return result.has_value(); }));
    EXPECT_EQ(result->status, WorkStatus::refused);
    EXPECT_EQ(result->reason.code, reason::kSerialization) << result->reason.message;
}

TEST_F(Branch, DeadlocksAreRefusals) {
    auto one = sidecar();
    std::optional<protocol::WorkResult> late;
    one->begin(new_key(),
               work({"SELECT 1 FROM account WHERE id = 3 FOR UPDATE",
                     "SELECT pg_sleep(0.5)",
                     "UPDATE account SET balance = 1 WHERE id = 2"}),
               &late);
    std::optional<protocol::WorkResult> other;
    one->begin(new_key(),
               work({"SELECT 1 FROM account WHERE id = 2 FOR UPDATE",
                     "SELECT pg_sleep(0.5)",
                     "UPDATE account SET balance = 1 WHERE id = 3"}),
               &other);
    ASSERT_TRUE(one->wait([&] { return late.has_value() && other.has_value(); }));
    bool first_lost = late->status == WorkStatus::refused;
    EXPECT_EQ((first_lost ? *late : *other).reason.code, reason::kDeadlock);
    EXPECT_EQ((first_lost ? *other : *late).status, WorkStatus::prepared);
}

TEST_F(Branch, DeferredConstraintsFailWithTheirOwnCode) {
    ASSERT_TRUE(
        server_
            ->query(database_,
                    "CREATE TABLE entry (id int PRIMARY KEY, account int REFERENCES account "
                    "DEFERRABLE INITIALLY DEFERRED)",
                    "app")
            .has_value());
    auto one = sidecar();
    expect_refused(*one, work({"INSERT INTO entry VALUES (1, 77)"}), reason::kConstraint, true);
    auto result = one->prepare(
        new_key(),
        work({"INSERT INTO entry VALUES (1, 77)", "INSERT INTO account VALUES (77, 0)"}));
    EXPECT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
}

TEST_F(Branch, WhatCannotBePreparedIsRefused) {
    auto one = sidecar();
    expect_refused(*one,
                   work({"SELECT 1 AS a INTO TEMP t", "UPDATE account SET balance = 1"}),
                   reason::kNotAllowed,
                   true);
    expect_refused(*one,
                   work({"SELECT pg_notify('a', 'b')", "UPDATE account SET balance = 1"}),
                   reason::kNotAllowed,
                   true);
    EXPECT_EQ(balance(1), "100");
}

// Printed in the documentation: a NOTIFY is kept by the session until it commits; a branch that
// wrote nothing has no commit.
TEST_F(Branch, NotifyOfAReadOnlyBranchIsLost) {
    auto one = sidecar();
    auto result = one->prepare(new_key(), work({"SELECT pg_notify('a', 'b')"}));
    EXPECT_EQ(result.status, WorkStatus::read_only) << result.reason.message;
}

TEST_F(Branch, SlotsExhausted) {
    auto one = sidecar();
    EXPECT_EQ(one->started().slots, 64U);
    for (int i = 0; i < 64; ++i) {
        auto key = new_key();
        std::string insert = "INSERT INTO account VALUES (" + std::to_string(1000 + i) + ", 1)";
        ASSERT_EQ(one->prepare(key, work({insert})).status, WorkStatus::prepared);
    }
    auto result = one->prepare(new_key(), debit());
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kSlotsExhausted);
    EXPECT_EQ(result.reason.sqlstate, "53200");
}

TEST_F(Branch, ADuplicateGidIsUnknownNotRefused) {
    auto one = sidecar();
    auto key = new_key();
    ASSERT_EQ(one->prepare(key, debit()).status, WorkStatus::prepared);
    auto result = one->prepare(key, work({"UPDATE account SET balance = 7 WHERE id = 2"}));
    EXPECT_EQ(result.status, WorkStatus::unknown) << "nothing is left would be a lie";
    EXPECT_EQ(result.reason.code, reason::kProtocolViolation);
    EXPECT_EQ(prepared_count(), 1);
    EXPECT_EQ(one->commit(key).status, FinishStatus::committed);
    EXPECT_EQ(balance(2), "100");
}

TEST_F(Branch, CancelEndsTheSessionAndLeavesNothing) {
    auto one = sidecar();
    auto key = new_key();
    std::optional<protocol::WorkResult> result;
    one->begin(key, work({"UPDATE account SET balance = 1", "SELECT pg_sleep(20)"}), &result);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
    }));
    EXPECT_EQ(one->rollback(key).status, FinishStatus::unknown) << "it may still become prepared";
    ASSERT_TRUE(one->cancel(key).has_value());
    ASSERT_TRUE(result.has_value()) << "the work is answered before the cancel";
    EXPECT_EQ(result->status, WorkStatus::refused);
    EXPECT_EQ(sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "0");
    EXPECT_EQ(one->rollback(key).status, FinishStatus::not_found);
    EXPECT_TRUE(one->cancel(key).has_value()) << "again, with nothing to do";
}

TEST_F(Branch, CancelOfWaitingWorkRunsNothing) {
    PostgresOptions wanted = options();
    wanted.work_connections = 1;
    auto one = sidecar(wanted);
    std::optional<protocol::WorkResult> first;
    std::optional<protocol::WorkResult> second;
    auto key = new_key();
    one->begin(new_key(), work({"SELECT pg_sleep(0.3)"}), &first);
    one->begin(key, debit(), &second);
    ASSERT_TRUE(one->cancel(key).has_value());
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(second->status, WorkStatus::refused);
    EXPECT_FALSE(second->executed);
    ASSERT_TRUE(one->wait([&] { return first.has_value(); }));
    EXPECT_EQ(first->status, WorkStatus::read_only);
}

TEST_F(Branch, ALostSessionIsUnknownUntilItIsCancelled) {
    auto one = sidecar();
    auto key = new_key();
    std::optional<protocol::WorkResult> result;
    one->begin(key, work({"UPDATE account SET balance = 1", "SELECT pg_sleep(20)"}), &result);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                   "wait_event = 'PgSleep'") == "1";
    }));
    ASSERT_TRUE(one->wait([&] { return result.has_value(); }));
    EXPECT_EQ(result->status, WorkStatus::unknown);
    EXPECT_EQ(one->rollback(key).status, FinishStatus::unknown);
    ASSERT_TRUE(one->cancel(key).has_value());
    EXPECT_EQ(one->rollback(key).status, FinishStatus::not_found);
}

TEST_F(Branch, ManyBranchesShareFewSessions) {
    auto one = sidecar();
    std::vector<protocol::BranchKey> keys;
    std::vector<std::optional<protocol::WorkResult>> results(50);
    for (std::size_t i = 0; i < results.size(); ++i) {
        keys.push_back(new_key());
        std::string insert = "INSERT INTO account VALUES (" + std::to_string(500 + i) + ", 1)";
        one->begin(keys.back(), work({insert}), &results[i]);
    }
    ASSERT_TRUE(one->wait([&] {
        return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); });
    }));
    for (std::size_t i = 0; i < results.size(); ++i) {
        ASSERT_EQ(results[i]->status, WorkStatus::prepared) << results[i]->reason.message;
        EXPECT_EQ(one->commit(keys[i], results[i]->proof).status, FinishStatus::committed);
    }
    EXPECT_EQ(sql("SELECT count(*) FROM account WHERE id >= 500"), "50");
    EXPECT_LE(one->counters().connections_opened, 4U + 2U + 2U + 1U);
}

}  // namespace
}  // namespace twofold::participant::postgres
