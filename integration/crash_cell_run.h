// One cell of the crash matrix: a cluster of its own, traffic, the fault at its point, whatever
// must be started again, and the checks.
#pragma once

#include "integration/crash_cells.h"

#include <string>
#include <vector>

namespace twofold::integration {

struct CellResult {
    std::vector<std::string> complaints;  // none: the cell is ok
    std::string logs;                     // the processes' last words when there are any
};

// For a cell on PostgreSQL: the conninfos of two empty databases on two servers.
[[nodiscard]] CellResult run_cell(const CrashCell& cell, const std::vector<std::string>& databases);

}  // namespace twofold::integration
