#include "coordinator/core/slots.h"

#include "base/rng.h"

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

}  // namespace
}  // namespace twofold::coordinator
