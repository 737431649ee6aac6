#include "recovery/core/decide.h"

#include "base/assert.h"

#include <array>

namespace twofold::recovery {

namespace {

// clang-format off
constexpr std::array kTable = std::to_array<Row>({
    // commit, abort, preparing, end, remembered, branch outcome, one-phase, above the horizon:
    // y yes, n no, . either
    {"two_decisions", "yy......", Action::refuse_inconsistent,
     "a decision is taken once"},

    {"one_phase_committed", "yn....y.", Action::refuse_inconsistent,
     "a one-phase transaction has no decision of ours"},
    {"one_phase_aborted", "ny....y.", Action::refuse_inconsistent,
     "a one-phase transaction has no decision of ours"},
    {"one_phase_preparing", "nny...y.", Action::refuse_inconsistent,
     "a one-phase transaction is never prepared"},

    {"commit_unfinished", "yn.nn.n.", Action::redrive_commit,
     "the decision is durable and some branch may not have heard it; the horizon does not matter"},
    {"commit_after_its_end", "yn.ny.n.", Action::refuse_inconsistent,
     "a bit is set at the end, and nothing is decided after it"},
    {"commit_ended", "yn.y.nny", Action::remember_committed,
     "everybody has acknowledged; late questions are answered from the bit"},
    {"commit_ended_expired", "yn.y.nnn", Action::forget,
     "everybody has acknowledged, and the outcome is no longer remembered"},
    {"commit_ended_oddly", "yn.y.yn.", Action::remember_heuristic,
     "a branch did not follow the decision, or cannot prove that it did"},

    {"abort_of_a_committed", "ny..y.n.", Action::refuse_inconsistent,
     "committed and aborted"},
    {"abort_unfinished", "ny.nn.n.", Action::drive_abort,
     "some branch may not have heard the abort"},
    {"abort_ended", "ny.ynnn.", Action::forget,
     "everybody has acknowledged; no decision means abort"},
    {"abort_ended_oddly", "ny.ynyn.", Action::remember_heuristic,
     "a branch was committed by somebody else, or cannot prove that it was not"},

    {"preparing_a_committed", "nny.y.n.", Action::refuse_inconsistent,
     "ids are used once"},
    {"undecided", "nnynn.n.", Action::drive_abort,
     "no durable commit decision follows, so there was none that anybody heard of"},
    {"undecided_ended", "nnyynnn.", Action::forget,
     "aborted and acknowledged"},
    {"undecided_ended_oddly", "nnyynyn.", Action::remember_heuristic,
     "aborted, but not everywhere"},

    {"odd_branches_only", "nnn.ny..", Action::remember_heuristic,
     "what a checkpoint keeps of an odd end, or a one-phase branch that nobody can prove"},
    {"odd_but_replayed", "nnn.yyy.", Action::remember_heuristic,
     "an older program set the bit as well, when its participant proved the commit later"},
    {"odd_but_committed", "nnn.yyn.", Action::refuse_inconsistent,
     "a transaction with an odd branch never gets its bit"},
    {"end_of_a_remembered", "nnnyyn..", Action::refuse_inconsistent,
     "an end follows its decision, and a checkpoint that has the bit repeats neither"},
    {"end_of_nothing", "nnnynn..", Action::refuse_inconsistent,
     "an end follows a record of its transaction"},

    {"committed", "nnnnyn.y", Action::remember_committed,
     "its bit says so"},
    {"committed_expired", "nnnnyn.n", Action::forget,
     "no outcome below the horizon is remembered"},
    {"nothing", "nnnnnnny", Action::forget,
     "presumed abort: no decision exists and none can be made any more"},
    {"one_phase_unknown", "nnnnnnyy", Action::settle_at_participant,
     "its participant has the witness, or forbids it for ever"},
    {"expired", "nnnnnn.n", Action::forget,
     "told as expired, never as aborted"},
});
// clang-format on

}  // namespace

std::string_view to_string(Action action) {
    switch (action) {
        case Action::redrive_commit: return "redrive_commit";
        case Action::drive_abort: return "drive_abort";
        case Action::remember_committed: return "remember_committed";
        case Action::remember_heuristic: return "remember_heuristic";
        case Action::forget: return "forget";
        case Action::settle_at_participant: return "settle_at_participant";
        case Action::refuse_inconsistent: return "refuse_inconsistent";
    }
    return "unknown";
}

std::span<const Row> decision_table() { return kTable; }

bool matches(const Row& row, const Facts& facts) {
    const std::array<bool, 8> values{facts.commit,
                                     facts.abort,
                                     facts.preparing,
                                     facts.end,
                                     facts.remembered,
                                     facts.branch_outcome,
                                     facts.one_phase,
                                     facts.above_horizon};
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (row.when[i] != '.' && (row.when[i] == 'y') != values[i]) return false;
    }
    return true;
}

const Row& decide(const Facts& facts) {
    for (const Row& row : kTable) {
        if (matches(row, facts)) return row;
    }
    TWOFOLD_UNREACHABLE("the decision table has a row for everything");
}

}  // namespace twofold::recovery
