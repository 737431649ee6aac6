#include "participant/core/state.h"

#include "base/assert.h"

#include <array>
#include <initializer_list>

namespace twofold::participant {

namespace {

using enum BranchState;
using StateSet = std::uint32_t;

constexpr StateSet set_of(std::initializer_list<BranchState> states) {
    StateSet set = 0;
    for (BranchState state : states) set |= 1U << static_cast<unsigned>(state);
    return set;
}

constexpr bool contains(StateSet set, BranchState state) {
    return (set >> static_cast<unsigned>(state) & 1U) != 0;
}

struct Row {
    BranchState from;
    StateSet to;
};

// One row per state, in the order of the enumeration.
constexpr std::array<Row, kBranchStates> kTransitions{{
    {absent,
     set_of({queued, in_doubt, parked, committing, rolling_back, settling, aborted, committed})},
    {queued, set_of({running, executing, settling, aborted})},
    {running,
     set_of({prepared, read_only, committed, aborted, cancelling, settling, heuristic_commit})},
    {executing, set_of({open, aborted, cancelling})},
    {open, set_of({executing, preparing, cancelling})},
    {preparing, set_of({prepared, read_only, aborted, cancelling, heuristic_commit})},
    {cancelling,
     set_of({checking, rolling_back, settling, committed, aborted, heuristic_commit, hazard})},
    {checking, set_of({in_doubt, parked, rolling_back, aborted})},
    {prepared, set_of({committing, rolling_back, parked})},
    {in_doubt, set_of({committing, rolling_back, parked})},
    {parked, set_of({committing, rolling_back, in_doubt})},
    {committing, set_of({committed, heuristic_abort, hazard})},
    {rolling_back, set_of({aborted, heuristic_commit, hazard})},
    {settling, set_of({committed, aborted, hazard})},
    {read_only, set_of({aborted, absent})},
    // A finished branch that is listed again: the database went back, and is finished once more.
    {committed, set_of({committing, absent})},
    {aborted, set_of({rolling_back, absent})},
    {heuristic_commit, set_of({absent})},
    {heuristic_abort, set_of({absent})},
    {hazard, set_of({committing, rolling_back, settling, absent})},
}};

constexpr bool rows_are_in_order() {
    for (std::size_t i = 0; i < kTransitions.size(); ++i) {
        if (static_cast<std::size_t>(kTransitions[i].from) != i) return false;
    }
    return true;
}
static_assert(rows_are_in_order());

}  // namespace

bool is_listed_state(std::string_view name) {
    for (int i = 0; i <= static_cast<int>(hazard); ++i) {
        auto state = static_cast<BranchState>(i);
        bool is_unfinished = state == hazard || (state != absent && !is_end(state));
        if (is_unfinished && to_string(state) == name) return true;
    }
    return false;
}

std::string_view to_string(BranchState state) {
    switch (state) {
        case absent: return "absent";
        case queued: return "queued";
        case running: return "running";
        case executing: return "executing";
        case open: return "open";
        case preparing: return "preparing";
        case cancelling: return "cancelling";
        case checking: return "checking";
        case prepared: return "prepared";
        case in_doubt: return "in_doubt";
        case parked: return "parked";
        case committing: return "committing";
        case rolling_back: return "rolling_back";
        case settling: return "settling";
        case read_only: return "read_only";
        case committed: return "committed";
        case aborted: return "aborted";
        case heuristic_commit: return "heuristic_commit";
        case heuristic_abort: return "heuristic_abort";
        case hazard: return "hazard";
    }
    TWOFOLD_UNREACHABLE("branch state");
}

bool may_follow(BranchState from, BranchState to) {
    return contains(kTransitions.at(static_cast<std::size_t>(from)).to, to);
}

bool is_end(BranchState state) {
    return contains(
        set_of({read_only, committed, aborted, heuristic_commit, heuristic_abort, hazard}), state);
}

bool is_held(BranchState state) {
    return contains(set_of({checking, prepared, in_doubt, parked}), state);
}

bool is_watched(BranchState state) { return is_held(state) || state == open; }

bool is_before_vote(BranchState state) {
    return contains(set_of({queued, running, executing, open, preparing, cancelling, checking}),
                    state);
}

}  // namespace twofold::participant
