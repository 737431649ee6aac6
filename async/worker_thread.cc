#include "async/worker_thread.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace twofold::async {

struct WorkerThread::Impl {
    explicit Impl(EventLoop& event_loop) : loop(event_loop) {}

    void run() {
        std::deque<Job> taken;
        for (;;) {
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [this] { return ending || !jobs.empty(); });
                if (jobs.empty()) {
                    return;
                }
                taken.swap(jobs);
            }
            // Completions are posted one by one: the first must not wait for the last job's force.
            for (Job& job : taken) {
                if (Completion completion = job()) {
                    loop.post(std::move(completion));
                }
                job = nullptr;
            }
            taken.clear();
        }
    }

    EventLoop& loop;
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<Job> jobs;  // guarded by mutex
    bool ending = false;   // guarded by mutex
    std::thread thread;
};

WorkerThread::WorkerThread(EventLoop& loop, const std::string& name)
    : impl_(std::make_unique<Impl>(loop)) {
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
    pthread_setname_np(impl_->thread.native_handle(), name.substr(0, 15).c_str());
}

WorkerThread::~WorkerThread() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->ending = true;
    }
    impl_->wake.notify_one();
    impl_->thread.join();
}

void WorkerThread::post_job(Job job) {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->jobs.push_back(std::move(job));
    }
    impl_->wake.notify_one();
}

}  // namespace twofold::async
