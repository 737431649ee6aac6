#include "async/fd_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>

namespace twofold::async {
namespace {

using namespace std::chrono_literals;

// A connected pair of sockets; close_both() may be called early.
struct SocketPair {
    SocketPair() {
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    }
    ~SocketPair() { close_both(); }
    SocketPair(const SocketPair&) = delete;
    SocketPair& operator=(const SocketPair&) = delete;

    void say_something() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
    void close_both() {
        for (int& end : ends) {
            if (end >= 0) {
                ::close(end);
                end = -1;
            }
        }
    }
    std::array<int, 2> ends{-1, -1};
};

// One end of a pair, watched.
struct FdWatchTest : ::testing::Test {
    void SetUp() override { ASSERT_TRUE(watch.watch(pair.ends[0]).has_value()); }

    EventLoop loop;
    SocketPair pair;
    FdWatch watch{loop};
};

TEST_F(FdWatchTest, TellsReadableAndWritable) {
    bool readable = false;
    bool writable = false;
    watch.wait_readable([&] { readable = true; });
    watch.wait_writable([&] { writable = true; });
    EXPECT_TRUE(loop.run_until([&] { return writable; }, 2s));
    EXPECT_FALSE(readable);
    pair.say_something();
    EXPECT_TRUE(loop.run_until([&] { return readable; }, 2s));
}

TEST_F(FdWatchTest, SeesWhatWasThereBeforeTheWait) {
    pair.say_something();
    loop.poll();
    bool readable = false;
    watch.wait_readable([&] { readable = true; });
    EXPECT_TRUE(loop.run_until([&] { return readable; }, 2s));
}

TEST_F(FdWatchTest, CancelAndReleaseForgetCallbacksAndLeaveTheDescriptorOpen) {
    bool called = false;
    watch.wait_readable([&] { called = true; });
    pair.say_something();
    watch.cancel();
    watch.wait_readable([&] { called = true; });
    watch.release();
    loop.poll();
    EXPECT_FALSE(called);
    EXPECT_GE(::fcntl(pair.ends[0], F_GETFD), 0);
}

TEST_F(FdWatchTest, AWaitReplacesTheEarlierOne) {
    int first = 0;
    int second = 0;
    watch.wait_readable([&] { ++first; });
    watch.wait_readable([&] { ++second; });
    pair.say_something();
    EXPECT_TRUE(loop.run_until([&] { return second == 1; }, 2s));
    loop.poll();
    EXPECT_EQ(first, 0);
}

// What libpq does when it tries the next address: another socket under the same number.
TEST(FdWatchAlone, FollowsANewSocketUnderTheSameNumber) {
    EventLoop loop;
    SocketPair old_pair;
    FdWatch watch(loop);
    const int number = old_pair.ends[0];
    ASSERT_TRUE(watch.watch(number).has_value());
    bool old_called = false;
    watch.wait_readable([&] { old_called = true; });
    old_pair.close_both();

    SocketPair new_pair;
    ASSERT_EQ(new_pair.ends[0], number) << "the test needs the number to be used again";
    ASSERT_TRUE(watch.watch(number).has_value());
    bool called = false;
    watch.wait_readable([&] { called = true; });
    new_pair.say_something();
    EXPECT_TRUE(loop.run_until([&] { return called; }, 2s));
    EXPECT_FALSE(old_called);
}

TEST_F(FdWatchTest, WatchingTheSameSocketAgainKeepsItsWait) {
    bool called = false;
    watch.wait_readable([&] { called = true; });
    ASSERT_TRUE(watch.watch(pair.ends[0]).has_value());
    pair.say_something();
    EXPECT_TRUE(loop.run_until([&] { return called; }, 2s));
}

TEST(FdWatchAlone, RefusesWhatIsNotOpen) {
    EventLoop loop;
    FdWatch watch(loop);
    const auto result = watch.watch(-1);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, base::Errc::invalid_argument);
}

}  // namespace
}  // namespace twofold::async
