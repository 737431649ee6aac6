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
    script.when(persisted_other()).expect({"list"});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Inquiry, ABranchOfAnUnknownCoordinatorIsReportedOnceAndLeftAlone) {
    Script script;
    ResourceStarted start = started(4, {listed(1, {.incarnation = 9})});
    start.start.senders[incarnation(2)] = stamp(kCoordinatorEpoch, 1, incarnation(2));
    script.given(start);
    InquiryAnswered answer;
    answer.reply.sender = stamp(kCoordinatorEpoch, 1, incarnation(2));
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
    input.sender = stamp(epoch, 1, input.sender.incarnation);
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
    script.when(SenderPersisted{stamp(4), false})
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
    other.sender = stamp(1, 1, incarnation(2));
    script.when(other).expect({"persist 1"});
    script.when(SenderPersisted{stamp(1, 1, incarnation(2)), true}).expect({"run 1"});
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
    script.given(shown(stamp(4)));
    script.when(persisted(4)).expect({"offer 2 accepted", "list", "inquire 1"});
    InquiryAnswered answer = answered(1, InquiryAnswer::abort);
    answer.reply.sender = stamp(4);
    script.when(answer).expect({"rollback 1"});
}

TEST(Fence, AnOfferIsAnsweredWhenItIsDurable) {
    Script script;
    script.when(shown(stamp(4))).expect({"offer 1 refused not_ready"});
    script.given(started());
    script.when(shown(stamp(4))).expect({"persist 4"});
    script.when(persisted(4)).expect({"offer 2 accepted", "list"});
    script.when(shown(stamp(4))).expect({"offer 3 accepted"});
    script.when(shown(stamp(3))).expect({"offer 4 refused stale_sender"});
    SenderSeen lost = shown(stamp(4));
    lost.addressed_uuid.bytes.fill(1);
    script.when(lost).expect({"offer 5 refused identity_mismatch"});
    script.when(shown(stamp(5))).expect({"persist 5"});
    script.when(SenderPersisted{stamp(5), false}).expect({"offer 6 refused not_ready"});
}

// The log was copied, epoch 4 was started, and then the copy was put back and started: as epoch 4.
TEST(Fence, ASecondStartOfTheSameEpochIsRefused) {
    Script script;
    script.given(started()).given(from_epoch(work(1), 4)).given(persisted(4));
    auto of_copy = [](ItemReceived input) {
        input.sender = stamp(4);
        input.sender.start_nonce = 7;
        return input;
    };
    script.when(of_copy(work(2)))
        .expect({"alarm sender_conflict 0",
                 "reply 2 execute_prepare refused sender_conflict not_executed"});
    script.when(of_copy(abort_of(1))).expect({"reply 3 abort refused sender_conflict"});
    SenderSeen offer = shown(stamp(4));
    offer.sender.start_nonce = 7;
    script.when(offer).expect({"offer 4 refused sender_conflict"});
    InquiryAnswered answer = answered(1, InquiryAnswer::abort);
    answer.reply.sender = offer.sender;
    script.when(answer).expect({});
    EXPECT_EQ(script.state(1), "running");
    script.when(from_epoch(work(3), 4)).expect({"run 3"});
}

TEST(Fence, TheNonceSurvivesARestartOfTheParticipant) {
    Script script;
    ResourceStarted start = started();
    start.start.senders[incarnation()] = stamp(4, 50);
    script.given(start);
    SenderSeen offer = shown(stamp(4));
    offer.sender.start_nonce = 7;
    script.when(offer).expect({"alarm sender_conflict 0", "offer 1 refused sender_conflict"});
    script.when(shown(stamp(4))).expect({"offer 2 accepted"});
}

// Rows of the first version have no nonce: the first who speaks is believed, and noted.
TEST(Fence, AnUnknownNonceIsCompleted) {
    Script script;
    ResourceStarted start = started();
    start.start.senders[incarnation()] = {incarnation(), 4, 0, 0};
    script.given(start);
    script.when(shown(stamp(4))).expect({"offer 1 accepted"});
    SenderSeen offer = shown(stamp(4));
    offer.sender.start_nonce = 7;
    script.when(offer).expect({"alarm sender_conflict 0", "offer 2 refused sender_conflict"});
}

// Its epoch was noted, its nonce was not: its position is judged when it shows itself.
TEST(Fence, AnUnknownNonceProvesNothingAboutTheLog) {
    Script script;
    ResourceStarted start = started();
    start.start.senders[incarnation()] = {incarnation(), 4, 0, 80};
    script.given(start);
    SenderSeen offer = shown(stamp(4, 500));
    offer.sender.start_position = 79;
    script.when(offer).expect({"alarm log_went_back 0", "offer 1 refused log_went_back"});
    offer.sender.start_position = 80;
    script.when(offer).expect({"offer 2 accepted"});
    offer.sender.position = 60;  // overtaken on its way
    script.when(offer).expect({"offer 3 accepted"});
}

// A start reads the whole log, so it has read at least what was durable before.
TEST(Fence, AStartThatHasReadLessThanWasToldIsRefused) {
    Script script;
    script.given(started());
    auto from = [](ItemReceived input, protocol::Epoch epoch, std::uint64_t told) {
        input.sender = stamp(epoch, told);
        return input;
    };
    script.given(from(work(1), kCoordinatorEpoch, 80));
    script.given(from(work(2), kCoordinatorEpoch, 60));  // overtaken on its way
    SenderSeen restored = shown(stamp(9, 500));
    restored.sender.start_position = 79;
    script.when(restored).expect({"alarm log_went_back 0", "offer 3 refused log_went_back"});
    script.when(restored).expect({"offer 4 refused log_went_back"});
    SenderSeen next = shown(stamp(4, 500));
    next.sender.start_position = 80;
    script.when(next).expect({"persist 4"});
    script.when(persisted(4)).expect({"offer 5 accepted", "list"});
}

TEST(Fence, PositionsBecomeDurableNowAndThen) {
    Script script;
    script.given(started());
    ItemReceived input = work(1);
    input.sender = stamp(kCoordinatorEpoch, 80);
    script.given(input);
    int persisted_times = 0;
    for (int i = 0; i < 24; ++i) {
        script.when_tick();
        for (const Effect& effect : script.effects()) {
            const auto* persist = std::get_if<PersistSender>(&effect);
            if (persist == nullptr) continue;
            ++persisted_times;
            EXPECT_EQ(persist->sender, stamp(kCoordinatorEpoch, 80));
            script.when(SenderPersisted{persist->sender, true}).expect({});
            break;
        }
        script.given(listing({}));
    }
    EXPECT_EQ(persisted_times, 1);
}

TEST(Inquiry, SaysWhatItKnowsOfTheCoordinator) {
    Script script;
    ResourceStarted start = started(4, {listed(1)});
    start.start.senders[incarnation()] = stamp(4, 50);
    script.when(start);
    const auto* inquiry = std::get_if<SendInquiry>(script.effects().data());
    ASSERT_NE(inquiry, nullptr);
    EXPECT_EQ(inquiry->senders, (std::vector<protocol::SenderStamp>{stamp(4, 50)}));
}

TEST(Fence, NobodySpeaksOfAnotherCoordinatorsBranch) {
    Script script = in_doubt();
    ItemReceived input = abort_of(1);
    input.sender.incarnation = incarnation(2);
    script.given(input);
    script.when(persisted_other())
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
