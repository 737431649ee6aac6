// Interactive branches: numbered executes, prepare, lost sessions.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

namespace twofold::participant::test {
namespace {

using protocol::FinishStatus;
using protocol::WorkStatus;
using std::chrono::milliseconds;

ItemReceived prepare_expecting(std::uint64_t number, std::uint32_t executes) {
    ItemReceived input = prepare(number);
    input.item.expected_executes = executes;
    return input;
}

Script with_open_session() {
    Script script;
    script.given(started(1)).given(execute(1, 1));
    script.given(execute_done(1, 1, WorkStatus::prepared));
    return script;
}

TEST(Interactive, ExecutesThenPreparesThenCommits) {
    Script script;
    script.given(started());
    script.when(execute(1, 1)).expect({"execute 1#1"});
    script.when(execute_done(1, 1, WorkStatus::prepared)).expect({"reply 1 execute#1 executed"});
    script.when(execute(1, 2)).expect({"execute 1#2"});
    script.when(execute_done(1, 2, WorkStatus::prepared)).expect({"reply 2 execute#2 executed"});
    script.when(prepare_expecting(1, 2)).expect({"prepare 1"});
    script.when(prepare(1)).expect({});
    script.when(work_done(1, prepared())).expect({"reply 3 prepare yes", "reply 4 prepare yes"});
    script.when(commit(1)).expect({"commit 1"});
    script.when(finish_done(1, FinishStatus::committed)).expect({"reply 5 commit committed"});
}

TEST(Interactive, ADuplicateOfTheLastExecuteHearsTheSameAnswer) {
    Script script;
    script.given(started()).given(execute(1, 1));
    script.when(execute(1, 1)).expect({});
    ExecuteDone done = execute_done(1, 1, WorkStatus::prepared);
    done.result.results = std::make_shared<const std::string>("[7]");
    script.when(done).expect({"reply 1 execute#1 executed", "reply 2 execute#1 executed"});
    script.when(execute(1, 1)).expect({"reply 3 execute#1 executed"});
    const auto& reply = std::get<SendReply>(script.effects().at(0));
    EXPECT_EQ(*reply.result.results, "[7]");
    EXPECT_NE(reply.result.status, protocol::ItemStatus::yes);
}

TEST(Interactive, AnOldDuplicateDoesNoHarm) {
    Script script = with_open_session();
    script.given(execute(1, 2)).given(execute_done(1, 2, WorkStatus::prepared));
    script.when(execute(1, 1)).expect({"reply 3 execute#1 refused bad_request not_executed"});
    script.when(prepare_expecting(1, 2)).expect({"prepare 1"});
}

TEST(Interactive, AGapLosesTheBranch) {
    Script script = with_open_session();
    script.when(execute(1, 3)).expect({"reply 2 execute#3 failed branch_lost", "cancel 1"});
    script.when(prepare(1)).expect({"reply 3 prepare no branch_lost"});
    script.when(cancelled(1)).expect({});
    script.when(execute(1, 2)).expect({"reply 4 execute#2 failed branch_lost"});
    EXPECT_EQ(script.machine().counts().slots_used, 0U);
    script.when(abort_of(1)).expect({"reply 5 abort aborted branch_lost"});
}

TEST(Interactive, AFirstExecuteThatIsNotTheFirstLosesTheBranch) {
    Script script;
    script.given(started());
    script.when(execute(1, 2)).expect({"reply 1 execute#2 failed branch_lost"});
    script.when(execute(1, 1)).expect({"reply 2 execute#1 failed branch_lost"});
}

TEST(Interactive, ExecutesOneAtATime) {
    Script script;
    script.given(started()).given(execute(1, 1));
    script.when(execute(1, 2)).expect({"reply 2 execute#2 refused bad_request not_executed"});
    EXPECT_EQ(script.state(1), "executing");
}

TEST(Interactive, PrepareComparesTheNumberOfExecutes) {
    Script script = with_open_session();
    script.when(prepare_expecting(1, 2)).expect({"reply 2 prepare no executes_differ", "cancel 1"});
    script.when(cancelled(1)).expect({});
    script.when(prepare(1)).expect({"reply 3 prepare no executes_differ"});
}

TEST(Interactive, PrepareWhileAStatementRunsIsANo) {
    Script script;
    script.given(started()).given(execute(1, 1));
    script.when(prepare(1))
        .expect({"reply 1 execute#1 failed executes_differ",
                 "reply 2 prepare no executes_differ",
                 "cancel 1"});
    script.when(cancelled(1)).expect({});  // the statement has not answered yet
    script.when(execute_done(1, 1, WorkStatus::prepared)).expect({});
    EXPECT_EQ(script.state(1), "finished");
}

TEST(Interactive, PrepareWithoutASessionIsANoForGood) {
    Script script;
    script.given(started());
    script.when(prepare(1)).expect({"reply 1 prepare no branch_lost"});
    script.when(execute(1, 1)).expect({"reply 2 execute#1 failed branch_lost"});
    script.when(prepare(1)).expect({"reply 3 prepare no branch_lost"});
}

TEST(Interactive, AFailedStatementEndsTheBranch) {
    Script script = with_open_session();
    script.given(execute(1, 2));
    ExecuteDone failed{key_of(1), 2, refused(protocol::reason::kConstraint)};
    script.when(failed).expect({"reply 2 execute#2 failed constraint_violation"});
    script.when(execute(1, 2)).expect({"reply 3 execute#2 failed constraint_violation"});
    script.when(execute(1, 3)).expect({"reply 4 execute#3 failed constraint_violation"});
    script.when(prepare(1)).expect({"reply 5 prepare no constraint_violation"});
}

TEST(Interactive, ALostSessionCannotBePrepared) {
    Script script = with_open_session();
    script.given(execute(1, 2));
    script.when(execute_done(1, 2, WorkStatus::unknown))
        .expect({"reply 2 execute#2 unknown branch_lost", "cancel 1"});
    script.when(prepare(1)).expect({"reply 3 prepare no branch_lost"});
    // No PREPARE was ever sent: with the session gone nothing is left, and no listing is needed.
    script.when(cancelled(1)).expect({});
    EXPECT_EQ(script.state(1), "finished");
}

TEST(Interactive, AnUnknownPrepareIsLookedUp) {
    Script script = with_open_session();
    script.given(prepare(1));
    script.when(work_done(1, result(WorkStatus::unknown)))
        .expect({"reply 2 prepare unknown", "cancel 1"});
    script.when(cancelled(1)).expect({"list"});
}

TEST(Interactive, AnAbortEndsTheSession) {
    Script script = with_open_session();
    script.when(abort_of(1)).expect({"cancel 1"});
    script.when(cancelled(1)).expect({"reply 2 abort aborted"});
    script.when(execute(1, 2)).expect({"reply 3 execute#2 refused after_abort not_executed"});
}

TEST(Interactive, AnAbortDuringPrepareRollsBack) {
    Script script = with_open_session();
    script.given(prepare(1));
    script.when(abort_of(1)).expect({"reply 2 prepare refused after_abort", "cancel 1"});
    script.given(work_done(1, prepared()));
    script.when(cancelled(1)).expect({"rollback 1"});
}

TEST(Interactive, WaitsForASlotOnlySoLong) {
    Script script = with_open_session();
    ExecuteReceived input = execute(2, 1);
    input.options.lock_timeout_ms = 700;
    script.when(input).expect({"timer 700..700"});
    script.when(execute(3, 1)).expect({"timer 10000..10000"});
    script.when_timer(milliseconds(700)).expect({"reply 2 execute#1 failed lock_timeout"});
    script.when(prepare(2)).expect({"reply 4 prepare no lock_timeout not_executed"});
}

// Its coordinator crashed before the decision: nobody remembers the transaction, nobody sends an
// abort.
TEST(Interactive, AnIdleSessionIsAskedAbout) {
    using protocol::InquiryAnswer;
    Script script = with_open_session();
    script.when_tick().expect({"timer 4000..5000", "list"});
    script.when_tick().expect({"timer 4000..5000", "inquire 1"});
    script.when(answered(1, InquiryAnswer::still_active)).expect({});
    script.when(answered(1, InquiryAnswer::cannot_tell)).expect({});
    script.when(answered(1, InquiryAnswer::commit)).expect({"alarm protocol_violation 1"});
    EXPECT_EQ(script.state(1), "open");
    script.when(answered(1, InquiryAnswer::abort)).expect({"cancel 1"});
    script.when(execute(1, 2)).expect({"reply 2 execute#2 refused after_abort not_executed"});
    script.when(cancelled(1)).expect({});
    EXPECT_EQ(script.machine().counts().slots_used, 0U);
}

TEST(Interactive, AnIdleSessionOfACoordinatorThatRestartedIsAskedAboutAtOnce) {
    Script script = with_open_session();
    script.given(shown(stamp(4)));
    script.when(persisted(4)).expect({"offer 2 accepted", "list", "inquire 1"});
}

TEST(Interactive, OfAnotherEpochIsRefused) {
    Script script;
    script.given(started());
    ExecuteReceived input = execute(1, 1);
    input.participant_epoch = kOwnEpoch - 1;
    script.when(input).expect({"reply 1 execute#1 refused stale_participant_epoch not_executed"});
    script.when(abort_of(9));
    ItemReceived mark = abort_of(9);
    mark.low_water = {kCoordinatorEpoch, 5};
    script.given(mark);
    script.when(execute(2, 1)).expect({"reply 4 execute#1 refused below_low_water not_executed"});
}

TEST(Interactive, AndOneShotDoNotMix) {
    Script script;
    script.given(started()).given(work(1));
    script.when(execute(1, 1)).expect({"reply 2 execute#1 refused bad_request not_executed"});
}

// ---- the end of the transaction's time
// -----------------------------------------------------------

ExecuteReceived execute_within(std::uint64_t number, std::uint32_t sequence, std::uint32_t left) {
    ExecuteReceived input = execute(number, sequence);
    input.deadline_ms = left;
    return input;
}

TEST(Interactive, AnIdleSessionIsEndedWhenItsTimeIsOver) {
    Script script;
    script.given(started(1));
    script.when(execute_within(1, 1, 1'000)).expect({"timer 1500..1500", "execute 1#1"});
    script.given(execute_done(1, 1, WorkStatus::prepared));
    script.when_timer(milliseconds(1'500)).expect({"cancel 1"});
    script.when(cancelled(1)).expect({});
    EXPECT_EQ(script.state(1), "finished");
    // Its slot is free again, and nobody can use what is gone.
    script.when(execute(2, 1)).expect({"execute 2#1"});
    script.when(execute(1, 2)).expect({"reply 3 execute#2 failed deadline_exceeded"});
    script.when(prepare(1)).expect({"reply 4 prepare no deadline_exceeded"});
}

TEST(Interactive, ARunningStatementIsEndedWhenItsTimeIsOver) {
    Script script;
    script.given(started()).given(execute_within(1, 1, 1'000));
    script.when_timer(milliseconds(1'500))
        .expect({"reply 1 execute#1 failed deadline_exceeded", "cancel 1"});
}

TEST(Interactive, WhoWaitsForASlotLeavesWhenItsTimeIsOver) {
    Script script = with_open_session();
    script.when(execute_within(2, 1, 1'000)).expect({"timer 1500..1500", "timer 1000..1000"});
    script.when_timer(milliseconds(1'000)).expect({"reply 2 execute#1 failed lock_timeout"});
    script.when_timer(milliseconds(1'500)).expect({});
}

TEST(Interactive, APreparedBranchIsNeverEndedByTime) {
    Script script;
    script.given(started()).given(execute_within(1, 1, 1'000));
    script.given(execute_done(1, 1, WorkStatus::prepared)).given(prepare(1));
    script.when_timer(milliseconds(1'500)).expect({});
    script.given(work_done(1, prepared()));
    EXPECT_EQ(script.state(1), "prepared");
}

// ---- whose transaction it is
// ------------------------------------------------------------------------

ExecuteReceived execute_of_epoch(protocol::Epoch epoch) {
    ExecuteReceived input = execute(1, 1);
    input.key = key_of(1, {.epoch = epoch});
    input.sender = stamp(epoch);
    return input;
}

TEST(Interactive, ItsCoordinatorsEpochIsDurableBeforeTheSessionOpens) {
    Script script;
    script.given(started());
    script.when(execute_of_epoch(kCoordinatorEpoch + 1)).expect({"persist 4"});
    script.when(persisted(kCoordinatorEpoch + 1)).expect({"execute 1#1", "list"});
}

// A transaction's id says nothing about its coordinator's log: that one has to show itself first.
TEST(Interactive, AnIdAloneIsNoNewStart) {
    for (int other : {0, 2}) {
        Script script;
        script.given(started());
        ExecuteReceived input = execute_of_epoch(kCoordinatorEpoch + 1);
        input.sender = other == 0 ? protocol::SenderStamp{} : stamp(4, 1, incarnation(2));
        script.when(input).expect({"reply 1 execute#1 refused not_ready not_executed"});
        script.when(work(2)).expect({"run 2"});
        script.given(shown(stamp(kCoordinatorEpoch + 1))).given(persisted(kCoordinatorEpoch + 1));
        script.when(input).expect({"execute 1#1"});
    }
}

// Its log is a copy that was made before position 80 was told: the branches that are prepared here
// may have been committed since, and its answers about them must not count.
TEST(Interactive, AnExecuteUnderACopiedLogIsRefused) {
    Script script;
    ResourceStarted start = started();
    start.start.senders[incarnation()] = stamp(kCoordinatorEpoch, 80);
    script.given(start);
    ExecuteReceived input = execute_of_epoch(kCoordinatorEpoch + 1);
    input.sender.position = 300;
    input.sender.start_position = 20;
    script.when(input).expect(
        {"alarm log_went_back 0", "reply 1 execute#1 refused log_went_back not_executed"});
    script.when(work(2)).expect({"run 2"});
}

TEST(Interactive, WithoutADurableEpochNothingIsDone) {
    Script script;
    script.given(started()).given(execute_of_epoch(kCoordinatorEpoch + 1));
    SenderPersisted failed = persisted(kCoordinatorEpoch + 1);
    failed.succeeded = false;
    script.when(failed).expect({"reply 1 execute#1 refused not_ready not_executed"});
}

TEST(Interactive, ATransactionOfAnOlderProcessIsRefused) {
    Script script;
    script.given(started());
    script.when(execute_of_epoch(kCoordinatorEpoch - 1))
        .expect({"reply 1 execute#1 refused stale_sender not_executed"});
}

}  // namespace
}  // namespace twofold::participant::test
