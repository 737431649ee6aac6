// Starting a coroutine: the only place that uses co_spawn, so that what happens to an exception
// which nobody expected is decided once.
#pragma once

#include "async/unique_function.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string_view>

namespace boost::asio {
class cancellation_signal;
}

namespace twofold::async {

enum class OnEscape : std::uint8_t {
    abort_process,  // a broken invariant: the process ends, recovery handles the restart
    end_task,       // only this task ends (a connection); the rest of the process goes on
};

// Starts `task` on the executor; it first runs from the loop, not inside of this call. An exception
// that leaves it is logged once as "task_failed" with `name` (a literal), then handled as told.
void spawn(const boost::asio::any_io_executor& executor,
           std::string_view name,
           OnEscape on_escape,
           boost::asio::awaitable<void> task);

// The same, for task groups: emitting `signal`, which must outlive the task, cancels the task's
// pending operation; `on_end` runs when the task has ended in any way.
void spawn_cancellable(const boost::asio::any_io_executor& executor,
                       std::string_view name,
                       OnEscape on_escape,
                       boost::asio::awaitable<void> task,
                       boost::asio::cancellation_signal& signal,
                       UniqueFunction<void()> on_end);

}  // namespace twofold::async
