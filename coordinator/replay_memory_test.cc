#include "coordinator/replay_memory.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using Verdict = ReplayMemory::Verdict;

protocol::IdempotencyKey key_of(std::uint8_t key, std::uint8_t body = 1) {
    protocol::IdempotencyKey out;
    out.key_hash.fill(key);
    out.fingerprint.fill(body);
    return out;
}

TEST(ReplayMemory, keeps_definite_answers_and_binds_keys_to_their_bodies) {
    ReplayMemory memory({});
    EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::fresh);
    EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::in_progress);
    EXPECT_EQ(memory.begin(key_of(1, 2)).verdict, Verdict::other_body);
    memory.finish(key_of(1), http::text_response(409, "no"));
    auto found = memory.begin(key_of(1));
    ASSERT_EQ(found.verdict, Verdict::known);
    EXPECT_EQ(found.answer->status, 409);
    EXPECT_EQ(found.answer->body, "no");
    EXPECT_EQ(memory.begin(key_of(1, 2)).verdict, Verdict::other_body);
}

TEST(ReplayMemory, what_is_not_known_yet_runs_again) {
    for (int status : {202, 429, 500, 503}) {
        ReplayMemory memory({});
        EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::fresh);
        memory.finish(key_of(1), http::text_response(status, ""));
        EXPECT_EQ(memory.begin(key_of(1, 2)).verdict, Verdict::other_body) << status;
        EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::fresh) << status;
        memory.release(key_of(1));
        EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::fresh) << status;
    }
}

TEST(ReplayMemory, forgets_after_a_lifetime_and_not_before) {
    ReplayMemory memory({});
    EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::fresh);
    memory.finish(key_of(1), http::text_response(200, "yes"));
    EXPECT_EQ(memory.begin(key_of(2)).verdict, Verdict::fresh) << "never answered";
    for (int quarter = 0; quarter < 4; ++quarter) {
        memory.rotate();
        EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::known) << quarter;
    }
    memory.rotate();
    EXPECT_EQ(memory.begin(key_of(1)).verdict, Verdict::fresh);
    EXPECT_EQ(memory.begin(key_of(2)).verdict, Verdict::in_progress) << "it stays";
    EXPECT_EQ(memory.bytes(), 0U);
}

TEST(ReplayMemory, is_full_by_number_and_by_size) {
    ReplayMemory few({2, 1'000'000});
    EXPECT_EQ(few.begin(key_of(1)).verdict, Verdict::fresh);
    EXPECT_EQ(few.begin(key_of(2)).verdict, Verdict::fresh);
    EXPECT_EQ(few.begin(key_of(3)).verdict, Verdict::full);
    few.finish(key_of(1), http::text_response(200, "yes"));
    EXPECT_EQ(few.begin(key_of(1)).verdict, Verdict::known) << "old ones are served";

    ReplayMemory small({1'000, 1'000});
    EXPECT_EQ(small.begin(key_of(1)).verdict, Verdict::fresh);
    small.finish(key_of(1), http::text_response(200, std::string(1'000, 'x')));
    EXPECT_EQ(small.begin(key_of(2)).verdict, Verdict::full);
    for (int quarter = 0; quarter < 5; ++quarter) small.rotate();
    EXPECT_EQ(small.begin(key_of(2)).verdict, Verdict::fresh);
}

}  // namespace
}  // namespace twofold::coordinator
