#include "async/worker_thread.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace twofold::async {
namespace {

using namespace std::chrono_literals;

TEST(WorkerThread, RunsJobsInOrderElsewhereAndCompletionsHere) {
    EventLoop loop;
    WorkerThread worker(loop, "test-worker");
    const auto here = std::this_thread::get_id();
    std::vector<int> done;
    for (int i = 0; i < 100; ++i) {
        worker.post(
            [i, here] {
                EXPECT_NE(std::this_thread::get_id(), here);
                return std::make_unique<int>(i);
            },
            [&done, here](std::unique_ptr<int> result) {
                EXPECT_EQ(std::this_thread::get_id(), here);
                done.push_back(*result);
            });
    }
    EXPECT_TRUE(loop.run_until([&] { return done.size() == 100; }, 5s));
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(done[static_cast<std::size_t>(i)], i);
    }
}

TEST(WorkerThread, AJobWithoutAResult) {
    EventLoop loop;
    WorkerThread worker(loop, "test-worker");
    bool done = false;
    worker.post([] {}, [&done] { done = true; });
    EXPECT_TRUE(loop.run_until([&] { return done; }, 5s));
}

TEST(WorkerThread, ItsEndFinishesWhatIsQueued) {
    EventLoop loop;
    int ran = 0;
    {
        WorkerThread worker(loop, "a name that is longer than fifteen");
        for (int i = 0; i < 10; ++i) {
            worker.post_job([&ran]() -> WorkerThread::Completion {
                ++ran;
                return nullptr;
            });
        }
    }
    EXPECT_EQ(ran, 10);
}

}  // namespace
}  // namespace twofold::async
