// One-shot transactions: the plain course, and every message of it lost, doubled, late or
// unanswered.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::ItemOp;
namespace reason = protocol::reason;

TEST(OneShot, two_branches_commit) {
    Script s;
    s.when("work comes", s.submit({1, 2}))
        .expect({"append preparing t1.1",
                 "send execute_prepare t1.1/1.1 to 1",
                 "send execute_prepare t1.1/2.1 to 2"});
    s.when("the first votes yes", s.reply(1, yes)).quiet();
    s.when("the second votes yes", s.reply(2, yes)).expect({"propose commit t1.1 1.1 2.1"});
    s.when("the decision is durable", s.decided())
        .expect({"send commit t1.1/1.1 to 1", "send commit t1.1/2.1 to 2"});
    s.when("the second has committed", s.reply(2, committed)).quiet();
    s.when("the first has committed", s.reply(1, committed))
        .expect({"append end t1.1 committed",
                 "finished t1.1 committed",
                 "answer 1 finished committed"});
    EXPECT_EQ(s.machine.counts().active, 0U);
}

TEST(OneShot, wait_decided_is_answered_from_the_durable_decision) {
    Script s;
    BeginOptions options;
    options.wait = WaitFor::decided;
    s.when("work comes", s.submit({1, 2}, options));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes)).expect_none("answer");
    s.when("durable", s.decided()).expect_one("answer 1 decided committed");
}

TEST(OneShot, a_commit_carries_the_proof_of_its_vote) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    const auto& item = std::get<Send>(s.effects.back()).item;
    ASSERT_TRUE(item.proof.has_value());
    EXPECT_EQ(item.proof->xid, 2U);
}

TEST(OneShot, a_no_aborts_all_others_and_only_them) {
    Script s(3);
    s.when("work comes", s.submit({1, 2, 3}));
    s.when("one votes yes", s.reply(1, yes));
    s.when("one votes no", s.reply(2, no, reason::kConstraint))
        .expect({"append abort t1.1 1.1 3.1",
                 "send abort t1.1/1.1 to 1",
                 "send abort t1.1/3.1 to 3",
                 "answer 1 finished aborted (constraint_violation)"});
    s.when("acknowledged", s.reply(1, aborted)).quiet();
    s.when("acknowledged", s.reply(3, aborted))
        .expect({"append end t1.1 aborted", "finished t1.1 aborted"});
}

TEST(OneShot, an_unanswered_prepare_aborts_and_the_silent_one_is_told_too) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("no answer", s.failed(2, CallOutcome::unknown))
        .expect({"append abort t1.1 1.1 2.1",
                 "send abort t1.1/1.1 to 1",
                 "send abort t1.1/2.1 to 2",
                 "answer 1 finished aborted (unanswered_prepare)"});
    s.when("a late yes", s.reply_to(ItemOp::execute_prepare, s.key(2), 2, yes)).quiet();
    s.when("the abort got lost", s.failed(2, CallOutcome::unknown)).quiet();
    s.when("a late yes wakes it", s.reply_to(ItemOp::execute_prepare, s.key(2), 2, yes))
        .expect({"send abort t1.1/2.1 to 2"});
}

TEST(OneShot, not_sent_is_participant_unavailable_and_leaves_nothing_there) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("not sent", s.failed(2, CallOutcome::not_sent))
        .expect({"append abort t1.1 1.1",
                 "send abort t1.1/1.1 to 1",
                 "answer 1 finished aborted (participant_unavailable)"});
}

TEST(OneShot, all_read_only_commits_without_a_record) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("read-only", s.reply(1, read_only));
    s.when("read-only", s.reply(2, read_only))
        .expect({"append end t1.1 committed",
                 "finished t1.1 committed",
                 "answer 1 finished committed unrecorded"});
}

TEST(OneShot, read_only_from_a_participant_that_has_no_such_vote_aborts) {
    Script s;
    s.infos.at(1).read_only = false;
    s.when("it describes itself", s.seen(1));
    s.when("work comes", s.submit({1, 2}));
    s.when("read-only", s.reply(1, read_only))
        .expect({"alarm protocol_violation at 1",
                 "append abort t1.1 1.1 2.1",
                 "send abort t1.1/1.1 to 1",
                 "send abort t1.1/2.1 to 2",
                 "answer 1 finished aborted (protocol_violation)"});
}

TEST(OneShot, a_read_only_branch_has_no_second_phase) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("read-only", s.reply(1, read_only));
    s.when("yes", s.reply(2, yes)).expect({"propose commit t1.1 2.1"});
    s.when("durable", s.decided()).expect({"send commit t1.1/2.1 to 2"});
}

TEST(OneShot, a_restarted_participant_gets_a_new_attempt) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.infos[2].epoch = 5;
    s.when("it has restarted",
           s.reply(2, refused, reason::kStaleParticipantEpoch, [](auto& r) { r.executed = false; }))
        .expect({"append preparing t1.1",
                 "send execute_prepare t1.1/2.2 to 2",
                 "send abort t1.1/2.1 to 2"});
    s.when("yes", s.reply_to(ItemOp::execute_prepare, s.key(2, 2), 2, yes)).quiet();
    s.when("yes", s.reply(1, yes)).expect({"propose commit t1.1 1.1 2.2"});
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    s.when("committed", s.reply_to(ItemOp::commit, s.key(2, 2), 2, committed))
        .expect_none("append end");
    s.when("the old attempt is gone, too", s.reply_to(ItemOp::abort, s.key(2, 1), 2, aborted))
        .expect_one("append end t1.1 committed");
}

// Ended before, it would hold the participant's low water for ever, and nobody would find it.
TEST(OneShot, reads_wait_for_the_end_of_a_replaced_attempt) {
    for (bool while_proposing : {true, false}) {
        Script s;
        s.when("work comes", s.submit({1, 2}));
        s.infos[2].epoch = 5;
        s.when("it has restarted", s.reply(2, refused, reason::kStaleParticipantEpoch, [](auto& r) {
             r.executed = false;
         })).expect_one("send abort t1.1/2.1 to 2");
        s.when("read-only", s.reply_to(ItemOp::execute_prepare, s.key(2, 2), 2, read_only)).quiet();
        s.when("read-only", s.reply(1, read_only)).expect({"propose commit t1.1"});
        Input durable = s.decided();
        Input gone = s.reply_to(ItemOp::abort, s.key(2, 1), 2, aborted);
        s.when("one", while_proposing ? gone : durable).quiet();
        s.when("the other", while_proposing ? durable : gone)
            .expect({"append end t1.1 committed",
                     "finished t1.1 committed",
                     "answer 1 finished committed"});
        EXPECT_EQ(s.machine.low_water(protocol::ParticipantNumber(2)).sequence, 2U);
    }
}

TEST(OneShot, work_that_was_executed_is_not_repeated_in_a_new_epoch) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.infos[2].epoch = 5;
    s.when("it has restarted", s.reply(2, refused, reason::kStaleParticipantEpoch))
        .expect_one("answer 1 finished aborted (stale_participant_epoch)");
}

TEST(OneShot, a_yes_from_another_epoch_is_no_vote) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("a yes of another life", s.reply(2, yes, {}, [](auto& r) {
         r.participant_epoch = 9;
     })).expect_one("answer 1 finished aborted (unanswered_prepare)");
}

TEST(OneShot, the_deadline_aborts_what_is_undecided) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("the deadline passes", s.deadline())
        .expect_one("answer 1 finished aborted (deadline_exceeded)");
}

TEST(OneShot, the_deadline_does_not_touch_a_proposed_decision) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("the deadline passes", s.deadline()).expect({"answer 1 undecided"});
    s.when("durable", s.decided())
        .expect({"send commit t1.1/1.1 to 1", "send commit t1.1/2.1 to 2"});
}

TEST(OneShot, after_the_deadline_a_decided_commit_is_told_as_decided) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("the deadline passes", s.deadline()).expect({"answer 1 decided committed"});
}

TEST(OneShot, the_log_may_decide_the_opposite) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("another coordinator was first", s.decided(protocol::Decision::abort))
        .expect({"append abort t1.1 1.1 2.1",
                 "send abort t1.1/1.1 to 1",
                 "send abort t1.1/2.1 to 2",
                 "answer 1 finished aborted (coordinator_restart)"});
}

TEST(OneShot, requests_that_cannot_be_served) {
    Script s(2);
    s.when("no branches", s.submit({})).expect({"answer 1 invalid (bad_request)"});
    s.when("an unknown participant", s.submit({1, 7})).expect({"answer 2 invalid (bad_request)"});
    s.when("one database twice", s.submit({1, 1})).expect({"answer 3 invalid (bad_request)"});
    const auto& answer = std::get<Answer>(s.effects.back());
    EXPECT_NE(answer.reason.message.find("branches 1 (p1) and 2 (p1)"), std::string::npos)
        << answer.reason.message;
    s.when("too many", s.submit(std::vector<std::uint16_t>(65, 1)))
        .expect({"answer 4 invalid (bad_request)"});
    s.when("the log is full", LogRoom{false}).quiet();
    s.when("work comes", s.submit({1, 2}))
        .expect({"answer 5 overloaded (participant_unavailable)"});
    s.when("there is room again", LogRoom{true}).quiet();
    s.when("shutting down", Drain{}).quiet();
    s.when("work comes", s.submit({1, 2})).expect({"answer 6 draining (participant_unavailable)"});
}

TEST(OneShot, an_unreachable_participant_is_told_at_once) {
    Script s(2);
    s.when("it is lost", s.lost(2)).quiet();
    s.when("work comes", s.submit({1, 2}))
        .expect({"answer 1 finished aborted (participant_unavailable)", "finished t1.1 aborted"});
    s.when("it is back", s.seen(2)).quiet();
    s.when("work comes", s.submit({1, 2})).expect_one("send execute_prepare t1.2/2.1 to 2");
}

// ---- every message goes wrong in every way --------------------------------------------

struct Case {
    std::size_t message;
    std::size_t second_message;
    Fate fate;
    Fate second_fate;
};

void run_case(const Case& c, const std::vector<std::uint16_t>& branches, const Config& config) {
    SmallWorld world(3, config);
    world.plan(c.message, c.fate);
    if (c.second_message != c.message) world.plan(c.second_message, c.second_fate);
    world.submit(branches);
    ASSERT_TRUE(world.run());
    EXPECT_EQ(world.check(), std::vector<std::string>())
        << "message " << c.message << " " << to_string(c.fate) << ", message " << c.second_message
        << " " << to_string(c.second_fate) << "\n"
        << ::testing::PrintToString(world.trace);
}

TEST(FailEachStep, one_message) {
    for (std::size_t message = 0; message < 12; ++message) {
        for (std::size_t fate = 0; fate < kFates; ++fate) {
            run_case({message, message, Fate(fate), Fate(fate)}, {1, 2, 3}, {});
        }
    }
}

TEST(FailEachStep, two_messages) {
    for (std::size_t a = 0; a < 8; ++a) {
        for (std::size_t b = a + 1; b < 10; ++b) {
            for (std::size_t fate = 0; fate < kFates * kFates; ++fate) {
                run_case({a, b, Fate(fate / kFates), Fate(fate % kFates)}, {1, 2}, {});
            }
        }
    }
}

TEST(FailEachStep, mixed_votes) {
    for (std::size_t message = 0; message < 8; ++message) {
        for (std::size_t fate = 0; fate < kFates; ++fate) {
            for (protocol::ItemStatus vote : {yes, no, read_only}) {
                SmallWorld world(3);
                world.participants.at(2).vote = vote;
                world.plan(message, Fate(fate));
                world.submit({1, 2, 3});
                ASSERT_TRUE(world.run());
                EXPECT_EQ(world.check(), std::vector<std::string>())
                    << "message " << message << " " << to_string(Fate(fate)) << " vote "
                    << to_string(vote) << "\n"
                    << ::testing::PrintToString(world.trace);
            }
        }
    }
}

}  // namespace
}  // namespace twofold::coordinator
