// Commit and abort, their tries, heuristics, and what is answered from memory.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

namespace twofold::participant::test {
namespace {

using protocol::FinishStatus;
using protocol::ItemOp;
using protocol::WorkStatus;
using std::chrono::milliseconds;

Script voted() {
    Script script;
    script.given(started()).given(work(1)).given(work_done(1, prepared()));
    return script;
}

TEST(Commit, IsAnsweredOnlyWhenDurable) {
    Script script = voted();
    script.when(commit(1)).expect({"commit 1"});
    const auto& call = std::get<CommitPrepared>(script.effects().at(0));
    EXPECT_EQ(call.request.gid, make_gid(key_of(1), own_uuid()));
    EXPECT_EQ(call.request.proof, prepared().proof);
    script.when(commit(1)).expect({});
    script.when(finish_done(1, FinishStatus::committed))
        .expect({"reply 2 commit committed", "reply 3 commit committed"});
    script.when(commit(1)).expect({"reply 4 commit committed"});
}

TEST(Commit, IsTriedForEverWhileThoseWhoWaitAreToldUnknown) {
    Script script = voted();
    script.given(commit(1));
    script.when(finish_done(1, FinishStatus::unknown)).expect({"timer 10..20"});
    script.when_timer(milliseconds(20)).expect({"commit 1"});
    script.when(finish_done(1, FinishStatus::unknown)).expect({"timer 20..40"});
    script.when(commit(1)).expect({});  // joins between two tries
    script.when_timer(milliseconds(40)).expect({"commit 1"});
    script.when(finish_done(1, FinishStatus::unknown))
        .expect({"reply 2 commit unknown participant_unavailable", "timer 40..80"});
    for (int delay : {80, 160, 320, 640, 1280, 2000, 2000, 2000}) {
        script.when_timer(milliseconds(delay));
        EXPECT_EQ(script.lines(), std::vector<std::string>{"commit 1"});
        script.when(finish_done(1, FinishStatus::unknown));
    }
    script.given(commit(1));
    script.when_timer(milliseconds(2000)).expect({"commit 1"});
    script.when(finish_done(1, FinishStatus::committed)).expect({"reply 4 commit committed"});
}

TEST(Commit, OfAnUnknownBranchAsksTheDatabaseWithTheProofOfTheVote) {
    Script script;
    script.given(started());
    script.when(commit(1)).expect({"commit 1"});
    const auto& call = std::get<CommitPrepared>(script.effects().at(0));
    EXPECT_EQ(call.request.proof, commit(1).item.proof);
    script.when(finish_done(1, FinishStatus::committed)).expect({"reply 1 commit committed"});
}

TEST(Commit, OfAnUnknownBranchWithoutProofIsAHazardUntilAskedAgain) {
    Script script;
    script.given(started()).given(commit(1));
    script.when(finish_done(1, FinishStatus::hazard))
        .expect({"alarm hazard 1", "reply 1 commit hazard"});
    EXPECT_EQ(script.machine().counts().parked, 1U);
    script.when(commit(1)).expect({"commit 1"});
    script.when(finish_done(1, FinishStatus::hazard)).expect({"reply 2 commit hazard"});
    script.given(commit(1));
    script.when(finish_done(1, FinishStatus::committed)).expect({"reply 3 commit committed"});
    EXPECT_EQ(script.machine().counts().parked, 0U);
}

TEST(Commit, DoesNotExistIsNeverAProof) {
    Script script = voted();
    script.given(commit(1));
    script.when(finish_done(1, FinishStatus::not_found))
        .expect({"alarm hazard 1", "reply 2 commit hazard"});
}

TEST(Commit, AbortedByOthersIsAHeuristic) {
    Script script = voted();
    script.given(commit(1));
    script.when(finish_done(1, FinishStatus::aborted))
        .expect({"alarm heuristic_abort 1", "reply 2 commit heuristic_abort"});
    script.when(commit(1)).expect({"reply 3 commit heuristic_abort"});
}

TEST(Commit, BelowTheLowWaterMarkWasFinishedEarlier) {
    Script script;
    script.given(started());
    ItemReceived input = commit(1);
    input.low_water = {kCoordinatorEpoch, 2};
    script.when(input).expect({"marks 2 0", "reply 1 commit finished_earlier"});
    script.when(abort_of(1)).expect({"reply 2 abort finished_earlier"});
}

// Its coordinator has died and has lost its END; the memory of the outcome had gone before.
TEST(Commit, BelowWhatAFormerProcessHasForgottenWasFinishedEarlier) {
    Script script;
    ResourceStarted start = started();
    start.start.forgotten = {{incarnation(), {kCoordinatorEpoch, 2}}};
    script.given(start);
    script.when(commit(1)).expect({"marks 2 0", "reply 1 commit finished_earlier"});
    script.when(abort_of(1)).expect({"reply 2 abort finished_earlier"});
    script.when(commit(2)).expect({"commit 2"});
}

TEST(Commit, BelowTheLowWaterMarkAHeldBranchIsStillFinished) {
    Script script;
    script.given(started(4, {listed(1)}));
    ItemReceived input = commit(1);
    input.low_water = {kCoordinatorEpoch, 2};
    script.when(input).expect({"marks 1 0", "commit 1"});
    script.when(finish_done(1, FinishStatus::committed)).expect({"reply 1 commit committed"});
}

TEST(Commit, AfterAbortIsAViolation) {
    Script script;
    script.given(started()).given(abort_of(1));
    script.when(commit(1)).expect(
        {"alarm protocol_violation 1", "reply 2 commit refused protocol_violation not_executed"});
    script.when(commit(1)).expect({"reply 3 commit refused protocol_violation not_executed"});
}

// It had voted before this start: a person may have committed it since.
TEST(Abort, OfAnUnknownBranchWithAProofAsksTheDatabase) {
    Script script;
    ItemReceived input = abort_of(1);
    input.item.proof = prepared().proof;
    script.given(started());
    script.when(input).expect({"rollback 1"});
    const auto& call = std::get<RollbackPrepared>(script.effects().at(0));
    EXPECT_EQ(call.request.proof, prepared().proof);
    script.when(finish_done(1, FinishStatus::committed))
        .expect({"alarm heuristic_commit 1", "reply 1 abort heuristic_commit"});
    script.when(input).expect({"reply 2 abort heuristic_commit"});
}

TEST(Abort, OfAVotedBranchCarriesItsProof) {
    Script script = voted();
    script.when(abort_of(1)).expect({"rollback 1"});
    const auto& call = std::get<RollbackPrepared>(script.effects().at(0));
    EXPECT_EQ(call.request.proof, prepared().proof);
}

TEST(Abort, OfAnUnknownBranchIsAnEmptyRollback) {
    Script script;
    script.given(started());
    script.when(abort_of(1)).expect({"reply 1 abort aborted not_executed"});
    script.when(abort_of(1)).expect({"reply 2 abort aborted not_executed"});
    EXPECT_EQ(script.machine().counts().tombstones, 1U);
}

TEST(Abort, OfRunningWorkAnswersWhenTheSessionIsGone) {
    Script script;
    script.given(started(1)).given(work(1)).given(work(2));
    script.when(abort_of(1)).expect({"reply 1 execute_prepare refused after_abort", "cancel 1"});
    script.when(work_done(1, refused("cancelled"))).expect({});
    script.when(abort_of(1)).expect({});
    script.when(cancelled(1)).expect({"reply 3 abort aborted", "reply 4 abort aborted", "run 2"});
}

TEST(Abort, OfWorkThatBecomesPreparedMeanwhileRollsItBack) {
    Script script;
    script.given(started()).given(work(1)).given(abort_of(1));
    script.when(work_done(1, prepared())).expect({});
    script.when(cancelled(1)).expect({"rollback 1"});
    const auto& call = std::get<RollbackPrepared>(script.effects().at(0));
    EXPECT_EQ(call.request.proof, prepared().proof);
    script.when(finish_done(1, FinishStatus::aborted)).expect({"reply 2 abort aborted"});
}

TEST(Abort, OfWorkWithUnknownEndRollsBackWhateverIsThere) {
    Script script;
    script.given(started()).given(work(1)).given(abort_of(1));
    script.given(work_done(1, result(WorkStatus::unknown)));
    script.when(cancelled(1)).expect({"rollback 1"});
    script.when(finish_done(1, FinishStatus::not_found)).expect({"reply 2 abort aborted"});
}

TEST(Abort, WaitsForTheWorksOwnAnswerToo) {
    Script script;
    script.given(started()).given(work(1)).given(abort_of(1));
    script.when(cancelled(1)).expect({});
    script.when(work_done(1, prepared())).expect({"rollback 1"});
}

TEST(Abort, OfAPreparedBranchRollsBack) {
    Script script = voted();
    script.when(abort_of(1)).expect({"rollback 1"});
    script.when(abort_of(1)).expect({});
    script.when(finish_done(1, FinishStatus::not_found))
        .expect({"reply 2 abort aborted", "reply 3 abort aborted"});
    script.when(work(1)).expect({"reply 4 execute_prepare refused after_abort"});
}

TEST(Abort, CommittedByOthersIsAHeuristic) {
    Script script = voted();
    script.given(abort_of(1));
    script.when(finish_done(1, FinishStatus::committed))
        .expect({"alarm heuristic_commit 1", "reply 2 abort heuristic_commit"});
    script.when(abort_of(1)).expect({"reply 3 abort heuristic_commit"});
}

TEST(Abort, AfterCommitIsAViolation) {
    Script script = voted();
    script.given(commit(1));
    script.when(abort_of(1))
        .expect({"alarm protocol_violation 1", "reply 3 abort refused protocol_violation"});
    script.given(finish_done(1, FinishStatus::committed));
    script.when(abort_of(1)).expect({"reply 4 abort refused protocol_violation"});
}

TEST(Abandoned, WorkGoesOnWithoutAnAnswer) {
    Script script;
    script.given(started()).given(work(1)).given(work(1));
    script.when(ReplyAbandoned{ReplyTicket(1)}).expect({});
    script.when(ReplyAbandoned{ReplyTicket(77)}).expect({});
    script.when(work_done(1, prepared())).expect({"reply 2 execute_prepare yes"});
}

TEST(Memory, TombstonesGoWithTheLowWaterMarkAndOnlyTheirCoordinators) {
    Script script;
    script.given(started());
    script.given(abort_of(1)).given(abort_of(2)).given(abort_of(3));
    ItemReceived other = item(ItemOp::abort, key_of(1, {.incarnation = 2}));
    script.given(other).given(persisted_other());
    script.given(listing({}));
    EXPECT_EQ(script.machine().counts().tombstones, 4U);
    ItemReceived later = work(9);
    later.low_water = {kCoordinatorEpoch, 3};
    script.given(later);
    EXPECT_EQ(script.machine().counts().tombstones, 2U);
}

// A listing on its way may name a branch that ended and would be forgotten meanwhile: it would come
// back as in doubt.
TEST(Memory, NothingIsForgottenWhileAListingIsOnItsWay) {
    Script script = voted();
    script.when_tick();
    script.given(commit(1)).given(finish_done(1, FinishStatus::committed));
    ItemReceived later = work(9);
    later.low_water = {kCoordinatorEpoch, 3};
    script.given(later);
    EXPECT_EQ(script.machine().counts().remembered, 1U);
    script.when(listing({listed(1)})).expect({});
    EXPECT_EQ(script.machine().counts().remembered, 0U);
    EXPECT_EQ(script.machine().counts().prepared, 0U);
}

// ---- marks
// ---------------------------------------------------------------------------------------

ItemReceived with_marks(ItemReceived input, std::uint64_t low_water, std::uint64_t horizon) {
    input.low_water = {kCoordinatorEpoch, low_water};
    input.horizon = {kCoordinatorEpoch, horizon};
    return input;
}

TEST(Marks, AreToldOnceWhenTheyChange) {
    Script script;
    script.given(started());
    script.when(with_marks(abort_of(9), 5, 3))
        .expect({"marks 5 3", "reply 1 abort aborted not_executed"});
    script.when(with_marks(abort_of(9), 5, 3)).expect({"reply 2 abort aborted not_executed"});
    script.when(with_marks(abort_of(9), 6, 3))
        .expect({"marks 6 3", "reply 3 abort aborted not_executed"});
    script.when(with_marks(abort_of(9), 6, 4))
        .expect({"marks 6 4", "reply 4 abort aborted not_executed"});
    // An older message, overtaken.
    script.when(with_marks(abort_of(9), 2, 1)).expect({"reply 5 abort aborted not_executed"});
}

TEST(Marks, StopBeforeTheOldestBranchThatStillRuns) {
    Script script;
    script.given(started()).given(work(2)).given(work(4));
    script.when(with_marks(abort_of(9), 8, 3))
        .expect({"marks 2 2", "reply 3 abort aborted not_executed"});
    script.given(work_done(2, refused("statement_failed")));
    script.when(with_marks(abort_of(9), 8, 3))
        .expect({"marks 4 3", "reply 4 abort aborted not_executed"});
    // Prepared is not ended: its witness may have to prove how it was finished.
    script.given(work_done(4, prepared()));
    script.when(with_marks(abort_of(9), 8, 3)).expect({"reply 5 abort aborted not_executed"});
    script.given(commit(4)).given(finish_done(4, FinishStatus::committed));
    script.when(with_marks(abort_of(9), 8, 3))
        .expect({"marks 8 3", "reply 7 abort aborted not_executed"});
}

TEST(Marks, GoBackWhenAListingShowsAnOlderBranch) {
    Script script;
    script.given(started());
    script.when(with_marks(abort_of(9), 5, 0))
        .expect({"marks 5 0", "reply 1 abort aborted not_executed"});
    script.given(abort_of(9)).when_tick();
    script.given(listing({listed(2)}));
    script.when(with_marks(abort_of(9), 5, 0))
        .expect({"marks 2 0", "reply 3 abort aborted not_executed"});
}

TEST(Marks, OfAnotherCoordinatorAreItsOwn) {
    Script script;
    script.given(started(4, {listed(1, {.incarnation = 2})}));
    script.when(with_marks(abort_of(9), 5, 0))
        .expect({"marks 5 0", "reply 1 abort aborted not_executed"});
}

}  // namespace
}  // namespace twofold::participant::test
