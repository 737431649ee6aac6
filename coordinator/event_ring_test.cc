#include "coordinator/event_ring.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

Event alarm(const std::string& code) {
    Event event;
    event.kind = Event::Kind::alarm;
    event.code = code;
    return event;
}

TEST(EventRing, what_was_missed_is_there_or_told_as_a_gap) {
    EventRing ring(3, 100);
    bool gap = false;
    EXPECT_EQ(ring.after(100, gap), nullptr);
    EXPECT_FALSE(gap) << "nothing has happened yet";
    EXPECT_EQ(ring.after(7, gap), nullptr);
    EXPECT_TRUE(gap) << "of a former start";
    EXPECT_EQ(ring.after(101, gap), nullptr);
    EXPECT_TRUE(gap) << "of the future";
    for (const char* code : {"a", "b", "c"}) ring.add(alarm(code));
    const Event* next = ring.after(100, gap);
    ASSERT_NE(next, nullptr);
    EXPECT_EQ(next->code, "a");
    EXPECT_FALSE(gap);
    EXPECT_EQ(ring.after(102, gap)->code, "c");
    EXPECT_EQ(ring.after(103, gap), nullptr);
    ring.add(alarm("d"));
    next = ring.after(100, gap);
    EXPECT_EQ(next->code, "b");
    EXPECT_TRUE(gap) << "a is gone";
    EXPECT_EQ(ring.after(101, gap)->code, "b");
    EXPECT_FALSE(gap);
}

TEST(EventRing, readers_are_woken_and_may_leave_while_they_are) {
    EventRing ring(3, 0);
    int first = 0;
    int second = 0;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    a = ring.subscribe([&] {
        ++first;
        ring.unsubscribe(b);
        ring.unsubscribe(a);
    });
    b = ring.subscribe([&] { ++second; });
    ring.add(alarm("x"));
    ring.add(alarm("y"));
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 0);
    EXPECT_EQ(ring.readers(), 0U);
}

TEST(EventRing, events_as_text) {
    Event event = alarm("hazard");
    event.id = 7;
    event.name = "north";
    event.text = "line\nbreak";
    EXPECT_EQ(sse_text(event),
              "id: 7\nevent: alarm\ndata: {\"participant\":\"north\",\"code\":\"hazard\","
              "\"text\":\"line\\nbreak\"}\n\n");
    Event up;
    up.kind = Event::Kind::participant;
    up.name = "south";
    up.up = true;
    EXPECT_EQ(sse_text(up),
              "id: 0\nevent: participant\ndata: {\"participant\":\"south\",\"up\":true}\n\n");
}

}  // namespace
}  // namespace twofold::coordinator
