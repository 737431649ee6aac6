// Deadlines for very many objects behind one timer. A connection changes its deadline several times
// per request, and an Asio timer for each change costs as much as parsing the request; here a
// change is two stores. The price: a deadline fires up to the queue's resolution late, never early.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/timer.h"
#include "async/unique_function.h"

#include <chrono>

namespace twofold::async {

class DeadlineQueue;

// One object's deadline. Not movable: the queue links it. It must go before its queue does.
class Deadline {
public:
    using TimePoint = std::chrono::steady_clock::time_point;

    // on_expired runs once per arming, on the loop, with the deadline already disarmed. It may arm
    // again and may destroy this object and others.
    Deadline(DeadlineQueue& queue, UniqueFunction<void()> on_expired);
    ~Deadline();
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    void arm(TimePoint when);  // replaces the earlier time; TimePoint::max() disarms
    void disarm() noexcept;
    [[nodiscard]] bool armed() const noexcept { return armed_; }

private:
    friend class DeadlineQueue;
    DeadlineQueue& queue_;
    UniqueFunction<void()> on_expired_;
    TimePoint when_ = TimePoint::max();
    bool armed_ = false;
    Deadline* previous_ = nullptr;  // in the list of armed deadlines
    Deadline* next_ = nullptr;
};

class DeadlineQueue {
public:
    explicit DeadlineQueue(EventLoop& loop,
                           std::chrono::milliseconds resolution = std::chrono::milliseconds{5});
    ~DeadlineQueue();  // every Deadline must be gone, or asserted
    DeadlineQueue(const DeadlineQueue&) = delete;
    DeadlineQueue& operator=(const DeadlineQueue&) = delete;

private:
    friend class Deadline;
    void link(Deadline& deadline) noexcept;
    void unlink(Deadline& deadline) noexcept;
    void wake_by(Deadline::TimePoint when);
    void scan();

    Timer timer_;
    std::chrono::milliseconds resolution_;
    Deadline* first_ = nullptr;
    Deadline* cursor_ = nullptr;  // where scan() goes on; unlink() moves it off a vanishing entry
    Deadline* firing_ = nullptr;  // whose callback runs; null again if the callback destroyed it
    bool* alive_ = nullptr;       // tells scan() that a callback destroyed the queue
    Deadline::TimePoint wake_at_ = Deadline::TimePoint::max();
    Deadline::TimePoint last_scan_{};
};

}  // namespace twofold::async
