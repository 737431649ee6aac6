#include "async/spawn.h"

#include "base/log.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

namespace twofold::async {

namespace {

std::string what_of(const std::exception_ptr& escaped) {
    try {
        std::rethrow_exception(escaped);
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "an exception of an unknown type";
    }
}

void handle_escape(std::string_view name, OnEscape on_escape, const std::exception_ptr& escaped) {
    if (!escaped) {
        return;
    }
    base::log_event(base::LogLevel::error,
                    "task_failed",
                    "an exception left a task",
                    {{"task", name}, {"reason", what_of(escaped)}});
    if (on_escape == OnEscape::abort_process) {
        std::abort();
    }
}

}  // namespace

void spawn(const boost::asio::any_io_executor& executor,
           std::string_view name,
           OnEscape on_escape,
           boost::asio::awaitable<void> task) {
    boost::asio::co_spawn(
        executor, std::move(task), [name, on_escape](const std::exception_ptr& escaped) {
            handle_escape(name, on_escape, escaped);
        });
}

void spawn_cancellable(const boost::asio::any_io_executor& executor,
                       std::string_view name,
                       OnEscape on_escape,
                       boost::asio::awaitable<void> task,
                       boost::asio::cancellation_signal& signal,
                       UniqueFunction<void()> on_end) {
    auto ended =
        [name, on_escape, on_end = std::move(on_end)](const std::exception_ptr& escaped) mutable {
            handle_escape(name, on_escape, escaped);
            on_end();
        };
    boost::asio::co_spawn(executor,
                          std::move(task),
                          boost::asio::bind_cancellation_slot(signal.slot(), std::move(ended)));
}

}  // namespace twofold::async
