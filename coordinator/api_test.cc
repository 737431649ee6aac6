// Asking for transactions: one, with patience, and many.
#include "coordinator/api_fixture.h"

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

}  // namespace
}  // namespace twofold::coordinator
