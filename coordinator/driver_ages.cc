// The driver's questions to its clock: how old, how long, how much time is left.
#include "coordinator/driver.h"

#include <algorithm>

namespace twofold::coordinator {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

bool Driver::is_older_than(const protocol::TxnId& txn, milliseconds age) const {
    // What has ended, or is not in memory, waits for nobody.
    auto known = times_.age(txn, steady_clock::now());
    return known && *known >= age;
}

InDoubt Driver::in_doubt() const {
    InDoubt out;
    for (const ParticipantStatus& status : participants()) out.at[status.name];
    auto now = steady_clock::now();
    machine_.visit_in_doubt([&](const protocol::TxnId& txn, protocol::ParticipantNumber number) {
        ++out.at[participant_name(number)];
        out.oldest = std::max(out.oldest, times_.decision_age(txn, now).value_or(out.oldest));
    });
    return out;
}

milliseconds Driver::time_left(const protocol::TxnId& txn, milliseconds whole) const {
    auto used = times_.age(txn, steady_clock::now());
    if (!used) return milliseconds{0};
    return std::max(whole - std::chrono::ceil<milliseconds>(*used), milliseconds{0});
}

void Driver::phase_took(std::string_view phase, std::optional<PhaseTimes::Duration> took) {
    if (took) metrics_.phase_took(phase, *took);
}

}  // namespace twofold::coordinator
