// A participant's figures in a Prometheus registry.
// Thread: the loop's.
#pragma once

#include "http/server.h"
#include "participant/driver.h"
#include "participant/ports.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace twofold::app {

class ParticipantMetrics final : public participant::MetricsPort {
public:
    explicit ParticipantMetrics(const std::string& name);
    ~ParticipantMetrics() override;

    void item_answered(std::string_view operation, std::string_view status) override;
    void alarm(std::string_view code) override;

    // `database` are counters that the resource keeps itself, by name without prefix and suffix.
    [[nodiscard]] std::string text(const participant::Driver& driver,
                                   const std::map<std::string, std::uint64_t>& database,
                                   const http::ServerStats& server);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::app
