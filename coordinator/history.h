// When transactions changed their state, for people: the machine knows no clock. Of those that have
// ended only the newest are remembered. Pure: times are given.
// Thread: one.
#pragma once

#include "protocol/ids.h"

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::coordinator {

class History {
public:
    using Time = std::chrono::steady_clock::time_point;
    struct Moment {
        std::string state;
        std::chrono::milliseconds at{};  // since the transaction became known
    };

    explicit History(std::size_t ended_max) : ended_max_(ended_max) {}

    // The same state again, or none, is no change. Beyond the first few changes only the newest is
    // kept.
    void note(const protocol::TxnId& txn, std::string_view state, Time now);
    void ended(const protocol::TxnId& txn);

    // Since it began; of a transaction of an older start: since this one knows it.
    [[nodiscard]] std::optional<std::chrono::milliseconds> age(const protocol::TxnId& txn,
                                                               Time now) const;
    [[nodiscard]] std::vector<Moment> timeline(const protocol::TxnId& txn) const;

private:
    struct Track {
        Time first;
        std::vector<Moment> moments;
        bool has_ended = false;
    };
    std::size_t ended_max_;
    std::map<protocol::TxnId, Track> tracks_;
    std::deque<protocol::TxnId> ended_;
};

}  // namespace twofold::coordinator
