// Asking for transactions: one, with patience, and many.
#include "coordinator/api_fixture.h"

#include <set>

namespace twofold::coordinator {
namespace {

class Asking : public ApiFixture {};

TEST_F(Asking, WhoLeavesALongPollGivesTheConnectionBack) {
    std::string path = begin();
    Call poll = get(path + "?wait_ms=60000");
    Call other = get(path + "?wait_ms=60000");
    ASSERT_FALSE(poll.answered());
    poll.port->close();
    turn();
    EXPECT_TRUE(poll.port->abandoned) << "the connection is kept for somebody who has left";
    EXPECT_FALSE(other.port->abandoned);
    EXPECT_EQ(post(path + "/abort").brief(), "200 aborted");
    EXPECT_EQ(other.brief(), "200 aborted");
    EXPECT_FALSE(poll.answered());
}

TEST_F(Asking, WhoLeavesAKeyedCallGivesTheConnectionBack) {
    std::string path = begin();
    for (const char* name : {"north", "south"}) {
        EXPECT_EQ(
            post(path + "/branches", R"({"participant":")" + std::string(name) + "\"}").status(),
            201);
    }
    log_.hold = true;
    const std::vector<Field> key{{"Idempotency-Key", "k"}};
    Call commit = post(path + "/commit", {}, key);
    ASSERT_FALSE(commit.answered());
    commit.port->close();
    turn();
    EXPECT_TRUE(commit.port->abandoned) << "the connection is kept for somebody who has left";
    EXPECT_EQ(post(path + "/commit", {}, key).brief(), "409 idempotency_key_in_progress");
    log_.hold = false;
    log_.finish();
    turn();
    Call again = post(path + "/commit", {}, key);
    EXPECT_EQ(again.brief(), "200 committed") << "whoever left may come back";
    EXPECT_EQ(again.header("Idempotency-Replayed"), "true");
}

class Lists : public ApiFixture {
protected:
    // Ended, each with results of so many bytes.
    void run(int count, std::size_t bytes) {
        for (FakeParticipant* participant : participants_) {
            participant->answer = [participant, bytes](const protocol::Item& item,
                                                       ParticipantPort::ResultCallback& done) {
                protocol::ItemResult result = participant->usual(item);
                if (item.op == protocol::ItemOp::execute_prepare) {
                    result.results = std::make_shared<const std::string>(
                        R"([{"text":")" + std::string(bytes, 'x') + "\"}]");
                }
                done(std::move(result));
            };
        }
        for (int i = 0; i < count; ++i) {
            Call ran = post("/v1/transactions",
                            R"({"branches":[{"participant":"north","work":[{"sql":"x"}]},)"
                            R"({"participant":"south","work":[{"sql":"x"}]}]})");
            ASSERT_EQ(ran.brief(), "200 committed");
            location_ = ran.header("Twofold-Transaction");
        }
    }

    std::string location_;
};

TEST_F(Lists, AListIsWithoutResults) {
    run(3, 100'000);
    Call list = get("/v1/transactions");
    EXPECT_EQ(list.body().at("transactions").as_array().size(), 3U);
    EXPECT_LT(list.port->response.body.size(), 10'000U) << "what statements returned is in it";
    EXPECT_EQ(list.port->response.body.find("results"), std::string::npos);
    Call one = get("/v1/transactions/" + location_);
    EXPECT_GT(one.port->response.body.size(), 200'000U) << "whoever asks for one has them";
}

TEST_F(Lists, APageEndsWhereItIsLargeEnoughAndTheCursorGoesOn) {
    ApiOptions options;
    options.list_size_max = 2'000;
    start(first_state(), Config{}, options);
    run(120, 10);
    std::set<std::string> seen;
    std::size_t pages = 0;
    std::string cursor;
    do {
        Call page = get("/v1/transactions" + (cursor.empty() ? "" : "?cursor=" + cursor));
        ASSERT_EQ(page.status(), 200);
        EXPECT_LT(page.port->response.body.size(), 4'000U);
        boost::json::object body = page.body();
        for (const boost::json::value& one : body.at("transactions").as_array()) {
            std::string id(one.at("id").as_string());
            EXPECT_TRUE(seen.insert(id).second) << "twice: " << id;
        }
        cursor = page.member("next_cursor");
        if (cursor == "(none)") cursor.clear();
        ASSERT_LT(++pages, 200U);
    } while (!cursor.empty());
    EXPECT_EQ(seen.size(), 120U);
    EXPECT_GT(pages, 10U);
}

}  // namespace
}  // namespace twofold::coordinator
