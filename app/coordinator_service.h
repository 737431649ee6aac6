// The coordinator, wired: log, recovery, machine, driver, HTTP server.
// Thread: the loop's.
#pragma once

#include "app/configs.h"
#include "async/event_loop.h"
#include "base/result.h"

#include <functional>
#include <memory>
#include <string>

namespace twofold::app {

class CoordinatorService {
public:
    // Locks the directory, recovers, then listens: whoever can connect gets answers that know the
    // whole log. Blocks while it reads.
    [[nodiscard]] static base::Result<std::unique_ptr<CoordinatorService>> create(
        async::EventLoop& loop, const CoordinatorConfig& config);
    ~CoordinatorService();
    CoordinatorService(const CoordinatorService&) = delete;
    CoordinatorService& operator=(const CoordinatorService&) = delete;

    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] std::string url() const;
    // No new work; waits for what is undecided, at most the configured time; then closes the log
    // cleanly. What is left is resumed by the next start.
    void stop(std::function<void()> done);

private:
    struct Impl;
    explicit CoordinatorService(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::app
