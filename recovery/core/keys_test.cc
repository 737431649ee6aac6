// Idempotency keys over crashes: whatever is repeated under its key after a crash at any step, with
// any part of the lazy tail, nothing is done twice and a definite answer stays what it was.
#include "coordinator/core/small_world.h"
#include "recovery/core/fold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

namespace twofold::recovery {
namespace {

using coordinator::AnswerKind;
using coordinator::SmallWorld;
using coordinator::Ticket;
using protocol::ItemStatus;
using protocol::Outcome;

RecoveredState recover_from(const std::vector<protocol::Record>& records, protocol::Epoch epoch) {
    Fold fold;
    for (const protocol::Record& record : records) {
        EXPECT_TRUE(fold.apply(1, record).has_value());
    }
    return std::move(fold).finish(coordinator::epoch_record(epoch)).value();
}

coordinator::BeginOptions under_key() {
    coordinator::BeginOptions options;
    options.idempotency.emplace();
    options.idempotency->key_hash.fill(7);
    options.idempotency->fingerprint.fill(8);
    options.wait = coordinator::WaitFor::decided;  // the answer comes early, crashes come after it
    return options;
}

// What the client was told for good, if anything.
std::optional<Outcome> definite(const SmallWorld& world, Ticket ticket) {
    auto found = world.answers.find(ticket);
    if (found == world.answers.end()) return std::nullopt;
    const coordinator::Answer& answer = found->second.front();
    bool told = answer.kind == AnswerKind::finished || answer.kind == AnswerKind::decided;
    if (!told) return std::nullopt;
    return answer.report.outcome;
}

int commits(const SmallWorld& world) {
    int most = 0;
    for (const auto& [number, participant] : world.participants) {
        int here = 0;
        for (const auto& [txn, times] : participant.committed_times) here += times;
        most = std::max(most, here);
    }
    return most;
}

struct Seen {
    int stopped = 0;      // runs that a crash cut off
    int told_before = 0;  // of these, the client had its answer
    int replayed = 0;     // of these, the repetition was known
};

void crash_and_repeat(ItemStatus first_vote, std::size_t step, std::size_t lazy, Seen& seen) {
    SmallWorld world(2);
    world.participants.at(2).vote = first_vote;
    Ticket first = world.submit({1, 2}, under_key());
    world.stop_after(step);
    bool stopped = !world.run();
    std::optional<Outcome> told = definite(world, first);
    world.restart(recover_from(world.surviving(lazy), 2));
    world.participants.at(2).vote = ItemStatus::yes;  // a second run would commit
    world.run();
    // Once more, from the checkpoint that the first recovery wrote.
    world.restart(recover_from(world.surviving(lazy), 3));
    Ticket again = world.submit({1, 2}, under_key());
    world.run();
    std::optional<Outcome> replay = definite(world, again);
    ASSERT_TRUE(replay.has_value());
    EXPECT_LE(commits(world), 1) << "done twice; stopped after " << step << " with " << lazy;
    if (told) EXPECT_EQ(*told, *replay) << "stopped after " << step << " with " << lazy;
    EXPECT_TRUE(world.check().empty());
    seen.stopped += stopped ? 1 : 0;
    if (stopped && told) ++seen.told_before;
    if (told) {
        EXPECT_TRUE(world.answers.at(again).front().repeated);
        ++seen.replayed;
    }
}

TEST(Keys, after_a_crash_nothing_is_done_twice_and_answers_stay) {
    for (ItemStatus vote : {ItemStatus::yes, ItemStatus::no}) {
        Seen seen;
        for (std::size_t step = 1; step < 20; ++step) {
            for (std::size_t lazy = 0; lazy < 5; ++lazy) crash_and_repeat(vote, step, lazy, seen);
        }
        EXPECT_GE(seen.stopped, 20) << "the crashes fall into the transaction";
        // An abort is told when all is over: no crash comes after it.
        if (vote == ItemStatus::yes) EXPECT_GT(seen.told_before, 0);
        EXPECT_GT(seen.replayed, 20);
    }
}

}  // namespace
}  // namespace twofold::recovery
