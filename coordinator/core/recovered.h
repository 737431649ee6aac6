// What recovery read from the log: the machine's state at start. Built by recovery/core/fold from
// records; turned back into checkpoint records by checkpoint_records().
#pragma once

#include "coordinator/core/key_memory.h"
#include "coordinator/core/outcomes.h"
#include "protocol/records.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace twofold::coordinator {

// Evidence of a branch that a restored log does not know enough of.
inline constexpr std::string_view kLostWithTheLog =
    "the coordinator's log was restored from a copy that does not tell whether this was committed";

// Evidence of a branch that is gone, and below a mark that an unknown start may have raised.
inline constexpr std::string_view kFinishedElsewhere =
    "the participant has ended it under another start of a log that was restored from a copy";

// A commit decision whose END was not found: its branches must be told (again).
struct UnfinishedGroup {
    protocol::DecisionRecord decision;
    std::map<protocol::BranchKey, protocol::BranchOutcomeRecord> branch_outcomes;
    // Attempts that may not have heard that they were replaced, and those that replaced them
    // without a promise: PREPARING names them, the decision does not. To be aborted.
    std::vector<protocol::BranchRecord> replaced;

    friend bool operator==(const UnfinishedGroup&, const UnfinishedGroup&) = default;
};

// Outcomes are remembered for so many turns at least: an id that had not been given at a turn is
// above the horizon until as many more have passed, and at most one.
inline constexpr std::size_t kTurnsPerRetention = 64;
// One more turn. Those that nothing depends on any more are dropped.
void add_turn(std::deque<protocol::OutcomeTurnRecord>& turns,
              const protocol::OutcomeTurnRecord& turn);

struct RecoveredState {
    protocol::Incarnation incarnation;
    // The epoch of this start; its record with a fresh key is already in `epochs`.
    protocol::Epoch epoch = 0;
    std::map<protocol::Epoch, protocol::EpochRecord> epochs;
    std::map<protocol::ParticipantNumber, protocol::ParticipantRecord> participants;
    std::map<protocol::TxnId, UnfinishedGroup> unfinished_commits;
    // Was on its way without a decision: aborted by this recovery.
    std::map<protocol::TxnId, protocol::PreparingRecord> undecided;
    // Of `undecided`: an abort was decided by the start that made it. No other start of any copy of
    // the log can have committed it.
    std::set<protocol::TxnId> aborted;
    // Ended with a heuristic or unprovable branch; kept until forgotten.
    std::map<protocol::TxnId, protocol::Outcome> heuristic;
    std::map<protocol::TxnId, std::vector<protocol::BranchOutcomeRecord>> branch_outcomes;
    std::map<protocol::TxnId, std::string>
        acknowledged;  // of `heuristic`, with the person's reason
    std::map<protocol::ParticipantNumber, protocol::IdPosition> given_up;
    std::map<protocol::ParticipantNumber, protocol::Position> positions;
    // Committed and ended. Like the keys, not in the state that a running machine makes a
    // checkpoint of.
    OutcomeMemory outcomes;
    // The files that hold all outcomes but the loose ones, and the newest turns, oldest first.
    std::map<std::uint64_t, protocol::SealedOutcomesRecord> sealed_outcomes;
    std::deque<protocol::OutcomeTurnRecord> turns;
    // Settled keys. The outcome of a committed one is in `outcomes` or `heuristic`, or is no
    // longer remembered.
    KeyMemory keys;
    // The files that hold all keys but the loose ones.
    std::map<std::uint64_t, protocol::SealedRecord> sealed;
    // As in `outcomes`; in a checkpoint, the one that is being forced.
    protocol::IdPosition horizon{};
    // The log was refused, and nobody has accepted that yet; and the newest acceptance.
    std::optional<protocol::RestoreRecord> refused;
    std::optional<protocol::RestoreRecord> accepted;

    friend bool operator==(const RecoveredState&, const RecoveredState&) = default;
};

// All records that a checkpoint needs so that folding them gives the same state.
[[nodiscard]] std::vector<protocol::Record> checkpoint_records(const RecoveredState& state);
// The same with these in place of the state's own.
[[nodiscard]] std::vector<protocol::Record> checkpoint_records(const RecoveredState& state,
                                                               const OutcomeMemory& outcomes,
                                                               const KeyMemory& keys);
// Files whose ids are all below the horizon are not needed any more.
void forget_files_below(protocol::IdPosition horizon,
                        std::map<std::uint64_t, protocol::SealedOutcomesRecord>& files);
// What refers to a sealed file of these records of keys.
[[nodiscard]] protocol::SealedRecord sealed_record(std::uint64_t file,
                                                   const std::vector<protocol::Record>& records);
// The number of the first sealed file, of whatever kind, of an epoch: files of two starts never
// have the same name.
[[nodiscard]] std::uint64_t first_sealed_file(protocol::Epoch epoch);

}  // namespace twofold::coordinator
