// A participant with its database, in the small.
#include "coordinator/core/small_world.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::BranchKey;
using protocol::ItemOp;
using protocol::ItemStatus;
namespace reason = protocol::reason;

ItemStatus SmallParticipant::work(const protocol::Item& item,
                                  protocol::Reason& why,
                                  bool& executed) {
    executed = false;
    auto known = branches.find(item.key);
    if (known != branches.end() && item.op != ItemOp::prepare) {
        executed = true;
        switch (known->second) {
            case State::prepared: return ItemStatus::yes;
            case State::read_only: return ItemStatus::read_only;
            case State::refused: why.code = reason::kConstraint; return ItemStatus::no;
            case State::committed:
                return item.op == ItemOp::one_phase ? ItemStatus::committed : ItemStatus::yes;
            case State::running:
            case State::aborted: why.code = reason::kAfterAbort; return ItemStatus::refused;
        }
    }
    if (item.participant_epoch != info.epoch) {
        why.code = reason::kStaleParticipantEpoch;
        return ItemStatus::refused;
    }
    executed = true;
    if (known != branches.end() && known->second != State::running) {
        if (known->second == State::prepared) return ItemStatus::yes;
        why.code = reason::kAfterAbort;
        return ItemStatus::refused;
    }
    switch (vote) {
        case ItemStatus::yes: {
            bool one_phase = item.op == ItemOp::one_phase;
            branches[item.key] = one_phase ? State::committed : State::prepared;
            if (one_phase) ++committed_times[item.key.group];
            return one_phase ? ItemStatus::committed : ItemStatus::yes;
        }
        case ItemStatus::read_only: branches[item.key] = State::read_only; return vote;
        default:
            branches[item.key] = State::refused;
            why.code = reason::kConstraint;
            return ItemStatus::no;
    }
}

ItemStatus SmallParticipant::commit(const BranchKey& key, protocol::Reason& why) {
    auto known = branches.find(key);
    if (known == branches.end() ||
        (known->second != State::prepared && known->second != State::committed)) {
        violations.push_back("commit of a branch that is not prepared: " + describe(key));
        why.code = reason::kProtocolViolation;
        return ItemStatus::refused;
    }
    if (known->second == State::prepared) ++committed_times[key.group];
    known->second = State::committed;
    return ItemStatus::committed;
}

ItemStatus SmallParticipant::abort(const BranchKey& key) {
    State& state = branches.try_emplace(key, State::aborted).first->second;
    bool one_phase = key.group.participant().value != 0;
    if (state == State::committed) {
        if (!one_phase) violations.push_back("abort of a committed branch: " + describe(key));
        return ItemStatus::committed;
    }
    state = State::aborted;
    return ItemStatus::aborted;
}

protocol::ItemResult SmallParticipant::handle(const protocol::Item& item) {
    protocol::ItemResult result;
    result.op = item.op;
    result.key = item.key;
    result.participant = info.uuid;
    result.identity = info.identity;
    result.participant_epoch = info.epoch;
    switch (item.op) {
        case ItemOp::execute_prepare:
        case ItemOp::prepare:
        case ItemOp::one_phase:
            result.status = work(item, result.reason, result.executed);
            if (result.status == ItemStatus::yes) {
                result.proof = protocol::ProofToken{item.key.branch, {1, 1}, false};
                result.results = json("[]");
            }
            break;
        case ItemOp::commit: result.status = commit(item.key, result.reason); break;
        case ItemOp::abort:
        case ItemOp::settle_one_phase: result.status = abort(item.key); break;
    }
    return result;
}

void SmallParticipant::restart() {
    ++info.epoch;
    std::erase_if(branches, [](const auto& entry) {
        return entry.second != State::prepared && entry.second != State::committed;
    });
}

std::vector<BranchKey> SmallParticipant::in_doubt() const {
    std::vector<BranchKey> keys;
    for (const auto& [key, state] : branches) {
        if (state == State::prepared) keys.push_back(key);
    }
    return keys;
}

void SmallParticipant::resolve(const BranchKey& key, protocol::InquiryAnswer answer) {
    protocol::Reason ignored;
    if (branches[key] != State::prepared) return;
    if (answer == protocol::InquiryAnswer::commit) commit(key, ignored);
    if (answer == protocol::InquiryAnswer::abort) abort(key);
}

}  // namespace twofold::coordinator
