// Which witness rows go, and which stay.
#include "participant/postgres/postgres_fixture.h"

#include <gtest/gtest.h>

namespace twofold::participant::postgres {
namespace {

using protocol::WorkStatus;

class PrunerTest : public PostgresTest {
protected:
    void SetUp() override {
        PostgresTest::SetUp();
        PostgresOptions wanted = options();
        wanted.witness = true;
        wanted.limits.prune_rows = 2;
        wanted.limits.prune_pause = std::chrono::milliseconds(5);
        wanted.limits.prune_rest = std::chrono::milliseconds(20);
        sidecar_ = sidecar(wanted);
    }

    // A two-phase branch with its witness.
    protocol::BranchKey committed() {
        protocol::BranchKey key = new_key();
        EXPECT_EQ(sidecar_->prepare(key, debit(1)).status, WorkStatus::prepared);
        EXPECT_EQ(sidecar_->commit(key).status, protocol::FinishStatus::committed);
        return key;
    }

    protocol::BranchKey committed_at_once() {
        protocol::BranchKey key = new_key(protocol::ParticipantNumber{3});
        EXPECT_EQ(sidecar_->one_phase(key, debit(1)).status, WorkStatus::committed);
        return key;
    }

    void mark(protocol::IdPosition low_water, protocol::IdPosition horizon) {
        sidecar_->resource().note_marks(new_key().group.incarnation(), low_water, horizon);
    }

    [[nodiscard]] bool has_witness(const protocol::BranchKey& key) const {
        return sql("SELECT count(*) FROM twofold.witness WHERE gid = '" + sidecar_->gid(key) +
                   "'") == "1";
    }

    [[nodiscard]] bool wait_pruned(std::uint64_t count) {
        return sidecar_->wait([&] { return sidecar_->counters().witnesses_pruned >= count; });
    }

    std::unique_ptr<Sidecar> sidecar_;
};

TEST_F(PrunerTest, TwoPhaseBelowTheLowWaterMarkOnePhaseBelowTheHorizon) {
    protocol::BranchKey at_once = committed_at_once();
    std::vector<protocol::BranchKey> old;
    old.reserve(5);
    for (int i = 0; i < 5; ++i) old.push_back(committed());
    protocol::BranchKey later_at_once = committed_at_once();
    protocol::BranchKey at_the_mark = committed();

    mark(at_the_mark.group.position(), at_once.group.position());
    ASSERT_TRUE(wait_pruned(5));
    for (const protocol::BranchKey& key : old) EXPECT_FALSE(has_witness(key));
    EXPECT_TRUE(has_witness(at_the_mark));
    EXPECT_TRUE(has_witness(at_once));

    mark(at_the_mark.group.position(), later_at_once.group.position());
    ASSERT_TRUE(wait_pruned(6));
    EXPECT_FALSE(has_witness(at_once));
    EXPECT_TRUE(has_witness(later_at_once));
    EXPECT_TRUE(has_witness(at_the_mark));
}

TEST_F(PrunerTest, OtherCoordinatorsWitnessesStay) {
    protocol::BranchKey theirs = committed();
    sidecar_->resource().note_marks(protocol::Incarnation{{9}}, {99, 99}, {99, 99});
    protocol::BranchKey mine = committed();
    // A second walk over the whole table would have found it.
    std::uint64_t before = sidecar_->counters().round_trips;
    ASSERT_TRUE(sidecar_->wait([&] { return sidecar_->counters().round_trips > before + 6; }));
    EXPECT_TRUE(has_witness(theirs));
    EXPECT_TRUE(has_witness(mine));
    EXPECT_EQ(sidecar_->counters().witnesses_pruned, 0U);
}

// A prepared branch's own witness cannot be seen yet, so it cannot go, whatever the marks say.
TEST_F(PrunerTest, APreparedBranchKeepsItsWitness) {
    protocol::BranchKey gone = committed();
    protocol::BranchKey key = new_key();
    ASSERT_EQ(sidecar_->prepare(key, debit(1)).status, WorkStatus::prepared);
    mark({99, 99}, {99, 99});
    ASSERT_TRUE(wait_pruned(1));
    EXPECT_FALSE(has_witness(gone));
    // No further walk until it is committed.
    sidecar_->resource().note_marks(key.group.incarnation(), {}, {});
    ASSERT_EQ(sidecar_->commit(key).status, protocol::FinishStatus::committed);
    EXPECT_TRUE(has_witness(key));
}

}  // namespace
}  // namespace twofold::participant::postgres
