// Idempotency keys of one-phase work: what is answered under a key is about the key's work, not
// about one branch of it.
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

namespace twofold::participant::test {
namespace {

using protocol::FinishStatus;
using protocol::WorkStatus;
namespace reason = protocol::reason;

protocol::IdempotencyKey a_key() {
    protocol::IdempotencyKey key;
    key.key_hash.fill(7);
    key.fingerprint.fill(8);
    return key;
}

ItemReceived keyed(ItemReceived input) {
    input.item.idempotency = a_key();
    return input;
}

// As a coordinator that was started since sends it.
ItemReceived newer(ItemReceived input) {
    input.sender = persisted(kCoordinatorEpoch + 1).sender;
    return keyed(std::move(input));
}

protocol::WorkResult refused_knowing_the_key() {
    protocol::WorkResult result = refused(reason::kConstraint);
    result.key_free = true;
    return result;
}

FinishDone replayed(std::uint64_t number, std::uint64_t original) {
    FinishDone done = finish_done(number, FinishStatus::committed);
    done.result.original = key_of(original).group;
    return done;
}

const protocol::ItemResult& last_reply(const Script& script) {
    return std::get<SendReply>(script.effects().back()).result;
}

// The coordinator was killed while branch 1 ran, does not know it, and sends the same work as 2.
Script first_one_runs() {
    Script script;
    script.given(started()).given(keyed(one_phase(1)));
    script.given(newer(settle(9))).given(persisted(kCoordinatorEpoch + 1));
    script.when(newer(one_phase(2)))
        .expect({"reply 3 one_phase unknown idempotency_key_in_progress"});
    return script;
}

// A failover may lose what the key has committed: whoever hears of that hears so.
TEST(Keys, AReplaySaysThatNoStandbyHasConfirmedIt) {
    Script script;
    script.given(started()).given(keyed(one_phase(2)));
    protocol::WorkResult done = prepared();
    done.status = WorkStatus::committed;
    done.original = key_of(1).group;
    done.reason.code = reason::kNotReplicated;
    script.when(work_done(2, done))
        .expect({"reply 1 one_phase committed not_replicated not_executed"});
    EXPECT_EQ(last_reply(script).original, key_of(1).group);
}

TEST(Keys, NothingIsSaidUnderAKeyWhileAnOlderBranchOfItRuns) {
    Script script = first_one_runs();
    script.when(newer(settle(2)))
        .expect({"reply 4 settle_one_phase unknown idempotency_key_in_progress"});
    ItemReceived abort = newer(abort_of(2));
    abort.item.key = key_of(2, {.one_phase_participant = 4});
    script.when(abort).expect({"reply 5 abort unknown idempotency_key_in_progress"});
    protocol::WorkResult done = prepared();
    done.status = WorkStatus::committed;
    script.when(work_done(1, done)).expect({"reply 1 one_phase committed"});
    script.when(newer(settle(2))).expect({"settle 2"});
    EXPECT_EQ(std::get<SettleOnePhase>(script.effects().at(0)).idempotency, a_key());
    script.when(replayed(2, 1))
        .expect({"reply 6 settle_one_phase committed idempotency_key_replayed not_executed"});
    EXPECT_EQ(last_reply(script).original, key_of(1).group);
    script.when(newer(settle(2)))
        .expect({"reply 7 settle_one_phase committed idempotency_key_replayed not_executed"});
    EXPECT_EQ(last_reply(script).original, key_of(1).group);
}

TEST(Keys, WhenTheOlderBranchHasFailedTheKeyIsFree) {
    Script script = first_one_runs();
    script.given(work_done(1, refused_knowing_the_key()));
    script.when(newer(settle(2))).expect({"settle 2"});
    script.when(finish_done(2, FinishStatus::aborted)).expect({"reply 4 settle_one_phase aborted"});
    EXPECT_TRUE(last_reply(script).key_free);
}

TEST(Keys, TheOlderBranchKeepsItsKeyWhileItsEndIsNotKnown) {
    Script script = first_one_runs();
    script.given(work_done(1, result(WorkStatus::unknown)));
    script.when(newer(one_phase(2)))
        .expect({"reply 4 one_phase unknown idempotency_key_in_progress"});
    script.given(cancelled(1));
    script.when(newer(one_phase(2)))
        .expect({"reply 5 one_phase unknown idempotency_key_in_progress"});
    script.given(finish_done(1, FinishStatus::committed));
    script.when(newer(one_phase(2))).expect({"run_one_phase 2"});
}

TEST(Keys, TwoPhaseWorkOfTheKeyIsRefusedMeanwhile) {
    Script script = first_one_runs();
    script.when(newer(work(2)))
        .expect({"reply 4 execute_prepare refused idempotency_key_in_progress not_executed"});
}

TEST(Keys, OtherKeysAndWorkWithoutOneAreNotHeldUp) {
    Script script = first_one_runs();
    ItemReceived other = newer(one_phase(3));
    other.item.idempotency->key_hash.fill(1);
    script.when(other).expect({"run_one_phase 3"});
    ItemReceived without = newer(one_phase(4));
    without.item.idempotency.reset();
    script.when(without).expect({"run_one_phase 4"});
}

TEST(Keys, WhatTheKeyHasCommittedIsTheAnswer) {
    Script script;
    script.given(started()).given(keyed(one_phase(2)));
    protocol::WorkResult done = result(WorkStatus::committed);
    done.original = key_of(1).group;
    script.when(work_done(2, done))
        .expect({"reply 1 one_phase committed idempotency_key_replayed not_executed"});
    EXPECT_EQ(last_reply(script).original, key_of(1).group);
    EXPECT_EQ(script.machine().counts().tombstones, 1U) << "this branch did nothing";
    script.when(keyed(one_phase(2)))
        .expect({"reply 2 one_phase committed idempotency_key_replayed not_executed"});
    EXPECT_EQ(last_reply(script).original, key_of(1).group);
}

TEST(Keys, WhatTheKeyHasCommittedIsTheAnswerToTwoPhaseWork) {
    Script script;
    script.given(started()).given(keyed(work(2)));
    protocol::WorkResult done = result(WorkStatus::committed);
    done.original = key_of(1).group;
    script.when(work_done(2, done))
        .expect({"reply 1 execute_prepare committed idempotency_key_replayed not_executed"});
    EXPECT_EQ(last_reply(script).original, key_of(1).group);
    script.when(abort_of(2))
        .expect({"reply 2 abort aborted idempotency_key_replayed not_executed"});
}

// Waiting for a session, for a slot, or being refused by its form says nothing of the key.
TEST(Keys, ARefusalWithoutALookAtTheKeyIsSettledAndKeepsItsReason) {
    Script script;
    script.given(started()).given(keyed(one_phase(2)));
    script.when(work_done(2, refused(reason::kDeadline))).expect({"settle 2"});
    script.when(finish_done(2, FinishStatus::aborted))
        .expect({"reply 1 one_phase aborted deadline_exceeded"});
    EXPECT_TRUE(last_reply(script).key_free);
}

TEST(Keys, AQueueThatIsTooLongIsSettledToo) {
    Script script;
    script.given(started(1)).given(one_phase(1)).given(keyed([] {
        ItemReceived input = one_phase(2);
        input.item.deadline_ms = 50;
        return input;
    }()));
    script.when_timer(std::chrono::milliseconds(50)).expect({"settle 2"});
    script.when(replayed(2, 9))
        .expect({"reply 2 one_phase committed idempotency_key_replayed not_executed"});
}

TEST(Keys, NoRoomIsNoAnswerToAKey) {
    Config config;
    config.queue_max = 1;
    Script script(config);
    script.given(started(1)).given(one_phase(1)).given(one_phase(2));
    script.when(keyed(one_phase(3)))
        .expect({"reply 3 one_phase unknown prepared_slots_exhausted not_executed"});
    script.when(one_phase(4))
        .expect({"reply 4 one_phase refused prepared_slots_exhausted not_executed"});
}

TEST(Keys, ARefusalAfterALookAtTheKeyIsTheEnd) {
    Script script;
    script.given(started()).given(keyed(one_phase(2)));
    script.when(work_done(2, refused_knowing_the_key()))
        .expect({"reply 1 one_phase aborted constraint_violation"});
    EXPECT_TRUE(last_reply(script).key_free);
}

TEST(Keys, AnotherRequestsKeyIsAConflict) {
    Script script;
    script.given(started()).given(keyed(one_phase(2)));
    script.when(work_done(2, refused(reason::kKeyConflict)))
        .expect({"reply 1 one_phase aborted idempotency_key_conflict"});
    EXPECT_FALSE(last_reply(script).key_free);
    script.given(keyed(settle(3)));
    FinishDone done = finish_done(3, FinishStatus::aborted);
    done.result.reason.code = reason::kKeyConflict;
    script.when(done).expect({"reply 2 settle_one_phase aborted idempotency_key_conflict"});
    EXPECT_FALSE(last_reply(script).key_free);
}

}  // namespace
}  // namespace twofold::participant::test
