// PostgreSQL dies, stands alone, cannot do something, or is finished by hand.
#include "integration/fixture.h"

#include <future>

namespace twofold::integration {
namespace {

class PostgresOutage : public ClusterTest {};

TEST_F(PostgresOutage, PostgresIsKilledDuringTheWork) {
    TWOFOLD_NEEDS_OWN_POSTGRES();
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    std::string body = transaction_json(
        {branch(0, {statement(0, "UPDATE accounts SET balance = balance - 1 WHERE id = 1")}),
         branch(1,
                {statement(1, "UPDATE accounts SET balance = balance + 1 WHERE id = 1"),
                 statement(1, "SELECT pg_sleep(60)")})},
        R"(,"deadline_ms":8000)");
    std::uint16_t port = cluster().coordinator_port();
    auto answer = std::async(std::launch::async, [body, port] {
        return RestClient(port).post("/v1/transactions", body, {.deadline = kPatience});
    });
    ASSERT_TRUE(wait_until([this] {
        auto sleeping = cluster().database(1).number(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        return sleeping.has_value() && sleeping.value() > 0;
    }));
    PostgresPair::instance().kill(1);
    ASSERT_TRUE(PostgresPair::instance().start(1));
    RestReply reply = answer.get();
    EXPECT_EQ(reply.status, 409) << reply.summary();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_TRUE(wait_until([this] { return transfer().status == 200; }));
    expect_consistent();
    EXPECT_EQ(cluster().balance(1, 2), kBalance);
}

TEST_F(PostgresOutage, PostgresIsKilledAfterThePrepare) {
    TWOFOLD_NEEDS_OWN_POSTGRES();
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    // Both prepared, decision durable, nothing told to anybody: then everything dies.
    ASSERT_TRUE(cluster().start_coordinator({{"TWOFOLD_CRASH_AT", "coord_after_decision_forced"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    EXPECT_FALSE(transfer({.amount = 7}).answered());
    PostgresPair::instance().kill(0);
    PostgresPair::instance().kill(1);
    ASSERT_TRUE(PostgresPair::instance().start(0));
    ASSERT_TRUE(PostgresPair::instance().start(1));
    EXPECT_EQ(cluster().prepared_left(), 2);
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 7);
    EXPECT_EQ(cluster().balance(1, 1), kBalance + 7);
}

// Whoever asks is told, new work is refused before it holds anything elsewhere, and all of it ends
// by itself.
TEST_F(PostgresOutage, ASidecarWithoutItsDatabaseIsNotReady) {
    TWOFOLD_NEEDS_OWN_POSTGRES();
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    ASSERT_EQ(transfer().status, 200);
    RestClient& sidecar = cluster().participant_client(1);
    EXPECT_EQ(sidecar.get("/readyz").status, 200);
    PostgresPair::instance().kill(1);
    RestReply ready;
    EXPECT_TRUE(wait_until([&] {
        ready = sidecar.get("/readyz");
        return ready.status == 503;
    }));
    EXPECT_EQ(ready.text_at("code"), "not_ready") << ready.summary();
    EXPECT_NE(ready.text_at("detail").find("does not answer"), std::string::npos)
        << ready.summary();
    EXPECT_EQ(sidecar.get("/v1/participant").status, 503);
    EXPECT_EQ(sidecar.get("/livez").status, 200);
    EXPECT_TRUE(wait_until([this] {
        return client().get("/v1/participants").text_at("participants.1.up") == "false";
    })) << client().get("/v1/participants").summary();
    RestReply refused = transfer({.deadline_ms = 20'000});
    EXPECT_EQ(refused.status, 409) << refused.summary();
    EXPECT_EQ(refused.text_at("reason.code"), "participant_unavailable") << refused.summary();
    EXPECT_EQ(cluster().database(0).number("SELECT count(*) FROM pg_prepared_xacts").value(), 0);
    ASSERT_TRUE(PostgresPair::instance().start(1));
    EXPECT_TRUE(wait_until([&] { return sidecar.get("/readyz").status == 200; }));
    EXPECT_TRUE(cluster().wait_participants_up());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

// A commit that no synchronous standby has confirmed is a commit, and the answer says what it
// lacks.
TEST_F(PostgresOutage, ACommitThatNoStandbyConfirmsIsReported) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    auto demand = [](const std::string& change) {
        PostgresPair& pair = PostgresPair::instance();
        EXPECT_TRUE(pair.as_superuser(0, "ALTER SYSTEM " + change).has_value());
        EXPECT_TRUE(pair.as_superuser(0, "SELECT pg_reload_conf()").has_value());
    };
    // The sidecar has accepted this coordinator, durably, before there is nobody to confirm that.
    RestReply reply =
        submit({branch(0, {statement(0, "UPDATE accounts SET balance = balance - 1")})});
    ASSERT_EQ(reply.status, 200) << reply.summary();
    demand("SET synchronous_standby_names = 'nobody'");
    // Backends take the setting over when they are idle.
    bool reported = wait_until([&] {
        reply = submit({branch(0, {statement(0, "UPDATE accounts SET balance = balance - 1")})});
        return reply.text_at("branches.0.reason.code") == "not_replicated";
    });
    demand("RESET synchronous_standby_names");
    EXPECT_TRUE(reported) << reply.summary();
    EXPECT_EQ(reply.status, 200) << reply.summary();
    EXPECT_EQ(reply.text_at("outcome"), "committed");
    EXPECT_EQ(reply.text_at("branches.0.state"), "committed");
    EXPECT_NE(read_file(cluster().directory() + "/orders.log").find("commit_not_replicated"),
              std::string::npos);
}

// Its database does no one-phase work, from one moment to the next: the same work commits in two
// phases, and so does what comes later.
TEST_F(PostgresOutage, AForeignServerInPostgresKeepsNoBranchOut) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    auto debit = [this] {
        RestReply reply =
            submit({branch(0, {statement(0, "UPDATE accounts SET balance = balance - 1")})});
        EXPECT_EQ(reply.status, 200) << reply.summary();
        EXPECT_EQ(reply.text_at("outcome"), "committed") << reply.summary();
    };
    ASSERT_NO_FATAL_FAILURE(debit());
    PostgresPair& pair = PostgresPair::instance();
    ASSERT_TRUE(pair.as_superuser(0,
                                  "CREATE FOREIGN DATA WRAPPER nothing; "
                                  "CREATE SERVER far FOREIGN DATA WRAPPER nothing")
                    .has_value());
    debit();
    debit();
    cluster().participant(0).kill();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    ASSERT_TRUE(cluster().wait_participants_up());
    debit();
    EXPECT_TRUE(pair.as_superuser(0, "DROP FOREIGN DATA WRAPPER nothing CASCADE").has_value());
    debit();
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 5);
}

// Somebody commits a branch by hand while its transaction is still undecided, and the transaction
// aborts. That one branch is committed must be found out and said, by the sidecar that heard the
// vote as well as by one that was started since.
class CommittedByHand : public ClusterTest, public ::testing::WithParamInterface<bool> {};

TEST_P(CommittedByHand, IsNotCalledAborted) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    auto lock =
        cluster().database(1).hold("BEGIN; UPDATE accounts SET balance = balance WHERE id = 1");
    ASSERT_TRUE(lock.has_value());
    std::string body = transaction_json(
        {branch(0, {statement(0, "UPDATE accounts SET balance = balance - 7 WHERE id = 1")}),
         branch(1,
                {statement(1, "UPDATE accounts SET balance = balance + 7 WHERE id = 1", "[]", 2)},
                R"(,"lock_timeout_ms":60000)")});
    std::uint16_t port = cluster().coordinator_port();
    auto answer = std::async(std::launch::async, [body, port] {
        return RestClient(port).post("/v1/transactions", body, {.deadline = kPatience});
    });
    ASSERT_TRUE(wait_until([this] { return cluster().prepared_left() == 1; }));
    auto gid = cluster().database(0).texts("SELECT gid FROM pg_prepared_xacts");
    ASSERT_TRUE(gid.has_value());
    ASSERT_EQ(gid.value().size(), 1U);
    ASSERT_TRUE(
        cluster().database(0).query("COMMIT PREPARED '" + *gid.value().begin() + "'").has_value());
    if (GetParam()) {
        cluster().participant(0).kill();
        ASSERT_TRUE(cluster().start_participant(0));
    }
    lock.value().reset();
    RestReply reply = answer.get();
    std::string id = reply.text_at("transaction_id");
    ASSERT_FALSE(id.empty()) << reply.summary();
    EXPECT_TRUE(wait_until([&] {
        reply = client().get("/v1/transactions/" + id);
        return reply.text_at("state") == "heuristic";
    })) << reply.summary();
    EXPECT_EQ(reply.text_at("outcome"), "heuristic-commit") << reply.summary();
    EXPECT_GE(client().metric("twofold_alarms_total"), 1);
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 7);
}

INSTANTIATE_TEST_SUITE_P(Sidecar, CommittedByHand, ::testing::Bool(), [](const auto& test) {
    return test.param ? "StartedSince" : "HeardTheVote";
});

TEST_F(PostgresOutage, PostgresIsKilledUnderLoad) {
    TWOFOLD_NEEDS_OWN_POSTGRES();
    ASSERT_NO_FATAL_FAILURE(start(Databases::mixed));
    TransferLoad load(cluster(), {.clients = 3, .deadline_ms = 3000});
    for (int round = 0; round < 3; ++round) {
        int before = load.committed();
        ASSERT_TRUE(wait_until([&load, before] { return load.committed() > before + 10; }));
        PostgresPair::instance().kill(1);
        ASSERT_TRUE(PostgresPair::instance().start(1));
    }
    remember(load.stop());
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
}

}  // namespace
}  // namespace twofold::integration
