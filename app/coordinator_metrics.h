// The coordinator's figures in a Prometheus registry.
// Thread: the loop's.
#pragma once

#include "app/log_adapter.h"
#include "coordinator/driver.h"
#include "coordinator/ports.h"
#include "http/server.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace twofold::app {

class CoordinatorMetrics final : public coordinator::MetricsPort {
public:
    CoordinatorMetrics();
    ~CoordinatorMetrics() override;

    void transaction_started() override;
    void transaction_finished(std::string_view outcome, std::chrono::nanoseconds took) override;
    void phase_took(std::string_view phase, std::chrono::nanoseconds took) override;
    void item_answered(const std::string& participant,
                       std::string_view operation,
                       std::string_view result) override;
    void participant_up(const std::string& participant, bool up) override;
    void alarm(std::string_view code) override;

    void log_forced(std::chrono::nanoseconds took);
    void recovered(std::string_view action, std::uint64_t count);
    void recovery_took(std::chrono::nanoseconds took);

    // The text of /metrics: the registry, and the gauges as they are now.
    [[nodiscard]] std::string text(const coordinator::Driver& driver,
                                   const LogFigures& log,
                                   const http::ServerStats& server);

private:
    void show(const coordinator::Driver& driver);

    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::app
