// Coroutines that belong together: they can be cancelled and their end can be awaited.
// Thread: the loop's.
#pragma once

#include "async/spawn.h"
#include "async/unique_function.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <memory>
#include <string_view>

namespace twofold::async {

class TaskGroup {
public:
    explicit TaskGroup(boost::asio::any_io_executor executor);
    ~TaskGroup();  // cancels the tasks; they may outlive the group, and then own what they use
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;

    // As async::spawn. Into a cancelled group nothing is started: `task` is destroyed unrun.
    void spawn(std::string_view name, OnEscape on_escape, boost::asio::awaitable<void> task);

    // Asks every task to end: its pending operation completes with operation_aborted.
    void cancel();

    // Calls back from the loop, once, when no task is left (also if there never was one).
    void on_empty(UniqueFunction<void()> callback);

    [[nodiscard]] std::size_t size() const noexcept;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::async
