// Makes a new SQLite file from a script, for `twofold dev` and tools: plain SQLite, before any
// store has the file.
#pragma once

#include "base/result.h"

#include <string>

namespace twofold::participant::sqlite {

// Creates `path` with mode 0600 and runs the script in it. A file that exists is left as it is.
[[nodiscard]] base::Result<void> create_from_script(const std::string& path,
                                                    const std::string& script);

}  // namespace twofold::participant::sqlite
