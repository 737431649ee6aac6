#include "sim/explored_database.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

using protocol::BranchKey;
using protocol::FinishRequest;
using protocol::FinishResult;
using protocol::FinishStatus;
using protocol::WorkResult;
using protocol::WorkStatus;
namespace reason = protocol::reason;

namespace {

protocol::Reason because(std::string_view code) {
    protocol::Reason why;
    why.code = code;
    return why;
}

std::string key_text(const BranchKey& key) {
    return key.group.text() + "/" + std::to_string(key.branch) + "." + std::to_string(key.attempt);
}

// Old enough to be asked about at the next look.
constexpr std::uint64_t kListedAge = 3'600'000;
constexpr std::uint32_t kSlots = 100;

}  // namespace

ExploredDatabase::ExploredDatabase(std::uint16_t number)
    : identity_{"explored", {std::to_string(number)}} {
    uuid_.bytes[14] = 0xd0;
    uuid_.bytes[15] = static_cast<std::uint8_t>(number);
}

protocol::ResourceStart ExploredDatabase::start() {
    ++epoch_;
    ++position_;
    protocol::ResourceStart start;
    start.uuid = uuid_;
    start.identity = identity_;
    start.epoch = epoch_;
    start.position = position();
    start.slots = kSlots;
    start.senders = senders_;
    start.prepared = listing();
    return start;
}

WorkResult ExploredDatabase::run_and_prepare(const protocol::BranchWork& work, WorkStatus vote) {
    WorkResult result;
    result.status = vote;
    if (vote == WorkStatus::refused) {
        result.reason = because(reason::kConstraint);
        return result;
    }
    if (vote == WorkStatus::read_only) return result;
    if (tombstones_.contains(work.key)) {
        result.status = WorkStatus::refused;
        result.reason = because(reason::kAfterAbort);
        return result;
    }
    Prepared branch{work.gid, next_xid_++, position()};
    result.proof = protocol::ProofToken{branch.xid, branch.position, false};
    ++position_;
    prepared_.emplace(work.key, std::move(branch));
    return result;
}

const bool* ExploredDatabase::logged(const FinishRequest& request) const {
    if (!request.proof) return nullptr;
    auto found = commit_log_.find(request.proof->xid);
    return found == commit_log_.end() ? nullptr : &found->second;
}

FinishResult ExploredDatabase::commit(const FinishRequest& request) {
    auto found = prepared_.find(request.key);
    if (found == prepared_.end()) {
        const bool* committed = logged(request);
        if (committed == nullptr) return {FinishStatus::hazard, because("no_proof")};
        return {*committed ? FinishStatus::committed : FinishStatus::aborted, {}};
    }
    commit_log_.emplace(found->second.xid, true);
    prepared_.erase(found);
    committed_.insert(request.key.group);
    ++position_;
    return {FinishStatus::committed, {}};
}

FinishResult ExploredDatabase::roll_back(const FinishRequest& request) {
    tombstones_.insert(request.key);
    ++position_;
    auto found = prepared_.find(request.key);
    if (found == prepared_.end()) {
        const bool* committed = logged(request);
        if (committed != nullptr && *committed) return {FinishStatus::committed, {}};
        return {request.proof ? FinishStatus::aborted : FinishStatus::not_found, {}};
    }
    commit_log_.emplace(found->second.xid, false);
    prepared_.erase(found);
    broken_.insert(request.key.group);
    return {FinishStatus::aborted, {}};
}

void ExploredDatabase::persist(const protocol::SenderStamp& sender) {
    protocol::SenderStamp& known = senders_[sender.incarnation];
    std::uint64_t position = std::max(known.position, sender.position);
    if (sender.epoch >= known.epoch) known = sender;
    known.position = position;
}

std::vector<protocol::PreparedBranch> ExploredDatabase::listing() const {
    std::vector<protocol::PreparedBranch> out;
    out.reserve(prepared_.size());
    for (const auto& [key, branch] : prepared_) {
        protocol::ProofToken proof{branch.xid, branch.position, false};
        out.push_back({key, branch.gid, proof, kListedAge, true});
    }
    return out;
}

std::string ExploredDatabase::text() const {
    std::string out = std::to_string(epoch_) + " " + std::to_string(position_);
    for (const auto& [incarnation, sender] : senders_) {
        out += " sender " + std::to_string(sender.epoch) + ":" +
               std::to_string(sender.start_nonce) + ":" + std::to_string(sender.position);
    }
    for (const auto& [key, branch] : prepared_) {
        out += " prepared " + key_text(key) + "=" + std::to_string(branch.xid);
    }
    for (const BranchKey& key : tombstones_) out += " tombstone " + key_text(key);
    for (const auto& [xid, committed] : commit_log_) {
        out += (committed ? " committed " : " aborted ") + std::to_string(xid);
    }
    for (const protocol::TxnId& id : committed_) out += " did " + id.text();
    for (const protocol::TxnId& id : broken_) out += " broke " + id.text();
    return out;
}

bool ExploredDatabase::is_prepared(const protocol::TxnId& group) const {
    return std::ranges::any_of(prepared_,
                               [&group](const auto& each) { return each.first.group == group; });
}

bool ExploredDatabase::has_committed(const protocol::TxnId& group) const {
    return committed_.contains(group);
}

bool ExploredDatabase::has_broken(const protocol::TxnId& group) const {
    return broken_.contains(group);
}

}  // namespace twofold::sim
