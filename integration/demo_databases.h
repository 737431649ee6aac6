// The two databases of the demo: SQLite files, or PostgreSQL servers of its own.
#pragma once

#include "base/result.h"
#include "integration/cluster.h"
#include "integration/demo_audit.h"

#include <memory>
#include <string>
#include <vector>

namespace twofold::integration {

class DemoDatabases {
public:
    DemoDatabases() = default;
    DemoDatabases(const DemoDatabases&) = delete;
    DemoDatabases& operator=(const DemoDatabases&) = delete;
    virtual ~DemoDatabases() = default;  // stops what was started

    [[nodiscard]] virtual std::string kind() const = 0;
    [[nodiscard]] virtual std::vector<ParticipantSpec> participants() const = 0;
    [[nodiscard]] virtual std::vector<AuditedDatabase> audited(const Cluster& cluster) const = 0;
};

// An error's context is a sentence for the user: what is missing and how to get it.
[[nodiscard]] base::Result<std::unique_ptr<DemoDatabases>> demo_sqlite();
[[nodiscard]] base::Result<std::unique_ptr<DemoDatabases>> demo_postgres();

}  // namespace twofold::integration
