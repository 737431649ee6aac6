// Slots for prepared branches, and the queue before them. A branch waits here before anything of it
// is in the database: whoever waits holds no lock. First come, first served.
#pragma once

#include "protocol/ids.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace twofold::participant {

class Slots {
public:
    void set_capacity(std::size_t capacity) { capacity_ = capacity; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }

    // True when the first in the queue may start.
    [[nodiscard]] bool can_start() const { return used_ < capacity_ && !queue_.empty(); }
    [[nodiscard]] bool is_free() const { return used_ < capacity_ && queue_.empty(); }
    [[nodiscard]] std::size_t waiting() const { return queue_.size(); }
    [[nodiscard]] std::vector<protocol::BranchKey> waiting_keys() const;
    [[nodiscard]] std::size_t used() const { return used_; }

    // The number names the place in the queue.
    std::uint64_t enqueue(const protocol::BranchKey& key);
    void leave(std::uint64_t number);
    [[nodiscard]] protocol::BranchKey take_first();

    // A branch found prepared has its slot whether one is free or not: the database already holds
    // it.
    void occupy() { ++used_; }
    void release();

private:
    std::size_t capacity_ = 0;
    std::size_t used_ = 0;
    std::uint64_t last_number_ = 0;
    std::map<std::uint64_t, protocol::BranchKey> queue_;
};

}  // namespace twofold::participant
