// Forced writes, and what a missing synchronous standby does. These have servers of their own.
#include "participant/postgres/postgres_fixture.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

namespace twofold::participant::postgres {
namespace {

namespace reason = protocol::reason;
using integration::PostgresServer;
using protocol::FinishStatus;
using protocol::WorkStatus;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::unique_ptr<PostgresServer> own_server(std::map<std::string, std::string> settings = {}) {
    settings["checkpoint_timeout"] = "1h";
    auto made = PostgresServer::create({std::move(settings)});
    EXPECT_TRUE(made.has_value()) << made.error().text();
    return std::move(made.value());
}

class ForcedWrites : public PostgresTest {
protected:
    void SetUp() override {
        server_of_ours_ = own_server();
        dsn_ = make_database(*server_of_ours_);
    }

    // Forced writes of `body`. Backends report their figures when they end: those that the sidecar
    // opens for itself force nothing, and the log writer is given the time to write their
    // registration.
    long cost(const std::function<void(Sidecar&)>& body) {
        PostgresOptions wanted = options();
        wanted.work_connections = 1;
        auto one = sidecar(wanted);
        EXPECT_EQ(one->prepare(new_key(), work({"SELECT 1"})).status, WorkStatus::read_only);
        std::this_thread::sleep_for(milliseconds(1000));
        long before = forced();
        body(*one);
        one->stop();
        for (int i = 0;
             i < 500 && sql("SELECT count(*) FROM pg_stat_activity WHERE application_name "
                            "LIKE 'twofold%'") != "0";
             ++i) {
            std::this_thread::sleep_for(milliseconds(10));
        }
        return forced() - before;
    }
    [[nodiscard]] long forced() const { return std::stol(sql("SELECT wal_sync FROM pg_stat_wal")); }

    std::unique_ptr<PostgresServer> server_of_ours_;
};

TEST_F(ForcedWrites, OnePerPrepareAndOnePerCommit) {
    constexpr int kBranches = 10;
    EXPECT_EQ(cost([](Sidecar& one) {
                  for (int i = 0; i < kBranches; ++i) {
                      auto key = new_key();
                      auto result = one.prepare(key, debit(1));
                      ASSERT_EQ(result.status, WorkStatus::prepared);
                      ASSERT_EQ(one.commit(key, result.proof).status, FinishStatus::committed);
                  }
              }),
              2 * kBranches);
}

TEST_F(ForcedWrites, NoneForReadersOneForOnePhase) {
    EXPECT_EQ(cost([](Sidecar& one) {
                  for (int i = 0; i < 10; ++i) {
                      ASSERT_EQ(
                          one.prepare(new_key(), work({"SELECT balance FROM account"})).status,
                          WorkStatus::read_only);
                  }
                  for (int i = 0; i < 5; ++i) {
                      ASSERT_EQ(one.one_phase(new_key(), debit(1)).status, WorkStatus::committed);
                  }
              }),
              5);
}

// A statement switches durability off; the answer must be durable all the same.
TEST_F(ForcedWrites, AStatementCannotSwitchThemOff) {
    auto one = sidecar();
    for (const char* local : {"true", "false"}) {
        auto result = one->one_phase(
            new_key(),
            work({"SELECT set_config('synchronous_commit', 'off', " + std::string(local) + ")",
                  "UPDATE account SET balance = balance - 1 WHERE id = 1"}));
        ASSERT_EQ(result.status, WorkStatus::committed) << result.reason.message;
    }
    server_of_ours_->kill();
    ASSERT_TRUE(server_of_ours_->start().has_value());
    EXPECT_EQ(balance(1), "98");
}

// A standby is demanded that does not exist. Everything is set up before.
class MissingStandby : public PostgresTest {
protected:
    void SetUp() override {
        server_of_ours_ = own_server();
        dsn_ = make_database(*server_of_ours_);
    }
    void demand_standby() {
        sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        sql("SELECT pg_reload_conf()");
        for (int i = 0; i < 200 && sql("SHOW synchronous_standby_names") != "nobody"; ++i) {
            std::this_thread::sleep_for(milliseconds(10));
        }
        // Backends take it over when they are idle.
        std::this_thread::sleep_for(milliseconds(100));
    }
    std::unique_ptr<PostgresServer> server_of_ours_;
};

TEST_F(MissingStandby, APrepareIsGivenUpAndRolledBack) {
    auto one = sidecar();
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    auto begin = steady_clock::now();
    auto result = one->prepare(new_key(), debit());
    EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(8));
    EXPECT_EQ(result.status, WorkStatus::refused) << result.reason.message;
    EXPECT_EQ(result.reason.code, reason::kNotReplicated);
    EXPECT_EQ(prepared_count(), 0);
    EXPECT_EQ(balance(1), "100");
}

// Somebody cancels the wait: PREPARE then says success, with a warning that a branch could
// suppress.
TEST_F(MissingStandby, ACancelledWaitIsNoSuccess) {
    PostgresOptions wanted = options();
    wanted.limits.standby_wait = std::chrono::seconds(30);
    auto one = sidecar(wanted);
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    for (const char* level : {"notice", "error"}) {
        std::optional<protocol::WorkResult> result;
        one->begin(
            new_key(),
            work({"SELECT set_config('client_min_messages', '" + std::string(level) + "', false)",
                  "UPDATE account SET balance = 1 WHERE id = 1"}),
            &result);
        ASSERT_TRUE(one->wait([&] {
            return sql("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE "
                       "wait_event = 'SyncRep'") == "1";
        }));
        ASSERT_TRUE(one->wait([&] { return result.has_value(); }));
        EXPECT_EQ(result->status, WorkStatus::refused) << level;
        EXPECT_EQ(result->reason.code, reason::kNotReplicated) << result->reason.message;
        EXPECT_EQ(prepared_count(), 0);
    }
}

// Only so many warnings are kept: the one that counts comes last.
TEST_F(MissingStandby, ManyWarningsOfTheWorkHideNothing) {
    sql("CREATE FUNCTION warn(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP "
        "RAISE WARNING 'of the work'; END LOOP; RETURN n; END $$");
    PostgresOptions wanted = options();
    wanted.limits.standby_wait = std::chrono::seconds(30);
    auto one = sidecar(wanted);
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    std::optional<protocol::WorkResult> result;
    one->begin(new_key(),
               work({"SELECT warn(300)", "UPDATE account SET balance = 1 WHERE id = 1"}),
               &result);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE "
                   "wait_event = 'SyncRep'") == "1";
    }));
    ASSERT_TRUE(one->wait([&] { return result.has_value(); }));
    EXPECT_EQ(result->status, WorkStatus::refused);
    EXPECT_EQ(result->reason.code, reason::kNotReplicated) << result->reason.message;
    EXPECT_EQ(prepared_count(), 0);
}

// The branch is prepared on this server and waits for the standby when its session ends: unknown,
// until somebody looks.
TEST_F(MissingStandby, ASessionThatEndsWhilePrepareWaitsLeavesTheBranch) {
    PostgresOptions wanted = options();
    wanted.limits.standby_wait = std::chrono::seconds(30);
    auto one = sidecar(wanted);
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    for (bool kill_server : {false, true}) {
        auto key = new_key();
        std::optional<protocol::WorkResult> result;
        one->begin(key, work({"UPDATE account SET balance = 1 WHERE id = 1"}), &result);
        ASSERT_TRUE(one->wait([&] {
            return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1";
        }));
        if (kill_server) {
            server_of_ours_->kill();
        } else {
            sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = "
                "'SyncRep'");
        }
        ASSERT_TRUE(one->wait([&] { return result.has_value(); }));
        EXPECT_EQ(result->status, WorkStatus::unknown);
        if (kill_server) ASSERT_TRUE(server_of_ours_->start().has_value());
        ASSERT_TRUE(one->wait([&] { return one->list().has_value(); }));
        ASSERT_TRUE(one->cancel(key).has_value());
        auto listed = one->list();
        ASSERT_TRUE(listed.has_value());
        ASSERT_EQ(listed.value().size(), 1U);
        EXPECT_EQ(listed.value()[0].key, key);
        ASSERT_TRUE(one->wait([&] { return one->rollback(key).status == FinishStatus::aborted; }));
        EXPECT_EQ(balance(1), "100");
    }
}

TEST_F(MissingStandby, ACommitIsReportedAsUnproven) {
    auto one = sidecar();
    auto key = new_key();
    auto prepared = one->prepare(key, debit());
    ASSERT_EQ(prepared.status, WorkStatus::prepared);
    demand_standby();
    auto result = one->commit(key, prepared.proof);
    EXPECT_EQ(result.status, FinishStatus::committed) << result.reason.message;
    EXPECT_EQ(balance(1), "90");
    EXPECT_EQ(result.reason.code, reason::kNotReplicated);
    EXPECT_EQ(one->counters().not_replicated, 1U);
}

TEST_F(MissingStandby, AOnePhaseCommitIsFoundByItsWitness) {
    auto one = sidecar();
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    auto result = one->one_phase(new_key(), debit());
    EXPECT_EQ(result.status, WorkStatus::committed) << result.reason.message;
    EXPECT_EQ(result.reason.code, reason::kNotReplicated);
    EXPECT_EQ(balance(1), "90");
    EXPECT_EQ(one->counters().not_replicated, 1U);
}

// The wait is cancelled by somebody: COMMIT says success, with a warning.
TEST_F(MissingStandby, AOnePhaseCommitIsReportedAsUnproven) {
    PostgresOptions wanted = options();
    wanted.limits.standby_wait = std::chrono::seconds(30);
    auto one = sidecar(wanted);
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    std::optional<protocol::WorkResult> result;
    one->begin(new_key(), debit(), &result, true);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE "
                   "wait_event = 'SyncRep'") == "1";
    }));
    ASSERT_TRUE(one->wait([&] { return result.has_value(); }));
    EXPECT_EQ(result->status, WorkStatus::committed);
    EXPECT_EQ(result->reason.code, reason::kNotReplicated) << result->reason.message;
    EXPECT_EQ(one->counters().not_replicated, 1U);
}

// The first answer said that a failover may lose it; so does every later one, however it is found.
TEST_F(MissingStandby, AOnePhaseCommitThatIsFoundLaterIsReportedAsUnproven) {
    PostgresOptions wanted = options();
    wanted.limits.standby_wait = milliseconds(1'000);
    auto one = sidecar(wanted);
    one->prepare(new_key(), work({"SELECT 1"}));
    demand_standby();
    protocol::IdempotencyKey idempotency;
    idempotency.key_hash.fill(1);
    idempotency.fingerprint.fill(2);
    auto key = new_key();
    auto first = one->one_phase(key, debit(), idempotency);
    EXPECT_EQ(first.status, WorkStatus::committed) << first.reason.message;
    auto settled = one->settle(key);
    EXPECT_EQ(settled.status, FinishStatus::committed);
    EXPECT_EQ(settled.reason.code, reason::kNotReplicated) << settled.reason.message;
    auto replayed = one->one_phase(new_key(), debit(), idempotency);
    EXPECT_EQ(replayed.status, WorkStatus::committed);
    EXPECT_EQ(replayed.original, key.group);
    EXPECT_EQ(replayed.reason.code, reason::kNotReplicated) << replayed.reason.message;
    sql("ALTER SYSTEM RESET synchronous_standby_names");
    sql("SELECT pg_reload_conf()");
    for (int i = 0; i < 200 && !sql("SHOW synchronous_standby_names").empty(); ++i) {
        std::this_thread::sleep_for(milliseconds(10));
    }
    settled = one->settle(key);
    EXPECT_EQ(settled.status, FinishStatus::committed);
    EXPECT_TRUE(settled.reason.empty()) << settled.reason.message;
    EXPECT_EQ(balance(1), "90");
}

}  // namespace
}  // namespace twofold::participant::postgres
