// `twofold version` and `twofold crash-points`.
#include "app/commands.h"
#include "app/version.h"
#include "base/crash_point.h"

#include <cstdio>

namespace twofold::app {

int print_version() {
    std::printf("twofold %s\n", std::string(kVersion).c_str());
    return kExitOk;
}

int list_crash_points() {
    for (std::string_view name : base::crash_point_names()) {
        std::printf("%s\n", std::string(name).c_str());
    }
    return kExitOk;
}

}  // namespace twofold::app
