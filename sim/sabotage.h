// The deliberate bugs by name, and the search for the first seed at which a checker notices one.
#pragma once

#include "sim/cluster.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::sim {

struct NamedSabotage {
    std::string_view name;
    std::string_view what;  // the broken rule, for people
    bool& (*flag)(Sabotage&);
};

[[nodiscard]] const std::vector<NamedSabotage>& all_sabotage();
// Nothing when there is none of that name.
[[nodiscard]] std::optional<Sabotage> make_sabotage(std::string_view name);

struct Caught {
    std::string by;  // the checker, or "assertion" when the product ended itself
    std::string text;
    std::uint64_t seeds = 0;  // tried until then
    std::uint64_t seed = 0;
};

// Runs seeds first … first + limit - 1 with this bug in a process of its own, because a broken
// invariant ends the process that has it.
[[nodiscard]] std::optional<Caught> search(std::string_view name,
                                           std::uint64_t first,
                                           std::uint64_t limit);

}  // namespace twofold::sim
