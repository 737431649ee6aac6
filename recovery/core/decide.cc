#include "recovery/core/decide.h"

#include "base/assert.h"

#include <array>

namespace twofold::recovery {

namespace {

constexpr Match kAny = Match::any;
constexpr Match kYes = Match::yes;
constexpr Match kNo = Match::no;

// clang-format off
constexpr std::array kTable = std::to_array<Row>({
    //                         commit abort prep  end   bit   odd   one   above
    {"two_decisions",          kYes,  kYes, kAny, kAny, kAny, kAny, kAny, kAny, Action::refuse_inconsistent,
     "a decision is taken once"},

    {"one_phase_committed",    kYes,  kNo,  kAny, kAny, kAny, kAny, kYes, kAny, Action::refuse_inconsistent,
     "a one-phase transaction has no decision of ours"},
    {"one_phase_aborted",      kNo,   kYes, kAny, kAny, kAny, kAny, kYes, kAny, Action::refuse_inconsistent,
     "a one-phase transaction has no decision of ours"},
    {"one_phase_preparing",    kNo,   kNo,  kYes, kAny, kAny, kAny, kYes, kAny, Action::refuse_inconsistent,
     "a one-phase transaction is never prepared"},

    {"commit_unfinished",      kYes,  kNo,  kAny, kNo,  kNo,  kAny, kNo,  kAny, Action::redrive_commit,
     "the decision is durable and some branch may not have heard it; the horizon does not matter"},
    {"commit_after_its_end",   kYes,  kNo,  kAny, kNo,  kYes, kAny, kNo,  kAny, Action::refuse_inconsistent,
     "a bit is set at the end, and nothing is decided after it"},
    {"commit_ended",           kYes,  kNo,  kAny, kYes, kAny, kNo,  kNo,  kYes, Action::remember_committed,
     "everybody has acknowledged; late questions are answered from the bit"},
    {"commit_ended_expired",   kYes,  kNo,  kAny, kYes, kAny, kNo,  kNo,  kNo,  Action::forget,
     "everybody has acknowledged, and the outcome is no longer remembered"},
    {"commit_ended_oddly",     kYes,  kNo,  kAny, kYes, kAny, kYes, kNo,  kAny, Action::remember_heuristic,
     "a branch did not follow the decision, or cannot prove that it did"},

    {"abort_of_a_committed",   kNo,   kYes, kAny, kAny, kYes, kAny, kNo,  kAny, Action::refuse_inconsistent,
     "committed and aborted"},
    {"abort_unfinished",       kNo,   kYes, kAny, kNo,  kNo,  kAny, kNo,  kAny, Action::drive_abort,
     "some branch may not have heard the abort"},
    {"abort_ended",            kNo,   kYes, kAny, kYes, kNo,  kNo,  kNo,  kAny, Action::forget,
     "everybody has acknowledged; no decision means abort"},
    {"abort_ended_oddly",      kNo,   kYes, kAny, kYes, kNo,  kYes, kNo,  kAny, Action::remember_heuristic,
     "a branch was committed by somebody else, or cannot prove that it was not"},

    {"preparing_a_committed",  kNo,   kNo,  kYes, kAny, kYes, kAny, kNo,  kAny, Action::refuse_inconsistent,
     "ids are used once"},
    {"undecided",              kNo,   kNo,  kYes, kNo,  kNo,  kAny, kNo,  kAny, Action::drive_abort,
     "no durable commit decision follows, so there was none that anybody heard of"},
    {"undecided_ended",        kNo,   kNo,  kYes, kYes, kNo,  kNo,  kNo,  kAny, Action::forget,
     "aborted and acknowledged"},
    {"undecided_ended_oddly",  kNo,   kNo,  kYes, kYes, kNo,  kYes, kNo,  kAny, Action::remember_heuristic,
     "aborted, but not everywhere"},

    {"odd_branches_only",      kNo,   kNo,  kNo,  kAny, kNo,  kYes, kAny, kAny, Action::remember_heuristic,
     "what a checkpoint keeps of an odd end, or a one-phase branch that nobody can prove"},
    {"odd_but_committed",      kNo,   kNo,  kNo,  kAny, kYes, kYes, kAny, kAny, Action::refuse_inconsistent,
     "a transaction with an odd branch never gets its bit"},
    {"end_of_a_remembered",    kNo,   kNo,  kNo,  kYes, kYes, kNo,  kAny, kAny, Action::refuse_inconsistent,
     "an end follows its decision, and a checkpoint that has the bit repeats neither"},
    {"end_of_nothing",         kNo,   kNo,  kNo,  kYes, kNo,  kNo,  kAny, kAny, Action::refuse_inconsistent,
     "an end follows a record of its transaction"},

    {"committed",              kNo,   kNo,  kNo,  kNo,  kYes, kNo,  kAny, kYes, Action::remember_committed,
     "its bit says so"},
    {"committed_expired",      kNo,   kNo,  kNo,  kNo,  kYes, kNo,  kAny, kNo,  Action::forget,
     "no outcome below the horizon is remembered"},
    {"nothing",                kNo,   kNo,  kNo,  kNo,  kNo,  kNo,  kNo,  kYes, Action::forget,
     "presumed abort: no decision exists and none can be made any more"},
    {"one_phase_unknown",      kNo,   kNo,  kNo,  kNo,  kNo,  kNo,  kYes, kYes, Action::settle_at_participant,
     "its participant has the witness, or forbids it for ever"},
    {"expired",                kNo,   kNo,  kNo,  kNo,  kNo,  kNo,  kAny, kNo,  Action::forget,
     "told as expired, never as aborted"},
});
// clang-format on

bool fits(Match wanted, bool fact) {
    return wanted == Match::any || (wanted == Match::yes) == fact;
}

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
    return fits(row.commit, facts.commit) && fits(row.abort, facts.abort) &&
           fits(row.preparing, facts.preparing) && fits(row.end, facts.end) &&
           fits(row.remembered, facts.remembered) &&
           fits(row.branch_outcome, facts.branch_outcome) && fits(row.one_phase, facts.one_phase) &&
           fits(row.above_horizon, facts.above_horizon);
}

const Row& decide(const Facts& facts) {
    for (const Row& row : kTable) {
        if (matches(row, facts)) return row;
    }
    TWOFOLD_UNREACHABLE("the decision table has a row for everything");
}

}  // namespace twofold::recovery
