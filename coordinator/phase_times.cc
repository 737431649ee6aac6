#include "coordinator/phase_times.h"

namespace twofold::coordinator {

bool PhaseTimes::start(const protocol::TxnId& txn, Time now) {
    return times_.try_emplace(txn, Times{now, {}, {}}).second;
}

std::optional<PhaseTimes::Duration> PhaseTimes::propose(const protocol::TxnId& txn, Time now) {
    auto found = times_.find(txn);
    if (found == times_.end()) return std::nullopt;
    found->second.proposed = now;
    return now - found->second.started;
}

std::optional<PhaseTimes::Duration> PhaseTimes::decide(const protocol::TxnId& txn, Time now) {
    auto found = times_.find(txn);
    if (found == times_.end()) return std::nullopt;
    found->second.decided = now;
    if (!found->second.proposed) return std::nullopt;
    return now - *found->second.proposed;
}

std::optional<PhaseTimes::Ended> PhaseTimes::end(const protocol::TxnId& txn, Time now) {
    auto found = times_.find(txn);
    if (found == times_.end()) return std::nullopt;
    Ended ended{now - found->second.started, {}};
    if (found->second.decided) ended.apply = now - *found->second.decided;
    times_.erase(found);
    return ended;
}

std::optional<PhaseTimes::Duration> PhaseTimes::age(const protocol::TxnId& txn, Time now) const {
    auto found = times_.find(txn);
    if (found == times_.end()) return std::nullopt;
    return now - found->second.started;
}

std::optional<PhaseTimes::Duration> PhaseTimes::decision_age(const protocol::TxnId& txn,
                                                             Time now) const {
    auto found = times_.find(txn);
    if (found == times_.end()) return std::nullopt;
    return now - found->second.decided.value_or(found->second.started);
}

}  // namespace twofold::coordinator
