#include "integration/stall_probe.h"

#include "integration/temp_dir.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

namespace twofold::integration {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kInterval{100};
constexpr std::size_t kSamplesMax = 6'000;

milliseconds rounded(StallProbe::Clock::duration duration) {
    return std::chrono::duration_cast<milliseconds>(duration);
}

}  // namespace

struct StallProbe::Impl {
    struct Sample {
        Clock::time_point due;  // when the thread should have woken up
        Clock::time_point woke;
        Clock::time_point forced;
    };

    void run();
    void force_once() const;

    TempDir dir;
    int file = -1;
    std::atomic<bool> ending{false};
    mutable std::mutex mutex;
    Clock::time_point due = Clock::now();  // of the sample that is under way; guarded by mutex
    std::deque<Sample> samples;            // guarded by mutex
    std::thread thread;
};

void StallProbe::Impl::force_once() const {
    static constexpr std::array<char, 4096> kBlock{};
    if (file < 0) return;
    // What a failure would mean is the tests' business; here only the time counts.
    static_cast<void>(::pwrite(file, kBlock.data(), kBlock.size(), 0) == ::fdatasync(file));
}

void StallProbe::Impl::run() {
    while (!ending) {
        Clock::time_point next = Clock::now() + kInterval;
        {
            const std::lock_guard lock(mutex);
            due = next;
        }
        std::this_thread::sleep_until(next);
        Sample sample{.due = next, .woke = Clock::now(), .forced = {}};
        force_once();
        sample.forced = Clock::now();
        const std::lock_guard lock(mutex);
        samples.push_back(sample);
        if (samples.size() > kSamplesMax) samples.pop_front();
    }
}

StallProbe::StallProbe() : impl_(std::make_unique<Impl>()) {
    auto dir = TempDir::create("twofold-probe");
    if (dir.has_value()) {
        impl_->dir = std::move(dir.value());
        std::string path = impl_->dir.path() + "/block";
        impl_->file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    }
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

StallProbe::~StallProbe() {
    impl_->ending = true;
    impl_->thread.join();
    if (impl_->file >= 0) ::close(impl_->file);
}

StallProbe& StallProbe::instance() {
    static StallProbe probe;
    return probe;
}

StallProbe::Worst StallProbe::since(Clock::time_point moment) const {
    const std::lock_guard lock(impl_->mutex);
    Worst worst;
    for (const Impl::Sample& sample : impl_->samples) {
        if (sample.forced < moment) continue;
        ++worst.samples;
        worst.force = std::max(worst.force, rounded(sample.forced - sample.woke));
        worst.wake = std::max(worst.wake, rounded(sample.woke - sample.due));
    }
    // Which of the two the thread is in cannot be known: a force is what usually takes long.
    worst.force = std::max(worst.force, rounded(Clock::now() - impl_->due));
    return worst;
}

std::string StallProbe::Worst::text() const {
    return "meanwhile forcing 4 KiB took at most " + std::to_string(force.count()) +
           " ms, and a thread woke up at most " + std::to_string(wake.count()) + " ms late";
}

}  // namespace twofold::integration
