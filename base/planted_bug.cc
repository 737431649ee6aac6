#include "base/planted_bug.h"

#if defined(TWOFOLD_CRASH_POINTS)

#include <cstdlib>
#include <string>

namespace twofold::base {

bool is_planted(std::string_view bug) {
    static const std::string planted = [] {
        const char* named = std::getenv("TWOFOLD_SABOTAGE");
        return std::string(named == nullptr ? "" : named);
    }();
    return !planted.empty() && planted == bug;
}

}  // namespace twofold::base

#endif
