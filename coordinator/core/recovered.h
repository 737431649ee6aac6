// What recovery read from the log: the machine's state at start. Built by recovery/core/fold from
// records; turned back into checkpoint records by checkpoint_records().
#pragma once

#include "coordinator/core/key_memory.h"
#include "protocol/records.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace twofold::coordinator {

// Evidence of a branch that a restored log does not know enough of.
inline constexpr std::string_view kLostWithTheLog =
    "the coordinator's log was restored from a copy that does not tell whether this was committed";

// A commit decision whose END was not found: its branches must be told (again).
struct UnfinishedGroup {
    protocol::DecisionRecord decision;
    std::map<protocol::BranchKey, protocol::BranchOutcomeRecord> branch_outcomes;

    friend bool operator==(const UnfinishedGroup&, const UnfinishedGroup&) = default;
};

struct RecoveredState {
    protocol::Incarnation incarnation;
    // The epoch of this start; its record with a fresh key is already in `epochs`.
    protocol::Epoch epoch = 0;
    std::map<protocol::Epoch, protocol::EpochRecord> epochs;
    std::map<protocol::ParticipantNumber, protocol::ParticipantRecord> participants;
    std::map<protocol::TxnId, UnfinishedGroup> unfinished_commits;
    // Was on its way without a decision: aborted by this recovery.
    std::map<protocol::TxnId, protocol::PreparingRecord> undecided;
    // Committed and ended, per epoch, one bit per sequence number from 0. No bit below the horizon,
    // no zeros at the end, no epoch without a bit.
    std::map<protocol::Epoch, std::vector<bool>> committed;
    // Ended with a heuristic or unprovable branch; kept until forgotten.
    std::map<protocol::TxnId, protocol::Outcome> heuristic;
    std::map<protocol::TxnId, std::vector<protocol::BranchOutcomeRecord>> branch_outcomes;
    std::map<protocol::TxnId, std::string>
        acknowledged;  // of `heuristic`, with the person's reason
    std::map<protocol::ParticipantNumber, protocol::IdPosition> given_up;
    std::map<protocol::ParticipantNumber, protocol::Position> positions;
    // Settled keys. The outcome of a committed one is in `committed` or `heuristic`, or is no
    // longer remembered. Not in the state that a running machine makes a checkpoint of.
    KeyMemory keys;
    // The files that hold all keys but the loose ones.
    std::map<std::uint64_t, protocol::SealedRecord> sealed;
    protocol::IdPosition horizon{};
    // The log was refused, and nobody has accepted that yet; and the newest acceptance.
    std::optional<protocol::RestoreRecord> refused;
    std::optional<protocol::RestoreRecord> accepted;

    friend bool operator==(const RecoveredState&, const RecoveredState&) = default;
};

// All records that a checkpoint needs so that folding them gives the same state.
[[nodiscard]] std::vector<protocol::Record> checkpoint_records(const RecoveredState& state);
// The same with `outcomes` and `keys` in place of state.committed and state.keys.
[[nodiscard]] std::vector<protocol::Record> checkpoint_records(
    const RecoveredState& state,
    const KeyMemory& keys,
    std::vector<protocol::OutcomesRecord> outcomes);
// What refers to a sealed file of these records of keys.
[[nodiscard]] protocol::SealedRecord sealed_record(std::uint64_t file,
                                                   const std::vector<protocol::Record>& records);
// The number of the first sealed file of an epoch: files of two starts never have the same name.
[[nodiscard]] std::uint64_t first_sealed_file(protocol::Epoch epoch);

}  // namespace twofold::coordinator
