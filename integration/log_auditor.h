// The independent auditor of the coordinator's log (integration/log_audit.py), run on copies:
// during a long run each copy against the one before, at the end with what clients were told. A
// copy is made while nobody writes to the log: its coordinator is dead.
#pragma once

#include "base/result.h"
#include "integration/temp_dir.h"
#include "integration/workload.h"

#include <string>
#include <vector>

namespace twofold::integration {

class LogAuditor {
public:
    // Programs are started in the repository's root folder.
    [[nodiscard]] static base::Result<LogAuditor> create(
        std::string script = "integration/log_audit.py");

    // Of a coordinator that is dead.
    [[nodiscard]] base::Result<void> copy(const std::string& log_directory);
    // Looks at the newest copy, beside the one before. What it finds is the error.
    [[nodiscard]] base::Result<std::string> look();
    // The same with every answer that named an id.
    [[nodiscard]] base::Result<std::string> look(const std::vector<Deed>& deeds);

    [[nodiscard]] const std::string& newest() const { return newest_; }
    [[nodiscard]] int looks() const { return looks_; }

private:
    LogAuditor(std::string script, TempDir dir)
        : script_(std::move(script)), dir_(std::move(dir)) {}
    [[nodiscard]] base::Result<std::string> run(std::vector<std::string> more);

    std::string script_;
    TempDir dir_;
    std::string before_;
    std::string newest_;
    int copies_ = 0;
    int looks_ = 0;
};

}  // namespace twofold::integration
