// A dedicated thread with a first-in-first-out queue, for calls that block: forcing the log,
// SQLite. Jobs run one at a time on the thread; completions run on the loop, in the order of their
// jobs.
#pragma once

#include "async/event_loop.h"
#include "async/unique_function.h"

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace twofold::async {

class WorkerThread {
public:
    using Completion = UniqueFunction<void()>;
    using Job = UniqueFunction<Completion()>;

    // `name` is what `top -H` shows (15 characters are kept).
    WorkerThread(EventLoop& loop, const std::string& name);

    // Finishes every queued job, then joins. Completions that have not run by then are dropped if
    // the loop does not run any more. Do not call from a job.
    ~WorkerThread();
    WorkerThread(const WorkerThread&) = delete;
    WorkerThread& operator=(const WorkerThread&) = delete;

    // Queues a job; the completion that it returns (which may be empty) is posted to the loop. Any
    // thread.
    void post_job(Job job);

    // Queues job(); then calls done(result), or done() when there is no result, on the loop. Both
    // callables are moved to the thread and back; only the completion runs on the loop's thread.
    template <class F, class Done>
    void post(F job, Done done) {
        post_job([job = std::move(job), done = std::move(done)]() mutable -> Completion {
            if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
                job();
                return Completion(std::move(done));
            } else {
                return
                    [done = std::move(done), result = job()]() mutable { done(std::move(result)); };
            }
        });
    }

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::async
