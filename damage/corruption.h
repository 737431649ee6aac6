// Every damage of a stored log, one at a time, each judged with the exact mark, an old one and
// none.
#pragma once

#include "damage/log_samples.h"
#include "wal/log_judge.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::damage {

enum class Planted : std::uint8_t {
    nothing,
    ignore_mark,  // the reader does not look at the durable mark
    trim,         // the reader drops the newest segments until the rest is sound
};

struct CorruptOptions {
    std::uint64_t stride = 1;  // every so many bits, and lengths of a cut
    unsigned threads = 1;
    Planted planted = Planted::nothing;
    std::function<void(std::string_view line)> progress;
};

struct VerdictCounts {
    std::uint64_t refused = 0;
    std::uint64_t complete = 0;
    std::uint64_t excused = 0;
    std::uint64_t silent = 0;

    [[nodiscard]] std::uint64_t cases() const { return refused + complete + excused + silent; }
    void count(wal::Verdict verdict);
    void add(const VerdictCounts& other);
};

struct CorruptReport {
    std::map<std::string, VerdictCounts> kinds;  // by what was done
    VerdictCounts total;
    // How many cases were decided before the mark was looked at: read once, counted for each mark.
    std::uint64_t decided_before_mark = 0;
    std::vector<std::string> silent;                          // the first few
    std::map<std::string, std::vector<std::string>> excused;  // by kind, the first few of each
};

// How many bits and lengths there are with stride 1.
[[nodiscard]] std::uint64_t steps_of(const std::vector<LogSample>& samples);

[[nodiscard]] CorruptReport corrupt(const std::vector<LogSample>& samples,
                                    const CorruptOptions& options);

}  // namespace twofold::damage
