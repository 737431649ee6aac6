// A person decides a branch: only when nobody else can, and what was done is not forgotten.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

namespace twofold::participant::test {
namespace {

using protocol::Decision;
using protocol::FinishStatus;
using protocol::InquiryAnswer;

ResolveReceived resolve(const Script& script, Decision outcome) {
    ResolveReceived input;
    input.gid = make_gid(key_of(1), own_uuid());
    input.outcome = outcome;
    input.reason = "the disk burnt";
    for (const auto& report : script.machine().unfinished()) input.version = report.version;
    return input;
}

CoordinatorWord word(InquiryAnswer answer, std::uint8_t of = 2) {
    protocol::InquiryReply reply;
    reply.sender = {incarnation(of), kCoordinatorEpoch, 1, 1};
    reply.items.push_back({key_of(1), answer, std::nullopt});
    return {"http://127.0.0.1:8420", reply, {}};
}

CoordinatorWord nobody() { return {"http://127.0.0.1:8420", std::nullopt, "refused"}; }

CoordinatorsAnswered said(std::uint64_t ticket, std::vector<CoordinatorWord> words) {
    return {ReplyTicket(ticket), std::move(words)};
}

Script in_doubt() {
    Script script;
    script.given(started(4, {listed(1)}));
    return script;
}

// Another log answers at the coordinator's address.
Script resolved(Decision outcome) {
    Script script = in_doubt();
    script.when(resolve(script, outcome)).expect({"ask_coordinators 1"});
    bool commit = outcome == Decision::commit;
    script.when(said(1, {word(InquiryAnswer::cannot_tell)}))
        .expect({"resolve accepted", commit ? "commit 1" : "rollback 1"});
    script.when(finish_done(1, commit ? FinishStatus::committed : FinishStatus::aborted))
        .expect({commit ? "reply 1 commit committed" : "reply 1 abort aborted"});
    return script;
}

TEST(Resolve, WhatNobodyKnowsIsFinishedAsThePersonSays) {
    Script script = resolved(Decision::commit);
    EXPECT_EQ(script.state(1), "finished");
    EXPECT_EQ(resolved(Decision::abort).state(1), "finished");
}

TEST(Resolve, TheReasonGoesToTheResource) {
    Script script = in_doubt();
    script.given(resolve(script, Decision::abort));
    script.given(said(1, {word(InquiryAnswer::cannot_tell)}));
    EXPECT_EQ(std::get<RollbackPrepared>(script.effects().at(1)).request.operator_reason,
              "the disk burnt");
}

TEST(Resolve, ACoordinatorThatKnowsIsRight) {
    for (InquiryAnswer answer :
         {InquiryAnswer::commit, InquiryAnswer::abort, InquiryAnswer::still_active}) {
        Script script = in_doubt();
        ResolveReceived input = resolve(script, Decision::abort);
        input.coordinator_is_gone = true;
        script.given(input);
        script.when(said(1, {word(InquiryAnswer::cannot_tell), word(answer, 1)}))
            .expect({"resolve coordinator_knows"});
        EXPECT_EQ(script.state(1), "in_doubt");
    }
}

// That another log says "abort" says nothing about this branch.
TEST(Resolve, OnlyTheOwnCoordinatorKnows) {
    Script script = in_doubt();
    script.given(resolve(script, Decision::commit));
    script.when(said(1, {word(InquiryAnswer::abort)})).expect({"resolve accepted", "commit 1"});
}

TEST(Resolve, EveryCoordinatorMustHaveSaidThatItDoesNotKnow) {
    const std::vector<std::vector<CoordinatorWord>> cases{
        {},
        {nobody()},
        {word(InquiryAnswer::cannot_tell), nobody()},
        // Its own one is there, and may know later.
        {word(InquiryAnswer::cannot_tell, 1)},
    };
    for (const auto& words : cases) {
        Script script = in_doubt();
        script.given(resolve(script, Decision::abort));
        script.when(said(1, words)).expect({"resolve coordinator_unreachable"});
        EXPECT_EQ(script.state(1), "in_doubt");
        ResolveReceived input = resolve(script, Decision::abort);
        input.coordinator_is_gone = true;
        script.given(input);
        script.when(said(2, words)).expect({"resolve accepted", "rollback 1"});
    }
}

// Its coordinator was alive a moment ago, and may not be configured here.
TEST(Resolve, WhatWasVotedInThisLifeNeedsTheWordThatItsCoordinatorIsGone) {
    Script script;
    script.given(started());
    script.given(work(1));
    script.given(work_done(1, prepared()));
    ASSERT_EQ(script.state(1), "prepared");
    script.given(resolve(script, Decision::abort));
    script.when(said(2, {word(InquiryAnswer::cannot_tell)}))
        .expect({"resolve coordinator_unreachable"});
    script.given(resolve(script, Decision::abort));
    script.when(said(3, {word(InquiryAnswer::expired, 1)}))
        .expect({"resolve accepted", "rollback 1"});
}

TEST(Resolve, AForgottenOneMayBeDecided) {
    Script script = in_doubt();
    script.given(answered(1, InquiryAnswer::expired));
    ASSERT_EQ(script.state(1), "parked");
    script.given(resolve(script, Decision::commit));
    script.when(said(1, {word(InquiryAnswer::expired, 1)}))
        .expect({"resolve accepted", "commit 1"});
}

TEST(Resolve, ADryRunChangesNothing) {
    Script script = in_doubt();
    ResolveReceived input = resolve(script, Decision::commit);
    input.dry_run = true;
    script.given(input);
    script.when(said(1, {word(InquiryAnswer::cannot_tell)})).expect({"resolve possible"});
    EXPECT_EQ(script.state(1), "in_doubt");
}

TEST(Resolve, WhatHasChangedIsNotDecided) {
    Script script = in_doubt();
    ResolveReceived input = resolve(script, Decision::abort);
    input.version += "0";
    script.when(input).expect({"resolve version_changed"});
    script.given(resolve(script, Decision::abort));
    script.given(commit(1));  // while the coordinators are being asked
    script.when(said(2, {word(InquiryAnswer::cannot_tell)})).expect({"resolve wrong_state"});
}

TEST(Resolve, OnlyWhatIsHeldHere) {
    Script script;
    script.when(resolve(script, Decision::abort)).expect({"resolve not_ready"});
    script.given(started());
    script.when(resolve(script, Decision::abort)).expect({"resolve not_found"});
    ResolveReceived nonsense = resolve(script, Decision::abort);
    nonsense.gid = "42";
    script.when(nonsense).expect({"resolve not_found"});
    script.given(work(1));
    script.when(resolve(script, Decision::abort)).expect({"resolve wrong_state"});
}

TEST(Resolve, TheSameAgainIsDone) {
    Script script = resolved(Decision::commit);
    script.when(resolve(script, Decision::commit)).expect({"resolve done_before"});
    script.when(resolve(script, Decision::abort)).expect({"resolve wrong_state"});
}

// ---- the coordinator comes back after all ---------------------------------------------

TEST(Resolve, AnOrderThatSaysTheSameIsDone) {
    resolved(Decision::commit).when(commit(1)).expect({"reply 2 commit committed"});
    resolved(Decision::abort).when(abort_of(1)).expect({"reply 2 abort aborted"});
}

TEST(Resolve, AnOrderThatSaysTheOppositeIsHeuristic) {
    Script script = resolved(Decision::commit);
    script.when(abort_of(1))
        .expect({"alarm heuristic_commit 1", "reply 2 abort heuristic_commit by_operator"});
    script.when(abort_of(1)).expect({"reply 3 abort heuristic_commit by_operator"});
    resolved(Decision::abort)
        .when(commit(1))
        .expect({"alarm heuristic_abort 1", "reply 2 commit heuristic_abort by_operator"});
}

TEST(Resolve, WhileItIsBeingCarriedOutTheOppositeWaits) {
    Script script = in_doubt();
    script.given(resolve(script, Decision::commit));
    script.given(said(1, {word(InquiryAnswer::cannot_tell)}));
    script.when(abort_of(1)).expect({"reply 2 abort unknown by_operator"});
}

TEST(Resolve, WhatWasFoundOtherwiseIsToldToEverybody) {
    Script script = in_doubt();
    script.given(resolve(script, Decision::commit));
    script.given(said(1, {word(InquiryAnswer::cannot_tell)}));
    script.when(finish_done(1, FinishStatus::aborted))
        .expect({"alarm heuristic_abort 1", "reply 1 commit heuristic_abort"});
    script.when(abort_of(1)).expect({"reply 2 abort aborted"});
}

// ---- after a restart of the sidecar ---------------------------------------------------

ResourceStarted started_knowing(Decision decision, std::vector<protocol::PreparedBranch> listed) {
    ResourceStarted input = started(4, std::move(listed));
    input.start.resolved.push_back({key_of(1), decision, "the disk burnt"});
    return input;
}

TEST(Resolve, WhatWasNotCarriedOutIsAfterARestart) {
    Script script;
    script.given(started_knowing(Decision::commit, {listed(1)}));
    EXPECT_EQ(script.state(1), "committing");
    script.given(finish_done(1, FinishStatus::committed));
    script.when(abort_of(1))
        .expect({"alarm heuristic_commit 1", "reply 1 abort heuristic_commit by_operator"});
}

// Without a proof in the order: its coordinator never had the vote.
TEST(Resolve, AnAbortAfterARestartAsksTheDatabase) {
    Script script;
    script.given(started_knowing(Decision::commit, {}));
    script.when(abort_of(1)).expect({"rollback 1"});
    script.when(finish_done(1, FinishStatus::committed))
        .expect({"alarm heuristic_commit 1", "reply 1 abort heuristic_commit"});
}

}  // namespace
}  // namespace twofold::participant::test
