// One-shot and one-phase work: admission, votes, cancelling, slots, what is remembered.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

namespace twofold::participant::test {
namespace {

using protocol::FinishStatus;
using protocol::ItemOp;
using protocol::WorkStatus;
using std::chrono::milliseconds;
namespace reason = protocol::reason;

const protocol::ItemResult& only_reply(const Script& script) {
    const protocol::ItemResult* found = nullptr;
    for (const Effect& effect : script.effects()) {
        if (const auto* reply = std::get_if<SendReply>(&effect)) found = &reply->result;
    }
    EXPECT_NE(found, nullptr);
    return *found;
}

TEST(Work, VotesYesOnlyWhenPreparedAndEchoesEverything) {
    Script script;
    script.given(started());
    script.when(work(1)).expect({"run 1"});
    script.when(work_done(1, prepared())).expect({"reply 1 execute_prepare yes"});
    const protocol::ItemResult& reply = only_reply(script);
    EXPECT_EQ(reply.op, ItemOp::execute_prepare);
    EXPECT_EQ(reply.key, key_of(1));
    EXPECT_EQ(reply.participant, own_uuid());
    EXPECT_EQ(reply.identity, own_identity());
    EXPECT_EQ(reply.participant_epoch, kOwnEpoch);
    EXPECT_EQ(reply.proof, prepared().proof);
    EXPECT_EQ(*reply.results, "[1]");
}

TEST(Work, GivesTheResourceTheGidAndTheWork) {
    Script script;
    script.given(started());
    ItemReceived input = work(1, 250);
    input.item.work = std::make_shared<const std::string>("[]");
    input.item.options.lock_timeout_ms = 9;
    script.when(input);
    const auto& run = std::get<RunAndPrepare>(script.effects().at(0));
    EXPECT_EQ(run.work.gid, make_gid(key_of(1), own_uuid()));
    EXPECT_EQ(*run.work.work, "[]");
    EXPECT_EQ(run.work.options.lock_timeout_ms, 9U);
    EXPECT_EQ(run.work.deadline_ms, 250U);
}

TEST(Work, ADuplicateOfRunningWorkWaitsForTheSameVote) {
    Script script;
    script.given(started()).given(work(1));
    script.when(work(1)).expect({});
    script.when(work_done(1, prepared()))
        .expect({"reply 1 execute_prepare yes", "reply 2 execute_prepare yes"});
    script.when(work(1)).expect({"reply 3 execute_prepare yes"});
    EXPECT_EQ(only_reply(script).proof, prepared().proof);
    EXPECT_EQ(*only_reply(script).results, "[1]");
}

TEST(Work, AnotherAttemptIsAnotherBranch) {
    Script script;
    script.given(started()).given(work(1)).given(work_done(1, refused(reason::kDeadlock)));
    script.when(item(ItemOp::execute_prepare, key_of(1, {.attempt = 2}))).expect({"run 1.2"});
}

TEST(Work, ANoCarriesTheReasonAndWhetherAnythingRan) {
    Script script;
    script.given(started()).given(work(1));
    protocol::WorkResult no = refused(reason::kSlotsExhausted);
    no.executed = false;
    script.when(work_done(1, no))
        .expect({"reply 1 execute_prepare no prepared_slots_exhausted not_executed"});
    script.when(work(1)).expect(
        {"reply 2 execute_prepare no prepared_slots_exhausted not_executed"});
}

TEST(Work, AReadOnlyBranchEndsAndIsRememberedUntilTheLowWaterMarkPasses) {
    Script script;
    script.given(started()).given(work(1));
    script.when(work_done(1, result(WorkStatus::read_only)))
        .expect({"reply 1 execute_prepare read_only"});
    script.when(work(1)).expect({"reply 2 execute_prepare read_only"});
    EXPECT_EQ(script.machine().counts().remembered, 1U);
    ItemReceived later = work(9);
    later.low_water = {kCoordinatorEpoch, 2};
    script.when(later).expect({"marks 2 0", "run 9"});
    EXPECT_EQ(script.machine().counts().remembered, 0U);
    script.when(work(1)).expect({"reply 4 execute_prepare refused below_low_water not_executed"});
}

TEST(Work, UnknownIsNotAVote) {
    Script script;
    script.given(started()).given(work(1));
    script.when(work_done(1, result(WorkStatus::unknown)))
        .expect({"reply 1 execute_prepare unknown", "cancel 1"});
    // Found prepared: it stays in doubt and its coordinator is asked; a later duplicate is no yes.
    script.when(cancelled(1)).expect({"list"});
    script.when(listing({listed(1)})).expect({"inquire 1"});
    EXPECT_EQ(script.state(1), "in_doubt");
    script.when(work(1)).expect({"reply 2 execute_prepare unknown unanswered_prepare"});
}

TEST(Work, UnknownWorkThatIsNotListedIsANo) {
    Script script;
    script.given(started(1)).given(work(1)).given(work(2));
    script.given(work_done(1, result(WorkStatus::unknown))).given(cancelled(1));
    script.when(Listed{}).expect({"timer 10..20"});  // a failed listing proves nothing
    script.when_timer(milliseconds(20)).expect({"list"});
    script.when(listing({})).expect({"run 2"});  // only now the slot is free
    script.when(work(1)).expect({"reply 3 execute_prepare no participant_unavailable"});
}

TEST(Work, ASessionThatCannotBeEndedIsTriedAgainForEver) {
    Script script;
    script.given(started()).given(work(1)).given(abort_of(1));
    script.when(cancelled(1, false)).expect({"timer 10..20"});
    script.when_timer(milliseconds(20)).expect({"cancel 1"});
    script.when(cancelled(1, false)).expect({"timer 20..40"});
    script.when_timer(milliseconds(40)).expect({"cancel 1"});
    // Those who wait are told after a while, so that the coordinator asks again.
    script.when(cancelled(1, false))
        .expect({"reply 2 abort unknown participant_unavailable", "timer 40..80"});
    script.when(abort_of(1)).expect({});
    script.when_timer(milliseconds(80)).expect({"cancel 1"});
    script.when(work_done(1, prepared())).expect({});
    script.when(cancelled(1)).expect({"rollback 1"});
    script.when(finish_done(1, FinishStatus::aborted)).expect({"reply 3 abort aborted"});
}

TEST(Work, OfAnotherParticipantEpochIsRefused) {
    Script script;
    script.given(started());
    for (ItemOp op : {ItemOp::execute_prepare, ItemOp::prepare}) {
        ItemReceived input = item(op, key_of(1));
        input.item.participant_epoch = kOwnEpoch - 1;
        script.when(input);
        EXPECT_EQ(only_reply(script).status, protocol::ItemStatus::refused);
        EXPECT_EQ(only_reply(script).reason.code, reason::kStaleParticipantEpoch);
        EXPECT_EQ(only_reply(script).executed, op == ItemOp::prepare);
    }
    EXPECT_TRUE(script.machine().unfinished().empty());
}

// A duplicate of one-phase work that committed before the restart must not look like "nothing was
// done": a second attempt would do it twice.
TEST(Work, OnePhaseOfAnotherEpochIsUnknown) {
    Script script;
    script.given(started());
    ItemReceived input = one_phase(1);
    input.item.participant_epoch = kOwnEpoch - 1;
    script.when(input).expect({"reply 1 one_phase unknown stale_participant_epoch"});
    script.when(settle(1)).expect({"settle 1"});
    script.when(finish_done(1, FinishStatus::committed))
        .expect({"reply 2 settle_one_phase committed"});
}

TEST(Work, AfterAbortIsRefused) {
    Script script;
    script.given(started());
    script.when(abort_of(1)).expect({"reply 1 abort aborted not_executed"});
    script.when(work(1)).expect({"reply 2 execute_prepare refused after_abort not_executed"});
    script.when(one_phase(1)).expect({"reply 3 one_phase refused after_abort not_executed"});
    script.when(prepare(1)).expect({"reply 4 prepare refused after_abort not_executed"});
    script.when(execute(1, 1)).expect({"reply 5 execute#1 refused after_abort not_executed"});
}

// ---- slots
// ---------------------------------------------------------------------------------------

TEST(Slots, WorkWaitsInOrderAndHoldsNothing) {
    Script script;
    script.given(started(1)).given(work(1));
    script.when(work(2)).expect({});
    script.when(work(3)).expect({});
    EXPECT_EQ(script.machine().counts().waiting, 2U);
    script.when(work_done(1, refused(reason::kDeadlock)))
        .expect({"reply 1 execute_prepare no deadlock", "run 2"});
    script.when(work_done(2, result(WorkStatus::read_only)))
        .expect({"reply 2 execute_prepare read_only", "run 3"});
    script.when(work_done(3, prepared())).expect({"reply 3 execute_prepare yes"});
    script.when(work(4)).expect({});
    // The slot is kept until phase 2 is durable.
    script.when(commit(3)).expect({"commit 3"});
    script.when(finish_done(3, FinishStatus::unknown)).expect({"timer 10..20"});
    script.when_timer(milliseconds(20)).expect({"commit 3"});
    script.when(finish_done(3, FinishStatus::committed))
        .expect({"reply 5 commit committed", "run 4"});
}

TEST(Slots, AnExclusiveResourceHasOne) {
    Script script;
    ResourceStarted start = started(8);
    start.start.exclusive = true;
    script.given(start).given(work(1));
    script.when(work(2)).expect({});
}

TEST(Slots, BranchesFoundPreparedHoldTheirs) {
    Script script;
    script.given(started(2, {listed(1), listed(2), listed(3)}));
    EXPECT_EQ(script.machine().counts().slots_used, 3U);
    script.when(work(4)).expect({});
    script.given(abort_of(1));
    script.when(finish_done(1, FinishStatus::aborted)).expect({"reply 2 abort aborted"});
    script.given(abort_of(2));
    script.when(finish_done(2, FinishStatus::aborted)).expect({"reply 3 abort aborted", "run 4"});
}

TEST(Slots, AFullQueueRefuses) {
    Config config;
    config.queue_max = 1;
    Script script(config);
    script.given(started(1)).given(work(1)).given(work(2));
    script.when(work(3)).expect(
        {"reply 3 execute_prepare refused prepared_slots_exhausted not_executed"});
    script.when(execute(4, 1))
        .expect({"reply 4 execute#1 refused prepared_slots_exhausted not_executed"});
    // It was not remembered: the same message may come again.
    script.given(work_done(1, refused(reason::kDeadlock)));
    script.when(work(3)).expect({});
}

TEST(Slots, WithoutAnyEverythingIsRefused) {
    Script script;
    script.given(started(0));
    script.when(work(1)).expect(
        {"reply 1 execute_prepare refused prepared_slots_exhausted not_executed"});
}

TEST(Slots, ADeadlinePassesWhileWaiting) {
    Script script;
    script.given(started(1)).given(work(1));
    script.when(work(2, 300)).expect({"timer 300..300"});
    script.given(work(2, 300));  // a duplicate waits too
    script.when_timer(milliseconds(300))
        .expect({"reply 2 execute_prepare no deadline_exceeded not_executed",
                 "reply 3 execute_prepare no deadline_exceeded not_executed"});
    EXPECT_EQ(script.machine().counts().waiting, 0U);
    script.when(work_done(1, refused(reason::kDeadlock)))
        .expect({"reply 1 execute_prepare no deadlock"});
}

TEST(Slots, ADeadlineAfterTheStartIsTheResourcesBusiness) {
    Script script;
    script.given(started(1)).given(work(1)).given(work(2, 300));
    script.when(work_done(1, refused(reason::kDeadlock)))
        .expect({"reply 1 execute_prepare no deadlock", "run 2"});
    script.when_timer(milliseconds(300)).expect({});
}

TEST(Slots, AnAbortTakesWorkOutOfTheQueue) {
    Script script;
    script.given(started(1)).given(work(1)).given(work(2));
    script.when(abort_of(2))
        .expect({"reply 2 execute_prepare refused after_abort not_executed",
                 "reply 3 abort aborted not_executed"});
    script.when(work_done(1, refused(reason::kDeadlock)))
        .expect({"reply 1 execute_prepare no deadlock"});
}

// ---- one-phase
// -----------------------------------------------------------------------------------

TEST(OnePhase, CommitsAtOnceAndAnswersDuplicatesFromMemory) {
    Script script;
    script.given(started());
    script.when(one_phase(1)).expect({"run_one_phase 1"});
    protocol::WorkResult done = prepared();
    done.status = WorkStatus::committed;
    script.when(work_done(1, done)).expect({"reply 1 one_phase committed"});
    EXPECT_EQ(only_reply(script).proof, done.proof);
    EXPECT_TRUE(only_reply(script).recorded);
    script.when(one_phase(1)).expect({"reply 2 one_phase committed"});
    EXPECT_EQ(*only_reply(script).results, "[1]");
}

TEST(OnePhase, ThatNoStandbyHasConfirmedACommitIsToldWithIt) {
    Script script;
    script.given(started()).given(one_phase(1));
    protocol::WorkResult done = prepared();
    done.status = WorkStatus::committed;
    done.reason.code = reason::kNotReplicated;
    script.when(work_done(1, done)).expect({"reply 1 one_phase committed not_replicated"});
    script.when(one_phase(1)).expect({"reply 2 one_phase committed not_replicated"});
    script.when(settle(1)).expect({"reply 3 settle_one_phase committed not_replicated"});
}

TEST(OnePhase, WithoutWritesIsNotRecorded) {
    Script script;
    script.given(started()).given(one_phase(1));
    script.when(work_done(1, result(WorkStatus::read_only)))
        .expect({"reply 1 one_phase committed"});
    EXPECT_FALSE(only_reply(script).recorded);
}

TEST(OnePhase, RefusedWorkIsAnAbort) {
    Script script;
    script.given(started()).given(one_phase(1));
    script.when(work_done(1, refused(reason::kConstraint)))
        .expect({"reply 1 one_phase aborted constraint_violation"});
    script.when(settle(1)).expect({"reply 2 settle_one_phase aborted constraint_violation"});
}

TEST(OnePhase, UnknownIsSettledByTheWitness) {
    Script script;
    script.given(started()).given(one_phase(1));
    script.when(work_done(1, result(WorkStatus::unknown)))
        .expect({"reply 1 one_phase unknown", "cancel 1"});
    script.when(settle(1)).expect({});
    script.when(cancelled(1)).expect({"settle 1"});
    script.when(finish_done(1, FinishStatus::committed))
        .expect({"reply 2 settle_one_phase committed"});
    script.when(one_phase(1)).expect({"reply 3 one_phase committed"});
}

TEST(OnePhase, ASettleWaitsForRunningWork) {
    Script script;
    script.given(started()).given(one_phase(1));
    script.when(settle(1)).expect({});
    script.when(work_done(1, result(WorkStatus::committed)))
        .expect({"reply 1 one_phase committed", "reply 2 settle_one_phase committed"});
}

TEST(OnePhase, AnAbortEndsTheSessionAndAsksTheWitness) {
    Script script;
    script.given(started()).given(one_phase(1));
    script.when(abort_of(1)).expect({"cancel 1"});
    script.when(work_done(1, result(WorkStatus::unknown))).expect({});
    script.when(cancelled(1)).expect({"settle 1"});
    script.when(finish_done(1, FinishStatus::aborted))
        .expect({"reply 1 one_phase aborted", "reply 2 abort aborted"});
}

// The id itself says that this was one-phase work: after a restart only the witness can tell.
TEST(OnePhase, AnAbortOfAnUnknownOnePhaseIdAsksTheWitness) {
    Script script;
    script.given(started());
    script.when(item(ItemOp::abort, key_of(1, {.one_phase_participant = 2}))).expect({"settle 1"});
    FinishDone done{key_of(1, {.one_phase_participant = 2}), ItemOp::settle_one_phase, {}};
    done.result.status = FinishStatus::committed;
    script.when(done).expect({"reply 1 abort committed"});
}

TEST(OnePhase, BelowTheHorizonAMissingWitnessProvesNothing) {
    Script script;
    script.given(started());
    ItemReceived input = settle(1);
    input.horizon = {kCoordinatorEpoch, 2};
    script.when(input).expect({"marks 0 2", "reply 1 settle_one_phase finished_earlier"});
    // The low-water mark alone does not matter: witnesses stay until the horizon.
    input = settle(3);
    input.low_water = {kCoordinatorEpoch, 9};
    script.when(input).expect({"marks 9 2", "settle 3"});
}

TEST(OnePhase, TheTombstoneRefusesWorkThatComesLate) {
    Script script;
    script.given(started()).given(settle(1));
    script.given(finish_done(1, FinishStatus::aborted));
    script.when(one_phase(1)).expect({"reply 2 one_phase refused after_abort"});
}

TEST(Work, ALockedDatabaseIsNamedAtTheFirstContact) {
    auto failed = [] {
        SenderPersisted input = persisted(kCoordinatorEpoch + 1);
        input.succeeded = false;
        input.reason = {"lock_timeout", "another process keeps the file locked", -1, {}};
        return input;
    };
    auto newer = [](ItemReceived input) {
        input.sender.epoch = kCoordinatorEpoch + 1;
        return input;
    };
    Script script;
    script.given(started()).given(newer(work(1))).given(newer(one_phase(2)));
    script.given(newer(abort_of(3)));
    script.when(failed()).expect({"reply 1 execute_prepare refused lock_timeout not_executed",
                                  "reply 2 one_phase unknown not_ready",
                                  "reply 3 abort unknown not_ready"});
}

}  // namespace
}  // namespace twofold::participant::test
