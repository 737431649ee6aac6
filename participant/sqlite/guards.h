// Guard triggers: three on every user table, which refuse writes of every process while a branch is
// prepared. They are rows of the file, so they hold while no process of ours runs. Other processes
// need no function of ours: the trigger looks into the lock table by itself.
#pragma once

#include "participant/sqlite/schema.h"

namespace twofold::participant::sqlite {

inline constexpr std::string_view kLockedMessage =
    "row is locked by a prepared Twofold transaction";

// Creates what is missing, replaces what differs, drops what is left of renamed tables. Call inside
// a write transaction while nothing is prepared. True when something was changed.
[[nodiscard]] base::Result<bool> install_guards(Connection& connection, const Schema& schema);

}  // namespace twofold::participant::sqlite
