// Every order of a few messages and of everything that the database may answer to them, with an
// invariant checker after each step. Short sequences tried exhaustively find what long random ones
// miss: a duplicate that overtakes an abort, a cancel that crosses a vote, a lost answer at the one
// bad moment. What it cannot see: crashes of the sidecar itself (the simulator has those).
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace twofold::participant::test {
namespace {

using protocol::BranchKey;
using protocol::FinishStatus;
using protocol::ItemStatus;
using protocol::WorkStatus;

// A database with one row of state per branch.
struct Row {
    bool is_prepared = false;
    bool is_committed = false;
    bool is_forbidden = false;   // one-phase tombstone
    bool session_lives = false;  // its work, or a session that nobody hears of any more
};

enum class CallKind { work, one_phase, cancel, commit, rollback, settle, list };

struct Call {
    CallKind kind = CallKind::list;
    BranchKey key;
};

struct Choice {
    std::string name;
    std::function<void()> act;
    bool is_mishap = false;
};

class World {
public:
    World(const std::vector<ItemReceived>& messages,
          std::uint32_t slots,
          int mishaps,
          const Sabotage& sabotage)
        : machine_(Config{.sabotage = sabotage}),
          messages_(messages),
          slots_(slots),
          mishaps_(mishaps) {
        feed(started(slots));
    }

    std::vector<Choice> choices() {
        std::vector<Choice> all;
        add_messages(all);
        for (std::size_t i = 0; i < calls_.size(); ++i) add_outcomes(i, all);
        if (!timers_.empty()) {
            all.push_back({"timer", [this] {
                               TimerId timer = timers_.front();
                               timers_.erase(timers_.begin());
                               feed(TimerFired{timer});
                           }});
        }
        if (mishaps_ == 0) std::erase_if(all, [](const Choice& c) { return c.is_mishap; });
        return all;
    }

    void take(const Choice& choice) {
        trace_ += choice.name + "; ";
        if (choice.is_mishap) --mishaps_;
        choice.act();
    }

    void check_end() {
        for (const auto& [ticket, answers] : answers_) expect(answers == 1, "a ticket waits");
    }

    [[nodiscard]] const std::string& trace() const { return trace_; }
    [[nodiscard]] const std::string& failure() const { return failure_; }

private:
    void expect(bool holds, const std::string& what) {
        if (!holds && failure_.empty()) failure_ = what;
    }

    // ---- what may happen next

    void add_messages(std::vector<Choice>& all) {
        std::set<std::string> names;
        for (std::size_t i = 0; i < messages_.size(); ++i) {
            const ItemReceived& message = messages_[i];
            std::string name = std::string(to_string(message.item.op)) + " " +
                               std::to_string(message.item.key.group.sequence());
            if (!names.insert(name).second) continue;  // equal messages: their order is no order
            all.push_back({name, [this, i] {
                               ItemReceived next = messages_[i];
                               messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(i));
                               next.ticket = ReplyTicket(++last_ticket_);
                               answers_[next.ticket.value] = 0;
                               feed(next);
                           }});
        }
    }

    void add_outcomes(std::size_t index, std::vector<Choice>& all) {
        Call call = calls_[index];
        Row& row = rows_[call.key];
        auto outcome = [&](std::string name,
                           const std::function<void()>& act,
                           bool is_mishap = false) {
            all.push_back({std::move(name),
                           [this, index, act] {
                               calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(index));
                               act();
                           },
                           is_mishap});
        };
        switch (call.kind) {
            case CallKind::work: return add_work(call, row, outcome);
            case CallKind::one_phase: return add_one_phase(call, row, outcome);
            case CallKind::cancel: return add_cancel(call, row, outcome);
            case CallKind::commit: return add_commit(call, row, outcome);
            case CallKind::rollback: return add_rollback(call, row, outcome);
            case CallKind::settle:
                outcome("settle", [this, call, &row] {
                    row.is_forbidden = !row.is_committed;
                    finish(call,
                           row.is_committed ? FinishStatus::committed : FinishStatus::aborted);
                });
                outcome(
                    "settle unknown", [this, call] { finish(call, FinishStatus::unknown); }, true);
                return;
            case CallKind::list:
                outcome("list", [this] { feed(listing(listed_rows())); });
                outcome(
                    "list fails", [this] { feed(Listed{}); }, true);
                return;
        }
    }

    template <class Outcome>
    void add_work(const Call& call, Row& row, const Outcome& outcome) {
        outcome("prepared", [this, call, &row] {
            row = {.is_prepared = true};
            feed(WorkDone{call.key, prepared()});
        });
        outcome("refused", [this, call, &row] {
            row = {};
            feed(WorkDone{call.key, refused("deadlock")});
        });
        outcome(
            "lost, prepared",
            [this, call, &row] {
                row = {.is_prepared = true};
                feed(WorkDone{call.key, result(WorkStatus::unknown)});
            },
            true);
        outcome(
            "lost, still there",
            [this, call] {
                feed(WorkDone{call.key, result(WorkStatus::unknown)});
            },
            true);
    }

    template <class Outcome>
    void add_one_phase(const Call& call, Row& row, const Outcome& outcome) {
        outcome("one-phase commits", [this, call, &row] {
            row = {.is_committed = true};
            feed(WorkDone{call.key, result(WorkStatus::committed)});
        });
        outcome("one-phase refused", [this, call, &row] {
            row = {};
            feed(WorkDone{call.key, refused("deadlock")});
        });
        outcome(
            "one-phase lost, committed",
            [this, call, &row] {
                row = {.is_committed = true};
                feed(WorkDone{call.key, result(WorkStatus::unknown)});
            },
            true);
        outcome(
            "one-phase lost, still there",
            [this, call] {
                feed(WorkDone{call.key, result(WorkStatus::unknown)});
            },
            true);
    }

    // The contract of the port: the work has answered before its cancel is done.
    template <class Outcome>
    void add_cancel(const Call& call, Row& row, const Outcome& outcome) {
        for (const Call& other : calls_) {
            bool is_work = other.kind == CallKind::work || other.kind == CallKind::one_phase;
            if (is_work && other.key == call.key) return;
        }
        outcome("session gone", [this, call, &row] {
            row.session_lives = false;
            feed(CancelDone{call.key, true});
        });
        if (row.session_lives && !one_phase_keys_.contains(call.key)) {
            outcome("prepared, then session gone", [this, call, &row] {
                row = {.is_prepared = true};
                feed(CancelDone{call.key, true});
            });
        }
        outcome(
            "not cancelled",
            [this, call] {
                feed(CancelDone{call.key, false});
            },
            true);
    }

    template <class Outcome>
    void add_commit(const Call& call, Row& row, const Outcome& outcome) {
        outcome("commit", [this, call, &row] {
            if (row.is_prepared) row = {.is_committed = true};
            finish(call, row.is_committed ? FinishStatus::committed : FinishStatus::hazard);
        });
        outcome(
            "commit, answer lost",
            [this, call, &row] {
                if (row.is_prepared) row = {.is_committed = true};
                finish(call, FinishStatus::unknown);
            },
            true);
        outcome(
            "commit lost", [this, call] { finish(call, FinishStatus::unknown); }, true);
    }

    template <class Outcome>
    void add_rollback(const Call& call, Row& row, const Outcome& outcome) {
        outcome("rollback", [this, call, &row] {
            FinishStatus status = row.is_prepared ? FinishStatus::aborted : FinishStatus::not_found;
            if (row.is_committed) status = FinishStatus::committed;
            if (row.is_prepared) row = {};
            finish(call, status);
        });
        outcome(
            "rollback, answer lost",
            [this, call, &row] {
                if (row.is_prepared) row = {};
                finish(call, FinishStatus::unknown);
            },
            true);
    }

    // ---- steps

    void finish(const Call& call, FinishStatus status) {
        FinishDone done;
        done.key = call.key;
        done.result.status = status;
        feed(std::move(done));
    }

    std::vector<protocol::PreparedBranch> listed_rows() {
        std::vector<protocol::PreparedBranch> all;
        for (const auto& [key, row] : rows_) {
            if (row.is_prepared) all.push_back(listed(key.group.sequence()));
        }
        return all;
    }

    void feed(Input input) {
        Effects effects;
        machine_.step(std::move(input), effects);
        for (const Effect& effect : effects) {
            std::visit([this](const auto& alternative) { note(alternative); }, effect);
        }
        check_slots();
    }

    void note(const RunAndPrepare& effect) { start(CallKind::work, effect.work.key); }
    void note(const RunOnePhase& effect) {
        one_phase_keys_.insert(effect.work.key);
        start(CallKind::one_phase, effect.work.key);
    }
    void note(const CancelWork& effect) { calls_.push_back({CallKind::cancel, effect.key}); }
    void note(const CommitPrepared& effect) {
        expect(!said_aborted_.contains(effect.request.key), "commits after it said aborted");
        start_finish(CallKind::commit, effect.request.key);
    }
    void note(const RollbackPrepared& effect) {
        expect(!said_committed_.contains(effect.request.key), "rolls back what it said committed");
        start_finish(CallKind::rollback, effect.request.key);
    }
    void note(const AskCoordinators& /*effect*/) {}
    void note(const AnswerResolve& /*effect*/) {}
    void note(const SettleOnePhase& effect) { start_finish(CallKind::settle, effect.key); }
    void note(const ListPrepared& /*effect*/) { calls_.push_back({CallKind::list, {}}); }
    void note(const SendInquiry& /*effect*/) {}
    void note(const NoteMarks& /*effect*/) {}
    void note(const AnswerOffer& /*effect*/) {}
    void note(const RaiseAlarm& /*effect*/) {}
    void note(const ExecuteWork& /*effect*/) {}
    void note(const PrepareExecuted& /*effect*/) {}
    void note(const PersistSender& /*effect*/) { expect(false, "its epoch is durable already"); }
    void note(const ArmTimer& effect) {
        bool is_retry = effect.delay_max <= Config{}.retry_max;
        if (is_retry) timers_.push_back(effect.timer);
    }
    void note(const SendReply& effect) {
        ++answers_[effect.ticket.value];
        expect(answers_[effect.ticket.value] == 1, "a ticket is answered twice");
        check_answer(effect.result);
    }

    void start(CallKind kind, const BranchKey& key) {
        expect(started_.insert(key).second, "work is started twice");
        expect(!said_aborted_.contains(key), "work is started after the abort");
        rows_[key].session_lives = true;
        calls_.push_back({kind, key});
    }

    void start_finish(CallKind kind, const BranchKey& key) {
        for (const Call& call : calls_) {
            bool is_finish = call.kind == CallKind::commit || call.kind == CallKind::rollback ||
                             call.kind == CallKind::settle;
            expect(!is_finish || call.key != key, "two finishing calls for one branch");
        }
        calls_.push_back({kind, key});
    }

    void check_answer(const protocol::ItemResult& answer) {
        const Row& row = rows_[answer.key];
        switch (answer.status) {
            case ItemStatus::yes:
                expect(row.is_prepared || row.is_committed, "yes before it is durable");
                expect(!said_aborted_.contains(answer.key), "yes after aborted");
                said_yes_.insert(answer.key);
                return;
            case ItemStatus::no:
                expect(!row.is_prepared && !row.session_lives, "no, but something is left");
                expect(!said_yes_.contains(answer.key), "no after yes");
                return;
            case ItemStatus::committed:
                expect(row.is_committed, "committed, but it is not");
                expect(!said_aborted_.contains(answer.key), "committed after aborted");
                said_committed_.insert(answer.key);
                return;
            case ItemStatus::aborted:
                expect(!row.is_prepared && !row.is_committed, "aborted, but it is not");
                expect(!row.session_lives, "aborted, but its session lives");
                expect(!said_committed_.contains(answer.key), "aborted after committed");
                said_aborted_.insert(answer.key);
                return;
            default: return;
        }
    }

    void check_slots() {
        std::size_t used = 0;
        for (const auto& [key, row] : rows_) used += row.is_prepared || row.session_lives ? 1U : 0U;
        expect(used <= slots_, "more branches than slots");
    }

    Machine machine_;
    std::vector<ItemReceived> messages_;
    std::size_t slots_;
    int mishaps_;
    std::vector<Call> calls_;
    std::vector<TimerId> timers_;
    std::map<BranchKey, Row> rows_;
    std::map<std::uint64_t, int> answers_;
    std::uint64_t last_ticket_ = 0;
    std::set<BranchKey> started_;
    std::set<BranchKey> one_phase_keys_;
    std::set<BranchKey> said_yes_;
    std::set<BranchKey> said_committed_;
    std::set<BranchKey> said_aborted_;
    std::string trace_;
    std::string failure_;
};

struct Case {
    std::string name;
    std::vector<ItemReceived> messages;
    std::uint32_t slots = 1;
    int mishaps = 1;  // lost answers, failed listings and the like, in one order
    Sabotage sabotage = {};
};

// Depth first; a world cannot be copied, so each path is run from its start.
class Explorer {
public:
    explicit Explorer(const Case& test_case) : case_(test_case) {}

    void run() { explore(); }
    [[nodiscard]] std::size_t ends() const { return ends_; }
    // What was broken first, and how it came to that. Empty when nothing was.
    [[nodiscard]] const std::string& failure() const { return failure_; }

private:
    void explore() {
        World world(case_.messages, case_.slots, case_.mishaps, case_.sabotage);
        for (std::size_t step : path_) world.take(world.choices().at(step));
        std::size_t width = world.choices().size();
        if (width == 0) {
            ++ends_;
            world.check_end();
        }
        if (!world.failure().empty()) failure_ = world.failure() + " after: " + world.trace();
        for (std::size_t i = 0; i < width && failure_.empty(); ++i) {
            path_.push_back(i);
            explore();
            path_.pop_back();
        }
    }

    const Case& case_;
    std::vector<std::size_t> path_;
    std::size_t ends_ = 0;
    std::string failure_;
};

class Orders : public testing::TestWithParam<Case> {};

TEST_P(Orders, KeepTheInvariants) {
    Explorer explorer(GetParam());
    explorer.run();
    EXPECT_EQ(explorer.failure(), "");
    EXPECT_GT(explorer.ends(), 10U);
    RecordProperty("orders", std::to_string(explorer.ends()));
}

std::vector<Case> cases() {
    return {
        {"work_twice_commit", {work(1), work(1), commit(1)}, 1, 3},
        {"work_commit_twice", {work(1), commit(1), commit(1)}, 1, 3},
        {"work_twice_abort", {work(1), work(1), abort_of(1)}, 1, 3},
        {"work_abort_twice", {work(1), abort_of(1), abort_of(1)}, 1, 3},
        {"work_abort_many_mishaps", {work(1), abort_of(1)}, 1, 5},
        {"work_commit_many_mishaps", {work(1), commit(1)}, 1, 5},
        {"work_commit_abort", {work(1), commit(1), abort_of(1)}, 1, 3},
        {"all_twice", {work(1), work(1), commit(1), commit(1), abort_of(1), abort_of(1)}, 1, 1},
        {"two_branches_one_slot", {work(1), work(2), abort_of(1), commit(2)}, 1, 1},
        {"two_branches_two_slots", {work(1), work(2), commit(1), abort_of(2)}, 2, 0},
        {"one_phase_settled_twice", {one_phase(1), settle(1), settle(1)}, 1, 3},
        {"one_phase_twice_settled", {one_phase(1), one_phase(1), settle(1)}, 1, 3},
        {"one_phase_aborted", {one_phase(1), abort_of(1), settle(1)}, 1, 3},
    };
}

// The checker itself is checked: it must find these bugs.
TEST(OrdersChecker, FindsDeliberateBugs) {
    auto finds = [](bool Sabotage::*flag) {
        Case broken{"", {work(1), work(1), commit(1), abort_of(1)}, 1, 2, {}};
        broken.sabotage.*flag = true;
        Explorer explorer(broken);
        explorer.run();
        return explorer.failure();
    };
    EXPECT_NE(finds(&Sabotage::vote_yes_before_durable), "");
    EXPECT_NE(finds(&Sabotage::forget_tombstone), "");
    EXPECT_NE(finds(&Sabotage::commit_unknown_is_success), "");
    EXPECT_NE(finds(&Sabotage::abort_without_cancelling), "");
    EXPECT_NE(finds(&Sabotage::failed_listing_is_empty), "");
}

INSTANTIATE_TEST_SUITE_P(All,
                         Orders,
                         testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

}  // namespace
}  // namespace twofold::participant::test
