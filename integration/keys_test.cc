// Idempotency keys of one-branch transactions over restarts of the coordinator: its log does not
// know them, the participant's database does.
#include "integration/fixture.h"

#include <chrono>
#include <future>

namespace twofold::integration {
namespace {

class KeyTest : public ClusterTest {
protected:
    RestReply post(const std::string& body, const std::string& key = "order-17") {
        return client().post("/v1/transactions",
                             body,
                             {.headers = {{"Idempotency-Key", key}}, .deadline = kPatience});
    }
    std::string debit(int amount) {
        return transaction_json(
            {branch(0,
                    {statement(0,
                               "UPDATE accounts SET balance = balance - ? WHERE id = 1",
                               "[" + std::to_string(amount) + "]",
                               1)})});
    }
    void restart_coordinator() {
        cluster().coordinator().kill();
        ASSERT_TRUE(cluster().start_coordinator());
        ASSERT_TRUE(cluster().wait_participants_up());
    }
};

class Keys : public KeyTest, public ::testing::WithParamInterface<Databases> {};

TEST_P(Keys, AnAnsweredCommitIsAnsweredAgain) {
    ASSERT_NO_FATAL_FAILURE(start(GetParam()));
    RestReply first = post(debit(7));
    ASSERT_EQ(first.status, 200) << first.summary();
    std::string id = first.text_at("id");
    std::string repeated;
    for (int i = 0; i < 2; ++i) {
        ASSERT_NO_FATAL_FAILURE(restart_coordinator());
        RestReply other = post(debit(8));
        EXPECT_EQ(other.status, 422) << other.summary();
        EXPECT_EQ(other.text_at("code"), "idempotency_key_conflict") << other.summary();
        for (int k = 0; k < 2; ++k) {
            RestReply again = post(debit(7));
            EXPECT_EQ(again.status, 200) << again.summary();
            EXPECT_EQ(again.text_at("id"), id) << again.summary();
            EXPECT_EQ(again.text_at("outcome"), "committed");
            EXPECT_EQ(again.text_at("results"), "lost");
            EXPECT_EQ(again.headers.find("Idempotency-Replayed"), "true");
        }
        EXPECT_EQ(cluster().balance(0, 1), kBalance - 7);
        // The id that the repetition got did nothing, and says so for ever.
        RestReply list = client().get("/v1/transactions?state=aborted");
        bool is_told = false;
        for (int k = 0; k < 4; ++k) {
            std::string at = "transactions." + std::to_string(k);
            if (list.text_at(at + ".answered_by") != id) continue;
            is_told = true;
            repeated = list.text_at(at + ".id");
        }
        EXPECT_TRUE(is_told) << list.summary();
    }
    ASSERT_NO_FATAL_FAILURE(restart_coordinator());
    RestReply old = client().get("/v1/transactions/" + repeated);
    EXPECT_EQ(old.text_at("outcome"), "aborted") << old.summary();
    EXPECT_EQ(old.text_at("idempotency_key"), "open") << old.summary();
    EXPECT_EQ(client().get("/v1/transactions/" + id).text_at("outcome"), "committed");
}

// The row that the first one inserted makes the second one fail; the key's answer is the commit.
TEST_P(Keys, WorkThatCanBeDoneOnlyOnceIsAnsweredAgain) {
    ASSERT_NO_FATAL_FAILURE(start(GetParam()));
    std::string body = transaction_json(
        {branch(0, {statement(0, "INSERT INTO accounts (id, balance) VALUES (77, 1)")})});
    RestReply first = post(body);
    ASSERT_EQ(first.status, 200) << first.summary();
    ASSERT_NO_FATAL_FAILURE(restart_coordinator());
    RestReply again = post(body);
    EXPECT_EQ(again.status, 200) << again.summary();
    EXPECT_EQ(again.text_at("id"), first.text_at("id"));
}

// Whether the key's work was done is not known without the participant.
TEST_P(Keys, NothingIsAnsweredWithoutTheParticipant) {
    ASSERT_NO_FATAL_FAILURE(start(GetParam()));
    ASSERT_EQ(post(debit(7)).status, 200);
    ASSERT_NO_FATAL_FAILURE(restart_coordinator());
    cluster().participant(0).kill();
    RestReply reply;
    EXPECT_TRUE(wait_until([&] {
        reply = post(debit(7));
        return reply.status == 503;
    })) << reply.summary();
    EXPECT_EQ(reply.text_at("code"), "key_unsettled") << reply.summary();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_TRUE(wait_until([&] {
        reply = post(debit(7));
        EXPECT_NE(reply.status, 409) << reply.summary();
        return reply.status == 200;
    })) << reply.summary();
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 7);
}

INSTANTIATE_TEST_SUITE_P(Databases,
                         Keys,
                         ::testing::Values(Databases::sqlite, Databases::postgres),
                         [](const auto& test) { return databases_name(test.param); });

// The first one runs when its coordinator is killed, and goes on. The second one, under the same
// key, meets its locks; whatever it is told must not be contradicted by the first one's commit.
class RunningKey : public KeyTest {};

TEST_F(RunningKey, TheRepetitionWaitsForTheFirstOne) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    std::string body = transaction_json(
        {branch(0,
                {statement(0, "UPDATE accounts SET balance = balance - 7 WHERE id = 1"),
                 statement(0, "SELECT pg_sleep(6)")},
                R"(,"lock_timeout_ms":500)")},
        R"(,"answer_within_ms":1000)");
    std::uint16_t port = cluster().coordinator_port();
    auto lost = std::async(std::launch::async, [body, port] {
        return RestClient(port).post(
            "/v1/transactions", body, {.headers = {{"Idempotency-Key", "order-17"}}});
    });
    ASSERT_TRUE(wait_until([this] {
        auto sleeping = cluster().database(0).number(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        return sleeping.has_value() && sleeping.value() > 0;
    }));
    ASSERT_NO_FATAL_FAILURE(restart_coordinator());
    static_cast<void>(lost.get());
    RestReply reply;
    EXPECT_TRUE(wait_until([&] {
        reply = post(body);
        EXPECT_NE(reply.status, 409) << reply.summary();
        return reply.status == 200 || reply.status == 409;
    })) << reply.summary();
    EXPECT_EQ(reply.text_at("outcome"), "committed") << reply.summary();
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 7);
}

}  // namespace
}  // namespace twofold::integration
