// What the machine does to everybody at the moment. Tests run on busy machines with shared disks,
// so they wait patiently; but patience hides a stall of ours. Every 100 ms a thread of this process
// writes and forces 4 KiB, and notes how long that took and how late it woke up. A slow answer is
// shown beside these figures: when they are small, the time was lost in our own code.
// Thread: any.
#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace twofold::integration {

class StallProbe {
public:
    using Clock = std::chrono::steady_clock;

    // The longest of each since a moment, what is still under way included.
    struct Worst {
        std::chrono::milliseconds force{0};  // of writing and forcing 4 KiB
        std::chrono::milliseconds wake{0};   // from when the thread should have woken up
        int samples = 0;

        [[nodiscard]] std::string text() const;
    };

    // Runs from the first call to the end of the process.
    [[nodiscard]] static StallProbe& instance();
    ~StallProbe();
    StallProbe(const StallProbe&) = delete;
    StallProbe& operator=(const StallProbe&) = delete;

    // Looks back ten minutes at most.
    [[nodiscard]] Worst since(Clock::time_point moment) const;

private:
    StallProbe();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::integration
