// The start: what it refuses, what it ends, what it finds; and who is fenced.
#include "participant/postgres/start.h"

#include "participant/postgres/postgres_fixture.h"

#include <gmock/gmock.h>

#include <thread>

namespace twofold::participant::postgres {
namespace {

namespace reason = protocol::reason;
using base::Errc;
using protocol::FinishStatus;
using protocol::WorkStatus;
using ::testing::HasSubstr;

class Start : public PostgresTest {
protected:
    static base::Error failure_of(PostgresOptions options) {
        Sidecar one(std::move(options));
        auto started = one.start();
        EXPECT_FALSE(started.has_value());
        return started.has_value() ? base::Error{Errc::corrupt, ""} : started.error();
    }
};

TEST_F(Start, TellsWhatItFound) {
    auto one = sidecar();
    EXPECT_EQ(one->started().epoch, 1U);
    EXPECT_EQ(one->started().slots, 64U);
    EXPECT_FALSE(one->started().exclusive);
    EXPECT_EQ(one->started().identity.kind, "postgresql");
    EXPECT_EQ(one->started().identity.fields[0],
              sql("SELECT system_identifier FROM pg_control_system()"));
    EXPECT_EQ(one->started().identity.fields[1],
              sql("SELECT oid FROM pg_database WHERE datname = current_database()"));
    EXPECT_EQ(one->started().position.timeline, 1U);
    EXPECT_GT(one->started().position.value, 0U);
    EXPECT_TRUE(one->started().prepared.empty());
    auto uuid = one->started().uuid;
    one.reset();
    auto two = sidecar();
    EXPECT_EQ(two->started().uuid, uuid);
    EXPECT_EQ(two->started().epoch, 2U);
    EXPECT_EQ(sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'twofold " +
                  uuid.text() + " 2'"),
              "3");
}

TEST_F(Start, ListsOursAndNamesWhatOthersOwn) {
    auto one = sidecar();
    auto mine = new_key();
    auto theirs = new_key();
    auto result = one->prepare(mine, debit());
    ASSERT_EQ(result.status, WorkStatus::prepared);
    sql("BEGIN; UPDATE account SET balance = 3 WHERE id = 2; PREPARE TRANSACTION '" +
        one->gid(theirs) + "'");
    sql("BEGIN; UPDATE account SET balance = 3 WHERE id = 3; PREPARE TRANSACTION 'somebody''s'");
    one.reset();
    auto two = sidecar();
    ASSERT_EQ(two->started().prepared.size(), 2U);
    for (const auto& branch : two->started().prepared) {
        bool is_mine = branch.key == mine;
        EXPECT_TRUE(is_mine || branch.key == theirs);
        EXPECT_EQ(branch.finishable, is_mine);
        EXPECT_EQ(branch.gid, two->gid(branch.key));
        EXPECT_LT(branch.age_ms, 20'000U);
        if (is_mine) EXPECT_EQ(branch.proof->xid, result.proof->xid);
    }
    auto finished = two->commit(theirs);
    EXPECT_EQ(finished.status, FinishStatus::unknown);
    EXPECT_EQ(finished.reason.code, reason::kNotAllowed);
    EXPECT_EQ(finished.reason.sqlstate, "42501");
    EXPECT_EQ(two->rollback(theirs).status, FinishStatus::unknown);
    EXPECT_EQ(two->commit(mine).status, FinishStatus::committed);
    auto listed = two->list();
    ASSERT_TRUE(listed.has_value());
    EXPECT_EQ(listed.value().size(), 1U);
}

// Fact: a client that is killed leaves a backend that goes on with the message it was sent, PREPARE
// included. Without the start's hunt the branch would appear after the listing.
TEST_F(Start, AKilledClientsBackendCannotPrepareAfterTheListing) {
    for (bool renamed : {false, true}) {
        auto one = sidecar();
        std::optional<protocol::WorkResult> never;
        std::vector<std::string> statements;
        if (renamed) statements.emplace_back("SELECT set_config('application_name', 'app', false)");
        statements.emplace_back("UPDATE account SET balance = 1");
        statements.emplace_back("SELECT pg_sleep(1.5)");
        one->begin(new_key(), work(statements), &never);
        ASSERT_TRUE(one->wait([&] {
            return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
        }));
        one.reset();
        EXPECT_EQ(sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "1")
            << "the fact has changed: the backend has noticed";
        auto two = sidecar();
        EXPECT_TRUE(two->started().prepared.empty());
        EXPECT_EQ(sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "0");
        std::this_thread::sleep_for(std::chrono::milliseconds(1700));
        EXPECT_EQ(prepared_count(), 0) << "renamed: " << renamed;
    }
}

TEST_F(Start, ANewerSidecarFencesTheOlder) {
    std::string told;
    PostgresOptions wanted = options();
    wanted.on_fenced = [&told](const std::string& text) { told = text; };
    auto one = sidecar(wanted);
    auto key = new_key();
    ASSERT_EQ(one->prepare(key, debit()).status, WorkStatus::prepared);
    auto two = sidecar();
    ASSERT_EQ(two->started().prepared.size(), 1U);
    ASSERT_TRUE(one->wait([&] { return one->resource().fenced(); }));
    EXPECT_THAT(told, HasSubstr("newer sidecar"));
    EXPECT_EQ(one->prepare(new_key(), debit(1, 2)).status, WorkStatus::refused);
    EXPECT_EQ(one->commit(key).status, FinishStatus::unknown);
    EXPECT_FALSE(one->list().has_value());
    EXPECT_EQ(two->commit(key).status, FinishStatus::committed);
}

TEST_F(Start, SendersEpochsAreKeptAndNeverGoBack) {
    protocol::Incarnation a{{1}};
    protocol::Incarnation b{{2}};
    auto one = sidecar();
    ASSERT_TRUE(one->persist_sender({a, 5, ~0ULL, 70}).has_value());
    ASSERT_TRUE(one->persist_sender({a, 3, 4, 60}).has_value());
    ASSERT_TRUE(one->persist_sender({b, 9, 5, 1}).has_value());
    ASSERT_TRUE(one->persist_sender({b, 9, 5, 8}).has_value());
    one.reset();
    auto two = sidecar();
    std::map<protocol::Incarnation, protocol::SenderStamp> expected{{a, {a, 5, ~0ULL, 70}},
                                                                    {b, {b, 9, 5, 8}}};
    EXPECT_EQ(two->started().senders, expected);
}

// Databases of the first version have the epoch only.
TEST_F(Start, ASenderTableWithoutNonceIsCompleted) {
    protocol::Incarnation a{{1}};
    auto one = sidecar();
    ASSERT_TRUE(one->persist_sender({a, 5, 6, 70}).has_value());
    one.reset();
    sql("ALTER TABLE twofold.sender DROP COLUMN nonce, DROP COLUMN position");
    auto two = sidecar();
    EXPECT_EQ(two->started().senders.at(a), (protocol::SenderStamp{a, 5, 0, 0}));
    ASSERT_TRUE(two->persist_sender({a, 5, 6, 71}).has_value());
    two.reset();
    EXPECT_EQ(sidecar()->started().senders.at(a), (protocol::SenderStamp{a, 5, 6, 71}));
}

// Who was fenced off must not be obeyed because its row cannot be read.
TEST_F(Start, RefusesASenderRowThatItCannotRead) {
    sidecar().reset();
    for (const char* row : {"'nonsense', 5", "'01010101010101010101', 0"}) {
        sql(std::string("INSERT INTO twofold.sender (incarnation, epoch) VALUES (") + row + ")");
        base::Error error = failure_of(options());
        EXPECT_EQ(error.code, Errc::corrupt);
        EXPECT_THAT(error.context, HasSubstr("twofold.sender cannot be read"));
        sql("DELETE FROM twofold.sender");
    }
    EXPECT_TRUE(sidecar()->started().senders.empty());
}

TEST_F(Start, RefusesASuperuser) {
    PostgresOptions wanted = options_for(server_->dsn(database_, "postgres"));
    base::Error error = failure_of(wanted);
    EXPECT_EQ(error.code, Errc::precondition_failed);
    EXPECT_THAT(error.context, HasSubstr("superuser"));
    wanted.allow_superuser = true;
    EXPECT_EQ(sidecar(wanted)->started().epoch, 1U);
}

TEST_F(Start, RefusesTheDatabaseOfAnotherParticipant) {
    auto uuid = sidecar()->started().uuid;
    PostgresOptions wanted = options();
    wanted.uuid = protocol::ParticipantUuid{{9}};
    base::Error error = failure_of(wanted);
    EXPECT_EQ(error.code, Errc::precondition_failed);
    EXPECT_THAT(error.context, HasSubstr(uuid.text()));
    wanted.uuid = uuid;
    EXPECT_EQ(sidecar(wanted)->started().uuid, uuid);
}

TEST_F(Start, MissingRightsAreSaidAsSql) {
    sql("ALTER DATABASE " + database_ + " OWNER TO postgres");
    base::Error error = failure_of(options());
    EXPECT_EQ(error.code, Errc::permission_denied);
    std::size_t begin = error.context.find("CREATE SCHEMA");
    ASSERT_NE(begin, std::string::npos) << error.context;
    auto done = server_->query(database_, error.context.substr(begin));
    ASSERT_TRUE(done.has_value()) << done.error().text();
    EXPECT_EQ(sidecar()->started().epoch, 1U);
}

TEST_F(Start, AServerThatIsNotThereIsWorthAnotherTry) {
    PostgresOptions wanted = options();
    wanted.dsn += " port=1";
    EXPECT_EQ(failure_of(wanted).code, Errc::unavailable);
    wanted.dsn = "port";
    EXPECT_EQ(failure_of(wanted).code, Errc::invalid_argument);
    wanted.dsn = options().dsn + " host=127.0.0.1 port=1";
    EXPECT_EQ(failure_of(wanted).code, Errc::unavailable);
}

TEST_F(Start, OverTcp) {
    PostgresOptions wanted = options_for(server_->tcp_dsn(database_));
    auto one = sidecar(wanted);
    auto key = new_key();
    auto result = one->prepare(key, debit());
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
}

// libpq gets addresses, and is never asked for a name.
TEST_F(Start, OverTcpByName) {
    std::string dsn = server_->tcp_dsn(database_);
    dsn.replace(dsn.find("127.0.0.1"), 9, "localhost");
    auto one = sidecar(options_for(dsn));
    auto key = new_key();
    auto result = one->prepare(key, debit());
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
    PostgresOptions unknown = options_for(server_->tcp_dsn(database_));
    unknown.dsn.replace(unknown.dsn.find("127.0.0.1"), 9, "nowhere.invalid");
    base::Error error = failure_of(unknown);
    EXPECT_EQ(error.code, Errc::unavailable);
    EXPECT_NE(error.context.find("no address is known for the host nowhere.invalid"),
              std::string::npos)
        << error.context;
}

TEST_F(Start, WithoutPreparedTransactions) {
    auto own = integration::PostgresServer::create({{{"max_prepared_transactions", "0"}}});
    ASSERT_TRUE(own.has_value()) << own.error().text();
    base::Error error = failure_of(options_for(make_database(*own.value())));
    EXPECT_EQ(error.code, Errc::precondition_failed);
    EXPECT_EQ(error.context,
              "max_prepared_transactions = 0: set it to at least 64 in postgresql.conf and restart "
              "PostgreSQL");
}

// The server dies with a branch in the middle of its message and another one prepared.
TEST_F(Start, AfterACrashOfTheServer) {
    auto own = integration::PostgresServer::create();
    ASSERT_TRUE(own.has_value()) << own.error().text();
    auto one = sidecar(options_for(make_database(*own.value())));
    auto kept = new_key();
    auto lost = new_key();
    auto prepared = one->prepare(kept, debit());
    ASSERT_EQ(prepared.status, WorkStatus::prepared);
    std::optional<protocol::WorkResult> running;
    one->begin(lost,
               work({"UPDATE account SET balance = 1 WHERE id = 2", "SELECT pg_sleep(20)"}),
               &running);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
    }));
    own.value()->kill();
    ASSERT_TRUE(one->wait([&] { return running.has_value(); }));
    EXPECT_EQ(running->status, WorkStatus::unknown);
    auto early = one->commit(kept, prepared.proof);
    EXPECT_EQ(early.status, FinishStatus::unknown) << "no server, no answer";
    EXPECT_FALSE(one->list().has_value());
    ASSERT_TRUE(own.value()->start().has_value());
    ASSERT_TRUE(one->wait([&] { return one->list().has_value(); })) << "it comes back by itself";
    EXPECT_TRUE(one->cancel(lost).has_value());
    EXPECT_EQ(one->rollback(lost).status, FinishStatus::not_found);
    EXPECT_EQ(one->commit(kept, prepared.proof).status, FinishStatus::committed);
    EXPECT_EQ(balance(1), "90");
    EXPECT_EQ(balance(2), "100");
}

// A session of an older start holds the row that the new one has to change.
TEST_F(Start, EndsOlderSessionsThatLockOurTables) {
    auto one = sidecar();
    std::optional<protocol::WorkResult> never;
    one->begin(new_key(),
               work({"SELECT epoch FROM twofold.meta FOR UPDATE", "SELECT pg_sleep(60)"}),
               &never);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
    }));
    one.reset();
    PostgresOptions wanted = options();
    wanted.limits.admin = std::chrono::milliseconds(1'500);
    EXPECT_EQ(sidecar(wanted)->started().epoch, 2U);
}

TEST_F(Start, EndsOlderSessionsThatLockOurTablesAgainstReaders) {
    std::string uuid = sidecar()->started().uuid.text();
    RawSession older(dsn_);
    older.run({"SET application_name = 'twofold " + uuid + " 1'",
               "BEGIN",
               "LOCK TABLE twofold.meta IN ACCESS EXCLUSIVE MODE"});
    PostgresOptions wanted = options();
    wanted.limits.admin = std::chrono::milliseconds(1'500);
    EXPECT_EQ(sidecar(wanted)->started().epoch, 2U);
}

TEST_F(Start, SaysWhoLocksOurTables) {
    sidecar().reset();
    PostgresOptions wanted = options();
    wanted.limits.admin = std::chrono::milliseconds(1'500);
    for (const std::string& lock : {std::string("SELECT epoch FROM twofold.meta FOR UPDATE"),
                                    std::string("LOCK TABLE twofold.meta")}) {
        SCOPED_TRACE(lock);
        sql("BEGIN; " + lock + "; PREPARE TRANSACTION 'in_the_way'");
        base::Error error = failure_of(wanted);
        EXPECT_EQ(error.code, Errc::unavailable) << "it is worth another try";
        EXPECT_THAT(error.context, HasSubstr("locked by prepared transaction 'in_the_way'"));
        sql("ROLLBACK PREPARED 'in_the_way'");
    }
    EXPECT_EQ(sidecar(wanted)->started().epoch, 2U);
}

TEST_F(Start, StopAnswersWhatRuns) {
    auto one = sidecar();
    std::optional<protocol::WorkResult> running;
    auto prepared = new_key();
    ASSERT_EQ(one->prepare(prepared, debit()).status, WorkStatus::prepared);
    one->begin(new_key(), work({"SELECT pg_sleep(1)"}), &running);
    one->stop();
    ASSERT_TRUE(running.has_value());
    EXPECT_EQ(running->status, WorkStatus::unknown);
    EXPECT_EQ(prepared_count(), 1);
    EXPECT_EQ(one->commit(prepared).status, FinishStatus::unknown);
}

}  // namespace
}  // namespace twofold::participant::postgres
