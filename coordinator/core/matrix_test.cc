// Every state of a transaction meets every input. Nothing may be asserted away, nothing may be said
// that contradicts the log; and whatever happened, the transaction ends when all is well again.
#include "coordinator/core/script.h"
#include "coordinator/core/state.h"

#include <gtest/gtest.h>

#include <functional>

namespace twofold::coordinator {
namespace {

using protocol::CallOutcome;
using protocol::ItemOp;
using protocol::ItemStatus;

struct Start {
    std::string name;
    std::function<Script()> make;
};

Script one_shot() {
    Script s(3);
    s.when("work", s.submit({1, 2}));
    return s;
}

Script proposing() {
    Script s = one_shot();
    s.when("yes", s.reply(1, ItemStatus::yes));
    s.when("yes", s.reply(2, ItemStatus::yes));
    return s;
}

Script committing() {
    Script s = proposing();
    s.when("durable", s.decided());
    return s;
}

Script aborting() {
    Script s = one_shot();
    s.when("lost", s.failed(1, CallOutcome::unknown));
    return s;
}

Script one_phase() {
    Script s(3);
    s.infos[1].one_phase = true;
    s.when("seen", s.seen(1));
    s.when("work", s.submit({1}));
    return s;
}

std::function<Script()> after(Script (*make)(), std::function<void(Script&)> more) {
    return [make, more = std::move(more)] {
        Script s = make();
        more(s);
        return s;
    };
}

class Starts {
public:
    void add(std::string name, std::function<Script()> make) {
        all.push_back({std::move(name), std::move(make)});
    }
    std::vector<Start> all;
};

void add_before_the_decision(Starts& starts) {
    starts.add("waiting", [] {
        Script s(3);
        s.infos[1].slots = 1;
        s.when("seen", s.seen(1));
        s.when("work", s.submit({1, 3}));
        s.when("work", s.submit({1, 2}));
        return s;
    });
    starts.add("active", [] {
        Script s(3);
        s.when("begin", s.begin());
        s.when("enlist", s.enlist(1));
        s.when("enlist", s.enlist(2));
        return s;
    });
    starts.add("preparing", one_shot);
    starts.add("preparing with a yes",
               after(one_shot, [](Script& s) { s.when("yes", s.reply(1, ItemStatus::yes)); }));
    starts.add("preparing a new attempt", after(one_shot, [](Script& s) {
                   s.infos[1].epoch = 2;
                   s.when("restarted",
                          s.reply(1,
                                  ItemStatus::refused,
                                  protocol::reason::kStaleParticipantEpoch,
                                  [](auto& r) { r.executed = false; }));
               }));
    starts.add("proposing", proposing);
}

void add_after_the_decision(Starts& starts) {
    starts.add("committing", committing);
    starts.add("committing with an acknowledgement", after(committing, [](Script& s) {
                   s.when("done", s.reply(1, ItemStatus::committed));
               }));
    starts.add("committing, asleep", after(committing, [](Script& s) {
                   s.when("lost", s.failed(1, CallOutcome::unknown));
               }));
    starts.add("committing, recording a hazard", after(committing, [](Script& s) {
                   s.when("hazard", s.reply(1, ItemStatus::hazard));
               }));
    starts.add("committing, parked", after(committing, [](Script& s) {
                   s.when("nonsense", s.reply(1, ItemStatus::aborted));
               }));
    starts.add("aborting", aborting);
    starts.add("aborting, asleep", after(aborting, [](Script& s) {
                   s.when("lost", s.failed(1, CallOutcome::not_sent));
               }));
    starts.add("one_phase", one_phase);
    starts.add("settling", after(one_phase, [](Script& s) {
                   s.when("lost", s.failed(1, CallOutcome::unknown));
               }));
    starts.add("committed", after(committing, [](Script& s) {
                   s.when("done", s.reply(1, ItemStatus::committed));
                   s.when("done", s.reply(2, ItemStatus::committed));
               }));
    starts.add("aborted", after(aborting, [](Script& s) {
                   s.when("done", s.reply(1, ItemStatus::aborted));
                   s.when("done", s.reply(2, ItemStatus::aborted));
               }));
    starts.add("heuristic", after(committing, [](Script& s) {
                   s.when("hazard", s.reply(1, ItemStatus::hazard));
                   s.when("durable", s.durable());
                   s.when("done", s.reply(2, ItemStatus::committed));
               }));
    starts.add("stopped", after(committing, [](Script& s) {
                   s.when("newer", s.reply(1, ItemStatus::refused, protocol::reason::kStaleSender));
               }));
}

std::vector<Start> all_starts() {
    Starts starts;
    add_before_the_decision(starts);
    add_after_the_decision(starts);
    return starts.all;
}

std::vector<std::function<Input(Script&)>> all_inputs() {
    std::vector<std::function<Input(Script&)>> inputs;
    for (int op = 1; op <= 6; ++op) {
        for (int status = 1; status <= 11; ++status) {
            for (std::string_view code : {protocol::reason::kConstraint,
                                          protocol::reason::kStaleParticipantEpoch,
                                          protocol::reason::kIdentityMismatch,
                                          protocol::reason::kNotReady,
                                          protocol::reason::kBelowLowWater,
                                          protocol::reason::kProtocolViolation}) {
                if (ItemStatus(status) != ItemStatus::refused &&
                    code != protocol::reason::kConstraint) {
                    continue;
                }
                inputs.emplace_back([=](Script& s) {
                    return s.reply_to(ItemOp(op), s.key(1), 1, ItemStatus(status), code);
                });
            }
        }
        for (CallOutcome outcome : {CallOutcome::not_sent, CallOutcome::unknown}) {
            inputs.emplace_back([=](Script& s) -> Input {
                return CallFailed{
                    protocol::ParticipantNumber(1), s.key(1), ItemOp(op), outcome, "lost"};
            });
        }
    }
    inputs.emplace_back([](Script& s) { return s.decided(); });
    inputs.emplace_back([](Script& s) { return s.decided(protocol::Decision::abort); });
    inputs.emplace_back([](Script& s) { return s.durable(); });
    inputs.emplace_back([](Script& s) { return s.enlist(1); });
    inputs.emplace_back([](Script& s) { return s.enlist(1, 99); });
    inputs.emplace_back([](Script& s) { return s.enlist(3); });
    inputs.emplace_back([](Script& s) { return s.commit(); });
    inputs.emplace_back([](Script& s) { return s.commit(WaitFor::decided); });
    inputs.emplace_back([](Script& s) { return s.abort(); });
    inputs.emplace_back([](Script& s) { return s.outcome(); });
    inputs.emplace_back([](Script& s) { return s.seen(1); });
    inputs.emplace_back([](Script& s) {
        ++s.infos[1].epoch;
        return s.seen(1);
    });
    inputs.emplace_back([](Script& s) {
        s.infos[1].identity.fields = {"other"};
        return s.seen(1);
    });
    inputs.emplace_back([](Script& s) { return s.lost(1); });
    inputs.emplace_back([](Script& s) { return s.inquire(1, s.key(1)); });
    inputs.emplace_back([](Script&) -> Input { return Drain{}; });
    inputs.emplace_back([](Script&) -> Input { return LogRoom{false}; });
    for (std::size_t i = 0; i < 4; ++i) {
        inputs.emplace_back([i](Script& s) -> Input {
            return TimerFired{i < s.timers.size() ? s.timers[i] : TimerId(12345)};
        });
    }
    return inputs;
}

bool says_committed(const Effect& effect) {
    auto* answer = std::get_if<Answer>(&effect);
    return answer != nullptr && answer->report.outcome == protocol::Outcome::committed;
}

bool sends_commit(const Effect& effect) {
    auto* send = std::get_if<Send>(&effect);
    return send != nullptr && send->item.op == ItemOp::commit;
}

// Participants answer everything as they should, the log is durable, timers fire: it ends, unless a
// person is needed.
void settle_down(Script& s) {
    for (std::uint16_t i = 1; i <= 3; ++i) {
        protocol::ParticipantInfo info = participant_info(i);
        info.epoch = s.infos[i].epoch;
        s.infos[i] = info;
        s.when("all is well again", s.seen(i));
    }
    std::size_t answered = 0;
    for (int round = 0; round < 40; ++round) {
        s.when("decided", s.decided());
        s.when("durable", s.durable());
        for (; answered < s.all_sent.size(); ++answered) {
            Send send = s.all_sent[answered];
            ItemStatus status = ItemStatus::aborted;
            if (send.item.op == ItemOp::commit) status = ItemStatus::committed;
            if (send.item.op == ItemOp::execute_prepare || send.item.op == ItemOp::prepare) {
                status = ItemStatus::yes;
            }
            s.when("answered",
                   s.reply_to(send.item.op, send.item.key, send.participant.value, status));
        }
        if (!s.timers.empty()) s.when("a timer", s.timer());
    }
}

TEST(Matrix, every_state_meets_every_input) {
    std::size_t pairs = 0;
    for (const Start& start : all_starts()) {
        for (const auto& make_input : all_inputs()) {
            Script s = start.make();
            protocol::TxnId txn = s.txn;
            bool was_decided = s.machine.query(txn).report.outcome == protocol::Outcome::committed;
            Input input = make_input(s);
            bool is_decision = std::holds_alternative<Decided>(input);
            bool is_one_phase = txn.participant().value != 0;
            s.when(start.name, std::move(input));
            for (const Effect& effect : s.effects) {
                bool committed = says_committed(effect) || sends_commit(effect);
                if (committed && !is_one_phase) {
                    EXPECT_TRUE(was_decided || is_decision)
                        << start.name << ": " << describe(effect);
                }
            }
            settle_down(s);
            Answer end = s.machine.query(txn);
            bool needs_a_person = false;
            for (const BranchReport& branch : end.report.branches) {
                needs_a_person = needs_a_person || branch.state == "parked";
            }
            bool ended = end.kind == AnswerKind::finished || needs_a_person ||
                         end.kind == AnswerKind::cannot_tell || start.name == "active";
            EXPECT_TRUE(ended) << start.name << ": " << end.report.state;
            ++pairs;
        }
    }
    EXPECT_GT(pairs, 2000U);
}

TEST(Matrix, every_state_is_reached) {
    std::set<std::string> states;
    for (const Start& start : all_starts()) {
        Script s = start.make();
        states.insert(s.machine.query(s.txn).report.state);
    }
    for (std::size_t i = 1; i < kTransactionStates; ++i) {
        EXPECT_TRUE(states.contains(std::string(to_string(TransactionState(i)))))
            << to_string(TransactionState(i));
    }
}

}  // namespace
}  // namespace twofold::coordinator
