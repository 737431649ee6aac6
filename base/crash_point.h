// Named crash points: places at both sides of each durable or sent step where a test build can be
// told to die. TWOFOLD_CRASH_POINT(coord_after_decision_forced) does nothing unless the environment
// arms that name; release builds do not contain it at all.
//
//   TWOFOLD_CRASH_AT=name[:N]   SIGKILL ourselves at the N-th passage (default 1)
//   TWOFOLD_FAIL_AT=name[:N]    make TWOFOLD_FAIL_POINT(name) true at the N-th passage and after
//   TWOFOLD_HOLD_AT=name:PATH   stay at the crash point for as long as the file PATH exists
//
// Every name is listed in crash_point_names() so that a test can go through all of them.
#pragma once

#include <span>
#include <string_view>

namespace twofold::base {

// All names, sorted; empty in builds without crash points.
[[nodiscard]] std::span<const std::string_view> crash_point_names();

#if defined(TWOFOLD_CRASH_POINTS)
// Kills this process with SIGKILL when `name` is armed and its turn has come; waits when it is
// held.
void pass_crash_point(std::string_view name);
// True when the failure `name` is armed and its turn has come.
[[nodiscard]] bool fail_point_hit(std::string_view name);
#endif

}  // namespace twofold::base

#if defined(TWOFOLD_CRASH_POINTS)
#define TWOFOLD_CRASH_POINT(name) ::twofold::base::pass_crash_point(#name)
#define TWOFOLD_FAIL_POINT(name) ::twofold::base::fail_point_hit(#name)
#else
#define TWOFOLD_CRASH_POINT(name) static_cast<void>(0)
#define TWOFOLD_FAIL_POINT(name) false
#endif
