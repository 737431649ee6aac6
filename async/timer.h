// A one-shot timer on the monotonic clock.
// Thread: the loop's. The callback runs on the loop, never inside start(). It may start the timer
// again or destroy it.
#pragma once

#include "async/event_loop.h"
#include "async/unique_function.h"

#include <chrono>
#include <memory>

namespace twofold::async {

class Timer {
public:
    explicit Timer(EventLoop& loop);
    ~Timer();  // cancels
    Timer(Timer&&) noexcept;
    Timer& operator=(Timer&&) noexcept;

    // Arms the timer; replaces what was armed before, whose callback will not run.
    void start(std::chrono::steady_clock::duration delay, UniqueFunction<void()> on_fire);
    void start_at(std::chrono::steady_clock::time_point when, UniqueFunction<void()> on_fire);

    // On return the callback is gone and will not run, even if the time had already passed.
    void cancel() noexcept;

    [[nodiscard]] bool armed() const noexcept;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::async
