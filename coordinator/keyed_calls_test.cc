// Idempotency-Key through the REST interface.
#include "coordinator/api_fixture.h"

#include <tuple>

namespace twofold::coordinator {
namespace {

using protocol::ItemOp;

class KeyedApi : public ApiFixture {
protected:
    static std::vector<Field> key(const std::string& text) { return {{"Idempotency-Key", text}}; }
    static std::string one_shot(const std::string& label = "a") {
        return R"({"branches":[{"participant":"north","work":[{"sql":"x"}]},)"
               R"({"participant":"south","work":[{"sql":"x"}]}],"labels":{"l":")" +
               label + "\"}}";
    }
    static std::string text_of(const Call& call) { return call.port->response.body; }
};

const std::string kNorth = R"({"participant":"north"})";

TEST_F(KeyedApi, AOneShotRunsOnceAndItsAnswerIsReplayed) {
    Call first = post("/v1/transactions", one_shot(), key("k"));
    EXPECT_EQ(first.brief(), "200 committed");
    EXPECT_EQ(first.header("Idempotency-Replayed"), "(none)");
    Call again = post("/v1/transactions", one_shot(), key("\"k\""));
    EXPECT_EQ(text_of(again), text_of(first)) << "quoted or bare, it is the same key";
    EXPECT_EQ(again.header("Idempotency-Replayed"), "true");
    EXPECT_EQ(count(0, ItemOp::execute_prepare), 1U);
    EXPECT_EQ(post("/v1/transactions", one_shot("b"), key("k")).brief(),
              "422 idempotency_key_conflict");
    EXPECT_EQ(post("/v1/transactions", one_shot(), key("two words")).brief(),
              "422 invalid_request");
    EXPECT_EQ(post("/v1/transactions", one_shot(), key("\"\"")).brief(), "422 invalid_request");
    EXPECT_EQ(post("/v1/transactions", one_shot(), key(std::string(256, 'k'))).brief(),
              "422 invalid_request");
    EXPECT_EQ(post("/v1/transactions", one_shot(), key(std::string(255, 'k'))).brief(),
              "200 committed");
}

TEST_F(KeyedApi, AOneShotInProgressIsWaitedFor) {
    log_.hold = true;
    Call first = post("/v1/transactions", one_shot(), key("k"));
    Call second = post("/v1/transactions", one_shot(), key("k"));
    EXPECT_FALSE(first.answered());
    EXPECT_FALSE(second.answered());
    log_.hold = false;
    log_.finish();
    turn();
    EXPECT_EQ(first.brief(), "200 committed");
    EXPECT_EQ(text_of(second), text_of(first));
    EXPECT_EQ(second.header("Idempotency-Replayed"), "true");
}

TEST_F(KeyedApi, ABeginIsDoneOnce) {
    Call first = post("/v1/transactions", "{}", key("k"));
    Call again = post("/v1/transactions", "{}", key("k"));
    EXPECT_EQ(again.brief(), "201 active");
    EXPECT_EQ(again.member("id"), first.member("id"));
    EXPECT_EQ(again.header("Location"), first.header("Location"));
    EXPECT_EQ(again.header("Idempotency-Replayed"), "true");
    EXPECT_EQ(post("/v1/transactions", R"({"deadline_ms":5})", key("k")).brief(),
              "422 idempotency_key_conflict");
    post(first.header("Location") + "/abort");
    Call ended = post("/v1/transactions", "{}", key("k"));
    EXPECT_EQ(ended.brief(), "200 aborted") << "as GET tells it";
    EXPECT_EQ(ended.member("id"), first.member("id"));
}

TEST_F(KeyedApi, EnlistAndCommitAreReplayedWordForWord) {
    std::string path = begin();
    Call enlist = post(path + "/branches", kNorth, key("e"));
    EXPECT_EQ(enlist.brief(), "201 enlisted");
    Call commit = post(path + "/commit", "{}", key("c"));
    EXPECT_EQ(commit.brief(), "200 committed");
    for (const auto& [what, body, name, first] :
         {std::tuple{"/branches", kNorth, "e", &enlist}, {"/commit", "{}", "c", &commit}}) {
        Call again = post(path + what, body, key(name));
        EXPECT_EQ(again.status(), first->status()) << what;
        EXPECT_EQ(text_of(again), text_of(*first)) << what;
        EXPECT_EQ(again.header("Idempotency-Replayed"), "true");
        EXPECT_EQ(first->header("Idempotency-Replayed"), "(none)");
    }
    EXPECT_EQ(post(path + "/commit", R"({"wait":"decided"})", key("c")).brief(),
              "422 idempotency_key_conflict");
    EXPECT_EQ(post(path + "/abort", "{}", key("c")).brief(), "422 idempotency_key_conflict")
        << "another call is another request";
    Call refused = post(path + "/abort", "{}", key("a"));
    EXPECT_EQ(refused.brief(), "409 opposite_outcome");
    EXPECT_EQ(text_of(post(path + "/abort", "{}", key("a"))), text_of(refused));
}

TEST_F(KeyedApi, ACommitInProgressIsAConflictUntilItIsAnswered) {
    std::string path = begin();
    post(path + "/branches", kNorth);
    log_.hold = true;
    Call first = post(path + "/commit", "{}", key("k"));
    Call second = post(path + "/commit", "{}", key("k"));
    EXPECT_EQ(second.brief(), "409 idempotency_key_in_progress");
    EXPECT_EQ(second.header("Retry-After"), "1");
    EXPECT_EQ("/v1/transactions/" + second.header("Twofold-Transaction"), path);
    EXPECT_EQ(second.header("Twofold-Transaction"), second.member("transaction_id"));
    first.port->close();  // the client has gone, its key has not
    log_.hold = false;
    log_.finish();
    turn();
    EXPECT_FALSE(first.answered());
    Call third = post(path + "/commit", "{}", key("k"));
    EXPECT_EQ(third.brief(), "200 committed");
    EXPECT_EQ(third.header("Idempotency-Replayed"), "true");
}

TEST_F(KeyedApi, AnUnknownOutcomeIsNotReplayed) {
    std::string path = begin();
    post(path + "/branches", kNorth);
    log_.hold = true;
    std::string body = R"({"answer_within_ms":1})";
    Call first = post(path + "/commit", body, key("k"));
    ASSERT_TRUE(loop_.run_until([&] { return first.answered(); }, std::chrono::seconds(10)));
    EXPECT_EQ(first.status(), 202);
    log_.hold = false;
    log_.finish();
    turn();
    Call second = post(path + "/commit", body, key("k"));
    EXPECT_EQ(second.brief(), "200 committed");
    EXPECT_EQ(second.header("Idempotency-Replayed"), "(none)");
}

TEST_F(KeyedApi, FullMemoriesRefuseNewKeysAndSayWhen) {
    Config config;
    config.keys_max = 1;
    ApiOptions options;
    options.keys_max = 1;
    start(first_state(), config, options);
    EXPECT_EQ(post("/v1/transactions", one_shot(), key("1")).brief(), "200 committed");
    Call refused = post("/v1/transactions", one_shot(), key("2"));
    EXPECT_EQ(refused.brief(), "429 keys_exhausted");
    EXPECT_EQ(refused.header("Retry-After"), "900");
    EXPECT_EQ(post("/v1/transactions", one_shot(), key("1")).brief(), "200 committed");
    EXPECT_EQ(post("/v1/transactions", one_shot()).brief(), "200 committed") << "without a key";

    std::string path = begin();
    EXPECT_EQ(post(path + "/branches", kNorth, key("1")).brief(), "201 enlisted");
    refused = post(path + "/commit", "{}", key("2"));
    EXPECT_EQ(refused.brief(), "429 keys_exhausted");
    EXPECT_EQ(refused.header("Retry-After"), "900");
    EXPECT_EQ(post(path + "/commit").brief(), "200 committed");
}

TEST_F(KeyedApi, KeysAreForgottenAfterTheirLifetime) {
    ApiOptions options;
    options.key_lifetime = std::chrono::milliseconds(20);
    start(first_state(), Config{}, options);
    std::string path = begin();
    EXPECT_EQ(post(path + "/commit", "{}", key("k")).brief(), "200 committed");
    ASSERT_TRUE(loop_.run_until(
        [&] { return post(path + "/abort", "{}", key("k")).brief() == "409 opposite_outcome"; },
        std::chrono::seconds(10)));
}

}  // namespace
}  // namespace twofold::coordinator
