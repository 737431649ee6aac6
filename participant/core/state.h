// The states of one branch inside a participant, and which may follow which. docs/protocol.md
// prints the same table. A crash of the sidecar loses all of this memory: what is left is what the
// database lists as prepared (it comes back as in_doubt), finished branches' witnesses, and the
// participant epoch, which makes every unfinished piece of work of an older start impossible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace twofold::participant {

enum class BranchState : std::uint8_t {
    absent,            // not in memory; the database does not list it
    queued,            // waits for a slot; nothing is in the database
    running,           // its work runs in the database; it may become prepared at any moment
    executing,         // interactive: a statement runs
    open,              // interactive: the session is open and idle
    preparing,         // interactive: PREPARE runs
    cancelling,        // its session is being ended; afterwards nothing new can happen by itself
    checking,          // session gone, end unknown: a listing tells whether it is prepared
    prepared,          // durable, and this process answered yes
    in_doubt,          // durable, found in a listing; no vote of this process
    parked,            // durable, but a person is needed (expired, or another role's)
    committing,        // told to commit; the database is doing it, or will be asked again
    rolling_back,      // told to abort; the database is doing it, or will be asked again
    settling,          // one-phase: the witness is looked for, or a tombstone put into its place
    read_only,         // ended: nothing was written, nothing is left
    committed,         // ended: durably
    aborted,           // ended: nothing of it is left, and nothing may come any more (tombstone)
    heuristic_commit,  // ended: committed by somebody else although abort was decided
    heuristic_abort,   // ended: aborted by somebody else although commit was decided
    hazard,            // ended: the database cannot prove how; a person is needed
};
inline constexpr std::size_t kBranchStates = 20;

[[nodiscard]] std::string_view to_string(BranchState state);

// Whether it is the name of a state in which a branch is listed as unfinished.
[[nodiscard]] bool is_listed_state(std::string_view name);

// The transition table. Everything else is a bug and ends the process.
[[nodiscard]] bool may_follow(BranchState from, BranchState to);

// Nothing of the branch is prepared or running: only memory, kept for late messages.
[[nodiscard]] bool is_end(BranchState state);
// The database holds it, or may hold it, and nobody is finishing it: what a listing is about.
[[nodiscard]] bool is_held(BranchState state);
// Asked about when nobody speaks of it for long: held ones, and idle sessions, which only their
// coordinator would end. A coordinator that crashed before the decision has forgotten them.
[[nodiscard]] bool is_watched(BranchState state);
// Work that has not voted: commit cannot have been decided.
[[nodiscard]] bool is_before_vote(BranchState state);

}  // namespace twofold::participant
