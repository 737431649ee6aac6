// The memory of outcomes: which bits are loose, what sealing takes away, how long they live, and
// that no step of the machine handles more words than one file holds.
#include "coordinator/core/outcomes.h"

#include "base/rng.h"
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <vector>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::IdPosition;
using protocol::OutcomesRecord;

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

std::set<IdPosition> read(const std::vector<protocol::OutcomesRecord>& records) {
    std::set<IdPosition> out;
    for (const protocol::OutcomesRecord& record : records) {
        for (std::size_t i = 0; i < record.committed_bits.size() * 8; ++i) {
            bool set = ((record.committed_bits[i / 8] >> (i % 8)) & 1U) != 0;
            if (set) out.insert({record.epoch, record.first_sequence + i});
        }
    }
    return out;
}

TEST(Outcomes, records_hold_the_bits_above_the_horizon) {
    base::SeededRng rng(7);
    for (int round = 0; round < 50; ++round) {
        OutcomeMemory memory;
        std::set<IdPosition> committed;
        for (int i = 0; i < 300; ++i) {
            IdPosition id{static_cast<protocol::Epoch>(1 + rng.below(3)), 1 + rng.below(5000)};
            memory.set_committed(id);
            committed.insert(id);
        }
        IdPosition horizon{2, rng.below(5000)};
        committed.erase(committed.begin(), committed.lower_bound(horizon));
        EXPECT_EQ(read(memory.loose_records(horizon, kAll)), committed) << "it is being forced";
        memory.move_horizon(horizon);
        EXPECT_EQ(read(memory.loose_records(horizon, kAll)), committed);
        for (protocol::Epoch epoch = 1; epoch <= 3; ++epoch) {
            for (std::uint64_t sequence = 0; sequence < 5100; ++sequence) {
                IdPosition id{epoch, sequence};
                ASSERT_EQ(memory.is_committed(id), committed.contains(id))
                    << epoch << "." << sequence;
            }
        }
    }
}

TEST(Outcomes, a_commit_that_changed_nothing_is_one_of_this_start_only) {
    OutcomeMemory memory;
    memory.set_committed({2, 70});
    memory.set_unrecorded({2, 71});
    memory.set_unrecorded({1, 3});
    EXPECT_TRUE(memory.is_committed({2, 71}));
    EXPECT_TRUE(memory.is_unrecorded({2, 71}));
    EXPECT_FALSE(memory.is_unrecorded({2, 70}));
    EXPECT_EQ(read(memory.loose_records({}, kAll)), (std::set<IdPosition>{{2, 70}}));
    EXPECT_EQ(memory.newest_committed_below({2, 72}), (IdPosition{2, 70}));
    memory.move_horizon({2, 71});
    EXPECT_FALSE(memory.is_committed({1, 3}));
    EXPECT_FALSE(memory.is_committed({2, 70}));
    EXPECT_TRUE(memory.is_unrecorded({2, 71}));
    memory.move_horizon({2, 72});
    EXPECT_FALSE(memory.is_committed({2, 71}));
}

TEST(Outcomes, records_fit_into_the_smallest_segment) {
    constexpr std::uint64_t kIds = 2'000'000;
    OutcomeMemory memory;
    std::set<IdPosition> committed;
    for (std::uint64_t sequence = 1; sequence < kIds; sequence += 50) {
        memory.set_committed({1, sequence});
        committed.insert({1, sequence});
    }
    auto records = memory.loose_records({}, kAll);
    std::size_t bytes = 0;
    for (const auto& record : records) {
        bytes += record.committed_bits.size();
        EXPECT_LE(protocol::encode_record(record).size(), 4096U - 64U - 4U);
    }
    EXPECT_LE(bytes, kIds / 8) << "one bit for an id";
    EXPECT_LE(records.size(), kIds / IdBits::kWordBits / OutcomeMemory::kWordsPerRecord + 1);
    EXPECT_EQ(read(records), committed);
}

TEST(Outcomes, the_horizon_keeps_what_is_wanted) {
    OutcomeMemory memory;
    constexpr std::uint64_t kMax = 800;
    memory.set_committed({1, 500});
    EXPECT_FALSE(memory.choose_horizon({2, 300}, kMax).has_value());
    auto chosen = memory.choose_horizon({2, 400}, kMax);
    ASSERT_TRUE(chosen.has_value());
    EXPECT_EQ(*chosen, (IdPosition{1, 200}));  // 700 of 899 ids stay
    memory.move_horizon(*chosen);
    EXPECT_FALSE(memory.choose_horizon({2, 400}, kMax).has_value());
}

// ---- loose words ----------------------------------------------------------------------

TEST(Outcomes, a_word_is_loose_until_it_is_sealed_and_again_when_a_bit_comes_late) {
    OutcomeMemory memory;
    for (std::uint64_t sequence : {1U, 5U, 63U, 64U, 130U, 70'000U}) {
        memory.set_committed({1, sequence});
    }
    EXPECT_EQ(memory.loose(), 4U);
    memory.set_committed({1, 5});
    EXPECT_EQ(memory.loose(), 4U) << "known";
    EXPECT_EQ(read(memory.loose_records({}, 2)),
              (std::set<IdPosition>{{1, 1}, {1, 5}, {1, 63}, {1, 64}}));
    memory.forget_loose(2);
    EXPECT_EQ(read(memory.loose_records({}, kAll)), (std::set<IdPosition>{{1, 130}, {1, 70'000}}));
    memory.forget_loose(kAll);
    EXPECT_EQ(memory.loose(), 0U);
    EXPECT_TRUE(memory.loose_records({}, kAll).empty());
    memory.set_committed({1, 6});
    EXPECT_EQ(memory.loose(), 1U);
    EXPECT_EQ(read(memory.loose_records({}, kAll)),
              (std::set<IdPosition>{{1, 1}, {1, 5}, {1, 6}, {1, 63}}))
        << "with its neighbours";
    memory.set_committed({1, 63});
    EXPECT_EQ(memory.loose(), 1U);
    EXPECT_TRUE(memory.is_committed({1, 130}));
}

TEST(Outcomes, what_the_horizon_passes_is_loose_no_more) {
    OutcomeMemory memory;
    for (std::uint64_t sequence : {1U, 66U, 100U, 20'000U, 40'000U}) {
        memory.set_committed({2, sequence});
    }
    memory.set_committed({1, 9});
    EXPECT_EQ(memory.loose(), 5U);
    memory.move_horizon({2, 100});
    EXPECT_EQ(memory.loose(), 3U);
    memory.move_horizon({2, 101});
    EXPECT_EQ(memory.loose(), 2U);
    memory.set_committed({2, 100});
    memory.restore({2, 0, base::Bytes(13, 0xff)}, true);
    EXPECT_EQ(read(memory.loose_records({}, kAll)),
              (std::set<IdPosition>{{2, 101}, {2, 102}, {2, 103}, {2, 20'000}, {2, 40'000}}))
        << "nothing below comes back";
    memory.move_horizon({3, 0});
    EXPECT_EQ(memory.loose(), 0U);
    EXPECT_TRUE(memory.is_empty());
    EXPECT_EQ(memory, [] {
        OutcomeMemory empty;
        empty.move_horizon({3, 0});
        return empty;
    }());
}

TEST(Outcomes, a_bit_that_is_in_a_file_and_stands_beside_it_is_not_loose) {
    OutcomesRecord both{1, 64, {0x03}};
    OutcomesRecord more{1, 64, {0x07}};
    for (bool file_first : {true, false}) {
        OutcomeMemory memory;
        memory.restore(both, !file_first);
        memory.restore(both, file_first);
        EXPECT_EQ(memory.loose(), file_first ? 0U : 1U) << "if it was read first, it is harmless";
        memory.forget_loose(kAll);
        memory.restore(more, true);
        EXPECT_EQ(memory.loose(), 1U) << "one of them is in no file";
        EXPECT_EQ(read(memory.loose_records({}, kAll)), read({more}));
    }
}

// Whatever is sealed when, the union of the files and of what is loose is what was set.
TEST(Outcomes, files_and_loose_words_together_hold_every_bit) {
    base::SeededRng rng(11);
    for (int round = 0; round < 200; ++round) {
        OutcomeMemory memory;
        OutcomeMemory files;
        for (std::uint64_t i = 0; i < 400; ++i) {
            std::uint64_t late = rng.chance_per_mille(200) ? rng.below(30'000) : rng.below(200);
            std::uint64_t sequence = 30'000 + i * 50 - late;
            memory.set_committed({static_cast<protocol::Epoch>(1 + rng.below(2)), sequence});
            if (rng.chance_per_mille(20))
                memory.move_horizon(std::max(memory.horizon(), {1, sequence / 2}));
            if (memory.loose() < 8) continue;
            for (const auto& record : memory.loose_records(memory.horizon(), 8)) {
                files.restore(record, false);
            }
            memory.forget_loose(8);
        }
        EXPECT_LT(memory.loose(), 8U);
        OutcomeMemory again;
        again.move_horizon(memory.horizon());
        for (const auto& record : files.loose_records({}, kAll)) ADD_FAILURE() << record.epoch;
        files.move_horizon(memory.horizon());
        for (const auto& record : memory.loose_records(memory.horizon(), kAll)) {
            files.restore(record, true);
        }
        EXPECT_EQ(files, memory) << "round " << round;
        EXPECT_LE(files.loose(), memory.loose());
    }
}

TEST(Outcomes, a_bit_costs_a_bit) {
    constexpr std::uint64_t kIds = 10'000'000;
    OutcomeMemory memory;
    for (std::uint64_t sequence = 1; sequence <= kIds; ++sequence) {
        memory.set_committed({1, sequence});
        if (memory.loose() == 8'192) memory.forget_loose(kAll);
    }
    EXPECT_LT(memory.reserved_bytes(), kIds / 8 * 105 / 100);
    memory.move_horizon({1, kIds / 2});
    EXPECT_LT(memory.reserved_bytes(), kIds / 16 * 105 / 100) << "it is given back";
}

// ---- the machine ----------------------------------------------------------------------

void commit(Script& s) {
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    s.when("committed", s.reply(2, committed));
}

template <class Record>
std::vector<Record> only(const std::vector<protocol::Record>& records) {
    std::vector<Record> out;
    for (const protocol::Record& record : records) {
        if (const auto* one = std::get_if<Record>(&record)) out.push_back(*one);
    }
    return out;
}

const Seal* sealed_by(const Script& s) {
    for (const Effect& effect : s.effects) {
        if (const auto* seal = std::get_if<Seal>(&effect)) return seal;
    }
    return nullptr;
}

Config two_words_to_a_file() {
    Config config;
    config.outcome_words_per_file = 2;
    return config;
}

TEST(SealedOutcomes, leave_the_checkpoints_for_a_file) {
    Script s(2, two_words_to_a_file());
    for (int i = 1; i < 64; ++i) commit(s);
    EXPECT_EQ(only<OutcomesRecord>(s.machine.checkpoint()).size(), 1U);
    EXPECT_EQ(sealed_by(s), nullptr);
    commit(s);
    const Seal* seal = sealed_by(s);
    ASSERT_NE(seal, nullptr);
    EXPECT_EQ(seal->file, first_sealed_file(1));
    EXPECT_EQ(read(only<OutcomesRecord>(seal->records)).size(), 64U);
    EXPECT_TRUE(only<OutcomesRecord>(s.machine.checkpoint()).empty());
    auto files = only<protocol::SealedOutcomesRecord>(s.machine.checkpoint());
    EXPECT_EQ(files,
              (std::vector{protocol::SealedOutcomesRecord{
                  seal->file, IdPosition{1, 64}, 64, protocol::content_checksum(seal->records)}}));
    commit(s);
    EXPECT_EQ(sealed_by(s), nullptr);
    EXPECT_EQ(read(only<OutcomesRecord>(s.machine.checkpoint())),
              (std::set<IdPosition>{{1, 64}, {1, 65}}));
}

// Its end comes when the words around it are long in a file.
TEST(SealedOutcomes, a_late_end_comes_into_a_later_file) {
    Script s(2, two_words_to_a_file());
    s.when("work comes", s.submit({1, 2}));
    protocol::BranchKey late = s.key(2);
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    for (int i = 2; i <= 64; ++i) commit(s);
    EXPECT_EQ(only<protocol::SealedOutcomesRecord>(s.machine.checkpoint()).size(), 1U);
    s.when("it commits at last", s.reply_to(protocol::ItemOp::commit, late, 2, committed));
    EXPECT_EQ(sealed_by(s), nullptr);
    auto loose = read(only<OutcomesRecord>(s.machine.checkpoint()));
    EXPECT_EQ(loose.size(), 63U);
    EXPECT_TRUE(loose.contains({1, 1}));
    commit(s);
    ASSERT_NE(sealed_by(s), nullptr);
    EXPECT_EQ(only<protocol::SealedOutcomesRecord>(s.machine.checkpoint()).size(), 2U);
    EXPECT_TRUE(only<OutcomesRecord>(s.machine.checkpoint()).empty());
}

// However many are remembered, a checkpoint writes no more of them than one file holds.
TEST(SealedOutcomes, a_checkpoint_does_not_grow_with_them) {
    for (std::uint64_t count : {std::uint64_t{2'000'000}, std::uint64_t{20'000'000}}) {
        RecoveredState state = first_start(2);
        for (std::uint64_t sequence = 1; sequence <= count; ++sequence) {
            state.outcomes.set_committed({1, sequence});
            if (state.outcomes.loose() < 8'192) continue;
            state.outcomes.forget_loose(8'192);
            state.sealed_outcomes[sequence] = {sequence, {1, sequence}, 1};
        }
        Machine machine({}, std::move(state));
        std::size_t bytes = 0;
        for (const auto& record : only<OutcomesRecord>(machine.checkpoint())) {
            bytes += protocol::encode_record(record).size();
        }
        EXPECT_LE(bytes, 8'192U * 8 * 105 / 100) << count << " outcomes";
    }
}

// ---- age ------------------------------------------------------------------------------

std::string turn_at(std::uint32_t number, std::uint64_t next) {
    return "append outcome turn " + std::to_string(number) + " at 1." + std::to_string(next);
}

// The timer of the turns, which every turn arms again.
TimerId newest_timer(const Script& s) {
    for (const Effect& effect : s.effects) {
        if (const auto* timer = std::get_if<ArmTimer>(&effect)) return timer->timer;
    }
    return {};
}

TimerId turn_timer_after_commit(Script& s) {
    std::vector<TimerId> before = s.timers;
    commit(s);
    for (TimerId timer : s.timers) {
        if (std::ranges::find(before, timer) == before.end()) return timer;
    }
    return {};
}

TEST(OutcomeTurns, an_outcome_is_forgotten_after_so_many_turns_and_its_file_too) {
    Script s(2, two_words_to_a_file());
    TimerId timer = turn_timer_after_commit(s);
    protocol::TxnId first = s.txn;
    for (std::uint32_t turn = 1; turn <= kTurnsPerRetention; ++turn) {
        s.when("a part of the time is over", TimerFired{timer}).expect({turn_at(turn, turn + 1)});
        timer = newest_timer(s);
        commit(s);
    }
    EXPECT_EQ(only<protocol::SealedOutcomesRecord>(s.machine.checkpoint()).size(), 1U);
    s.when("one more", TimerFired{timer})
        .expect_one(turn_at(kTurnsPerRetention + 1, kTurnsPerRetention + 2))
        .expect_one("force horizon 1.2")
        .expect_none("alarm");
    timer = newest_timer(s);
    EXPECT_EQ(only<protocol::OutcomeTurnRecord>(s.machine.checkpoint()).size(),
              kTurnsPerRetention + 1);
    EXPECT_EQ(s.machine.query(first).kind, AnswerKind::finished) << "it is not durable yet";
    s.when("durable", s.durable());
    EXPECT_EQ(s.machine.horizon(), (IdPosition{1, 2}));
    auto pass = [&](std::uint64_t until) {
        while (s.machine.horizon() < IdPosition{1, until}) {
            s.when("a part of the time is over", TimerFired{timer});
            timer = newest_timer(s);
            s.when("durable", s.durable());
        }
    };
    pass(64);
    EXPECT_EQ(only<protocol::SealedOutcomesRecord>(s.machine.checkpoint()).size(), 1U);
    pass(65);
    EXPECT_TRUE(only<protocol::SealedOutcomesRecord>(s.machine.checkpoint()).empty());
    EXPECT_EQ(read(only<OutcomesRecord>(s.machine.checkpoint())), (std::set<IdPosition>{{1, 65}}));
    pass(66);
    EXPECT_TRUE(only<OutcomesRecord>(s.machine.checkpoint()).empty());
    s.when("a part of the time is over", TimerFired{timer});
    EXPECT_EQ(newest_timer(s), TimerId{}) << "nothing is remembered: nothing grows older";
}

TEST(OutcomeTurns, time_does_not_pass_what_is_undecided) {
    Script s;
    s.when("a client begins", s.begin());
    protocol::TxnId active = s.txn;
    TimerId timer = turn_timer_after_commit(s);
    for (std::uint32_t turn = 1; turn <= kTurnsPerRetention + 5; ++turn) {
        s.when("a part of the time is over", TimerFired{timer}).expect_none("alarm");
        timer = newest_timer(s);
        if (turn > kTurnsPerRetention) s.when("durable", s.durable());
    }
    EXPECT_EQ(s.machine.horizon(), active.position());
}

// Time goes on where it stood, and what was lost of it only makes outcomes live longer.
TEST(OutcomeTurns, a_start_knows_how_old_everything_is) {
    Script s;
    TimerId timer = turn_timer_after_commit(s);
    for (std::uint32_t turn = 1; turn <= kTurnsPerRetention; ++turn) {
        s.when("a part of the time is over", TimerFired{timer});
        timer = newest_timer(s);
    }
    RecoveredState state = first_start(2);
    state.epoch = 2;
    state.epochs[2] = epoch_record(2);
    for (const auto& record : only<protocol::OutcomeTurnRecord>(s.machine.checkpoint())) {
        add_turn(state.turns, record);
    }
    state.outcomes.set_committed({1, 1});
    Config config;
    config.horizon_rest = Milliseconds{5};
    Script next(state, config);
    ASSERT_FALSE(next.timers.empty());
    next.when("a part of the time is over", TimerFired{next.timers.front()})
        .expect({"append outcome turn 65 at 2.1"});
    std::vector<TimerId> armed = next.timers;  // the rest, and the next turn
    next.when("former starts have rested", TimerFired{armed[armed.size() - 2]}).quiet();
    next.when("a part of the time is over", TimerFired{armed.back()})
        .expect_one("force horizon 1.2");
}

TEST(OutcomeTurns, a_person_is_told_once_when_outcomes_go_before_their_time) {
    Config config;
    config.outcomes_max = 16;
    Script s(2, config);
    int alarms = 0;
    for (int i = 0; i < 60; ++i) {
        commit(s);
        for (const Effect& effect : s.effects) {
            alarms += describe(effect) == "alarm outcomes_forgotten_early at 0" ? 1 : 0;
        }
        s.when("what is forced is durable", s.durable());
    }
    EXPECT_GT(s.machine.horizon(), (IdPosition{1, 30}));
    EXPECT_EQ(alarms, 1);
}

}  // namespace
}  // namespace twofold::coordinator
