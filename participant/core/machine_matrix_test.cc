// Every state with every input. The whole table is in testdata/state_matrix.txt and is read as a
// document: a change of behaviour is a change of that file. Inputs without a row do nothing in that
// state. After a change that is meant, run the test with TWOFOLD_UPDATE_TESTDATA=1 and review the
// difference.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
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
void vote(Script& s) { s.given(work(1)).given(work_done(1, prepared())); }
void lose_answer(Script& s) { s.given(work(1)).given(work_done(1, result(WorkStatus::unknown))); }
void open_session(Script& s) {
    s.given(execute(1, 1)).given(execute_done(1, 1, WorkStatus::prepared));
}
// Votes, then is told, then hears from the database.
std::function<void(Script&)> told(const ItemReceived& decision, std::optional<FinishStatus> done) {
    return [decision, done](Script& s) {
        vote(s);
        s.given(decision);
        if (done) s.given(finish_done(1, *done));
    };
}
std::function<void(Script&)> after(std::vector<Input> inputs) {
    return [inputs = std::move(inputs)](Script& s) {
        for (const Input& input : inputs) s.given(input);
    };
}

std::vector<State> two_phase_states() {
    return {
        {"absent", after({})},
        {"queued", after({work(9), work(1)})},
        {"running", after({work(1)})},
        {"executing", after({execute(1, 1)})},
        {"open", open_session},
        {"preparing",
         [](Script& s) {
             open_session(s);
             s.given(prepare(1));
         }},
        {"cancelling", lose_answer},
        {"cancelling for abort", after({work(1), abort_of(1)})},
        {"checking",
         [](Script& s) {
             lose_answer(s);
             s.given(cancelled(1));
         }},
        {"prepared", vote},
        {"in_doubt", after({started(1, {listed(1)})})},
        {"parked", after({started(1, {listed(1)}), answered(1, InquiryAnswer::expired)})},
        {"committing", told(commit(1), std::nullopt)},
        {"rolling_back", told(abort_of(1), std::nullopt)},
        {"read_only", after({work(1), work_done(1, result(WorkStatus::read_only))})},
        {"committed", told(commit(1), FinishStatus::committed)},
        {"aborted by its no", after({work(1), work_done(1, refused(protocol::reason::kDeadlock))})},
        {"aborted (tombstone)", after({abort_of(1)})},
        {"heuristic_commit", told(abort_of(1), FinishStatus::committed)},
        {"heuristic_abort", told(commit(1), FinishStatus::aborted)},
        {"hazard", told(commit(1), FinishStatus::hazard)},
    };
}

std::vector<State> one_phase_states() {
    return {
        {"one-phase queued", after({work(9), one_phase(1)})},
        {"one-phase running", after({one_phase(1)})},
        {"one-phase cancelling", after({one_phase(1), work_done(1, result(WorkStatus::unknown))})},
        {"one-phase settling", after({settle(1)})},
        {"one-phase committed", after({one_phase(1), work_done(1, result(WorkStatus::committed))})},
        {"one-phase aborted", after({settle(1), finish_done(1, FinishStatus::aborted)})},
        {"one-phase hazard", after({settle(1), finish_done(1, FinishStatus::hazard)})},
    };
}

std::vector<State> states() {
    std::vector<State> all = two_phase_states();
    std::vector<State> more = one_phase_states();
    all.insert(all.end(), more.begin(), more.end());
    return all;
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
