// The demo's audit: reads the books with the database's own command-line tool, never through
// Twofold, and compares them with what the clients were told.
#pragma once

#include "base/result.h"
#include "integration/load.h"

#include <cstdint>
#include <string>
#include <vector>

namespace twofold::integration {

// One database and the words that a query is appended to: {"sqlite3", "-readonly", "…/orders.db"}.
struct AuditedDatabase {
    std::string name;
    std::vector<std::string> command;
    std::string prepared_sql;  // counts branches that are prepared and not finished
};

struct AuditResult {
    std::int64_t sum = 0;
    std::int64_t prepared = 0;
    int committed = 0;       // transfers that are in the books
    int aborted = 0;         // transfers that are not
    int one_sided = 0;       // in one book only: the one thing that must never happen
    int broken_answers = 0;  // told "committed" and not there, or told "aborted" and there
};

// Prints every command that it runs and what came back.
[[nodiscard]] base::Result<AuditResult> audit(const std::vector<AuditedDatabase>& databases,
                                              const std::vector<Told>& told);

}  // namespace twofold::integration
