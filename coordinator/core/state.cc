#include "coordinator/core/state.h"

#include "base/assert.h"

#include <array>
#include <initializer_list>

namespace twofold::coordinator {

namespace {

using Mask = std::uint32_t;

template <class State>
constexpr Mask mask(std::initializer_list<State> states) {
    Mask bits = 0;
    for (State state : states) bits |= Mask{1} << static_cast<unsigned>(state);
    return bits;
}

// Row: from. Set: to.
constexpr Mask transaction_edges(TransactionState from) {
    using enum TransactionState;
    switch (from) {
        case fresh:
            return mask(
                {waiting, active, preparing, one_phase, settling, committing, aborting, heuristic});
        case waiting: return mask({preparing, one_phase, aborting});
        case active: return mask({preparing, committed, aborting});
        case preparing: return mask({proposing, committed, aborting});
        case proposing: return mask({committing, aborting});
        case one_phase: return mask({settling, committed, aborted, heuristic});
        case settling: return mask({committed, aborted, heuristic});
        case committing: return mask({committed, heuristic});
        case aborting: return mask({aborted, heuristic});
        case committed:
        case aborted:
        case heuristic: return 0;
    }
    return 0;
}

constexpr Mask branch_edges(BranchState from) {
    using enum BranchState;
    switch (from) {
        // A replaced attempt starts its own life in `waiting` and only goes on to `aborting`.
        case waiting:
            return mask(
                {enlisted, preparing, one_phase, settling, committing, aborting, no, heuristic});
        case enlisted: return mask({preparing, aborting});
        case preparing: return mask({yes, no, read_only, aborting});
        case yes: return mask({committing, aborting});
        case one_phase: return mask({committed, no, settling});
        case settling: return mask({committed, aborted, recording, parked});
        case committing: return mask({committed, recording, parked});
        case aborting: return mask({aborted, recording, parked});
        case parked: return mask({committing, aborting, settling, recording});
        case recording: return mask({heuristic});
        case no:
        case read_only:
        case committed:
        case aborted:
        case heuristic: return 0;
    }
    return 0;
}

}  // namespace

std::string_view to_string(TransactionState state) {
    constexpr std::array<std::string_view, kTransactionStates> kNames{"fresh",
                                                                      "waiting",
                                                                      "active",
                                                                      "preparing",
                                                                      "proposing",
                                                                      "one_phase",
                                                                      "settling",
                                                                      "committing",
                                                                      "aborting",
                                                                      "committed",
                                                                      "aborted",
                                                                      "heuristic"};
    return kNames.at(static_cast<std::size_t>(state));
}

bool is_state_name(std::string_view name) {
    for (std::size_t i = 0; i < kTransactionStates; ++i) {
        if (to_string(static_cast<TransactionState>(i)) == name) return true;
    }
    return false;
}

std::string_view to_string(BranchState state) {
    constexpr std::array<std::string_view, kBranchStates> kNames{"waiting",
                                                                 "enlisted",
                                                                 "preparing",
                                                                 "yes",
                                                                 "no",
                                                                 "read_only",
                                                                 "one_phase",
                                                                 "settling",
                                                                 "committing",
                                                                 "aborting",
                                                                 "committed",
                                                                 "aborted",
                                                                 "recording",
                                                                 "heuristic",
                                                                 "parked"};
    return kNames.at(static_cast<std::size_t>(state));
}

bool is_legal(TransactionState from, TransactionState to) {
    return (transaction_edges(from) & mask({to})) != 0;
}

bool is_legal(BranchState from, BranchState to) { return (branch_edges(from) & mask({to})) != 0; }

bool is_undecided(TransactionState state) {
    using enum TransactionState;
    return (mask({waiting, active, preparing, proposing, one_phase, settling}) & mask({state})) !=
           0;
}

bool holds_every_mark(TransactionState state) {
    using enum TransactionState;
    return (mask({waiting, active, preparing, proposing}) & mask({state})) != 0;
}

bool is_ended(TransactionState state) {
    using enum TransactionState;
    return (mask({committed, aborted, heuristic}) & mask({state})) != 0;
}

bool is_outstanding(BranchState state) {
    using enum BranchState;
    constexpr Mask kFinal = mask({waiting, no, read_only, committed, aborted, heuristic});
    return (kFinal & mask({state})) == 0;
}

bool is_being_told(BranchState state) {
    using enum BranchState;
    return (mask({committing, aborting, settling}) & mask({state})) != 0;
}

}  // namespace twofold::coordinator
