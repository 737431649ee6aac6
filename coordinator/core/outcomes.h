// Which transactions were committed and have ended: one bit per id above the forget horizon. An id
// below the horizon has no remembered outcome, and is never said to be aborted.
//
// The horizon moves in two steps: choose_horizon() proposes, the caller forces a record, and only
// then move_horizon() forgets. A crash in between leaves the old horizon with all of its bits.
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
    [[nodiscard]] bool is_committed(protocol::IdPosition position) const;
    [[nodiscard]] protocol::IdPosition horizon() const { return horizon_; }
    // The newest committed id below the limit that is remembered; zero when there is none.
    [[nodiscard]] protocol::IdPosition newest_committed_below(protocol::IdPosition limit) const;

    // A higher horizon when more ids than wanted are remembered; never above `limit` (the oldest
    // undecided id). `next` is the position of the next id.
    [[nodiscard]] std::optional<protocol::IdPosition> choose_horizon(
        protocol::IdPosition next, protocol::IdPosition limit) const;
    void move_horizon(protocol::IdPosition horizon);

    // The bits from `horizon` (at least our own) as records of a checkpoint. Copies words: a
    // checkpoint is made between two steps of the machine.
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

    protocol::IdPosition horizon_;
    std::map<protocol::Epoch, EpochBits> epochs_;
    std::uint64_t ids_max_;
};

}  // namespace twofold::coordinator
