// When transactions became known, were proposed for commit and were decided, for figures: how long
// a phase took, and how old something is. The machine knows no clock. Only what has not ended is
// here. Pure: times are given. Thread: one.
#pragma once

#include "protocol/ids.h"

#include <chrono>
#include <map>
#include <optional>

namespace twofold::coordinator {

class PhaseTimes {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Duration = std::chrono::steady_clock::duration;
    struct Ended {
        Duration whole{};
        std::optional<Duration> apply;  // since the decision; none: it was not decided here
    };

    // False: it is known already.
    bool start(const protocol::TxnId& txn, Time now);
    // How long the phase took that ends with this; none: its begin was not seen.
    std::optional<Duration> propose(const protocol::TxnId& txn, Time now);
    std::optional<Duration> decide(const protocol::TxnId& txn, Time now);
    std::optional<Ended> end(const protocol::TxnId& txn, Time now);

    // None: it has ended, or was never known.
    [[nodiscard]] std::optional<Duration> age(const protocol::TxnId& txn, Time now) const;
    // The same since the decision; of what was found decided, since it was found.
    [[nodiscard]] std::optional<Duration> decision_age(const protocol::TxnId& txn, Time now) const;

private:
    struct Times {
        Time started;
        std::optional<Time> proposed;
        std::optional<Time> decided;  // durably
    };
    std::map<protocol::TxnId, Times> times_;
};

}  // namespace twofold::coordinator
