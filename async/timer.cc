#include "async/timer.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

#include <cstdint>
#include <utility>

namespace twofold::async {

// Pending waits share it, so that one whose time had already passed finds out that it was
// cancelled.
struct Timer::Impl {
    using AsioTimer =
        boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                          boost::asio::wait_traits<std::chrono::steady_clock>,
                                          boost::asio::io_context::executor_type>;

    explicit Impl(EventLoop& loop) : timer(loop.context()) {}

    AsioTimer timer;
    UniqueFunction<void()> on_fire;
    std::uint64_t generation = 0;  // of the wait that may still call back
};

Timer::Timer(EventLoop& loop) : impl_(std::make_shared<Impl>(loop)) {}

Timer::~Timer() {
    if (impl_ != nullptr) {
        cancel();
    }
}

Timer::Timer(Timer&&) noexcept = default;

Timer& Timer::operator=(Timer&& other) noexcept {
    if (this != &other) {
        if (impl_ != nullptr) {
            cancel();
        }
        impl_ = std::move(other.impl_);
    }
    return *this;
}

void Timer::start(std::chrono::steady_clock::duration delay, UniqueFunction<void()> on_fire) {
    start_at(std::chrono::steady_clock::now() + delay, std::move(on_fire));
}

void Timer::start_at(std::chrono::steady_clock::time_point when, UniqueFunction<void()> on_fire) {
    impl_->on_fire = std::move(on_fire);
    const std::uint64_t generation = ++impl_->generation;
    impl_->timer.expires_at(when);  // cancels the earlier wait
    // The wait holds the state weakly: a timer that is destroyed with its loop stopped must not
    // keep it.
    impl_->timer.async_wait(
        [weak = std::weak_ptr<Impl>(impl_), generation](const boost::system::error_code& error) {
            const auto impl = weak.lock();
            if (error || impl == nullptr || impl->generation != generation) {
                return;
            }
            auto fire = std::move(impl->on_fire);
            fire();
        });
}

void Timer::cancel() noexcept {
    if (!impl_->on_fire) {
        return;
    }
    ++impl_->generation;
    impl_->on_fire = nullptr;
    impl_->timer.cancel();
}

bool Timer::armed() const noexcept { return static_cast<bool>(impl_->on_fire); }

}  // namespace twofold::async
