// The power fails after every call of a history, and each time a bounded choice of the states that
// the disk may be in then is made: nothing and all of what was not forced, every prefix of it,
// every subset when there are few calls, single calls lost and single ones kept, writes torn at
// sectors of 512 bytes and blocks of 4 KiB, and subsets by seed. No state is made twice for one
// promise.
#pragma once

#include "base/rng.h"
#include "damage/disk_history.h"

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace twofold::damage {

struct CutOptions {
    std::uint64_t seed = 1;
    std::size_t exhaustive_max = 5;  // calls not forced: so many, and every subset is made
    std::size_t random_per_point = 8;
    std::size_t tears_per_write = 4;
    std::size_t per_point_max = 200;
    std::uint64_t every = 1;  // only every so many points
};

struct PowerCut {
    std::string text;  // where and what, to find it again
    std::uint64_t note = 0;
    Files files;
};

// Calls `visit` for each; false from it ends the walk. Returns how many were made.
std::uint64_t for_each_power_cut(const DiskHistory& history,
                                 const CutOptions& options,
                                 const std::function<bool(const PowerCut& cut)>& visit);

}  // namespace twofold::damage
