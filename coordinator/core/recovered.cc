#include "coordinator/core/recovered.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace twofold::coordinator {

using protocol::Record;

namespace {

void append_heuristic(const protocol::TxnId& id,
                      protocol::Outcome outcome,
                      const RecoveredState& state,
                      std::vector<Record>& out) {
    auto outcomes = state.branch_outcomes.find(id);
    if (outcomes != state.branch_outcomes.end()) {
        for (const auto& branch : outcomes->second) out.emplace_back(branch);
    }
    out.emplace_back(protocol::EndRecord{id, outcome});
}

// What is in a sealed file is not written again.
void append_outcomes(const OutcomeMemory& outcomes,
                     const RecoveredState& state,
                     std::vector<Record>& out) {
    for (const protocol::OutcomeTurnRecord& turn : state.turns) out.emplace_back(turn);
    for (const auto& [file, record] : state.sealed_outcomes) out.emplace_back(record);
    for (protocol::OutcomesRecord& record :
         outcomes.loose_records(state.horizon, outcomes.loose())) {
        out.emplace_back(std::move(record));
    }
}

void append_keys(const KeyMemory& keys, const RecoveredState& state, std::vector<Record>& out) {
    if (keys.generation() != 0) out.emplace_back(protocol::KeyTurnRecord{keys.generation()});
    for (const auto& [file, record] : state.sealed) out.emplace_back(record);
    for (protocol::KeysRecord& record : keys.loose_records(keys.loose())) {
        out.emplace_back(std::move(record));
    }
}

}  // namespace

void add_turn(std::deque<protocol::OutcomeTurnRecord>& turns,
              const protocol::OutcomeTurnRecord& turn) {
    turns.push_back(turn);
    while (turns.size() > kTurnsPerRetention + 1) turns.pop_front();
}

void forget_files_below(protocol::IdPosition horizon,
                        std::map<std::uint64_t, protocol::SealedOutcomesRecord>& files) {
    std::erase_if(files, [&](const auto& file) { return file.second.newest < horizon; });
}

// It goes when the newest of its keys are over.
protocol::SealedRecord sealed_record(std::uint64_t file, const std::vector<Record>& records) {
    protocol::SealedRecord sealed;
    sealed.file = file;
    for (const Record& record : records) {
        const auto& keys = std::get<protocol::KeysRecord>(record);
        sealed.generation = std::max(sealed.generation, keys.generation);
        sealed.keys += static_cast<std::uint32_t>(keys.keys.size());
    }
    sealed.checksum = protocol::content_checksum(records);
    return sealed;
}

std::uint64_t first_sealed_file(protocol::Epoch epoch) { return (std::uint64_t{epoch} << 32U) + 1; }

// Order matters to a reader only in that the horizon comes before the outcomes, a group's outcomes
// before its end, the outcomes before the keys, the generation of keys before the keys, and what
// was accepted before what is refused.
std::vector<Record> checkpoint_records(const RecoveredState& state) {
    return checkpoint_records(state, state.outcomes, state.keys);
}

std::vector<Record> checkpoint_records(const RecoveredState& state,
                                       const OutcomeMemory& outcomes,
                                       const KeyMemory& keys) {
    std::vector<Record> out;
    out.reserve(state.epochs.size() + state.participants.size() + state.unfinished_commits.size() +
                state.undecided.size() + state.sealed.size() + state.sealed_outcomes.size());
    for (const auto& [epoch, record] : state.epochs) out.emplace_back(record);
    for (const auto& [number, record] : state.participants) out.emplace_back(record);
    if (state.horizon != protocol::IdPosition{}) {
        out.emplace_back(protocol::HorizonRecord{state.horizon});
    }
    for (const auto& [participant, newest] : state.given_up) {
        out.emplace_back(protocol::GivenUpRecord{participant, newest});
    }
    for (const auto& [participant, position] : state.positions) {
        out.emplace_back(protocol::PositionRecord{participant, position});
    }
    append_outcomes(outcomes, state, out);
    for (const auto& [id, record] : state.undecided) {
        if (!state.aborted.contains(id)) {
            out.emplace_back(record);
            continue;
        }
        out.emplace_back(protocol::DecisionRecord{
            id, protocol::Decision::abort, record.members, record.branches, {}});
    }
    for (const auto& [id, group] : state.unfinished_commits) {
        if (!group.replaced.empty()) {
            protocol::PreparingRecord preparing{id, group.decision.members, group.replaced};
            std::ranges::copy(group.decision.branches, std::back_inserter(preparing.branches));
            out.emplace_back(std::move(preparing));
        }
        out.emplace_back(group.decision);
        for (const auto& [key, outcome] : group.branch_outcomes) out.emplace_back(outcome);
    }
    for (const auto& [id, odd] : state.branch_outcomes) {
        if (state.heuristic.contains(id)) continue;
        for (const auto& outcome : odd) out.emplace_back(outcome);
    }
    for (const auto& [id, outcome] : state.heuristic) append_heuristic(id, outcome, state, out);
    for (const auto& [id, reason] : state.acknowledged) {
        out.emplace_back(protocol::AcknowledgedRecord{id, reason});
    }
    append_keys(keys, state, out);
    if (state.accepted) out.emplace_back(*state.accepted);
    if (state.refused) out.emplace_back(*state.refused);
    return out;
}

}  // namespace twofold::coordinator
