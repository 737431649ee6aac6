#include "coordinator/core/recovered.h"

#include "coordinator/core/outcomes.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::Record;

namespace {

// What is left of the decision of an ended transaction whose key is still remembered.
Record decision_of_key(const protocol::TxnId& id, const protocol::IdempotencyKey& key) {
    protocol::DecisionRecord decision;
    decision.group = id;
    decision.members.push_back({id, key, {}});
    return decision;
}

void append_heuristic(const protocol::TxnId& id,
                      protocol::Outcome outcome,
                      const RecoveredState& state,
                      std::vector<Record>& out) {
    auto key = state.committed_keys.find(id);
    if (key != state.committed_keys.end()) out.push_back(decision_of_key(id, key->second));
    auto outcomes = state.branch_outcomes.find(id);
    if (outcomes != state.branch_outcomes.end()) {
        for (const auto& branch : outcomes->second) out.emplace_back(branch);
    }
    out.emplace_back(protocol::EndRecord{id, outcome});
}

}  // namespace

// Order matters to a reader only in that the horizon comes before the outcomes, and a group's
// outcomes before its end.
std::vector<Record> checkpoint_records(const RecoveredState& state) {
    OutcomeMemory memory(state.horizon, state.committed, 1);
    return checkpoint_records(state, memory.records(state.horizon));
}

std::vector<Record> checkpoint_records(const RecoveredState& state,
                                       std::vector<protocol::OutcomesRecord> outcomes) {
    std::vector<Record> out;
    out.reserve(state.epochs.size() + state.participants.size() + state.unfinished_commits.size() +
                state.undecided.size() + state.idempotent_aborts.size());
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
    for (protocol::OutcomesRecord& record : outcomes) out.emplace_back(std::move(record));
    for (const auto& [id, record] : state.undecided) out.emplace_back(record);
    for (const auto& [id, group] : state.unfinished_commits) {
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
    for (const auto& [id, key] : state.committed_keys) {
        if (state.heuristic.contains(id)) continue;
        out.push_back(decision_of_key(id, key));
        out.emplace_back(protocol::EndRecord{id, protocol::Outcome::committed});
    }
    for (const auto& [id, record] : state.idempotent_aborts) out.emplace_back(record);
    return out;
}

}  // namespace twofold::coordinator
