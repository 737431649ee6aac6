#include "async/event_loop.h"

#include "base/assert.h"
#include "base/log.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/error_code.hpp>

#include <csignal>
#include <optional>

namespace twofold::async {

namespace asio = boost::asio;

struct EventLoop::Impl {
    // The hint says that one thread runs it: posts from that thread need no wake-up. Posting from
    // other threads stays safe.
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    std::optional<asio::signal_set> signals;
    UniqueFunction<void(int)> on_signal;

    void wait_for_signal() {
        signals->async_wait([this](const boost::system::error_code& error, int number) {
            if (error) {
                return;
            }
            on_signal(number);
            wait_for_signal();
        });
    }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}

EventLoop::~EventLoop() = default;

void EventLoop::run() {
    impl_->context.restart();
    impl_->context.run();
}

void EventLoop::stop() { impl_->context.stop(); }

void EventLoop::post(UniqueFunction<void()> fn) {
    asio::post(impl_->context, [fn = std::move(fn)]() mutable { fn(); });
}

void EventLoop::handle_signals(UniqueFunction<void(int)> on_signal) {
    TWOFOLD_ASSERT(!impl_->signals.has_value(), "signals are handled once");
    impl_->on_signal = std::move(on_signal);
    impl_->signals.emplace(impl_->context);
    boost::system::error_code error;
    impl_->signals->add(SIGTERM, error);
    TWOFOLD_ASSERT(!error, "SIGTERM cannot be handled");
    impl_->signals->add(SIGINT, error);
    TWOFOLD_ASSERT(!error, "SIGINT cannot be handled");
    impl_->wait_for_signal();
}

bool EventLoop::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    impl_->context.restart();
    while (!done()) {
        if (std::chrono::steady_clock::now() >= end || impl_->context.stopped()) {
            return false;
        }
        impl_->context.run_one_until(end);
    }
    return true;
}

void EventLoop::poll() {
    impl_->context.restart();
    impl_->context.poll();
}

boost::asio::any_io_executor EventLoop::executor() { return impl_->context.get_executor(); }

boost::asio::io_context& EventLoop::context() noexcept { return impl_->context; }

}  // namespace twofold::async
