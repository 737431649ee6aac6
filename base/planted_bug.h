// Deliberate bugs of adapters, edges and single steps, to see that a test notices. A build with
// crash points has the one that the environment names, a release has none of them at all:
//
//   TWOFOLD_SABOTAGE=sqlite.forget_tombstone   TWOFOLD_PLANTED_BUG("sqlite.forget_tombstone") is
//   true
//
// tools/sabotage.txt lists all of them, each with the rule that it breaks and the tests that must
// fail; `make sabotage` runs these. The bugs of the machines that the simulator looks for are
// fields of their configurations, because several machines of one process differ there.
#pragma once

#include <string_view>

#if defined(TWOFOLD_CRASH_POINTS)
namespace twofold::base {
[[nodiscard]] bool is_planted(std::string_view bug);
}  // namespace twofold::base
#define TWOFOLD_PLANTED_BUG(name) ::twofold::base::is_planted(name)
#else
#define TWOFOLD_PLANTED_BUG(name) false
#endif
