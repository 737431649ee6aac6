#include "participant/execute_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace twofold::participant {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
namespace reason = protocol::reason;

constexpr std::uint32_t kEpoch = 7;

protocol::TxnId txn_of(std::uint64_t number) {
    static const base::KeyedHash hash(base::HashKey{7});
    return protocol::make_txn_id(protocol::Incarnation{{1}}, 3, number, {}, hash);
}

class DeskTest : public testing::Test {
protected:
    DeskTest() { make({}); }

    void make(ExecuteDesk::Options options) {
        options.is_over = [this](const protocol::BranchKey& key) { return over_ == key.group; };
        desk_ = std::make_unique<ExecuteDesk>(std::move(options));
        uuid_.bytes.fill(5);
        desk_->start(kEpoch, uuid_);
    }

    // Effects as text: "ask 0 s1", "run 1 <work>", "answer 1 executed".
    std::vector<std::string> lines(const DeskEffects& effects) {
        std::vector<std::string> out;
        for (const DeskEffect& effect : effects) out.push_back(std::visit(*this, effect));
        return out;
    }
    std::string text_of(const AskEnlist& e) {
        return "ask " + std::to_string(e.coordinator) + " s" + std::to_string(e.session);
    }
    std::string text_of(const TouchCoordinator& e) {
        return "touch " + std::to_string(e.coordinator) + " s" + std::to_string(e.session);
    }
    std::string text_of(const RunCall& e) {
        last_run_ = e.input;
        return "run " + std::to_string(e.input.sequence) + " " + *e.input.work;
    }
    std::string text_of(const AnswerCall& e) {
        last_answer_ = e.answer;
        constexpr std::string_view kNames[] = {"executed",
                                               "branch_ended",
                                               "wrong_state",
                                               "not_found",
                                               "gone",
                                               "invalid",
                                               "refused_by_coordinator",
                                               "coordinator_unreachable",
                                               "busy",
                                               "key_conflict",
                                               "key_in_progress",
                                               "keys_exhausted"};
        return "answer " + std::to_string(e.call.value) + " " +
               std::string(kNames[static_cast<std::size_t>(e.answer.status)]) +
               (e.answer.is_replayed ? " replayed" : "");
    }

public:
    template <class Effect>
    std::string operator()(const Effect& effect) {
        return text_of(effect);
    }

protected:
    std::vector<std::string> call(const std::string& work,
                                  std::uint32_t sequence = 0,
                                  std::uint64_t txn = 1,
                                  std::uint8_t key = 0,
                                  std::uint8_t fingerprint = 0) {
        ExecuteCall input;
        input.call = CallId(++last_call_);
        input.txn = txn_of(txn);
        input.sequence = sequence;
        input.work = std::make_shared<const std::string>(work);
        input.options = options_;
        if (key != 0) input.idempotency = protocol::IdempotencyKey{{key}, {fingerprint}};
        DeskEffects effects;
        desk_->receive(std::move(input), now_, effects);
        return lines(effects);
    }

    EnlistReply enlisted() {
        EnlistReply reply;
        reply.status = EnlistStatus::enlisted;
        reply.key = {txn_of(1), 2, 1};
        reply.uuid = uuid_;
        reply.deadline_ms = 1'000;
        reply.sender = {protocol::Incarnation{{1}}, 3, 77, 900, 500};
        return reply;
    }
    EnlistReply said(EnlistStatus status, int http_status = 0, std::string code = {}) {
        EnlistReply reply;
        reply.status = status;
        reply.http_status = http_status;
        reply.code = std::move(code);
        return reply;
    }

    std::vector<std::string> hear(EnlistReply reply, std::uint64_t txn = 1) {
        DeskEffects effects;
        desk_->enlisted(txn_of(txn), std::move(reply), now_, effects);
        return lines(effects);
    }

    std::vector<std::string> ran(std::uint32_t sequence,
                                 ExecuteStatus status,
                                 std::string_view code = {}) {
        protocol::ItemResult result;
        result.reason.code = code;
        DeskEffects effects;
        desk_->ran(txn_of(1), {sequence, status}, result, now_, effects);
        return lines(effects);
    }

    // A first call that ran.
    void open() {
        call("a");
        hear(enlisted());
        ran(1, ExecuteStatus::executed);
    }

    std::unique_ptr<ExecuteDesk> desk_;
    protocol::ParticipantUuid uuid_;
    protocol::BranchOptions options_;
    std::int64_t now_ = 5'000;
    std::uint64_t last_call_ = 0;
    ExecuteReceived last_run_;
    CallAnswer last_answer_;
    protocol::TxnId over_;
};

TEST_F(DeskTest, TheFirstCallEnlistsAndTheNextOnesDoNot) {
    EXPECT_THAT(call("a"), ElementsAre("ask 0 s1"));
    EXPECT_THAT(hear(enlisted()), ElementsAre("run 1 a"));
    EXPECT_EQ(last_run_.participant_epoch, kEpoch);
    EXPECT_EQ(last_run_.deadline_ms, 1'000U);
    EXPECT_EQ(last_run_.sender, enlisted().sender) << "the start that enlisted it";
    EXPECT_THAT(ran(1, ExecuteStatus::executed), ElementsAre("answer 1 executed"));
    now_ += 400;
    EXPECT_THAT(call("b"), ElementsAre("run 2 b"));
    EXPECT_EQ(last_run_.deadline_ms, 600U);
    EXPECT_EQ(last_run_.key.branch, 2);
}

TEST_F(DeskTest, CallsOfOneTransactionWaitForEachOther) {
    call("a");
    EXPECT_THAT(call("b"), IsEmpty());
    EXPECT_THAT(hear(enlisted()), ElementsAre("run 1 a"));
    EXPECT_THAT(call("c"), IsEmpty());
    EXPECT_THAT(ran(1, ExecuteStatus::executed), ElementsAre("answer 1 executed", "run 2 b"));
    EXPECT_THAT(ran(2, ExecuteStatus::failed, reason::kConstraint),
                ElementsAre("answer 2 branch_ended", "run 3 c"));
    // Another transaction's do not.
    EXPECT_THAT(call("d", 0, 9), ElementsAre("ask 0 s2"));
}

// ---- the coordinator's idle deadline --------------------------------------------------

class IdleDeskTest : public DeskTest {
protected:
    // Enlisted at the second coordinator, and the first call has run.
    void open_idle() {
        make({.coordinators = 2});
        call("a");
        hear(said(EnlistStatus::not_mine));
        EnlistReply reply = enlisted();
        reply.idle_deadline_ms = 400;
        hear(reply);
        ran(1, ExecuteStatus::executed);
    }
};

TEST_F(IdleDeskTest, CallsHereCountAsUse) {
    open_idle();
    now_ += 99;
    EXPECT_THAT(call("b"), ElementsAre("run 2 b")) << "told within a quarter of the deadline";
    now_ += 1;
    EXPECT_THAT(ran(2, ExecuteStatus::executed), ElementsAre("touch 1 s1", "answer 2 executed"));
    EXPECT_THAT(call("c"), ElementsAre("run 3 c"));
    ran(3, ExecuteStatus::executed);
    now_ += 150;
    EXPECT_THAT(call("d"), ElementsAre("touch 1 s1", "run 4 d"));
}

TEST_F(IdleDeskTest, AStatementThatRunsLongIsNoIdleness) {
    open_idle();
    EXPECT_FALSE(desk_->next_touch()) << "nothing runs";
    call("b");
    EXPECT_EQ(desk_->next_touch(), now_ + 100);
    now_ += 100;
    DeskEffects effects;
    desk_->touch(now_, effects);
    EXPECT_THAT(lines(effects), ElementsAre("touch 1 s1"));
    EXPECT_EQ(desk_->next_touch(), now_ + 100);
    ran(2, ExecuteStatus::executed);
    EXPECT_FALSE(desk_->next_touch());
}

TEST_F(IdleDeskTest, WithoutAnIdleDeadlineNobodyIsTold) {
    open();
    call("b");
    EXPECT_FALSE(desk_->next_touch());
    now_ += 900;
    EXPECT_THAT(ran(2, ExecuteStatus::executed), ElementsAre("answer 2 executed"));
}

TEST_F(DeskTest, CoordinatorsAreAskedInTurn) {
    make({.coordinators = 3});
    call("a");
    EXPECT_THAT(hear(said(EnlistStatus::not_mine)), ElementsAre("ask 1 s1"));
    EXPECT_THAT(hear(said(EnlistStatus::unreachable)), ElementsAre("ask 2 s1"));
    EXPECT_THAT(hear(enlisted()), ElementsAre("run 1 a"));
}

TEST_F(DeskTest, ATransactionThatNobodyKnows) {
    make({.coordinators = 2});
    call("a");
    hear(said(EnlistStatus::not_mine));
    EXPECT_THAT(hear(said(EnlistStatus::not_mine)), ElementsAre("answer 1 not_found"));
    EXPECT_EQ(desk_->transactions(), 0U);
}

// The one that did not answer may have enlisted the branch: the same session is stated again, so
// that it is no second enlistment, which would doom the transaction.
TEST_F(DeskTest, AnUnansweredEnlistmentIsRepeatedAsTheSame) {
    make({.coordinators = 2});
    call("a");
    hear(said(EnlistStatus::unreachable));
    EXPECT_THAT(hear(said(EnlistStatus::not_mine)),
                ElementsAre("answer 1 coordinator_unreachable"));
    EXPECT_THAT(call("a"), ElementsAre("ask 0 s1"));
    EXPECT_THAT(hear(enlisted()), ElementsAre("run 1 a"));
}

TEST_F(DeskTest, WhatACoordinatorRefuses) {
    call("a");
    call("b");
    EXPECT_THAT(hear(said(EnlistStatus::refused, 409, "wrong_state")),
                ElementsAre("answer 1 wrong_state", "answer 2 wrong_state"));
    EXPECT_EQ(last_answer_.reason.code, "wrong_state");
    call("a");
    EXPECT_THAT(hear(said(EnlistStatus::refused, 422, "unknown_participant")),
                ElementsAre("answer 3 refused_by_coordinator"));
    call("a");
    EXPECT_THAT(hear(said(EnlistStatus::refused, 409, "branch_lost")),
                ElementsAre("answer 4 branch_ended"));
    call("a");
    EXPECT_THAT(hear(said(EnlistStatus::refused, 410, "transaction_expired")),
                ElementsAre("answer 5 gone"));
    // A new enlistment is another session: the branch's work, if there was any, is not here.
    EXPECT_THAT(call("a"), ElementsAre("ask 0 s5"));
}

TEST_F(DeskTest, AnEnlistmentOfAnotherParticipantIsNotUsed) {
    call("a");
    EnlistReply other = enlisted();
    other.uuid.bytes.fill(6);
    EXPECT_THAT(hear(other), ElementsAre("answer 1 refused_by_coordinator"));
    call("a");
    EnlistReply odd = enlisted();
    odd.key.group = txn_of(2);
    EXPECT_THAT(hear(odd), ElementsAre("answer 2 refused_by_coordinator"));
}

TEST_F(DeskTest, NothingRunsAfterTheDeadline) {
    open();
    now_ += 1'000;
    EXPECT_THAT(call("b"), ElementsAre("answer 2 branch_ended"));
    EXPECT_EQ(last_answer_.reason.code, reason::kDeadline);
}

TEST_F(DeskTest, NumbersOfTheClient) {
    open();
    EXPECT_THAT(call("b", 2), ElementsAre("run 2 b"));
    ran(2, ExecuteStatus::executed);
    // The same number and work: the machine gives the same answer again.
    EXPECT_THAT(call("b", 2), ElementsAre("run 2 b"));
    ran(2, ExecuteStatus::executed);
    EXPECT_THAT(call("x", 2), ElementsAre("answer 4 invalid"));
    // A gap: the machine ends the branch, because something was not done.
    EXPECT_THAT(call("d", 4), ElementsAre("run 4 d"));
    EXPECT_THAT(ran(4, ExecuteStatus::failed, reason::kBranchLost),
                ElementsAre("answer 5 branch_ended"));
}

TEST_F(DeskTest, ARefusedCallUsesNoNumber) {
    open();
    call("b");
    EXPECT_THAT(ran(2, ExecuteStatus::refused, reason::kNotReady), ElementsAre("answer 2 busy"));
    EXPECT_THAT(call("c"), ElementsAre("run 2 c"));
}

TEST_F(DeskTest, OptionsBelongToTheFirstCall) {
    options_.lock_timeout_ms = 5;
    EXPECT_THAT(call("a"), ElementsAre("ask 0 s1"));
    EXPECT_THAT(hear(enlisted()), ElementsAre("run 1 a"));
    ran(1, ExecuteStatus::executed);
    EXPECT_THAT(call("b"), ElementsAre("answer 2 invalid"));
    EXPECT_THAT(call("a", 1), ElementsAre("run 1 a"));
}

TEST_F(DeskTest, WhatTheMachineRefuses) {
    EXPECT_EQ(status_of(ExecuteStatus::executed, {}), CallStatus::executed);
    EXPECT_EQ(status_of(ExecuteStatus::unknown, {}), CallStatus::branch_ended);
    auto refused = [](std::string_view code) {
        return status_of(ExecuteStatus::refused, {std::string(code), "", -1, {}});
    };
    EXPECT_EQ(refused(reason::kNotReady), CallStatus::busy);
    EXPECT_EQ(refused(reason::kSlotsExhausted), CallStatus::busy);
    EXPECT_EQ(refused(reason::kBelowLowWater), CallStatus::gone);
    EXPECT_EQ(refused(reason::kBadRequest), CallStatus::wrong_state);
    EXPECT_EQ(refused(reason::kAfterAbort), CallStatus::branch_ended);
    EXPECT_EQ(refused(reason::kStaleParticipantEpoch), CallStatus::branch_ended);
}

TEST_F(DeskTest, IdempotencyKeys) {
    EXPECT_THAT(call("a", 0, 1, 1, 1), ElementsAre("ask 0 s1"));
    EXPECT_THAT(call("a", 0, 1, 1, 1), ElementsAre("answer 2 key_in_progress"));
    EXPECT_THAT(call("a", 0, 1, 1, 2), ElementsAre("answer 3 key_conflict"));
    hear(enlisted());
    EXPECT_THAT(ran(1, ExecuteStatus::executed), ElementsAre("answer 1 executed"));
    EXPECT_THAT(call("a", 0, 1, 1, 1), ElementsAre("answer 4 executed replayed"));
    EXPECT_EQ(last_answer_.sequence, 1U);
    EXPECT_THAT(call("a", 0, 1, 1, 2), ElementsAre("answer 5 key_conflict"));
    // A passing refusal is not remembered.
    call("b", 0, 1, 2, 1);
    EXPECT_THAT(ran(2, ExecuteStatus::refused, reason::kNotReady), ElementsAre("answer 6 busy"));
    EXPECT_THAT(call("b", 0, 1, 2, 1), ElementsAre("run 2 b"));
}

TEST_F(DeskTest, ItsMemoryIsBounded) {
    make({.transactions_max = 1, .calls_max = 1, .keys_max = 1});
    call("a", 0, 1, 1);
    EXPECT_THAT(call("b"), ElementsAre("answer 2 busy"));
    hear(enlisted());
    EXPECT_THAT(call("c", 0, 1, 2), ElementsAre("answer 3 keys_exhausted"));
    EXPECT_THAT(call("d", 0, 9), ElementsAre("answer 4 busy"));
    ran(1, ExecuteStatus::executed);
    EXPECT_THAT(call("d", 0, 9), ElementsAre("answer 5 busy"));
    over_ = txn_of(1);
    EXPECT_THAT(call("d", 0, 9), ElementsAre("ask 0 s2"));
}

TEST_F(DeskTest, TheAnswersThatItKeepsAreBoundedInBytes) {
    make({.kept_bytes_max = 1});
    call("a", 0, 1, 1);
    hear(enlisted());
    ran(1, ExecuteStatus::executed);
    EXPECT_THAT(call("a", 0, 1, 1), ElementsAre("answer 2 executed replayed"));
    EXPECT_THAT(call("b", 0, 1, 2), ElementsAre("answer 3 keys_exhausted"));
    EXPECT_THAT(call("b", 0, 1), ElementsAre("run 2 b")) << "without a key nothing is kept";
    ran(2, ExecuteStatus::executed);
    over_ = txn_of(1);
    EXPECT_THAT(call("c", 0, 9, 1), ElementsAre("ask 0 s2")) << "what is over makes room";
}

}  // namespace
}  // namespace twofold::participant
