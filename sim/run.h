// One seed from beginning to end: the safety phase, in which anything may break at any time, then
// the liveness phase: faults stop, everything is mended, and all must settle within bounds.
#pragma once

#include "sim/cluster.h"
#include "sim/options.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace twofold::sim {

struct RunReport {
    std::uint64_t events = 0;
    std::uint64_t crashes = 0;
    std::uint64_t commits = 0;  // durable decisions
    std::uint32_t committed = 0;
    std::uint32_t aborted = 0;
    std::uint64_t hash = 0;
    SituationHits hits{};
    std::optional<Violation> violation;
};

// `listener` gets the transcript, line by line; none: nothing is written down, which is faster.
[[nodiscard]] RunReport run_seed(std::uint64_t seed,
                                 const Sabotage& sabotage = {},
                                 std::function<void(const std::string&)> listener = {});
[[nodiscard]] RunReport run(const Options& options,
                            const Sabotage& sabotage,
                            std::function<void(const std::string&)> listener);

}  // namespace twofold::sim
