// What the store had been asked and what it had promised at some time, and what a file may hold
// then.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace twofold::damage {

// Of a branch: a call that has begun, or one that has returned. What a begun call does may or may
// not be there after a crash, as a whole.
enum class Step : std::uint8_t {
    nothing,
    prepare_begun,
    prepared,
    commit_begun,
    committed,
    rollback_begun,
    aborted,
    one_phase_begun,
    one_phase_committed,
    tombstone_begun,
    tombstoned,
    // Of the whole file; the number is no branch but what must not become less.
    epoch,
    position,
    sender,
};

struct Event {
    Step step = Step::nothing;
    std::uint64_t number = 0;
};

struct Promises {
    std::map<std::uint64_t, Step> branches;
    std::uint64_t epoch = 0;
    std::uint64_t position = 0;
    std::uint64_t sender = 0;

    void take(const Event& event);
    [[nodiscard]] Step of(std::uint64_t branch) const;
    // What is wrong with a file that lists these branches as prepared and has these in its books;
    // empty: nothing.
    [[nodiscard]] std::string problem(const std::set<std::uint64_t>& listed,
                                      const std::set<std::uint64_t>& booked) const;
};

}  // namespace twofold::damage
