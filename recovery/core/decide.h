// What recovery does with a transaction, by what the log says of it: a decision table. Every
// combination of facts matches exactly one row; a test goes through all of them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace twofold::recovery {

// What the log holds of one group. All facts are of the durable part, read in order.
struct Facts {
    bool commit = false;          // a commit decision
    bool abort = false;           // an abort decision
    bool preparing = false;       // it was on its way
    bool end = false;             // every branch has acknowledged
    bool remembered = false;      // its bit says: committed and ended
    bool branch_outcome = false;  // a branch ended against the decision, or unprovably
    bool one_phase = false;       // the id names its only participant, which holds the outcome
    bool above_horizon = true;    // its outcome is to be remembered
};

enum class Action : std::uint8_t {
    redrive_commit,         // tell its branches to commit, until all have acknowledged
    drive_abort,            // tell its branches to abort, until all have acknowledged
    remember_committed,     // ended: nothing to do, its outcome is known
    remember_heuristic,     // ended otherwise than decided, or unprovably: kept for a person
    forget,                 // nothing of it is anywhere, or nothing has to be known of it
    settle_at_participant,  // only its participant knows: asked when somebody wants to know
    refuse_inconsistent,    // no run of this program writes that: the log is not to be trusted
};
[[nodiscard]] std::string_view to_string(Action action);

// `when` has one letter for each fact, in the order of Facts: y yes, n no, . either.
struct Row {
    std::string_view label;
    std::string_view when;
    Action action;
    std::string_view why;
};

[[nodiscard]] std::span<const Row> decision_table();
[[nodiscard]] bool matches(const Row& row, const Facts& facts);
// The row for these facts.
[[nodiscard]] const Row& decide(const Facts& facts);

}  // namespace twofold::recovery
