// What came of the disk images of one program.
#pragma once

#include "damage/disk_history.h"
#include "damage/power_cuts.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::damage {

struct ImageOptions {
    CutOptions cuts;
    // One image in so many is recovered once more with the power cut during recovery.
    std::uint64_t second_cut_one_in = 50;
    DiskSabotage sabotage;
    std::function<void(std::string_view line)> progress;
};

struct ImageReport {
    std::size_t calls = 0;  // recorded
    std::uint64_t images = 0;
    std::uint64_t second_images = 0;  // after a power cut during recovery
    std::uint64_t violations = 0;
    std::vector<std::string> texts;  // of the first few violations

    void violation(std::string text) {
        ++violations;
        if (texts.size() < 10) texts.push_back(std::move(text));
    }
};

}  // namespace twofold::damage
