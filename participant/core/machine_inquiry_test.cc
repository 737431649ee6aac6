// Restart, listings, inquiries, and who may speak: the fence, identity and incarnations.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

namespace twofold::participant::test {
namespace {

using protocol::FinishStatus;
using protocol::InquiryAnswer;
using protocol::ItemOp;
using std::chrono::milliseconds;

// ---- start
// ---------------------------------------------------------------------------------------

TEST(Start, BeforeItEverythingIsRefusedAndDecisionsAreRepeated) {
    Script script;
    script.when(work(1)).expect({"reply 1 execute_prepare refused not_ready not_executed"});
    script.when(prepare(1)).expect({"reply 2 prepare refused not_ready"});
    script.when(one_phase(1)).expect({"reply 3 one_phase unknown not_ready"});
    script.when(commit(1)).expect({"reply 4 commit unknown not_ready"});
    script.when(abort_of(1)).expect({"reply 5 abort unknown not_ready"});
    script.when(settle(1)).expect({"reply 6 settle_one_phase unknown not_ready"});
    script.when(execute(1, 1)).expect({"reply 7 execute#1 refused not_ready not_executed"});
    script.when(answered(1, InquiryAnswer::abort)).expect({});
    EXPECT_FALSE(script.machine().ready());
}

TEST(Start, BranchesFoundAreAskedAboutAtOnce) {
    Script script;
    script.when(started(4, {listed(1), listed(2)})).expect({"inquire 1 2", "timer 4000..5000"});
    EXPECT_TRUE(script.machine().ready());
    EXPECT_EQ(script.machine().counts().in_doubt, 2U);
    script.when(InquiryFailed{}).expect({});
    script.when_tick().expect({"timer 4000..5000", "list", "inquire 1 2"});
}

TEST(Start, ManyBranchesAreAskedAboutInParts) {
    Config config;
    config.inquiry_items_max = 2;
    Script script(config);
    script.when(started(4, {listed(1), listed(2), listed(3)}))
        .expect({"inquire 1 2", "inquire 3", "timer 4000..5000"});
}

TEST(Start, ABranchOfAnotherRoleIsParked) {
    Script script;
    protocol::PreparedBranch other = listed(1);
    other.finishable = false;
    script.when(started(4, {other})).expect({"alarm not_finishable 1", "timer 4000..5000"});
    EXPECT_EQ(script.state(1), "parked");
    script.when_tick().expect({"timer 4000..5000", "list"});
    // The role was changed back.
    script.when(listing({listed(1)})).expect({"inquire 1"});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Start, AgainWithANewEpochGivesUpWhatHasNoSessionAnyMore) {
    Script script;
    script.given(started(1)).given(work(1)).given(work(2));
    ResourceStarted again = started(1);
    again.start.epoch = kOwnEpoch + 1;
    script.when(again).expect(
        {"reply 2 execute_prepare refused stale_participant_epoch "
         "not_executed"});
    script.when(work(3)).expect(
        {"reply 3 execute_prepare refused stale_participant_epoch "
         "not_executed"});
    script.when(work_done(1, result(protocol::WorkStatus::unknown)))
        .expect({"reply 1 execute_prepare unknown", "cancel 1"});
}

TEST(Start, OnAnotherDatabaseStopsEverything) {
    Script script;
    script.given(started());
    ResourceStarted other = started();
    other.start.identity.fields = {"two"};
    script.when(other).expect({"alarm identity_mismatch 0"});
    script.when(commit(1)).expect({"reply 1 commit unknown not_ready"});
}

// ---- answers
// -------------------------------------------------------------------------------------

Script in_doubt() {
    Script script;
    script.given(started(4, {listed(1)}));
    return script;
}

TEST(Inquiry, CommitAndAbortAreActedUpon) {
    Script committing = in_doubt();
    committing.when(answered(1, InquiryAnswer::commit)).expect({"commit 1"});
    committing.when(finish_done(1, FinishStatus::committed)).expect({});
    committing.when(commit(1)).expect({"reply 1 commit committed"});
    Script aborting = in_doubt();
    aborting.when(answered(1, InquiryAnswer::abort)).expect({"rollback 1"});
    aborting.when(finish_done(1, FinishStatus::not_found)).expect({});
    aborting.when(abort_of(1)).expect({"reply 1 abort aborted"});
}

TEST(Inquiry, StillActiveAndCannotTellChangeNothing) {
    for (InquiryAnswer answer : {InquiryAnswer::still_active, InquiryAnswer::cannot_tell}) {
        Script script = in_doubt();
        script.when(answered(1, answer)).expect({});
        EXPECT_EQ(script.state(1), "in_doubt");
        script.when_tick().expect({"timer 4000..5000", "list", "inquire 1"});
    }
}

TEST(Inquiry, ExpiredParksAndKeepsAsking) {
    Script script = in_doubt();
    script.when(answered(1, InquiryAnswer::expired)).expect({"alarm expired 1"});
    script.when_tick().expect({"timer 4000..5000", "list", "inquire 1"});
    script.when(answered(1, InquiryAnswer::expired)).expect({});
    // What a person settled at the coordinator counts.
    script.when(answered(1, InquiryAnswer::commit)).expect({"commit 1"});
}

TEST(Inquiry, OnlyTheBranchsOwnCoordinatorIsBelieved) {
    Script script = in_doubt();
    InquiryAnswered other = answered(1, InquiryAnswer::abort);
    other.reply.sender.incarnation = incarnation(2);
    script.when(other).expect({"persist 3"});
    script.when(SenderPersisted{incarnation(2), kCoordinatorEpoch, true}).expect({"list"});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Inquiry, ABranchOfAnUnknownCoordinatorIsReportedOnceAndLeftAlone) {
    Script script;
    ResourceStarted start = started(4, {listed(1, {.incarnation = 9})});
    start.start.sender_epochs[incarnation(2)] = kCoordinatorEpoch;
    script.given(start);
    InquiryAnswered answer;
    answer.reply.sender = {incarnation(2), kCoordinatorEpoch, 1, 1};
    answer.reply.items = {
        {key_of(1, {.incarnation = 9}), InquiryAnswer::cannot_tell, std::nullopt}};
    script.when(answer).expect({});  // its own coordinator has an interval's time to show itself
    script.when_tick();
    script.when(answer).expect({"alarm foreign_branch 1"});
    script.when_tick();
    script.when(answer).expect({});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Inquiry, KeysThatWereNotAskedAboutDoNotCount) {
    Script script;
    script.given(started()).given(work(1)).given(work_done(1, prepared()));
    script.when(answered(1, InquiryAnswer::abort)).expect({});
    EXPECT_EQ(script.state(1), "prepared");
}

TEST(Inquiry, AVotedBranchIsAskedAboutWhenItIsOld) {
    Script script;
    script.given(started()).given(work(1)).given(work_done(1, prepared()));
    script.when_tick().expect({"timer 4000..5000", "list"});
    script.when(listing({listed(1)})).expect({});
    script.when_tick().expect({"timer 4000..5000", "list", "inquire 1"});
}

TEST(Inquiry, TheCoordinatorsOwnMessageIsFaster) {
    Script script = in_doubt();
    script.when(commit(1)).expect({"commit 1"});
    script.when(answered(1, InquiryAnswer::commit)).expect({});
    script.given(finish_done(1, FinishStatus::committed));
    script.when(answered(1, InquiryAnswer::commit)).expect({});
    script.when(answered(1, InquiryAnswer::abort)).expect({"alarm protocol_violation 1"});
}

// ---- listings
// ------------------------------------------------------------------------------------

TEST(Listing, UnknownBranchesBecomeInDoubt) {
    Script script;
    script.given(started()).when_tick();
    script.when(listing({listed(5)})).expect({"inquire 5"});
    EXPECT_EQ(script.machine().counts().slots_used, 1U);
}

TEST(Listing, AFailedOneProvesNothing) {
    Script script = in_doubt();
    script.when_tick();
    script.when(Listed{}).expect({});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Listing, AVanishedBranchIsReportedOnceAndKept) {
    Script script = in_doubt();
    script.when_tick();
    script.when(listing({})).expect({"alarm lost_branch 1"});
    script.when_tick();
    script.when(listing({})).expect({});
    script.when(commit(1)).expect({"commit 1"});
}

TEST(Listing, SaysNothingAboutWhatChangedSinceItWasAskedFor) {
    Script script;
    script.given(started()).when_tick();
    script.given(work(1)).given(work_done(1, prepared()));
    script.when(listing({})).expect({});  // prepared after the listing was asked for
    script.when_tick();
    script.given(commit(1)).given(finish_done(1, FinishStatus::committed));
    script.when(listing({listed(1)})).expect({});  // committed after it was asked for
}

TEST(Listing, ForABranchIsNotTheOneThatIsAlreadyOnItsWay) {
    Script script;
    script.given(started()).given(work(1)).when_tick();
    script.given(work_done(1, result(protocol::WorkStatus::unknown)));
    script.when(cancelled(1)).expect({});  // one is on its way, but it may be too old
    script.when(listing({})).expect({"list"});
    EXPECT_EQ(script.state(1), "checking");
    script.when(listing({})).expect({});
    EXPECT_EQ(script.state(1), "finished");
}

TEST(Listing, AFinishedBranchThatIsPreparedAgainIsFinishedAgain) {
    Script script = in_doubt();
    script.given(commit(1)).given(finish_done(1, FinishStatus::committed)).when_tick();
    script.when(listing({listed(1)})).expect({"alarm reappeared 1", "commit 1"});
    script.given(finish_done(1, FinishStatus::committed)).given(abort_of(2)).when_tick();
    script.when(listing({listed(2)})).expect({"alarm reappeared 2", "rollback 2"});
}

// ---- the fence
// -----------------------------------------------------------------------------------

ItemReceived from_epoch(ItemReceived input, protocol::Epoch epoch) {
    input.sender.epoch = epoch;
    return input;
}

TEST(Fence, ANewEpochIsDurableBeforeAnythingUnderItActs) {
    Script script;
    script.given(started());
    script.when(from_epoch(work(1), 4)).expect({"persist 4"});
    script.when(from_epoch(work(2), 4)).expect({});
    script.when(work(3)).expect({"reply 3 execute_prepare refused stale_sender not_executed"});
    script.when(persisted(4)).expect({"run 1", "run 2", "list"});
    script.when(work(3)).expect({"reply 4 execute_prepare refused stale_sender not_executed"});
    script.when(commit(3)).expect({"reply 5 commit refused stale_sender"});
}

TEST(Fence, WorkThatStillWaitsIsNotStartedForAReplacedProcess) {
    Script script;
    script.given(started(1)).given(work(1)).given(work(2)).given(one_phase(3));
    script.given(from_epoch(work(4), 4));
    script.when(persisted(4))
        .expect({"reply 2 execute_prepare refused stale_sender not_executed",
                 "reply 3 one_phase refused stale_sender not_executed",
                 "list"});
    script.when(work_done(1, refused("deadlock")))
        .expect({"reply 1 execute_prepare no deadlock", "run 4"});
}

TEST(Fence, AFailedPersistAnswersThoseWhoWaitSoThatTheyComeAgain) {
    Script script;
    script.given(started());
    script.given(from_epoch(work(1), 4)).given(from_epoch(commit(2), 4));
    script.when(SenderPersisted{incarnation(), 4, false})
        .expect({"reply 1 execute_prepare refused not_ready not_executed",
                 "reply 2 commit unknown not_ready"});
    script.when(from_epoch(commit(2), 4)).expect({"persist 4"});
    script.when(persisted(4)).expect({"commit 2", "list"});
}

TEST(Fence, AStillNewerEpochOvertakes) {
    Script script;
    script.given(started());
    script.given(from_epoch(work(1), 4));
    script.when(from_epoch(work(2), 5)).expect({});
    script.when(persisted(4))
        .expect({"reply 1 execute_prepare refused stale_sender not_executed", "persist 5", "list"});
    script.when(persisted(5)).expect({"run 2"});
}

TEST(Fence, IncarnationsAreIndependent) {
    Script script;
    script.given(started()).given(from_epoch(work(1), 9)).given(persisted(9));
    ItemReceived other = item(ItemOp::execute_prepare, key_of(1, {.incarnation = 2}));
    other.sender.epoch = 1;
    script.when(other).expect({"persist 1"});
    script.when(SenderPersisted{incarnation(2), 1, true}).expect({"run 1"});
}

TEST(Fence, AnAbandonedItemIsDoneWithoutAnAnswer) {
    Script script;
    script.given(started()).given(from_epoch(work(1), 4));
    script.given(ReplyAbandoned{ReplyTicket(1)});
    script.when(persisted(4)).expect({"run 1", "list"});
    script.when(work_done(1, prepared())).expect({});
}

TEST(Fence, AStoppedCoordinatorsAnswerDoesNotCount) {
    Script script = in_doubt();
    script.given(from_epoch(work(9), 4)).given(persisted(4));
    script.when(answered(1, InquiryAnswer::abort)).expect({});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Fence, ARestartedCoordinatorsOldBranchesAreAskedAboutAtOnce) {
    Script script;
    script.given(started()).given(work(1)).given(work_done(1, prepared()));
    script.given(SenderSeen{{incarnation(), 4, 2, 1}, own_uuid(), own_identity(), {}, {}});
    script.when(persisted(4)).expect({"list", "inquire 1"});
    InquiryAnswered answer = answered(1, InquiryAnswer::abort);
    answer.reply.sender.epoch = 4;
    script.when(answer).expect({"rollback 1"});
}

TEST(Fence, NobodySpeaksOfAnotherCoordinatorsBranch) {
    Script script = in_doubt();
    ItemReceived input = abort_of(1);
    input.sender.incarnation = incarnation(2);
    script.given(input);
    script.when(SenderPersisted{incarnation(2), kCoordinatorEpoch, true})
        .expect({"alarm protocol_violation 1", "reply 1 abort refused protocol_violation", "list"});
}

// ---- identity
// ------------------------------------------------------------------------------------

TEST(IdentityCheck, AMessageForAnotherDatabaseDoesNothing) {
    Script script = in_doubt();
    ItemReceived input = commit(1);
    input.addressed_identity.fields = {"two"};
    script.when(input).expect({"reply 1 commit refused identity_mismatch"});
    input = commit(1);
    input.addressed_uuid.bytes.fill(1);
    // Not even a newer epoch is taken from it.
    input.sender.epoch = 99;
    script.when(input).expect({"reply 2 commit refused identity_mismatch"});
    EXPECT_EQ(script.state(1), "in_doubt");
}

}  // namespace
}  // namespace twofold::participant::test
