// Idempotency keys over crashes: whatever is repeated under its key after a crash at any step, with
// any part of the lazy tail, nothing is done twice and a definite answer stays what it was.
#include "coordinator/core/script.h"
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

// ---- keys that are used again ---------------------------------------------------------

// A conversation whose records are kept, as they would be in the log.
struct Life {
    Life(RecoveredState state, std::vector<protocol::Record>& records)
        : script(std::move(state), {}), log(records) {
        script.infos[1].one_phase = true;
        note();
        when(script.seen(1));
        when(script.seen(2));
    }
    void when(coordinator::Input input) {
        script.when("", std::move(input));
        note();
    }
    void note() {
        for (const coordinator::Effect& effect : script.effects) {
            if (auto* lazy = std::get_if<coordinator::Append>(&effect)) log.push_back(lazy->record);
            if (auto* forced = std::get_if<coordinator::AppendForced>(&effect)) {
                log.push_back(forced->record);
            }
            if (auto* decision = std::get_if<coordinator::Propose>(&effect)) {
                log.emplace_back(decision->record);
            }
            if (auto* timer = std::get_if<coordinator::ArmTimer>(&effect)) {
                bool is_keys = timer->delay_min * coordinator::KeyMemory::kGenerationsPerLifetime ==
                               coordinator::Config{}.key_lifetime;
                if (is_keys) generation = timer->timer;
            }
        }
    }
    // A quarter of the keys' lifetime passes.
    void turn() {
        when(coordinator::TimerFired{generation});
        when(script.durable());
    }
    coordinator::Script script;
    std::vector<protocol::Record>& log;
    coordinator::TimerId generation;
};

void abort_work(Life& life, const std::vector<std::uint16_t>& at) {
    life.when(life.script.submit(at, under_key()));
    life.when(life.script.reply(1, ItemStatus::no, protocol::reason::kLockTimeout));
    if (at.size() > 1) life.when(life.script.reply(2, ItemStatus::aborted));
    life.when(life.script.durable());
}

void commit_work(Life& life, const std::vector<std::uint16_t>& at) {
    life.when(life.script.submit(at, under_key()));
    if (at.size() > 1) {
        life.when(life.script.reply(1, ItemStatus::yes));
        life.when(life.script.reply(2, ItemStatus::yes));
        life.when(life.script.decided());
    } else {
        life.when(life.script.reply(1, ItemStatus::committed));
    }
    life.script.expect_one("answer " + std::to_string(life.script.next_ticket - 1) +
                           (at.size() > 1 ? " decided committed" : " finished committed"));
}

// The key's time passes over a restart, and it is used again. Whatever start comes then, the abort
// of its first use is not what it is answered with.
TEST(Keys, an_abort_does_not_come_back_after_its_key_was_used_again) {
    for (const std::vector<std::uint16_t>& at : {std::vector<std::uint16_t>{1}, {1, 2}}) {
        for (int turns_before = 0; turns_before <= 5; ++turns_before) {
            std::vector<protocol::Record> log =
                coordinator::checkpoint_records(coordinator::first_start(2));
            Life first(coordinator::first_start(2), log);
            abort_work(first, at);
            for (int turn = 0; turn < turns_before; ++turn) first.turn();
            RecoveredState state = recover_from(log, 2);
            log = coordinator::checkpoint_records(state);
            Life second(std::move(state), log);
            for (int turn = turns_before; turn < 5; ++turn) second.turn();
            commit_work(second, at);
            Life third(recover_from(log, 3), log);
            third.when(third.script.submit(at, under_key()));
            third.script.expect_none("answer 1 finished aborted");
        }
    }
}

}  // namespace
}  // namespace twofold::recovery
