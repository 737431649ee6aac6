#include "participant/core/branch.h"

#include "base/assert.h"

#include <algorithm>
#include <cstring>

namespace twofold::participant {

namespace {

// Incarnation, epoch and sequence are bytes 2 to 21 of an id, big-endian.
constexpr std::size_t kPositionAt = 2;
constexpr std::size_t kPositionSize = 20;

// Sorts before every branch of this coordinator.
protocol::BranchKey first_of(const protocol::Incarnation& incarnation) {
    protocol::BranchKey first;
    std::ranges::copy(incarnation.bytes, first.group.bytes.begin() + kPositionAt);
    return first;
}

}  // namespace

bool KeyOrder::operator()(const protocol::BranchKey& a, const protocol::BranchKey& b) const {
    int order = std::memcmp(
        a.group.bytes.data() + kPositionAt, b.group.bytes.data() + kPositionAt, kPositionSize);
    if (order != 0) return order < 0;
    return a < b;
}

Branch* BranchTable::find(const protocol::BranchKey& key) {
    auto found = branches_.find(key);
    return found == branches_.end() ? nullptr : &found->second;
}

Branch& BranchTable::create(const protocol::BranchKey& key) {
    auto [place, is_new] = branches_.try_emplace(key);
    TWOFOLD_ASSERT(is_new, "a branch is created once");
    place->second.key = key;
    ++counts_.at(static_cast<std::size_t>(BranchState::absent));
    return place->second;
}

void BranchTable::enter(Branch& branch, BranchState next) {
    TWOFOLD_ASSERT(may_follow(branch.state, next), "a branch changes state against the table");
    --counts_.at(static_cast<std::size_t>(branch.state));
    if (is_watched(branch.state)) watched_.erase(branch.key);
    branch.state = next;
    branch.changed_at = next_moment();
    branch.ticks = 0;
    branch.asked = false;
    if (next == BranchState::absent) {
        TWOFOLD_ASSERT(branch.waiters.empty(), "somebody waits for a branch that is forgotten");
        branches_.erase(protocol::BranchKey(branch.key));
        return;
    }
    ++counts_.at(static_cast<std::size_t>(next));
    if (is_watched(next)) watched_.insert(branch.key);
}

std::optional<protocol::IdPosition> BranchTable::oldest_unfinished(
    const protocol::Incarnation& incarnation, protocol::IdPosition below) const {
    for (auto place = branches_.lower_bound(first_of(incarnation)); place != branches_.end();
         ++place) {
        const protocol::TxnId& group = place->first.group;
        if (group.incarnation() != incarnation || group.position() >= below) return std::nullopt;
        if (!is_end(place->second.state)) return group.position();
    }
    return std::nullopt;
}

void BranchTable::prune(const protocol::Incarnation& incarnation, protocol::IdPosition low_water) {
    auto place = branches_.lower_bound(first_of(incarnation));
    while (place != branches_.end()) {
        Branch& branch = (place++)->second;
        if (branch.key.group.incarnation() != incarnation) return;
        if (branch.key.group.position() >= low_water) return;
        if (is_end(branch.state)) enter(branch, BranchState::absent);
    }
}

}  // namespace twofold::participant
