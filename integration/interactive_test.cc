// Interactive transactions with real processes: work that comes call by call, and every way in
// which a branch's session can be lost between two calls.
#include "integration/fixture.h"

#include <gmock/gmock.h>

#include <chrono>
#include <csignal>
#include <future>
#include <thread>

namespace twofold::integration {
namespace {

using testing::HasSubstr;

class Interactive : public ClusterTest, public ::testing::WithParamInterface<Databases> {
protected:
    void SetUp() override { ASSERT_NO_FATAL_FAILURE(start(GetParam())); }

    std::string begin(std::uint32_t deadline_ms = 60'000) {
        RestReply reply = client().post("/v1/transactions",
                                        "{\"deadline_ms\":" + std::to_string(deadline_ms) + "}");
        EXPECT_EQ(reply.status, 201) << reply.summary();
        return reply.text_at("id");
    }

    RestReply execute(std::size_t index,
                      const std::string& txn,
                      const std::string& statement,
                      std::string_view more = "") {
        return execute_by(cluster().participant_client(index), txn, statement, more);
    }
    static RestReply execute_by(RestClient& client,
                                const std::string& txn,
                                const std::string& statement,
                                std::string_view more = "") {
        return client.post("/v1/transactions/" + txn + "/execute",
                           "{\"work\":[" + statement + "]" + std::string(more) + "}",
                           {.deadline = kPatience});
    }
    RestReply end(const std::string& txn, const std::string& how, std::string body = "{}") {
        return client().post(
            "/v1/transactions/" + txn + "/" + how, std::move(body), {.deadline = kPatience});
    }

    std::string begin_idle(std::chrono::milliseconds idle) {
        RestReply reply = client().post(
            "/v1/transactions",
            R"({"deadline_ms":60000,"idle_deadline_ms":)" + std::to_string(idle.count()) + "}");
        EXPECT_EQ(reply.status, 201) << reply.summary();
        return reply.text_at("id");
    }

    std::string take(std::size_t index, int account = 1) {
        return statement(index,
                         "UPDATE accounts SET balance = balance - 10 WHERE id = ?",
                         "[" + std::to_string(account) + "]",
                         1);
    }

    void expect_ran(const RestReply& reply) { EXPECT_EQ(reply.status, 200) << reply.summary(); }
    void expect_ended(const RestReply& reply, std::string_view reason) {
        EXPECT_EQ(reply.status, 409) << reply.summary();
        EXPECT_EQ(reply.text_at("code"), "branch_ended") << reply.summary();
        EXPECT_EQ(reply.text_at("reason.code"), reason) << reply.summary();
    }
    // Whatever the application does now, nothing of it is committed.
    void expect_can_only_abort(const std::string& txn) {
        RestReply reply = end(txn, "commit");
        EXPECT_EQ(reply.status, 409) << reply.summary();
        expect_untouched();
    }
    void expect_untouched() {
        EXPECT_TRUE(wait_until([this] { return cluster().prepared_left() == 0; }));
        EXPECT_EQ(cluster().balance(0, 1), kBalance);
        EXPECT_EQ(cluster().balance(1, 1), kBalance);
    }
    // A one-shot transaction gets the row's lock.
    [[nodiscard]] bool is_free(std::size_t index) {
        // On SQLite it waits for the slot, not for the lock.
        RestReply reply = submit({branch(index, {take(index)}, ",\"lock_timeout_ms\":50")},
                                 ",\"deadline_ms\":1000");
        return reply.status == 200;
    }
};

TEST_P(Interactive, TwoServicesShareOneTransaction) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0)));
    RestReply read = execute(0, txn, statement(0, "SELECT balance FROM accounts WHERE id = 1"));
    expect_ran(read);
    EXPECT_EQ(read.text_at("results.0.rows"), "[[990]]");
    EXPECT_EQ(read.text_at("sequence"), "2");
    // Another service, another connection, the same row: it does not wait for itself.
    RestClient other(cluster().participant_port(0));
    expect_ran(execute_by(other, txn, take(0)));
    expect_ran(execute(1, txn, take(1)));
    EXPECT_EQ(cluster().balance(0, 1), kBalance);
    RestReply committed = end(txn, "commit", R"({"executes":{"orders":3,"stock":1}})");
    ASSERT_EQ(committed.status, 200) << committed.summary();
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 20);
    EXPECT_EQ(cluster().balance(1, 1), kBalance - 10);
    RestReply late = execute(0, txn, take(0));
    EXPECT_TRUE(late.status == 409 || late.status == 410) << late.summary();
}

TEST_P(Interactive, AnAbortFreesTheLocks) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0)));
    EXPECT_FALSE(is_free(0));
    EXPECT_EQ(end(txn, "abort").status, 200);
    // It is decided; its participant may hear of it a moment later.
    EXPECT_TRUE(wait_until(
        [&] { return client().get("/v1/transactions/" + txn).text_at("state") == "aborted"; }));
    expect_untouched();
    expect_ended(execute(0, txn, take(0)), "after_abort");
    EXPECT_TRUE(is_free(0));
}

TEST_P(Interactive, ASidecarThatRestartsBetweenTwoCallsDoomsTheTransaction) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0)));
    expect_ran(execute(1, txn, take(1)));
    cluster().participant(0).kill();
    ASSERT_TRUE(cluster().start_participant(0));
    expect_ended(execute(0, txn, take(0)), "branch_lost");
    expect_can_only_abort(txn);
}

TEST_P(Interactive, ASidecarThatRestartsBeforeTheCommitCannotVoteYes) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0)));
    expect_ran(execute(1, txn, take(1)));
    cluster().participant(0).kill();
    ASSERT_TRUE(cluster().start_participant(0));
    expect_can_only_abort(txn);
}

TEST_P(Interactive, AMissingCallEndsTheBranch) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0), ",\"sequence\":1"));
    expect_ended(execute(0, txn, take(0), ",\"sequence\":3"), "branch_lost");
    expect_can_only_abort(txn);
}

TEST_P(Interactive, AnotherNumberOfCallsThanTheClientCountedAborts) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0)));
    expect_ran(execute(1, txn, take(1)));
    RestReply reply = end(txn, "commit", R"({"executes":{"orders":2,"stock":1}})");
    EXPECT_EQ(reply.status, 409) << reply.summary();
    EXPECT_EQ(reply.text_at("reason.code"), "executes_differ") << reply.summary();
    expect_untouched();
}

// The client is gone, and so is the coordinator: nobody will ever end this transaction.
TEST_P(Interactive, ADeadClientsLocksAreFreeSoonAfterTheDeadline) {
    std::string txn = begin(1'500);
    expect_ran(execute(0, txn, take(0)));
    cluster().coordinator().kill();
    RestClient& sidecar = cluster().participant_client(0);
    bool is_over = wait_until([&] {
        RestReply held = sidecar.get("/v1/branches");
        return held.status == 200 && held.text_at("branches") == "[]";
    });
    EXPECT_TRUE(is_over);
    ASSERT_TRUE(cluster().start_coordinator());
    ASSERT_TRUE(cluster().wait_participants_up());
    EXPECT_TRUE(is_free(0));
}

// Work at a participant is use of the transaction, although the coordinator sees none of it.
TEST_P(Interactive, CallsAtAParticipantKeepAnIdleTransactionAlive) {
    using std::chrono::steady_clock;
    constexpr std::chrono::milliseconds kIdle{3'000};
    std::string left_alone = begin_idle(kIdle);
    std::string txn = begin_idle(kIdle);
    steady_clock::time_point end_at = steady_clock::now() + 2 * kIdle;
    steady_clock::time_point last = steady_clock::now();
    while (steady_clock::now() < end_at) {
        expect_ran(execute(0, txn, statement(0, "SELECT balance FROM accounts WHERE id = 1")));
        if (steady_clock::now() - last > kIdle / 2) {
            GTEST_SKIP() << "the machine stands still: a call took more than "
                         << (kIdle / 2).count() << " ms";
        }
        last = steady_clock::now();
        std::this_thread::sleep_for(kIdle / 20);
    }
    expect_ran(execute(0, txn, take(0)));
    RestReply committed = end(txn, "commit");
    EXPECT_EQ(committed.status, 200) << committed.summary();
    RestReply forgotten = client().get("/v1/transactions/" + left_alone);
    EXPECT_EQ(forgotten.text_at("outcome"), "aborted") << forgotten.summary();
}

// A repetition of the begin is answered with what became of the transaction.
TEST_P(Interactive, ABegunTransactionsKeyTellsItsEnd) {
    auto begin_again = [this](const std::string& key) {
        return client().post("/v1/transactions", "{}", {.headers = {{"Idempotency-Key", key}}});
    };
    for (std::string how : {"commit", "abort"}) {
        RestReply first = begin_again(how);
        ASSERT_EQ(first.status, 201) << first.summary();
        std::string txn = first.text_at("id");
        expect_ran(execute(0, txn, take(0)));
        RestReply active = begin_again(how);
        EXPECT_EQ(active.status, 201) << active.summary();
        EXPECT_EQ(active.text_at("id"), txn);
        EXPECT_EQ(end(txn, how).status, 200);
        RestReply ended = begin_again(how);
        EXPECT_EQ(ended.status, 200) << ended.summary();
        EXPECT_EQ(ended.text_at("id"), txn);
        EXPECT_EQ(ended.text_at("outcome"), how == "commit" ? "committed" : "aborted");
        EXPECT_EQ(ended.headers.find("Idempotency-Replayed"), "true");
    }
}

TEST_P(Interactive, WhatCannotBeDone) {
    std::string txn = begin();
    std::string path = "/v1/transactions/" + txn + "/execute";
    RestClient& sidecar = cluster().participant_client(0);
    auto refused = [&](const RestReply& reply, int status, std::string_view text) {
        EXPECT_EQ(reply.status, status) << reply.summary();
        EXPECT_THAT(reply.text_at("detail"), HasSubstr(std::string(text)));
    };
    refused(sidecar.post(path, "{}"), 400, "work");
    refused(sidecar.post(path, R"({"work":[],"sequenze":1})"), 400, "sequenze");
    refused(sidecar.post(path, R"({"work":[],"sequence":0})"), 400, "sequence");
    refused(sidecar.post(path, R"({"work":{}})"), 422, "array");
    refused(sidecar.post(path, R"({"work":[{"sql":"COMMIT AND CHAIN"}]})"), 422, "COMMIT");
    refused(sidecar.post(path, R"({"work":[{"statement":"nope"}]})"), 422, "\"nope\"");
    refused(sidecar.post(path, R"({"work":[]})", {.headers = {{"Twofold-Transaction", "other"}}}),
            400,
            "Twofold-Transaction");
    refused(sidecar.post("/v1/transactions/short/execute", R"({"work":[]})"), 404, "48");
    std::string unknown = txn;
    unknown.back() = unknown.back() == 'A' ? 'B' : 'A';
    refused(execute(0, unknown, take(0)), 404, "none of this participant's coordinators");
    // None of it has cost the transaction.
    expect_ran(execute(0, txn, take(0)));
    refused(execute(0, txn, take(0), ",\"lock_timeout_ms\":5"), 422, "first call");
    expect_ran(execute(0, txn, statement(0, "SELECT 1")));
    EXPECT_EQ(end(txn, "abort").status, 200);
}

TEST_P(Interactive, ARepeatedCallIsNotRunTwice) {
    std::string txn = begin();
    std::string body = "{\"work\":[" + take(0) + "]}";
    std::string path = "/v1/transactions/" + txn + "/execute";
    RestClient& sidecar = cluster().participant_client(0);
    RestOptions keyed{.headers = {{"Idempotency-Key", "one"}}};
    expect_ran(sidecar.post(path, body, keyed));
    RestReply again = sidecar.post(path, body, keyed);
    expect_ran(again);
    EXPECT_EQ(again.headers.find("Idempotency-Replayed"), "true");
    RestReply other = sidecar.post(path, R"({"work":[]})", keyed);
    EXPECT_EQ(other.status, 422) << other.summary();
    EXPECT_EQ(other.text_at("code"), "idempotency_key_conflict");
    ASSERT_EQ(end(txn, "commit").status, 200);
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 10);
}

INSTANTIATE_TEST_SUITE_P(On,
                         Interactive,
                         ::testing::Values(Databases::sqlite, Databases::postgres),
                         [](const auto& info) { return databases_name(info.param); });

class InteractivePostgres : public Interactive {};

TEST_P(InteractivePostgres, ABackendThatIsEndedBetweenTwoCallsEndsTheBranch) {
    std::string txn = begin();
    expect_ran(execute(0, txn, take(0)));
    auto ended = PostgresPair::instance().as_superuser(
        0,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE state = 'idle in transaction' AND application_name LIKE 'twofold %'"
        " AND datname = current_database()");
    ASSERT_TRUE(ended.has_value());
    expect_ended(execute(0, txn, take(0)), "branch_lost");
    expect_can_only_abort(txn);
}

TEST_P(InteractivePostgres, ASidecarThatDiesWithinACallLeavesNothing) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_TRUE(cluster().start_participant(0, {{"TWOFOLD_CRASH_AT", "part_during_work:1"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    std::string txn = begin();
    expect_ran(execute(1, txn, take(1)));
    RestReply lost = execute(0, txn, take(0));
    EXPECT_FALSE(lost.answered()) << lost.summary();
    auto status = cluster().participant(0).wait(kPatience);
    ASSERT_TRUE(status && status->killed_by(SIGKILL)) << cluster().logs();
    ASSERT_TRUE(cluster().start_participant(0));
    expect_ended(execute(0, txn, take(0)), "branch_lost");
    expect_can_only_abort(txn);
}

TEST_P(InteractivePostgres, AStatementThatRunsLongIsNoIdleness) {
    std::string txn = begin_idle(std::chrono::milliseconds(2'000));
    expect_ran(execute(0, txn, statement(0, "SELECT pg_sleep(5)")));
    expect_ran(execute(0, txn, take(0)));
    RestReply committed = end(txn, "commit");
    EXPECT_EQ(committed.status, 200) << committed.summary();
}

// Each holds what the other wants. No database sees both sides; the shorter lock timeout ends it.
TEST_P(InteractivePostgres, ADeadlockOverTwoDatabasesEndsByItsLockTimeout) {
    std::string one = begin();
    std::string two = begin();
    expect_ran(execute(0, one, take(0), ",\"lock_timeout_ms\":60000"));
    expect_ran(execute(1, two, take(1), ",\"lock_timeout_ms\":60000"));
    auto waiting = std::async(std::launch::async, [&] {
        RestClient other(cluster().participant_port(1));
        return execute_by(other, one, take(1), ",\"lock_timeout_ms\":60000");
    });
    RestReply loser = execute(0, two, take(0), ",\"lock_timeout_ms\":300");
    expect_ended(loser, "lock_timeout");
    EXPECT_EQ(end(two, "abort").status, 200);
    expect_ran(waiting.get());
    RestReply committed = end(one, "commit");
    ASSERT_EQ(committed.status, 200) << committed.summary();
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 10);
    EXPECT_EQ(cluster().balance(1, 1), kBalance - 10);
}

INSTANTIATE_TEST_SUITE_P(On,
                         InteractivePostgres,
                         ::testing::Values(Databases::postgres),
                         [](const auto& info) { return databases_name(info.param); });

}  // namespace
}  // namespace twofold::integration
