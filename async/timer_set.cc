#include "async/timer_set.h"

#include <utility>

namespace twofold::async {

TimerSet::TimerSet(EventLoop& loop, UniqueFunction<void(std::uint64_t)> on_fire)
    : timer_(loop), on_fire_(std::move(on_fire)) {}

void TimerSet::arm(std::uint64_t number, std::chrono::milliseconds delay) {
    cancel(number);
    by_number_.emplace(number, queue_.emplace(Clock::now() + delay, number));
    schedule();
}

void TimerSet::cancel(std::uint64_t number) {
    auto found = by_number_.find(number);
    if (found == by_number_.end()) return;
    queue_.erase(found->second);
    by_number_.erase(found);
}

void TimerSet::clear() {
    queue_.clear();
    by_number_.clear();
    timer_.cancel();
    scheduled_ = Clock::time_point::max();
}

// Only an earlier first timer needs a new wake-up: a later one is found when the old one fires.
void TimerSet::schedule() {
    if (queue_.empty() || queue_.begin()->first >= scheduled_) return;
    scheduled_ = queue_.begin()->first;
    timer_.start_at(scheduled_, [this] { fire_due(); });
}

void TimerSet::fire_due() {
    scheduled_ = Clock::time_point::max();
    Clock::time_point now = Clock::now();
    while (!queue_.empty() && queue_.begin()->first <= now) {
        std::uint64_t number = queue_.begin()->second;
        by_number_.erase(number);
        queue_.erase(queue_.begin());
        on_fire_(number);
    }
    schedule();
}

}  // namespace twofold::async
