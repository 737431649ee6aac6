// Damage to whole files of a log: removed, renamed, swapped, doubled, of another log, of another
// time.
#pragma once

#include "damage/log_samples.h"

#include <string>
#include <vector>

namespace twofold::damage {

struct FilePut {
    std::string name;
    const base::Bytes* content = nullptr;  // in the sample
};

struct FileDamage {
    const char* kind = "";
    std::string text;
    std::vector<std::string> removed;  // before the puts
    std::vector<FilePut> put;

    [[nodiscard]] bool touches_mark() const;
};

// The sample must outlive them.
[[nodiscard]] std::vector<FileDamage> file_damages(const LogSample& sample);

}  // namespace twofold::damage
