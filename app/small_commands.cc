// `twofold version` and `twofold crash-points`.
#include "app/commands.h"
#include "app/version.h"
#include "base/crash_point.h"

#include <cstddef>
#include <cstdio>
#include <string>

namespace twofold::app {

int print_version() {
    std::printf("twofold %s\n", std::string(kVersion).c_str());
    return kExitOk;
}

#if defined(TWOFOLD_CRASH_POINTS)

namespace {

// By the values of the enumerations.
using Point = base::CrashPoint;
constexpr const char* kOwners[] = {"coordinator", "participant", "postgres", "sqlite"};
constexpr const char* kMoments[] = {"first", "start", "work", "idle", "settle", "inquiry", "stop"};
constexpr const char* kPaths[] = {"any", "one_shot", "interactive"};

// What can be done there to the process; the last ones need a system call that follows.
std::string actions_of(Point::Step step) {
    std::string actions = "kill,abort,pause,stall";
    if (step == Point::Step::nothing) return actions;
    actions += ",eio";
    if (step == Point::Step::connection) return actions;
    actions += ",enospc";
    return step == Point::Step::write ? actions + ",short" : actions;
}

}  // namespace

// One a line: name, whose process, when, which transactions, what can be done.
int list_crash_points() {
    for (const Point& point : base::crash_points()) {
        std::printf("%s %s %s %s %s\n",
                    std::string(point.name).c_str(),
                    kOwners[static_cast<std::size_t>(point.owner)],
                    kMoments[static_cast<std::size_t>(point.moment)],
                    kPaths[static_cast<std::size_t>(point.path)],
                    actions_of(point.step).c_str());
    }
    return kExitOk;
}

#endif

}  // namespace twofold::app
