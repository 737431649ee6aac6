// Many one-shot timers by number behind one Timer, for drivers of machines whose timers are plain
// numbers. Arming a number again replaces its time. Fires in the order of time.
// Thread: the loop's. The callback runs on the loop and may arm and cancel.
#pragma once

#include "async/event_loop.h"
#include "async/timer.h"
#include "async/unique_function.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>

namespace twofold::async {

class TimerSet {
public:
    TimerSet(EventLoop& loop, UniqueFunction<void(std::uint64_t)> on_fire);

    void arm(std::uint64_t number, std::chrono::milliseconds delay);
    void cancel(std::uint64_t number);
    // Nothing fires after this.
    void clear();
    [[nodiscard]] std::size_t size() const { return by_number_.size(); }

private:
    using Clock = std::chrono::steady_clock;
    using Queue = std::multimap<Clock::time_point, std::uint64_t>;

    void schedule();
    void fire_due();

    Timer timer_;
    UniqueFunction<void(std::uint64_t)> on_fire_;
    Queue queue_;
    std::unordered_map<std::uint64_t, Queue::iterator> by_number_;
    Clock::time_point scheduled_ = Clock::time_point::max();
};

}  // namespace twofold::async
