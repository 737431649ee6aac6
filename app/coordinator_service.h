// The coordinator, wired: log, recovery, machine, driver, HTTP server.
//
// It listens before it reads the log, because a long log takes longer than a liveness probe waits:
// until recovery is done, /livez says that the process lives and everything else is answered 503
// with the problem `recovering`. Nothing about a transaction is said before the whole log is known.
// Thread: the loop's; the log is read on one of its own.
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
    struct Events {
        std::function<void()> on_ready;  // recovered: transactions are accepted
        // It will never be ready: the log is damaged or cannot be written. End the process.
        std::function<void(const base::Error&)> on_hopeless;
    };

    // Checks and locks the directory, listens, and begins to recover. One of the events comes
    // later, on the loop, unless stop() is called before.
    [[nodiscard]] static base::Result<std::unique_ptr<CoordinatorService>> create(
        async::EventLoop& loop, const CoordinatorConfig& config, Events events);
    // Waits for a recovery that is under way.
    ~CoordinatorService();
    CoordinatorService(const CoordinatorService&) = delete;
    CoordinatorService& operator=(const CoordinatorService&) = delete;

    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] std::string url() const;
    // No new work; waits for what is undecided, at most the configured time; then closes the log
    // cleanly. What is left is resumed by the next start. A recovery that is under way is finished
    // first: it has no other end that leaves a clean log.
    void stop(std::function<void()> done);

private:
    struct Impl;
    explicit CoordinatorService(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::app
