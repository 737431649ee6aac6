// Which transactions were committed and have ended: one bit per id above the forget horizon. An id
// below the horizon has no remembered outcome, and is never said to be aborted.
//
// The horizon moves in two steps: choose_horizon() proposes, the caller forces a record, and only
// then move_horizon() forgets. A crash in between leaves the old horizon with all of its bits.
//
// A commit that changed nothing has no record anywhere. Its bit is one of this start only: were it
// in a checkpoint, a later start would call it a commit like any other, which has its effects and
// has settled its key.
#pragma once

#include "protocol/ids.h"
#include "protocol/records.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace twofold::coordinator {

class OutcomeMemory {
public:
    OutcomeMemory(protocol::IdPosition horizon,
                  const std::map<protocol::Epoch, std::vector<bool>>& committed,
                  std::uint64_t ids_max);

    void set_committed(protocol::IdPosition position);
    // Committed, and nothing was changed anywhere.
    void set_unrecorded(protocol::IdPosition position);
    // Either of them.
    [[nodiscard]] bool is_committed(protocol::IdPosition position) const;
    [[nodiscard]] bool is_unrecorded(protocol::IdPosition position) const;
    [[nodiscard]] protocol::IdPosition horizon() const { return horizon_; }
    // The newest id below the limit whose commit is recorded and remembered; zero: there is none.
    [[nodiscard]] protocol::IdPosition newest_committed_below(protocol::IdPosition limit) const;

    // A higher horizon when more ids than wanted are remembered; never above `limit` (the oldest
    // undecided id). `next` is the position of the next id.
    [[nodiscard]] std::optional<protocol::IdPosition> choose_horizon(
        protocol::IdPosition next, protocol::IdPosition limit) const;
    void move_horizon(protocol::IdPosition horizon);

    // The bits of recorded commits from `horizon` (at least our own), for a checkpoint. Copies
    // words: a checkpoint is made between two steps of the machine.
    [[nodiscard]] std::vector<protocol::OutcomesRecord> records(protocol::IdPosition horizon) const;

private:
    struct EpochBits {
        protocol::Sequence first = 0;  // multiple of 64
        std::vector<std::uint64_t> words;
        protocol::Sequence last = 0;  // the highest id known of this epoch

        void set(protocol::Sequence sequence);
        [[nodiscard]] bool test(protocol::Sequence sequence) const;
        [[nodiscard]] std::uint64_t word_from(std::size_t word, protocol::Sequence lowest) const;
        void forget_below(protocol::Sequence sequence);
    };
    using Bits = std::map<protocol::Epoch, EpochBits>;

    [[nodiscard]] static bool test(const Bits& bits, protocol::IdPosition position);
    static void forget_below(Bits& bits, protocol::IdPosition horizon);

    protocol::IdPosition horizon_;
    Bits epochs_;      // recorded
    Bits unrecorded_;  // no id is in both
    std::uint64_t ids_max_;
};

}  // namespace twofold::coordinator
