// Why is it as it is? What the coordinator knows of one transaction, what happens by itself next,
// and what a person can safely do. Sentences for people; nothing depends on their words.
#pragma once

#include "coordinator/core/effects.h"
#include "coordinator/core/state.h"

#include <optional>
#include <string>
#include <vector>

namespace twofold::coordinator {

struct Advice {
    std::string next;  // what happens by itself
    std::string safe;  // what a person can safely do; empty: nothing needs doing
};

struct BranchExplanation {
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;
    bool replaced = false;  // an attempt that was given up, and only waits for its abort
    protocol::ParticipantNumber participant;
    std::string state;
    std::string gid;  // what its database calls it
    std::string identity;
    std::optional<protocol::ProofToken> proof;
    Advice advice;
};

struct Explanation {
    TransactionReport report;
    Advice advice;
    // What the log says of it, or would say after a checkpoint now.
    std::vector<protocol::Record> records;
    std::vector<BranchExplanation> branches;
};

[[nodiscard]] Advice advice_for(const Transaction& txn);
[[nodiscard]] Advice advice_for(const Transaction& txn, const Branch& branch);

}  // namespace twofold::coordinator
