// A VFS of the tests: the system's, with faults in SQLite's log on demand, and a look at the moment
// when a write transaction ends.
#pragma once

#include <functional>
#include <string>

namespace twofold::participant::sqlite::test {

struct FaultPlan {
    bool fail_log_sync = false;      // xSync of the log returns SQLITE_IOERR_FSYNC
    bool fail_log_write = false;     // xWrite to the log returns SQLITE_FULL
    bool fail_log_write_io = false;  // … SQLITE_IOERR_WRITE
    int log_syncs = 0;               // counted
    // Called once when a connection gives the write lock back, then cleared.
    std::function<void()> on_write_unlock;
};

// Registered on first use under this name. Not thread-safe.
[[nodiscard]] std::string fault_vfs();
[[nodiscard]] FaultPlan& fault_plan();

}  // namespace twofold::participant::sqlite::test
