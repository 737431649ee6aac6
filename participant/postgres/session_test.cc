// What a branch's SQL can do to its session, and why the next branch and the answer do not notice.
#include "participant/postgres/postgres_fixture.h"

#include <gmock/gmock.h>

namespace twofold::participant::postgres {
namespace {

namespace reason = protocol::reason;
using protocol::FinishStatus;
using protocol::WorkStatus;
using ::testing::HasSubstr;

class SessionState : public PostgresTest {
protected:
    // One session for everything, so that what is left behind would be found.
    std::unique_ptr<Sidecar> narrow() {
        PostgresOptions wanted = options();
        wanted.work_connections = 1;
        return sidecar(wanted);
    }
};

TEST_F(SessionState, SettingsDoNotLeakIntoTheNextBranch) {
    auto one = narrow();
    std::string leak =
        "SELECT set_config('search_path', 'nowhere', false), set_config('work_mem', '77MB', "
        "false), "
        "set_config('application_name', 'somebody', false), set_config('my.value', 'x', false), "
        "pg_advisory_lock(42)";
    std::string look =
        "SELECT current_setting('search_path'), current_setting('work_mem'), "
        "current_setting('application_name'), current_setting('my.value', true)";
    for (bool writes : {true, false}) {
        std::vector<std::string> statements = {leak};
        if (writes) statements.emplace_back("UPDATE public.account SET balance = 1 WHERE id = 1");
        auto result = one->prepare(new_key(), work(statements));
        ASSERT_EQ(result.status, writes ? WorkStatus::prepared : WorkStatus::read_only)
            << result.reason.message;
        result = one->prepare(new_key(), work({look}));
        ASSERT_EQ(result.status, WorkStatus::read_only) << result.reason.message;
        EXPECT_THAT(*result.results,
                    HasSubstr(R"(["\"$user\", public","4MB","twofold )" +
                              one->started().uuid.text() + " 1\""));
        EXPECT_THAT(*result.results, ::testing::Not(HasSubstr("\"x\"")));
    }
    EXPECT_EQ(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
}

// The same when a branch waits already: then the cleaning travels with it.
TEST_F(SessionState, SettingsDoNotLeakIntoAWaitingBranch) {
    auto one = narrow();
    std::optional<protocol::WorkResult> first;
    std::optional<protocol::WorkResult> failing;
    std::optional<protocol::WorkResult> last;
    one->begin(new_key(),
               work({"SELECT set_config('search_path', 'nowhere', false), pg_advisory_lock(42)",
                     "UPDATE public.account SET balance = 2 WHERE id = 1"}),
               &first);
    one->begin(
        new_key(), work({"UPDATE account SET balance = 3 WHERE id = 2", "SELECT 1/0"}), &failing);
    one->begin(new_key(), work({"UPDATE account SET balance = 4 WHERE id = 2"}), &last);
    ASSERT_TRUE(one->wait([&] { return last.has_value(); }));
    EXPECT_EQ(first->status, WorkStatus::prepared);
    EXPECT_EQ(failing->reason.message, "statement 2: division by zero");
    EXPECT_EQ(last->status, WorkStatus::prepared) << last->reason.message;
    EXPECT_TRUE(one->wait(
        [&] { return sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"; }));
}

TEST_F(SessionState, AnotherRoleDoesNotOwnTheBranch) {
    sql("DO $$BEGIN CREATE ROLE helper; EXCEPTION WHEN duplicate_object THEN END$$");
    sql("GRANT helper TO app; GRANT ALL ON account TO helper");
    auto one = narrow();
    for (const char* local : {"true", "false"}) {
        auto key = new_key();
        auto result =
            one->prepare(key,
                         work({"SELECT set_config('role', 'helper', " + std::string(local) + ")",
                               "UPDATE account SET balance = balance - 1 WHERE id = 1"}));
        ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
        EXPECT_EQ(sql("SELECT owner FROM pg_prepared_xacts WHERE gid = '" + one->gid(key) + "'"),
                  "app");
        EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
    }
    EXPECT_EQ(balance(1), "98");
}

TEST_F(SessionState, TheTailDoesNotTrustTheSearchPath) {
    ASSERT_TRUE(server_
                    ->query(database_,
                            "CREATE SCHEMA trap; "
                            "CREATE FUNCTION trap.pg_current_xact_id_if_assigned() RETURNS xid8 "
                            "LANGUAGE sql AS 'SELECT NULL::xid8'; "
                            "CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text "
                            "LANGUAGE sql AS 'SELECT NULL::text'; "
                            "CREATE DOMAIN trap.text AS pg_catalog.int4; "
                            "CREATE DOMAIN trap.int4 AS pg_catalog.text",
                            "app")
                    .has_value());
    auto one = narrow();
    auto result =
        one->prepare(new_key(),
                     work({"UPDATE account SET balance = 1 WHERE id = 1",
                           "SELECT set_config('search_path', 'trap, pg_catalog', false)"}));
    EXPECT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
}

TEST_F(SessionState, WarningsOfTheWorkAreNoReplicationWarnings) {
    ASSERT_TRUE(server_
                    ->query(database_,
                            "CREATE FUNCTION warn() RETURNS int LANGUAGE plpgsql AS "
                            "'BEGIN RAISE WARNING ''careful''; RETURN 1; END'; "
                            "CREATE FUNCTION warn_row() RETURNS trigger LANGUAGE plpgsql AS "
                            "'BEGIN RAISE WARNING ''late''; RETURN NULL; END'; "
                            "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON account DEFERRABLE "
                            "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION warn_row()",
                            "app")
                    .has_value());
    auto one = narrow();
    auto result = one->prepare(
        new_key(), work({"UPDATE account SET balance = 1 WHERE id = 1", "SELECT warn()"}));
    EXPECT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(one->counters().not_replicated, 0U);
}

TEST_F(SessionState, ASessionThatEndsWhileIdleIsReplaced) {
    auto one = narrow();
    ASSERT_EQ(one->prepare(new_key(), debit(1, 2)).status, WorkStatus::prepared);
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE "
        "'twofold%' AND datname = current_database()");
    ASSERT_TRUE(one->wait([&] { return one->counters().connections_lost >= 4; }));
    auto key = new_key();
    auto result = one->prepare(key, debit());
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
}

TEST_F(SessionState, AStatementThatEndsItsOwnSessionIsUnknown) {
    auto one = narrow();
    auto key = new_key();
    auto result = one->prepare(
        key,
        work({"UPDATE account SET balance = 1", "SELECT pg_terminate_backend(pg_backend_pid())"}));
    EXPECT_EQ(result.status, WorkStatus::unknown);
    EXPECT_TRUE(one->cancel(key).has_value());
    EXPECT_EQ(one->rollback(key).status, FinishStatus::not_found);
    EXPECT_EQ(balance(1), "100");
}

// Foreign tables take part in a transaction of their own on another server.
class Foreign : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        std::string socket = server_->directory();
        ASSERT_TRUE(
            server_
                ->query(database_,
                        "CREATE EXTENSION postgres_fdw; "
                        "CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
                        "(host '" +
                            socket + "', port '" + std::to_string(server_->port()) + "', dbname '" +
                            database_ +
                            "'); "
                            "CREATE USER MAPPING FOR app SERVER other OPTIONS (user 'app', "
                            "password_required 'false'); "
                            "CREATE FOREIGN TABLE far (id int, balance bigint) SERVER other "
                            "OPTIONS (table_name 'account'); GRANT ALL ON far TO app")
                .has_value());
    }
};

TEST_F(Foreign, WritesThroughItAreRefused) {
    auto one = sidecar();
    auto result = one->prepare(new_key(), work({"UPDATE far SET balance = 1 WHERE id = 1"}));
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kNotAllowed);
    EXPECT_EQ(balance(1), "100");
    EXPECT_EQ(prepared_count(), 0);
}

TEST_F(Foreign, NoOnePhase) {
    auto one = sidecar();
    auto result = one->one_phase(new_key(), debit());
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kOnePhaseUnavailable);
    EXPECT_FALSE(result.executed);
    EXPECT_EQ(balance(1), "100");
    EXPECT_FALSE(one->resource().offers_one_phase());
    auto key = new_key();
    ASSERT_EQ(one->prepare(key, debit()).status, WorkStatus::prepared) << "two-phase works";
    EXPECT_EQ(one->commit(key).status, FinishStatus::committed);
}

TEST_F(Foreign, WhetherOnePhaseCanBeDoneIsKnownFromTheStartAndFromEachListing) {
    auto one = sidecar();
    EXPECT_FALSE(one->resource().offers_one_phase());
    server_->query(database_, "DROP EXTENSION postgres_fdw CASCADE").value();
    EXPECT_FALSE(one->resource().offers_one_phase());
    ASSERT_TRUE(one->list().has_value());
    EXPECT_TRUE(one->resource().offers_one_phase());
    EXPECT_EQ(one->one_phase(new_key(), debit()).status, WorkStatus::committed);
}

}  // namespace
}  // namespace twofold::participant::postgres
