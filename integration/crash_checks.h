// What must hold after a cell of the crash matrix, when everything is up again: looked at from
// outside, in the databases, in the log and by asking.
#pragma once

#include "integration/cluster.h"
#include "integration/crash_traffic.h"

#include <set>
#include <string>
#include <vector>

namespace twofold::integration {

class CrashChecks {
public:
    CrashChecks(Cluster& cluster, std::vector<Deed> deeds)
        : cluster_(cluster), deeds_(std::move(deeds)) {}

    // Nothing may be left: no prepared branch, no branch in a sidecar's memory, no session, no
    // lock.
    void expect_nothing_left();
    // Everybody who does not know the outcome asks, and is told the same twice.
    void ask_again();
    // The books agree with each other and with what was told.
    void expect_books();
    // Stops the coordinator in order, has its log read by another program, starts it again, and
    // asks about every outcome once more.
    void expect_log_readable();

    [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }

private:
    void complain(std::string text) { complaints_.push_back(std::move(text)); }
    void ask_under_key(Deed& deed);
    void ask_about(Deed& deed);
    void expect_no_session(std::size_t index);
    void expect_no_lock(std::size_t index);
    void expect_told_the_truth(const Deed& deed, const std::vector<std::set<std::string>>& ledgers);
    void expect_balance(std::size_t index);

    Cluster& cluster_;
    std::vector<Deed> deeds_;
    std::vector<std::string> complaints_;
};

}  // namespace twofold::integration
