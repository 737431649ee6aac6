// One-phase ids of former starts: only their participant knows how they ended.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::IdPosition;

Script after_one_phase(Config config = {}) {
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    Script s(state, config);
    Script first;
    first.infos[1].one_phase = true;
    first.when("it can do one-phase", first.seen(1));
    first.when("work comes", first.submit({1}));
    s.when("it is seen", s.seen(2));
    s.txn = first.txn;
    return s;
}

// Otherwise it would be asked for ever, hold the horizon, and count as active.
TEST(OldOnePhase, is_asked_for_as_long_as_somebody_waits) {
    Config config;
    config.transactions_max = 1;
    Script s = after_one_phase(config);
    protocol::TxnId old = s.txn;
    s.when("a client asks", s.outcome()).expect({"send settle_one_phase t1.1/1.1 to 1"});
    Input answer = s.reply(1, committed);
    s.when("and another", CommitRequest{Ticket(7), old, WaitFor::applied, Milliseconds{5}, {}});
    s.when("no answer", s.failed(1, CallOutcome::unknown)).quiet();
    ASSERT_EQ(s.timers.size(), 4U) << "two wait, the alarm and the retry";
    s.timers.resize(2);
    s.when("the other's time is up", s.timer())
        .expect_one("answer 7 cannot_tell (participant_unavailable)");
    EXPECT_EQ(s.machine.counts().active, 1U);
    s.when("its time is up, too", s.timer())
        .expect({"answer 1 cannot_tell (participant_unavailable)"});
    EXPECT_EQ(s.machine.counts().active, 0U);
    EXPECT_EQ(s.machine.low_water(protocol::ParticipantNumber(1)), (IdPosition{2, 1}));
    EXPECT_EQ(s.machine.query(old).kind, AnswerKind::cannot_tell);
    s.when("the participant is seen", s.seen(1)).quiet();
    s.when("its answer comes late", answer).quiet();
    s.when("new work", s.submit({2})).expect_one("send execute_prepare t2.1/1.1 to 2");
    s.when("refused", s.reply(1, no));
    s.txn = old;
    s.when("a client asks again", s.outcome()).expect({"send settle_one_phase t1.1/1.1 to 1"});
    s.when("committed", s.reply(1, committed)).expect_one("finished t1.1 committed");
}

TEST(OldOnePhase, of_a_retired_participant_is_expired) {
    Script s = after_one_phase();
    protocol::ParticipantNumber first(1);
    s.when("a person retires it",
           RetireParticipant{Ticket(90), first, "sold", false, s.machine.look_at(first)->version});
    s.when("meanwhile", s.outcome()).expect({"answer 1 cannot_tell (participant_unavailable)"});
    s.when("durable", s.durable()).expect_one("answer 90 done");
    s.when("a client asks", s.outcome()).expect({"answer 2 expired (participant_unavailable)"});
    EXPECT_EQ(s.machine.counts().active, 0U);
}

}  // namespace
}  // namespace twofold::coordinator
