// A look at one running server from outside: its probes and the figures of its /metrics.
#pragma once

#include "app/client.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace twofold::app {

// The samples of a text in the Prometheus format.
class Figures {
public:
    Figures() = default;
    explicit Figures(std::string text) : text_(std::move(text)) {}

    // The sum over all samples of this name; with `label` ("state=\"active\""), over those that
    // have it. Nothing: there is no such sample.
    [[nodiscard]] std::optional<double> sum(std::string_view name,
                                            std::string_view label = {}) const;
    // The value of a label of the first sample of this name; empty when there is none.
    [[nodiscard]] std::string label(std::string_view name, std::string_view label) const;
    // By the value of a label.
    [[nodiscard]] std::map<std::string, double> by_label(std::string_view name,
                                                         std::string_view label) const;

private:
    std::string text_;
};

struct ServerLook {
    bool reachable = false;
    bool ready = false;
    std::string why_not;  // unreachable or not ready
    std::string role;     // coordinator, participant; empty: unknown
    std::string version;
    Figures figures;
};

// Never fails: what could not be read is missing. Takes at most a few times `limit`.
[[nodiscard]] ServerLook look_at(const Client& client,
                                 std::chrono::milliseconds limit = std::chrono::seconds(5));

}  // namespace twofold::app
