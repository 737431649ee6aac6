// Every state with every input. The whole table is in testdata/state_matrix.txt and is read as a
// document: a change of behaviour is a change of that file. Inputs without a row do nothing in that
// state. After a change that is meant, run the test with TWOFOLD_UPDATE_TESTDATA=1 and review the
// difference.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

namespace twofold::participant::test {
namespace {

using protocol::FinishStatus;
using protocol::InquiryAnswer;
using protocol::WorkStatus;

constexpr const char* kTable = "participant/core/testdata/state_matrix.txt";

struct State {
    std::string name;
    std::function<void(Script&)> reach;
};
struct Stimulus {
    std::string name;
    std::vector<Input> inputs;
};

// The recipes start with a ready machine of one slot.
std::vector<State> states() {
    auto voted = [](Script& s) { s.given(work(1)).given(work_done(1, prepared())); };
    auto lost = [](Script& s) {
        s.given(work(1)).given(work_done(1, result(WorkStatus::unknown)));
    };
    auto told = [voted](Script& s) {
        voted(s);
        s.given(commit(1));
    };
    return {
        {"absent", [](Script&) {}},
        {"queued", [](Script& s) { s.given(work(9)).given(work(1)); }},
        {"running", [](Script& s) { s.given(work(1)); }},
        {"executing", [](Script& s) { s.given(execute(1, 1)); }},
        {"open",
         [](Script& s) { s.given(execute(1, 1)).given(execute_done(1, 1, WorkStatus::prepared)); }},
        {"preparing",
         [](Script& s) {
             s.given(execute(1, 1)).given(execute_done(1, 1, WorkStatus::prepared));
             s.given(prepare(1));
         }},
        {"cancelling", lost},
        {"cancelling for abort", [](Script& s) { s.given(work(1)).given(abort_of(1)); }},
        {"checking",
         [lost](Script& s) {
             lost(s);
             s.given(cancelled(1));
         }},
        {"prepared", voted},
        {"in_doubt", [](Script& s) { s.given(started(1, {listed(1)})); }},
        {"parked",
         [](Script& s) {
             s.given(started(1, {listed(1)})).given(answered(1, InquiryAnswer::expired));
         }},
        {"committing", told},
        {"rolling_back",
         [voted](Script& s) {
             voted(s);
             s.given(abort_of(1));
         }},
        {"read_only",
         [](Script& s) { s.given(work(1)).given(work_done(1, result(WorkStatus::read_only))); }},
        {"committed",
         [told](Script& s) {
             told(s);
             s.given(finish_done(1, FinishStatus::committed));
         }},
        {"aborted by its no",
         [](Script& s) {
             s.given(work(1)).given(work_done(1, refused(protocol::reason::kDeadlock)));
         }},
        {"aborted (tombstone)", [](Script& s) { s.given(abort_of(1)); }},
        {"heuristic_commit",
         [voted](Script& s) {
             voted(s);
             s.given(abort_of(1)).given(finish_done(1, FinishStatus::committed));
         }},
        {"heuristic_abort",
         [told](Script& s) {
             told(s);
             s.given(finish_done(1, FinishStatus::aborted));
         }},
        {"hazard",
         [told](Script& s) {
             told(s);
             s.given(finish_done(1, FinishStatus::hazard));
         }},
        {"one-phase queued", [](Script& s) { s.given(work(9)).given(one_phase(1)); }},
        {"one-phase running", [](Script& s) { s.given(one_phase(1)); }},
        {"one-phase cancelling",
         [](Script& s) { s.given(one_phase(1)).given(work_done(1, result(WorkStatus::unknown))); }},
        {"one-phase settling", [](Script& s) { s.given(settle(1)); }},
        {"one-phase committed",
         [](Script& s) {
             s.given(one_phase(1)).given(work_done(1, result(WorkStatus::committed)));
         }},
        {"one-phase aborted",
         [](Script& s) { s.given(settle(1)).given(finish_done(1, FinishStatus::aborted)); }},
        {"one-phase hazard",
         [](Script& s) { s.given(settle(1)).given(finish_done(1, FinishStatus::hazard)); }},
    };
}

std::vector<Stimulus> stimuli() {
    auto plain = [](std::string name, Input input) -> Stimulus {
        return {std::move(name), {std::move(input)}};
    };
    return {
        plain("execute_prepare", work(1)),
        plain("one_phase", one_phase(1)),
        plain("prepare", prepare(1)),
        plain("execute#1", execute(1, 1)),
        plain("execute#2", execute(1, 2)),
        plain("execute#3", execute(1, 3)),
        plain("commit", commit(1)),
        plain("abort", abort_of(1)),
        plain("settle_one_phase", settle(1)),
        plain("work: prepared", work_done(1, prepared())),
        plain("work: unknown", work_done(1, result(WorkStatus::unknown))),
        plain("executed", execute_done(1, 1, WorkStatus::prepared)),
        plain("cancelled", cancelled(1)),
        plain("not cancelled", cancelled(1, false)),
        plain("finish: committed", finish_done(1, FinishStatus::committed)),
        plain("finish: aborted", finish_done(1, FinishStatus::aborted)),
        plain("finish: not found", finish_done(1, FinishStatus::not_found)),
        plain("finish: hazard", finish_done(1, FinishStatus::hazard)),
        plain("finish: unknown", finish_done(1, FinishStatus::unknown)),
        plain("inquiry: commit", answered(1, InquiryAnswer::commit)),
        plain("inquiry: abort", answered(1, InquiryAnswer::abort)),
        plain("inquiry: still active", answered(1, InquiryAnswer::still_active)),
        plain("inquiry: expired", answered(1, InquiryAnswer::expired)),
        plain("inquiry: cannot tell", answered(1, InquiryAnswer::cannot_tell)),
        plain("listed", listing({listed(1)})),
        plain("not listed", listing({})),
        plain("listing failed", Listed{}),
    };
}

// Work answers only to a branch whose work runs, and not twice: anything else is a broken shell,
// which the machine ends the process for.
bool is_possible(const State& state, const Stimulus& stimulus) {
    bool is_execute_answer = stimulus.name == "executed";
    bool is_work_answer = stimulus.name.starts_with("work: ");
    if (state.name == "executing") return !is_work_answer;
    if (state.name == "preparing" || state.name == "running") return !is_execute_answer;
    return true;
}

// Empty when nothing happens.
std::string row(const State& state, const Stimulus& stimulus) {
    Script script;
    script.given(started(1));
    state.reach(script);
    // A voted branch is asked about only when it is old; two ticks make it so.
    if (stimulus.name.starts_with("inquiry")) script.when_tick().when_tick();
    // The listing must have been asked for after the branch came into its state.
    if (stimulus.name.find("list") != std::string::npos && state.name != "checking") {
        script.when_tick();
    }
    std::string before = script.state(1);
    std::vector<std::string> lines;
    for (const Input& input : stimulus.inputs) {
        script.when(input);
        lines.insert(lines.end(), script.lines().begin(), script.lines().end());
    }
    std::string after = script.state(1);
    if (lines.empty() && after == before) return {};
    std::string text = state.name + " | " + stimulus.name + " | ";
    for (std::size_t i = 0; i < lines.size(); ++i) text += (i > 0 ? "; " : "") + lines[i];
    return text + " | " + after + "\n";
}

std::string whole_table() {
    std::string text = "state | input | effects | state afterwards\n";
    for (const State& state : states()) {
        text += "\n";
        for (const Stimulus& stimulus : stimuli()) {
            if (is_possible(state, stimulus)) text += row(state, stimulus);
        }
    }
    return text;
}

std::string read_file(const char* path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

TEST(StateMatrix, IsAsWrittenDown) {
    std::string table = whole_table();
    if (std::getenv("TWOFOLD_UPDATE_TESTDATA") != nullptr) std::ofstream(kTable) << table;
    std::istringstream expected(read_file(kTable));
    std::istringstream actual(table);
    std::string expected_line;
    std::string actual_line;
    while (std::getline(actual, actual_line)) {
        ASSERT_TRUE(std::getline(expected, expected_line)) << "new row: " << actual_line;
        EXPECT_EQ(actual_line, expected_line);
    }
    EXPECT_FALSE(std::getline(expected, expected_line)) << "row is gone: " << expected_line;
}

}  // namespace
}  // namespace twofold::participant::test
