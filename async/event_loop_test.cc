#include "async/event_loop.h"

#include "async/deadline.h"
#include "async/timer.h"
#include "async/unique_function.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace twofold::async {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(UniqueFunction, HoldsMoveOnlyThings) {
    auto owned = std::make_unique<int>(7);
    UniqueFunction<int()> small = [owned = std::move(owned)] { return *owned; };
    UniqueFunction<int()> moved = std::move(small);
    // NOLINTNEXTLINE(bugprone-use-after-move): that it is empty then is what is tested
    EXPECT_FALSE(small);
    EXPECT_EQ(moved(), 7);
}

TEST(UniqueFunction, HoldsLargeThings) {
    std::array<std::uint64_t, 32> numbers{};
    numbers[31] = 5;
    UniqueFunction<std::uint64_t(std::size_t)> large = [numbers](std::size_t i) {
        return numbers[i];
    };
    auto moved = std::move(large);
    EXPECT_EQ(moved(31), 5U);
    moved = nullptr;
    EXPECT_FALSE(moved);
}

TEST(UniqueFunction, DestroysItsCallableOnce) {
    auto counted = std::make_shared<int>(0);
    {
        UniqueFunction<void()> a = [counted] {};
        UniqueFunction<void()> b = std::move(a);
        a = std::move(b);
        EXPECT_EQ(counted.use_count(), 2);
    }
    EXPECT_EQ(counted.use_count(), 1);
}

TEST(EventLoop, PostedFunctionsRunInOrderAndNeverInside) {
    EventLoop loop;
    std::string trace;
    loop.post([&] {
        trace += 'a';
        loop.post([&] { trace += 'c'; });
        trace += 'b';
    });
    EXPECT_EQ(trace, "");
    loop.poll();
    EXPECT_EQ(trace, "abc");
}

TEST(EventLoop, StopsFromAnotherThread) {
    EventLoop loop;
    std::thread other([&] { loop.post([&] { loop.stop(); }); });
    loop.run();
    other.join();
}

TEST(EventLoop, TellsSignals) {
    EventLoop loop;
    std::vector<int> seen;
    loop.handle_signals([&](int number) { seen.push_back(number); });
    std::raise(SIGTERM);
    EXPECT_TRUE(loop.run_until([&] { return seen.size() == 1; }, 2s));
    std::raise(SIGINT);
    EXPECT_TRUE(loop.run_until([&] { return seen.size() == 2; }, 2s));
    EXPECT_EQ(seen, (std::vector<int>{SIGTERM, SIGINT}));
}

TEST(Timer, FiresOnceAndNotEarly) {
    EventLoop loop;
    Timer timer(loop);
    const auto begin = Clock::now();
    int fired = 0;
    timer.start(20ms, [&] { ++fired; });
    EXPECT_TRUE(timer.armed());
    EXPECT_TRUE(loop.run_until([&] { return fired > 0; }, 2s));
    EXPECT_GE(Clock::now() - begin, 20ms);
    EXPECT_FALSE(timer.armed());
    EXPECT_FALSE(loop.run_until([&] { return fired > 1; }, 30ms));
}

TEST(Timer, DoesNotFireAfterCancelEvenWhenItsTimeHadPassed) {
    EventLoop loop;
    bool fired = false;
    Timer timer(loop);
    timer.start(0ms, [&] { fired = true; });
    std::this_thread::sleep_for(2ms);
    timer.cancel();
    loop.poll();
    EXPECT_FALSE(fired);
}

TEST(Timer, AStartReplacesTheEarlierOne) {
    EventLoop loop;
    std::string trace;
    Timer timer(loop);
    timer.start(0ms, [&] { trace += 'a'; });
    timer.start(1ms, [&] { trace += 'b'; });
    EXPECT_TRUE(loop.run_until([&] { return !trace.empty(); }, 2s));
    EXPECT_EQ(trace, "b");
}

TEST(Timer, MayBeDestroyedAndRestartedByItsCallback) {
    EventLoop loop;
    int fired = 0;
    auto timer = std::make_unique<Timer>(loop);
    timer->start(0ms, [&] {
        ++fired;
        timer->start(0ms, [&] {
            ++fired;
            timer.reset();
        });
    });
    EXPECT_TRUE(loop.run_until([&] { return fired == 2; }, 2s));
    EXPECT_EQ(timer, nullptr);
}

TEST(Deadline, FiresNotEarlyAndOnlyWhenItStillStands) {
    EventLoop loop;
    DeadlineQueue queue(loop);
    std::string trace;
    const auto begin = Clock::now();
    Deadline moved_on(queue, [&] { trace += 'm'; });
    Deadline disarmed(queue, [&] { trace += 'd'; });
    Deadline kept(queue, [&] { trace += 'k'; });
    moved_on.arm(begin + 5ms);
    disarmed.arm(begin + 6ms);
    kept.arm(begin + 20ms);
    moved_on.arm(begin + 60ms);
    disarmed.disarm();
    EXPECT_TRUE(loop.run_until([&] { return !trace.empty(); }, 2s));
    EXPECT_GE(Clock::now() - begin, 20ms);
    EXPECT_EQ(trace, "k");
    EXPECT_FALSE(kept.armed());
    EXPECT_TRUE(loop.run_until([&] { return trace.size() == 2; }, 2s));
    EXPECT_GE(Clock::now() - begin, 60ms);
    EXPECT_EQ(trace, "km");
}

TEST(Deadline, CallbackMayDestroyItselfAndOthers) {
    EventLoop loop;
    DeadlineQueue queue(loop);
    int fired = 0;
    std::vector<std::unique_ptr<Deadline>> all;
    const auto when = Clock::now();
    for (int i = 0; i < 4; ++i) {
        all.push_back(std::make_unique<Deadline>(queue, [&] {
            ++fired;
            all.clear();
        }));
        all.back()->arm(when);
    }
    EXPECT_TRUE(loop.run_until([&] { return fired > 0; }, 2s));
    loop.poll();
    EXPECT_EQ(fired, 1);
}

TEST(Deadline, CallbackMayArmAgain) {
    EventLoop loop;
    DeadlineQueue queue(loop);
    int fired = 0;
    std::optional<Deadline> deadline;
    deadline.emplace(queue, [&] {
        if (++fired < 3) {
            deadline->arm(Clock::now());
        }
    });
    deadline->arm(Clock::now());
    EXPECT_TRUE(loop.run_until([&] { return fired == 3; }, 2s));
    EXPECT_FALSE(deadline->armed());
}

TEST(Deadline, CallbackMayDestroyTheQueue) {
    EventLoop loop;
    std::optional<DeadlineQueue> queue(std::in_place, loop);
    bool fired = false;
    std::optional<Deadline> deadline;
    deadline.emplace(*queue, [&] {
        fired = true;
        deadline.reset();
        queue.reset();
    });
    deadline->arm(Clock::now());
    EXPECT_TRUE(loop.run_until([&] { return fired; }, 2s));
}

}  // namespace
}  // namespace twofold::async
