#include "participant/core/slots.h"

#include "base/assert.h"

namespace twofold::participant {

std::uint64_t Slots::enqueue(const protocol::BranchKey& key) {
    queue_.emplace(++last_number_, key);
    return last_number_;
}

std::vector<protocol::BranchKey> Slots::waiting_keys() const {
    std::vector<protocol::BranchKey> keys;
    keys.reserve(queue_.size());
    for (const auto& [number, key] : queue_) keys.push_back(key);
    return keys;
}

void Slots::leave(std::uint64_t number) {
    TWOFOLD_ASSERT(queue_.erase(number) == 1, "leaves a queue that it is not in");
}

protocol::BranchKey Slots::take_first() {
    TWOFOLD_ASSERT(can_start(), "nothing may start");
    protocol::BranchKey key = queue_.begin()->second;
    queue_.erase(queue_.begin());
    ++used_;
    return key;
}

void Slots::release() {
    TWOFOLD_ASSERT(used_ > 0, "a slot is given back twice");
    --used_;
}

}  // namespace twofold::participant
