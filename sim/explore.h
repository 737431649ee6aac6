// Breadth first through every history of an ExploredWorld, each state once.
#pragma once

#include "sim/explored_world.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace twofold::sim {

struct ExploreReport {
    std::uint64_t states = 0;
    std::uint64_t transitions = 0;
    std::uint64_t ends = 0;  // histories that came to their end
    std::uint32_t depth = 0;
    bool complete = true;           // false: there were more states than allowed
    std::string wrong;              // the first violation, or empty
    std::vector<std::string> path;  // to it, shortest first found
};

struct ExploreLimits {
    std::uint64_t states_max = 0;  // 0: all
    // Called after each depth.
    std::function<void(const ExploreReport&)> progress;
};

[[nodiscard]] ExploreReport explore(const Exploration& exploration, const ExploreLimits& limits);

}  // namespace twofold::sim
