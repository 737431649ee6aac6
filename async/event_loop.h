// The event loop of a process: one io_context, run by one thread. Every callback of async and http
// runs on that thread; only post() and stop() may be called from others.
#pragma once

#include "async/unique_function.h"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <functional>
#include <memory>

namespace boost::asio {
class io_context;  // complete only for the .cc files that include it
}

namespace twofold::async {

class EventLoop {
public:
    EventLoop();
    // Destroys handlers that never ran. Objects made with this loop must be gone before it.
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // Runs handlers until stop(), even when there is nothing to do for the moment.
    void run();

    // Makes run() return after the current handler; what is queued stays queued. Any thread.
    void stop();

    // Queues fn; never runs it inside of this call. Functions posted by one thread run in order,
    // after everything that was ready before: a flush posted at the first item of a turn sees all
    // of them. Any thread.
    void post(UniqueFunction<void()> fn);

    // Calls `on_signal` with SIGTERM or SIGINT, each time one arrives, on the loop's thread. Call
    // it once, before run().
    void handle_signals(UniqueFunction<void(int)> on_signal);

    // For tests and tools: runs handlers until `done` returns true, or the limit has passed
    // (false).
    [[nodiscard]] bool run_until(const std::function<bool()>& done,
                                 std::chrono::milliseconds limit);

    // For tests: runs what is ready and returns without waiting.
    void poll();

    // What Asio objects are made with. Sockets on hot paths take the context: its own executor type
    // is cheaper than the type-erased one.
    [[nodiscard]] boost::asio::any_io_executor executor();
    [[nodiscard]] boost::asio::io_context& context() noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::async
