#include "coordinator/core/slots.h"

#include "base/rng.h"
#include "coordinator/core/outcomes.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace twofold::coordinator {
namespace {

using protocol::IdPosition;
using Participant = protocol::ParticipantNumber;

std::vector<Participant> at(std::initializer_list<std::uint16_t> numbers) {
    std::vector<Participant> out;
    for (std::uint16_t number : numbers) out.emplace_back(number);
    return out;
}

IdPosition owner(std::uint64_t sequence) { return {1, sequence}; }

TEST(Slots, first_come_first_served) {
    SlotTable slots;
    slots.set_capacity(Participant(1), 1);
    EXPECT_TRUE(slots.request(owner(1), at({1})));
    EXPECT_FALSE(slots.request(owner(2), at({1})));
    EXPECT_FALSE(slots.request(owner(3), at({1})));
    slots.release(Participant(1));
    EXPECT_EQ(slots.take_granted(), std::vector<IdPosition>{owner(2)});
    slots.cancel(owner(3));
    slots.release(Participant(1));
    EXPECT_TRUE(slots.take_granted().empty());
    EXPECT_EQ(slots.used(Participant(1)), 0U);
}

TEST(Slots, a_granted_owner_that_gives_up_returns_its_slots) {
    SlotTable slots;
    slots.set_capacity(Participant(1), 1);
    EXPECT_TRUE(slots.request(owner(1), at({1})));
    EXPECT_FALSE(slots.request(owner(2), at({1})));
    slots.release(Participant(1));
    slots.cancel(owner(2));
    EXPECT_TRUE(slots.take_granted().empty());
    EXPECT_EQ(slots.used(Participant(1)), 0U);
}

TEST(Slots, more_room_is_used_at_once) {
    SlotTable slots;
    slots.set_capacity(Participant(1), 1);
    EXPECT_TRUE(slots.request(owner(1), at({1})));
    EXPECT_FALSE(slots.request(owner(2), at({1})));
    slots.set_capacity(Participant(1), 2);
    EXPECT_EQ(slots.take_granted().size(), 1U);
}

// Random requests, cancellations and ends: every request is served, no participant is overdrawn,
// and nobody who asked later for the same participants is served before.
TEST(Slots, nobody_waits_for_ever) {
    base::SeededRng rng(42);
    for (int round = 0; round < 200; ++round) {
        SlotTable slots;
        for (std::uint16_t p = 1; p <= 4; ++p) {
            slots.set_capacity(Participant(p), static_cast<std::uint32_t>(1 + rng.below(2)));
        }
        std::map<IdPosition, std::vector<Participant>> running;
        std::map<IdPosition, std::vector<Participant>> waiting;
        auto start = [&](IdPosition id) {
            running[id] = waiting.at(id);
            waiting.erase(id);
        };
        std::uint64_t next = 1;
        for (int step = 0; step < 400; ++step) {
            std::uint64_t what = rng.below(10);
            if (what < 5 && step < 200) {
                IdPosition id = owner(next++);
                std::vector<Participant> wanted;
                for (std::uint16_t p = 1; p <= 4; ++p) {
                    if (rng.below(2) == 0) wanted.emplace_back(p);
                }
                waiting[id] = wanted;
                if (slots.request(id, wanted)) start(id);
            } else if (what == 5 && !waiting.empty()) {
                slots.cancel(waiting.begin()->first);
                waiting.erase(waiting.begin());
            } else if (!running.empty()) {
                auto ended =
                    std::next(running.begin(), static_cast<int>(rng.below(running.size())));
                for (Participant p : ended->second) slots.release(p);
                running.erase(ended);
            }
            for (IdPosition id : slots.take_granted()) start(id);
        }
        while (!running.empty()) {
            for (Participant p : running.begin()->second) slots.release(p);
            running.erase(running.begin());
            for (IdPosition id : slots.take_granted()) start(id);
        }
        EXPECT_TRUE(waiting.empty()) << "round " << round;
        for (std::uint16_t p = 1; p <= 4; ++p) EXPECT_EQ(slots.used(Participant(p)), 0U);
    }
}

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
        OutcomeMemory memory({}, {}, 1'000'000);
        std::set<IdPosition> committed;
        for (int i = 0; i < 300; ++i) {
            IdPosition id{static_cast<protocol::Epoch>(1 + rng.below(3)), 1 + rng.below(5000)};
            memory.set_committed(id);
            committed.insert(id);
        }
        IdPosition horizon{2, rng.below(5000)};
        committed.erase(committed.begin(), committed.lower_bound(horizon));
        EXPECT_EQ(read(memory.records(horizon)), committed) << "it is being forced";
        memory.move_horizon(horizon);
        EXPECT_EQ(read(memory.records(horizon)), committed);
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
    OutcomeMemory memory({}, {}, 1'000'000);
    memory.set_committed({2, 70});
    memory.set_unrecorded({2, 71});
    memory.set_unrecorded({1, 3});
    EXPECT_TRUE(memory.is_committed({2, 71}));
    EXPECT_TRUE(memory.is_unrecorded({2, 71}));
    EXPECT_FALSE(memory.is_unrecorded({2, 70}));
    EXPECT_EQ(read(memory.records({})), (std::set<IdPosition>{{2, 70}}));
    EXPECT_EQ(memory.newest_committed_below({2, 72}), (IdPosition{2, 70}));
    memory.move_horizon({2, 71});
    EXPECT_FALSE(memory.is_committed({1, 3}));
    EXPECT_FALSE(memory.is_committed({2, 70}));
    EXPECT_TRUE(memory.is_unrecorded({2, 71}));
    memory.move_horizon({2, 72});
    EXPECT_FALSE(memory.is_committed({2, 71}));
}

TEST(Outcomes, many_ids_become_several_records) {
    constexpr std::uint64_t kIds = 2'000'000;
    OutcomeMemory memory({}, {}, kIds);
    std::set<IdPosition> committed;
    for (std::uint64_t sequence = 1; sequence < kIds; sequence += 1'000) {
        memory.set_committed({1, sequence});
        committed.insert({1, sequence});
    }
    auto records = memory.records({});
    EXPECT_EQ(records.size(), 4U);
    std::size_t bytes = 0;
    for (const auto& record : records) bytes += record.committed_bits.size();
    EXPECT_LE(bytes, kIds / 8) << "one bit for an id";
    EXPECT_EQ(read(records), committed);
}

TEST(Outcomes, the_horizon_keeps_what_is_wanted) {
    OutcomeMemory memory({}, {}, 800);
    memory.set_committed({1, 500});
    EXPECT_FALSE(memory.choose_horizon({2, 300}, {2, 300}).has_value());
    auto chosen = memory.choose_horizon({2, 400}, {2, 400});
    ASSERT_TRUE(chosen.has_value());
    EXPECT_EQ(*chosen, (IdPosition{1, 200}));  // 700 of 899 ids stay
    EXPECT_EQ(memory.choose_horizon({2, 400}, {1, 100}), (IdPosition{1, 100}));
    memory.move_horizon(*chosen);
    EXPECT_FALSE(memory.choose_horizon({2, 400}, {2, 400}).has_value());
}

}  // namespace
}  // namespace twofold::coordinator
