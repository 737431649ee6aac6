#include "coordinator/phase_times.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using std::chrono::milliseconds;

PhaseTimes::Time at(int ms) { return PhaseTimes::Time(milliseconds(ms)); }

TEST(PhaseTimes, a_commit_takes_three_phases) {
    PhaseTimes times;
    protocol::TxnId txn;
    EXPECT_TRUE(times.start(txn, at(10)));
    EXPECT_FALSE(times.start(txn, at(11))) << "known already";
    EXPECT_EQ(times.propose(txn, at(15)), milliseconds(5));
    EXPECT_EQ(times.decision_age(txn, at(16)), milliseconds(6)) << "not decided: since it is known";
    EXPECT_EQ(times.decide(txn, at(22)), milliseconds(7));
    EXPECT_EQ(times.age(txn, at(30)), milliseconds(20));
    EXPECT_EQ(times.decision_age(txn, at(30)), milliseconds(8));
    auto ended = times.end(txn, at(40));
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(ended->whole, milliseconds(30));
    EXPECT_EQ(ended->apply, milliseconds(18));
    EXPECT_FALSE(times.age(txn, at(41)).has_value()) << "it has ended";
}

TEST(PhaseTimes, what_was_not_seen_has_no_length) {
    PhaseTimes times;
    protocol::TxnId txn;
    EXPECT_FALSE(times.propose(txn, at(1)).has_value());
    EXPECT_FALSE(times.decide(txn, at(1)).has_value());
    EXPECT_FALSE(times.end(txn, at(1)).has_value());
    EXPECT_FALSE(times.decision_age(txn, at(1)).has_value());
    times.start(txn, at(5));
    EXPECT_FALSE(times.decide(txn, at(6)).has_value()) << "proposed before it was known";
    EXPECT_EQ(times.end(txn, at(9))->apply, milliseconds(3));
    times.start(txn, at(10));
    EXPECT_FALSE(times.end(txn, at(12))->apply.has_value()) << "aborted, or found decided";
}

}  // namespace
}  // namespace twofold::coordinator
