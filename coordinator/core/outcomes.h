// Which transactions were committed and have ended: one bit per id above the forget horizon. An id
// below the horizon has no remembered outcome, and is never said to be aborted.
//
// The horizon moves in two steps: the caller forces a record of the new one, and only then
// move_horizon() forgets. A crash in between leaves the old horizon with all of its bits.
//
// A word of 64 bits is loose while it has a bit that is in no sealed file; only loose words are
// written by a checkpoint. A bit that comes late, long after its neighbours were sealed, makes
// their word loose again, and so comes into a later file: nothing that was written is ever changed.
// How many words may be loose is up to the caller.
//
// A commit that changed nothing has no record anywhere. Its bit is one of this start only: were it
// in a checkpoint, a later start would call it a commit like any other, which has its effects and
// has settled its key.
//
// Nothing here takes time that grows with the number of ids, but for reading them back and
// comparing.
#pragma once

#include "coordinator/core/id_bits.h"
#include "protocol/records.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace twofold::coordinator {

class OutcomeMemory {
public:
    // In one record: it must fit into the smallest segment.
    static constexpr std::size_t kWordsPerRecord = 496;

    void set_committed(protocol::IdPosition position);
    // Committed, and nothing was changed anywhere.
    void set_unrecorded(protocol::IdPosition position);
    // Either of them.
    [[nodiscard]] bool is_committed(protocol::IdPosition position) const;
    [[nodiscard]] bool is_unrecorded(protocol::IdPosition position) const;
    // No commit of either kind is remembered.
    [[nodiscard]] bool is_empty() const { return recorded_.is_empty() && unrecorded_.is_empty(); }
    [[nodiscard]] protocol::IdPosition horizon() const { return horizon_; }
    // The newest id below the limit whose commit is recorded and remembered; zero: there is none.
    [[nodiscard]] protocol::IdPosition newest_committed_below(protocol::IdPosition limit) const {
        return recorded_.newest_below(limit);
    }
    [[nodiscard]] std::size_t reserved_bytes() const {
        return recorded_.reserved_bytes() + unrecorded_.reserved_bytes();
    }

    // A higher horizon when more than `ids_max` ids are remembered. `next` is the position of the
    // next id.
    [[nodiscard]] std::optional<protocol::IdPosition> choose_horizon(protocol::IdPosition next,
                                                                     std::uint64_t ids_max) const;
    void move_horizon(protocol::IdPosition horizon);

    [[nodiscard]] std::size_t loose() const { return loose_count_; }
    // The bits, of ids from `horizon` on, in the first loose words, at most `limit` words.
    [[nodiscard]] std::vector<protocol::OutcomesRecord> loose_records(protocol::IdPosition horizon,
                                                                      std::size_t limit) const;
    // So many of the first loose words are in a sealed file.
    void forget_loose(std::size_t limit);
    // What was read from a checkpoint or a sealed file, in any order. It begins at a whole byte.
    void restore(const protocol::OutcomesRecord& record, bool is_loose);

    // The horizon and the recorded commits.
    friend bool operator==(const OutcomeMemory& a, const OutcomeMemory& b) {
        return a.horizon_ == b.horizon_ && a.recorded_ == b.recorded_;
    }

private:
    void note_loose(protocol::IdPosition page, const IdBits::Words& words);
    template <class Visitor>
    void visit_loose(std::size_t limit, Visitor visit) const;

    protocol::IdPosition horizon_;
    IdBits recorded_;
    IdBits unrecorded_;  // no id is in both
    std::map<protocol::IdPosition, IdBits::Words>
        loose_;  // of `recorded_`, by page; none is all zeros
    std::size_t loose_count_ = 0;
};

// What a record holds: how many ids, and the newest of them.
struct OutcomesCount {
    std::uint32_t committed = 0;
    protocol::IdPosition newest;

    void add(const protocol::OutcomesRecord& record);
};

}  // namespace twofold::coordinator
