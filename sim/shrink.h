// Makes a failing run shorter: faults, clients and participants are taken away, one kind after the
// other, for as long as the same check still fails. What is left is a run that a person can read.
#pragma once

#include "sim/cluster.h"
#include "sim/options.h"

#include <cstdint>
#include <optional>
#include <string>

namespace twofold::sim {

struct Shrunk {
    Options options;
    std::string transcript;
    std::uint64_t runs = 0;  // that it took
    std::uint64_t events_before = 0;
    std::uint64_t events = 0;  // until the check failed
};

// Nothing when the seed does not fail. Deterministic: the same seed shrinks to the same transcript.
// A broken assertion ends the process, here as everywhere.
[[nodiscard]] std::optional<Shrunk> shrink(std::uint64_t seed, const Sabotage& sabotage);

}  // namespace twofold::sim
