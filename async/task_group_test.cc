#include "async/task_group.h"

#include "async/event_loop.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace twofold::async {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// `loop` and `ended` outlive the task.
asio::awaitable<void> wait_for(EventLoop& loop, std::chrono::milliseconds time, int& ended) {
    asio::steady_timer timer(loop.context(), time);
    co_await timer.async_wait(kTuple);
    ++ended;
}

asio::awaitable<void> throw_something(bool really = true) {
    if (really) {
        throw std::runtime_error("on purpose");
    }
    co_return;
}

TEST(Spawn, RunsTheTaskFromTheLoop) {
    EventLoop loop;
    int ended = 0;
    spawn(loop.executor(), "test", OnEscape::abort_process, wait_for(loop, 1ms, ended));
    EXPECT_EQ(ended, 0);
    EXPECT_TRUE(loop.run_until([&] { return ended == 1; }, 2s));
}

TEST(Spawn, AnEscapedExceptionEndsTheTaskOnly) {
    EventLoop loop;
    spawn(loop.executor(), "test", OnEscape::end_task, throw_something());
    loop.poll();
}

TEST(SpawnDeathTest, OrTheProcessWhenToldSo) {
    EXPECT_DEATH(
        {
            EventLoop loop;
            spawn(loop.executor(), "test", OnEscape::abort_process, throw_something());
            loop.poll();
        },
        "task_failed.*on purpose");
}

TEST(TaskGroup, CancelEndsEveryTaskAndTellsWhenEmpty) {
    EventLoop loop;
    int ended = 0;
    bool empty = false;
    TaskGroup group(loop.executor());
    for (int i = 0; i < 10; ++i) {
        group.spawn("test", OnEscape::abort_process, wait_for(loop, 1h, ended));
    }
    loop.poll();
    EXPECT_EQ(group.size(), 10U);
    group.on_empty([&] { empty = true; });
    loop.poll();
    EXPECT_FALSE(empty);
    group.cancel();
    EXPECT_TRUE(loop.run_until([&] { return empty; }, 2s));
    EXPECT_EQ(ended, 10);
    EXPECT_EQ(group.size(), 0U);
    group.spawn("late", OnEscape::abort_process, wait_for(loop, 0ms, ended));
    loop.poll();
    EXPECT_EQ(ended, 10);
}

TEST(TaskGroup, AnEmptyGroupTellsToo) {
    EventLoop loop;
    bool empty = false;
    TaskGroup group(loop.executor());
    group.on_empty([&] { empty = true; });
    EXPECT_FALSE(empty);
    loop.poll();
    EXPECT_TRUE(empty);
}

TEST(TaskGroup, TasksMayOutliveTheGroup) {
    EventLoop loop;
    int ended = 0;
    {
        TaskGroup group(loop.executor());
        group.spawn("test", OnEscape::abort_process, wait_for(loop, 1h, ended));
        loop.poll();
    }
    EXPECT_TRUE(loop.run_until([&] { return ended == 1; }, 2s));
}

TEST(TaskGroup, TasksThatNeverEndAreDestroyedWithTheLoop) {
    EventLoop loop;
    int ended = 0;
    spawn(loop.executor(), "test", OnEscape::abort_process, wait_for(loop, 1h, ended));
    loop.poll();
}

}  // namespace
}  // namespace twofold::async
