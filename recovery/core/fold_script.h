// For tests of the fold: logs in the small, of a coordinator with two participants.
#pragma once

#include "base/result.h"
#include "protocol/records.h"
#include "recovery/core/fold.h"

#include <cstdint>
#include <map>
#include <vector>

namespace twofold::recovery {

// What a start in `epoch` makes of the records; `files` are the sealed ones by number.
[[nodiscard]] base::Result<RecoveredState> fold_all(
    const std::vector<protocol::Record>& records,
    protocol::Epoch epoch,
    const std::map<std::uint64_t, std::vector<protocol::Record>>& files = {});
[[nodiscard]] protocol::TxnId make_id(protocol::Epoch epoch,
                                      protocol::Sequence sequence,
                                      std::uint16_t one_phase = 0);
[[nodiscard]] std::vector<protocol::BranchRecord> two_branches();
// The checkpoint of a first start.
[[nodiscard]] std::vector<protocol::Record> base_log();
[[nodiscard]] protocol::DecisionRecord commit_of(const protocol::TxnId& id);
[[nodiscard]] protocol::PreparingRecord preparing_of(const protocol::TxnId& id);

}  // namespace twofold::recovery
