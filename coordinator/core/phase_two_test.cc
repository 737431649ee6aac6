// What becomes of decided transactions: retries, odd ends, wrong databases, one-phase, stopping.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::ItemOp;
using protocol::ItemStatus;
namespace reason = protocol::reason;

Script committing() {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    return s;
}

const ArmTimer& only_timer(const Script& s) {
    const ArmTimer* found = nullptr;
    for (const Effect& effect : s.effects) {
        if (auto* timer = std::get_if<ArmTimer>(&effect)) found = timer;
    }
    EXPECT_NE(found, nullptr);
    return *found;
}

TEST(PhaseTwo, decisions_are_retried_for_ever_at_a_growing_pace) {
    Script s = committing();
    std::vector<std::pair<int, int>> delays;
    for (int i = 0; i < 12; ++i) {
        s.when("no answer", s.failed(1, CallOutcome::unknown));
        delays.emplace_back(only_timer(s).delay_min.count(), only_timer(s).delay_max.count());
        s.when("the timer fires", s.timer()).expect({"send commit t1.1/1.1 to 1"});
    }
    EXPECT_EQ(delays[0], std::make_pair(20, 40));
    EXPECT_EQ(delays[1], std::make_pair(40, 80));
    EXPECT_EQ(delays.back(), std::make_pair(2500, 5000));
    s.when("at last", s.reply(1, committed));
    s.when("and", s.reply(2, committed)).expect_one("append end t1.1 committed");
}

Config impatient() {
    Config config;
    config.undelivered_alarm = Milliseconds(5'000);
    return config;
}

// The timer of the alarm, which is armed before that of the next try; none: 0.
TimerId patience_of(const Script& s) {
    for (const Effect& effect : s.effects) {
        auto* timer = std::get_if<ArmTimer>(&effect);
        if (timer != nullptr && timer->delay_min == Milliseconds(5'000)) return timer->timer;
    }
    return TimerId{};
}

// Participant 2 does not acknowledge the next transaction; the alarm's timer.
TimerId undelivered(Script& s) {
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("the first acknowledges", s.reply(1, committed));
    s.when("no answer of the second", s.failed(2, CallOutcome::not_sent));
    return patience_of(s);
}

TEST(PhaseTwo, a_decision_that_is_not_acknowledged_for_long_raises_one_alarm) {
    Script s(2, impatient());
    std::vector<TimerId> alarms;
    for (int i = 0; i < 2; ++i) {
        alarms.push_back(undelivered(s));
        ASSERT_NE(alarms.back().value, 0U);
        s.when("the next try", s.timer());
        s.when("no answer again", s.failed(2, CallOutcome::not_sent));
        EXPECT_EQ(patience_of(s).value, 0U) << "the time runs once";
        s.when("the next try", s.timer());
    }
    s.when("so long", TimerFired{alarms[0]}).expect({"alarm decision_undelivered at 2"});
    s.when("the other, too", TimerFired{alarms[1]}).quiet();
    auto why = s.machine.explain(s.txn);
    ASSERT_TRUE(why.has_value());
    EXPECT_NE(why->branches[1].advice.next.find("decision_undelivered"), std::string::npos);
    EXPECT_EQ(why->branches[0].advice.next.find("decision_undelivered"), std::string::npos);
    s.when("it is back", s.reply(2, committed)).expect_one("append end t1.2 committed");
}

TEST(PhaseTwo, what_an_alarm_of_another_hid_is_told_when_that_is_over) {
    Script s(2, impatient());
    TimerId first = undelivered(s);
    protocol::BranchKey acknowledged = s.key(2);
    TimerId second = undelivered(s);
    s.when("so long", TimerFired{first}).expect({"alarm decision_undelivered at 2"});
    s.when("the other, too", TimerFired{second}).quiet();
    TimerId again = patience_of(s);
    ASSERT_NE(again.value, 0U);
    s.when("one is acknowledged", s.reply_to(ItemOp::commit, acknowledged, 2, committed))
        .expect_one("append end t1.1 committed");
    s.when("the other is not", TimerFired{again}).expect({"alarm decision_undelivered at 2"});
}

// Whatever ends the telling shows that the participant is there again.
TEST(PhaseTwo, any_end_that_it_tells_ends_the_alarm) {
    for (ItemStatus ended : {committed, hazard, aborted}) {  // the last one parks the branch
        Script s(2, impatient());
        s.when("so long", TimerFired{undelivered(s)}).expect({"alarm decision_undelivered at 2"});
        s.when("the next try", s.seen(2));
        s.when("it is back", s.reply(2, ended));
        s.when("away again", TimerFired{undelivered(s)})
            .expect({"alarm decision_undelivered at 2"});
    }
}

TEST(PhaseTwo, a_settled_one_phase_transaction_ends_the_alarm) {
    for (ItemStatus ended : {committed, aborted}) {
        Script s(2, impatient());
        s.infos[2].one_phase = true;
        s.when("it can do one-phase", s.seen(2));
        for (int i = 0; i < 2; ++i) {
            s.when("work comes", s.submit({2}));
            s.when("no answer", s.failed(1, CallOutcome::unknown));
            s.when("nor to the question", s.failed(1, CallOutcome::not_sent));
            s.when("so long", TimerFired{patience_of(s)})
                .expect({"alarm decision_undelivered at 2"});
            s.when("the next try", s.seen(2));
            s.when("it tells", s.reply(1, ended))
                .expect_one(std::string("finished t1.") + std::to_string(i + 1) + " " +
                            std::string(to_string(ended)));
        }
    }
}

TEST(PhaseTwo, an_acknowledgement_in_time_raises_no_alarm) {
    Script s = committing();
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    s.when("the timer fires", s.timer());
    s.when("acknowledged", s.reply(1, committed));
    std::size_t cancelled = 0;
    for (const Effect& effect : s.effects) cancelled += std::holds_alternative<CancelTimer>(effect);
    EXPECT_EQ(cancelled, 1U);
}

// So that a participant that has forgotten the branch can find out whether a person committed it.
TEST(PhaseTwo, an_abort_carries_the_proof_of_the_vote) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("one votes yes", s.reply(1, yes));
    s.when("the other refuses", s.reply(2, no)).expect_one("send abort t1.1/1.1 to 1");
    ASSERT_EQ(s.all_sent.back().item.op, ItemOp::abort);
    ASSERT_TRUE(s.all_sent.back().item.proof.has_value());
    EXPECT_EQ(s.all_sent.back().item.proof->xid, 1U);
}

TEST(PhaseTwo, a_participant_that_is_seen_is_told_at_once) {
    Script s = committing();
    s.when("not sent", s.failed(1, CallOutcome::not_sent)).quiet();
    s.when("it cannot tell", s.reply(2, unknown)).quiet();
    s.when("one is seen", s.seen(1)).expect({"send commit t1.1/1.1 to 1"});
    s.when("again, while it is on its way", s.seen(1)).quiet();
    s.when("the other is seen", s.seen(2)).expect({"send commit t1.1/2.1 to 2"});
}

TEST(PhaseTwo, a_hazard_is_recorded_before_it_is_told_and_is_never_committed) {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("nobody can prove it", s.reply(2, hazard, "no_witness"))
        .expect({"alarm hazard at 2", "force outcome t1.1/2.1 heuristic-hazard"});
    s.when("durable", s.durable())
        .expect({"append end t1.1 heuristic-hazard",
                 "finished t1.1 heuristic-hazard",
                 "answer 1 finished heuristic-hazard"});
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, protocol::Outcome::heuristic_hazard);
}

TEST(PhaseTwo, one_branch_ended_otherwise_is_mixed) {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("a person rolled it back", s.reply(2, heuristic_abort))
        .expect({"alarm heuristic at 2", "force outcome t1.1/2.1 heuristic-abort"});
    s.when("durable", s.durable()).expect_one("answer 1 finished heuristic-mixed");
}

TEST(PhaseTwo, all_branches_ended_otherwise) {
    Script s = committing();
    s.when("a person rolled it back", s.reply(1, heuristic_abort));
    s.when("durable", s.durable()).quiet();
    s.when("a person rolled it back", s.reply(2, heuristic_abort));
    s.when("durable", s.durable()).expect_one("answer 1 finished heuristic-abort");
}

TEST(PhaseTwo, committed_by_a_person_against_an_abort) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("no", s.reply(2, no));
    s.when("a person committed it", s.reply(1, heuristic_commit))
        .expect({"alarm heuristic at 1", "force outcome t1.1/1.1 heuristic-commit"});
    s.when("durable", s.durable())
        .expect({"append end t1.1 heuristic-commit", "finished t1.1 heuristic-commit"});
}

TEST(PhaseTwo, finished_earlier_is_no_acknowledgement_of_a_held_branch) {
    Script s = committing();
    s.when("it says finished earlier", s.reply(1, finished_earlier))
        .expect({"alarm protocol_violation at 1"});
    s.when("it says committed now", s.reply(1, committed)).quiet();
    s.when("committed", s.reply(2, committed)).expect_none("append end");
}

TEST(PhaseTwo, impossible_answers_park_the_branch) {
    for (protocol::ItemStatus status : {aborted, yes, no, read_only}) {
        Script s = committing();
        s.when("it says nonsense", s.reply(1, status)).expect({"alarm protocol_violation at 1"});
        s.when("it is seen", s.seen(1)).quiet();
    }
    for (std::string_view code :
         {reason::kNotPrepared, reason::kProtocolViolation, reason::kAfterAbort}) {
        Script s = committing();
        s.when("it refuses", s.reply(1, refused, code)).expect({"alarm protocol_violation at 1"});
    }
    Script s = committing();
    s.when("it is not ready", s.reply(1, refused, reason::kNotReady)).quiet();
    s.when("the timer fires", s.timer()).expect({"send commit t1.1/1.1 to 1"});
}

TEST(PhaseTwo, a_stale_sender_stops_and_aborts_nothing) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("somebody newer drives", s.reply(1, refused, reason::kStaleSender))
        .expect({"alarm stale_sender at 1",
                 "force restore refused above epoch 0",
                 "answer 1 cannot_tell (stale_sender)"});
    EXPECT_TRUE(s.machine.stopped());
    s.when("yes", s.reply(2, yes)).quiet();
    s.when("the deadline passes", s.deadline()).quiet();
    s.when("work comes", s.submit({1, 2})).expect({"answer 2 cannot_tell (stale_sender)"});
    s.when("a participant asks", s.inquire(1, s.key(1))).expect({"inquiry t1.1/1.1 cannot_tell"});
    EXPECT_EQ(s.machine.query(s.txn).kind, AnswerKind::cannot_tell);
}

// ---- wrong databases ------------------------------------------------------------------

TEST(Identity, another_database_gets_nothing_and_the_right_one_is_told_later) {
    Script s = committing();
    s.when("committed", s.reply(2, committed));
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    s.infos[1].identity.fields = {"other"};
    s.when("another database answers", s.seen(1)).expect({"alarm identity_mismatch at 1"});
    s.when("again", s.seen(1)).quiet();
    s.when("work comes", s.submit({1, 2}))
        .expect_one("answer 2 finished aborted (identity_mismatch)");
    s.infos[1] = participant_info(1);
    s.when("the right one is back", s.seen(1)).expect({"send commit t1.1/1.1 to 1"});
    s.when("committed", s.reply(1, committed)).expect_one("append end t1.1 committed");
}

TEST(Identity, a_foreign_echo_is_no_vote) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("a yes with another identity",
           s.reply(2, yes, {}, [](auto& r) { r.identity.fields = {"other"}; }))
        .expect({"alarm identity_mismatch at 2",
                 "append abort t1.1 1.1 2.1",
                 "send abort t1.1/1.1 to 1",
                 "answer 1 finished aborted (identity_mismatch)"});
}

TEST(Identity, a_mismatch_while_the_decision_is_forced_waits_for_it) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.infos[2].uuid.bytes[0] = 9;
    s.when("another participant answers", s.seen(2)).expect({"alarm identity_mismatch at 2"});
    s.when("durable", s.decided()).expect({"send commit t1.1/1.1 to 1"});
    s.infos[2] = participant_info(2);
    s.when("the right one is back", s.seen(2)).expect({"send commit t1.1/2.1 to 2"});
}

TEST(Identity, a_database_that_went_back_gets_no_new_work) {
    Script s;
    auto at = [](std::uint64_t value) {
        return [value](protocol::ItemResult& r) { r.position = {1, value}; };
    };
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes, {}, at(50)));
    s.when("no", s.reply(2, no));
    s.when("its answer is older than what we knew", s.reply(1, aborted, {}, at(40)))
        .expect_one("alarm participant_went_back at 1");
    s.when("work comes", s.submit({1, 2}))
        .expect_one("answer 2 finished aborted (participant_unavailable)");
}

// ---- one-phase ------------------------------------------------------------------------

Script one_phase() {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work for one comes", s.submit({1})).expect({"send one_phase t1.1/1.1 to 1"});
    EXPECT_EQ(s.txn.participant().value, 1);
    return s;
}

TEST(OnePhase, commits_without_a_record) {
    Script s = one_phase();
    s.when("committed", s.reply(1, committed))
        .expect({"finished t1.1 committed", "answer 1 finished committed"});
}

TEST(OnePhase, a_commit_that_no_standby_has_confirmed_says_so) {
    Script s = one_phase();
    s.when("committed", s.reply(1, committed, reason::kNotReplicated))
        .expect({"finished t1.1 committed", "answer 1 finished committed"});
    auto report = s.machine.query(s.txn).report;
    EXPECT_EQ(report.branches.at(0).reason.code, reason::kNotReplicated);
    EXPECT_TRUE(report.reason.empty()) << "it is no reason of an abort";
}

TEST(OnePhase, refuses) {
    Script s = one_phase();
    s.when("no", s.reply(1, no, reason::kConstraint))
        .expect({"finished t1.1 aborted", "answer 1 finished aborted (constraint_violation)"});
}

TEST(OnePhase, an_unknown_answer_is_asked_for_until_it_is_known) {
    Script s = one_phase();
    s.when("no answer", s.failed(1, CallOutcome::unknown))
        .expect({"send settle_one_phase t1.1/1.1 to 1"});
    for (int i = 0; i < 5; ++i) {
        s.when("no answer", s.failed(1, CallOutcome::unknown)).quiet();
        s.when("the timer fires", s.timer()).expect({"send settle_one_phase t1.1/1.1 to 1"});
    }
    EXPECT_EQ(s.machine.query(s.txn).kind, AnswerKind::undecided);
    s.when("it has committed", s.reply(1, committed))
        .expect({"finished t1.1 committed", "answer 1 finished committed"});
}

TEST(OnePhase, settled_as_forbidden_is_aborted) {
    Script s = one_phase();
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    s.when("it never will", s.reply(1, aborted))
        .expect({"finished t1.1 aborted", "answer 1 finished aborted (unanswered_prepare)"});
}

TEST(OnePhase, a_refusal_that_depends_on_the_moment_is_settled) {
    for (std::string_view code : {reason::kStaleParticipantEpoch,
                                  reason::kNotReady,
                                  reason::kAfterAbort,
                                  reason::kBelowLowWater}) {
        Script s = one_phase();
        s.when("it refuses", s.reply(1, refused, code, [](auto& r) {
             r.executed = false;
         })).expect({"send settle_one_phase t1.1/1.1 to 1"});
    }
}

TEST(OnePhase, the_deadline_ends_the_work_and_waits_a_little_for_the_answer) {
    Script s = one_phase();
    s.when("the deadline passes", s.deadline()).expect({"send abort t1.1/1.1 to 1"});
    s.when("a second passes", s.deadline()).expect({"answer 1 undecided (deadline_exceeded)"});
    s.when("it was in time", s.reply_to(ItemOp::one_phase, s.key(1), 1, committed))
        .expect({"finished t1.1 committed"});
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, protocol::Outcome::committed);
}

TEST(OnePhase, a_hazard_is_recorded) {
    Script s = one_phase();
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    s.when("nobody knows", s.reply(1, hazard))
        .expect({"alarm hazard at 1", "force outcome t1.1/1.1 heuristic-hazard"});
    s.when("durable", s.durable())
        .expect({"append end t1.1 heuristic-hazard",
                 "finished t1.1 heuristic-hazard",
                 "answer 1 finished heuristic-hazard (unanswered_prepare)"});
}

TEST(OnePhase, an_old_id_is_answered_only_by_its_participant) {
    protocol::TxnId old;
    {
        Script s = one_phase();
        old = s.txn;
    }
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    Script s(std::move(state), {});
    s.txn = old;
    EXPECT_EQ(s.machine.query(old).kind, AnswerKind::cannot_tell);
    s.when("its participant asks", s.inquire(1, s.key(1))).expect({"inquiry t1.1/1.1 cannot_tell"});
    s.when("a client asks", s.outcome()).expect({"send settle_one_phase t1.1/1.1 to 1"});
    EXPECT_EQ(s.machine.query(old).kind, AnswerKind::cannot_tell);
    s.when("it has committed", s.reply(1, committed))
        .expect({"finished t1.1 committed", "answer 1 finished committed"});
    s.when("another asks", s.abort()).expect({"answer 2 opposite committed"});
}

}  // namespace
}  // namespace twofold::coordinator
