// Databases for the cells of the crash matrix on PostgreSQL: two servers for all of them, and a
// pair of databases for each cell that runs at the same time, emptied between two cells.
#pragma once

#include "base/result.h"
#include "integration/postgres_server.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace twofold::integration {

class CrashDatabases {
public:
    // Call it from a thread that lives to the end. Without PostgreSQL it is an error.
    [[nodiscard]] static base::Result<std::unique_ptr<CrashDatabases>> create();

    // Two conninfos. With `fresh`, databases that nobody has used: after a cell that has left
    // something in the old ones.
    [[nodiscard]] base::Result<std::vector<std::string>> pair_for(std::size_t worker, bool fresh);

private:
    CrashDatabases() = default;
    std::vector<std::unique_ptr<PostgresServer>> servers_;
};

}  // namespace twofold::integration
