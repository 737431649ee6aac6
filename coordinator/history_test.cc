#include "coordinator/history.h"

#include "base/keyed_hash.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using std::chrono::milliseconds;

protocol::TxnId id(protocol::Sequence sequence) {
    base::KeyedHash key(base::HashKey{});
    return protocol::make_txn_id({}, 1, sequence, {}, key);
}

History::Time at(int ms) { return History::Time() + milliseconds(ms); }

TEST(History, AgesAndChangesCountFromTheFirstThatWasSeen) {
    History history(4);
    EXPECT_FALSE(history.age(id(1), at(0)));
    history.note(id(1), "active", at(100));
    history.note(id(1), "", at(110));
    history.note(id(1), "active", at(120));
    history.note(id(1), "preparing", at(150));
    EXPECT_EQ(history.age(id(1), at(160)), milliseconds(60));
    auto timeline = history.timeline(id(1));
    ASSERT_EQ(timeline.size(), 2U);
    EXPECT_EQ(timeline[0].state, "active");
    EXPECT_EQ(timeline[0].at, milliseconds(0));
    EXPECT_EQ(timeline[1].state, "preparing");
    EXPECT_EQ(timeline[1].at, milliseconds(50));
    EXPECT_TRUE(history.timeline(id(2)).empty());
}

TEST(History, OfThoseThatHaveEndedTheNewestAreKept) {
    History history(2);
    for (protocol::Sequence i = 1; i <= 4; ++i) history.note(id(i), "active", at(0));
    for (protocol::Sequence i : {1, 2, 2, 3}) history.ended(id(i));
    EXPECT_FALSE(history.age(id(1), at(1)));
    EXPECT_TRUE(history.age(id(2), at(1)));
    EXPECT_TRUE(history.age(id(3), at(1)));
    EXPECT_TRUE(history.age(id(4), at(1))) << "one that goes on stays";
    history.ended(id(9));
}

TEST(History, IsBounded) {
    History history(1);
    for (int i = 0; i < 100; ++i) history.note(id(1), i % 2 == 0 ? "a" : "b", at(i));
    auto timeline = history.timeline(id(1));
    EXPECT_EQ(timeline.size(), 16U);
    EXPECT_EQ(timeline.back().at, milliseconds(99)) << "the newest change is there";
}

}  // namespace
}  // namespace twofold::coordinator
