// The driver with the real machine and fake ports, on a loop that is polled by hand: what is sent
// when, what shares a force, what happens to answers that do not fit.
#include "coordinator/driver.h"

#include "async/timer.h"
#include "coordinator/fake_ports.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

namespace twofold::coordinator {
namespace {

using protocol::ItemOp;
using protocol::Outcome;

class DriverTest : public ::testing::Test {
protected:
    void SetUp() override {
        RecoveredState state;
        state.epoch = 1;
        state.epochs[1] = protocol::EpochRecord{{}, 1, {}};
        std::vector<ParticipantEntry> entries;
        for (std::uint8_t id = 1; id <= 2; ++id) {
            auto participant = std::make_unique<FakeParticipant>(id);
            participant->answer_as_usual();
            participants_.push_back(participant.get());
            entries.push_back({id == 1 ? "north" : "south", std::move(participant)});
        }
        driver_ = std::make_unique<Driver>(loop_,
                                           Machine(Config{}, std::move(state)),
                                           log_,
                                           metrics_,
                                           std::move(entries),
                                           DriverOptions{});
        driver_->start();
        turn();
        ASSERT_NE(driver_->find_participant("north")->number.value, 0U);
        log_.forces = 0;
    }

    void turn() {
        for (int i = 0; i < 20; ++i) loop_.poll();
    }
    SubmitOneShot transfer() {
        SubmitOneShot submit;
        for (const char* name : {"north", "south"}) {
            submit.branches.push_back({driver_->find_participant(name)->number,
                                       std::make_shared<const std::string>("[]"),
                                       {}});
        }
        return submit;
    }
    void run(SubmitOneShot submit, std::optional<Answer>& answer) {
        submit.ticket = driver_->open_ticket([&answer](const Answer& a) { answer = a; });
        driver_->submit(std::move(submit));
    }
    std::size_t count(std::size_t participant, ItemOp op) {
        std::size_t found = 0;
        for (const auto& batch : participants_[participant]->batches) {
            for (const auto& item : batch.items) found += item.op == op ? 1U : 0U;
        }
        return found;
    }

    async::EventLoop loop_;
    FakeLog log_;
    FakeMetrics metrics_;
    std::vector<FakeParticipant*> participants_;
    std::unique_ptr<Driver> driver_;
};

TEST_F(DriverTest, CommitIsSentOnlyWhenTheDecisionIsDurable) {
    std::optional<Answer> answer;
    log_.hold = true;
    run(transfer(), answer);
    turn();
    EXPECT_EQ(log_.count<protocol::DecisionRecord>(), 1U) << "appended";
    EXPECT_EQ(count(0, ItemOp::commit) + count(1, ItemOp::commit), 0U) << "but nobody may know";
    EXPECT_FALSE(answer.has_value());
    log_.finish();
    turn();
    EXPECT_EQ(count(0, ItemOp::commit), 1U);
    EXPECT_EQ(count(1, ItemOp::commit), 1U);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->report.outcome, Outcome::committed);
    EXPECT_EQ(log_.forces, 1) << "one forced write of ours for one transaction";
}

// The second start. Its participants are looked at when the test lets them answer.
class SecondStart : public ::testing::Test {
protected:
    SecondStart() {
        for (std::uint8_t id = 1; id <= 2; ++id)
            fakes_.push_back(std::make_unique<FakeParticipant>(id));
    }
    void start(const std::vector<std::string>& names) {
        RecoveredState state;
        state.epoch = 2;
        for (protocol::Epoch epoch : {1U, 2U}) {
            state.epochs[epoch] = protocol::EpochRecord{{}, epoch, {}};
        }
        std::vector<ParticipantEntry> entries;
        for (std::uint16_t id = 1; id <= 2; ++id) {
            FakeParticipant& fake = *fakes_[id - 1U];
            fake.hold_info = true;
            participants_.push_back(&fake);
            protocol::ParticipantRecord record;
            record.number = protocol::ParticipantNumber(id);
            record.uuid = fake.info.uuid;
            record.identity = fake.info.identity;
            record.name = id == 1 ? "north" : "south";
            state.participants[record.number] = record;
            entries.push_back({names[id - 1U], std::move(fakes_[id - 1U])});
        }
        driver_ = std::make_unique<Driver>(loop_,
                                           Machine(Config{}, std::move(state)),
                                           log_,
                                           metrics_,
                                           std::move(entries),
                                           DriverOptions{});
        driver_->start();
        turn();
    }
    void turn() {
        for (int i = 0; i < 20; ++i) loop_.poll();
    }
    [[nodiscard]] std::string not_ready() const { return driver_->machine().not_ready().message; }

    async::EventLoop loop_;
    FakeLog log_;
    FakeMetrics metrics_;
    std::vector<std::unique_ptr<FakeParticipant>> fakes_;
    std::vector<FakeParticipant*> participants_;
    std::unique_ptr<Driver> driver_;
};

TEST_F(SecondStart, WaitsForAParticipantThatHasAnotherNameNow) {
    start({"north", "west"});  // it was south
    participants_[0]->answer_info();
    turn();
    EXPECT_NE(not_ready().find("south"), std::string::npos) << not_ready();
    EXPECT_TRUE(participants_[1]->offers.empty());
    participants_[1]->answer_info();
    turn();
    EXPECT_EQ(participants_[1]->offers.size(), 1U) << "our start is shown before anything else";
    EXPECT_TRUE(not_ready().empty()) << not_ready();
}

TEST_F(SecondStart, DoesNotWaitForWhoIsNotConfigured) {
    start({"north", "west"});
    participants_[1]->info.uuid.bytes.fill(9);
    participants_[0]->answer_info();
    participants_[1]->answer_info();
    turn();
    EXPECT_TRUE(not_ready().empty()) << not_ready();
}

// The log may be a copy from before it was registered.
TEST_F(SecondStart, ShowsItselfToWhoTheLogDoesNotKnowFirst) {
    start({"north", "west"});
    participants_[1]->info.uuid.bytes.fill(9);
    participants_[1]->refusal = protocol::reason::kLogWentBack;
    participants_[0]->answer_info();
    turn();
    EXPECT_FALSE(not_ready().empty());
    participants_[1]->answer_info();
    turn();
    EXPECT_EQ(participants_[1]->offers.size(), 1U);
    EXPECT_TRUE(driver_->machine().stopped());
}

// What it claims is looked into before anything is presumed: also where it was not seen yet.
TEST_F(SecondStart, AClaimOfWhoWasNotSeenIsLookedInto) {
    start({"north", "south"});
    participants_[0]->answer_info();
    participants_[1]->down = true;
    participants_[1]->answer_info();
    turn();
    ASSERT_TRUE(not_ready().empty()) << "south cannot be reached: " << not_ready();
    protocol::InquiryRequest request;
    request.participant = participants_[1]->info.uuid;
    request.identity = participants_[1]->info.identity;
    protocol::TxnId id = protocol::make_txn_id({}, 1, 4, {}, base::KeyedHash(base::HashKey{}));
    request.items.push_back({{id, 1, 1}, {}});
    request.senders.push_back({{}, 7, 5, 900});
    std::optional<protocol::InquiryReply> told;
    participants_[1]->down = false;
    Ticket ticket =
        driver_->open_inquiry([&told](const protocol::InquiryReply& reply) { told = reply; });
    driver_->submit(Inquire{ticket, request});
    turn();
    EXPECT_FALSE(told.has_value());
    participants_[1]->refusal = protocol::reason::kStaleSender;
    participants_[1]->answer_info();
    turn();
    EXPECT_EQ(participants_[1]->offers.size(), 1U);
    ASSERT_TRUE(told.has_value());
    EXPECT_EQ(told->items[0].answer, protocol::InquiryAnswer::cannot_tell);
    EXPECT_EQ(told->sender.epoch, 1U) << "a stopped start is not the newest that was heard";
}

TEST_F(DriverTest, TransactionsOfOneTurnShareForceAndBatches) {
    std::vector<std::optional<Answer>> answers(50);
    for (auto& answer : answers) run(transfer(), answer);
    turn();
    for (auto& answer : answers) {
        ASSERT_TRUE(answer.has_value());
        EXPECT_EQ(answer->report.outcome, Outcome::committed);
    }
    EXPECT_EQ(log_.forces, 1);
    EXPECT_EQ(participants_[0]->batches.size(), 2U) << "one of work, one of decisions";
    EXPECT_EQ(participants_[0]->lanes, (std::vector<Lane>{Lane::work, Lane::decisions}));
    EXPECT_EQ(participants_[0]->batches[0].items.size(), 50U);
    EXPECT_EQ(metrics_.finished["committed"], 50);
}

TEST_F(DriverTest, AParticipantWithoutBatchesGetsOneItemAtATime) {
    participants_[1]->info.batch = false;
    participants_[1]->down = true;
    std::optional<Answer> lost;
    run(transfer(), lost);
    turn();
    participants_[1]->down = false;
    ASSERT_TRUE(loop_.run_until([&] { return driver_->find_participant("south")->up; },
                                std::chrono::seconds(10)))
        << "it is seen again and describes itself anew";
    turn();
    participants_[1]->batches.clear();
    std::vector<std::optional<Answer>> answers(5);
    for (auto& answer : answers) run(transfer(), answer);
    turn();
    for (auto& answer : answers) {
        ASSERT_TRUE(answer.has_value());
        EXPECT_EQ(answer->report.outcome, Outcome::committed);
    }
    EXPECT_EQ(participants_[1]->batches.size(), 10U) << "five of work, five of decisions";
    for (const protocol::BatchRequest& batch : participants_[1]->batches) {
        EXPECT_EQ(batch.items.size(), 1U) << "no empty greeting either";
    }
    EXPECT_EQ(participants_[0]->batches.back().items.size(), 5U) << "the other still gets batches";
}

TEST_F(DriverTest, ARefusedConnectionAbortsAtOnceAndNamesTheParticipant) {
    participants_[1]->down = true;
    std::optional<Answer> answer;
    run(transfer(), answer);
    turn();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->report.outcome, Outcome::aborted);
    EXPECT_EQ(answer->report.reason.code, protocol::reason::kUnavailable);
    EXPECT_FALSE(metrics_.up["south"]);
    EXPECT_EQ(count(0, ItemOp::commit), 0U);
}

TEST_F(DriverTest, WorkCarriesWhatIsLeftOfItsTime) {
    constexpr auto kHeld = std::chrono::milliseconds(30);
    participants_[0]->free = false;
    SubmitOneShot submit = transfer();
    submit.options.deadline = std::chrono::milliseconds(20'000);
    std::optional<Answer> answer;
    run(std::move(submit), answer);
    turn();
    EXPECT_EQ(count(0, ItemOp::execute_prepare), 0U) << "it waits for a connection";
    bool over = false;
    async::Timer timer(loop_);
    timer.start(kHeld, [&] { over = true; });
    ASSERT_TRUE(loop_.run_until([&] { return over; }, std::chrono::seconds(10)));
    participants_[0]->free = true;
    std::optional<Answer> other;
    run(transfer(), other);  // the next turn sends what waits
    turn();
    ASSERT_TRUE(answer.has_value());
    const protocol::Item& late = participants_[0]->batches.at(0).items.at(0);
    const protocol::Item& early = participants_[1]->batches.at(0).items.at(0);
    ASSERT_EQ(late.key.group, early.key.group);
    EXPECT_LE(late.deadline_ms, 20'000U - kHeld.count());
    EXPECT_LE(late.deadline_ms + kHeld.count(), early.deadline_ms);
    EXPECT_GT(late.deadline_ms, 0U);
    EXPECT_LE(early.deadline_ms, 20'000U);
}

TEST_F(DriverTest, AnAnswerForAnotherBranchIsNoVote) {
    participants_[1]->answer = [this](const protocol::Item& item,
                                      FakeParticipant::ResultCallback& on_result) {
        protocol::ItemResult other = participants_[1]->usual(item);
        if (item.op == ItemOp::execute_prepare) ++other.key.attempt;
        on_result(other);
    };
    std::optional<Answer> answer;
    run(transfer(), answer);
    turn();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->report.outcome, Outcome::aborted);
    EXPECT_EQ(answer->report.reason.code, protocol::reason::kUnansweredPrepare);
    EXPECT_EQ(count(1, ItemOp::abort), 1U) << "the silent one is told too";
}

TEST_F(DriverTest, AWatcherIsWokenByAChangeAndByTime) {
    log_.hold = true;
    std::optional<Answer> answer;
    run(transfer(), answer);
    turn();
    protocol::TxnId id = driver_->machine().list({})[0].txn;
    std::uint64_t version = driver_->machine().query(id).report.version;
    bool woken = false;
    driver_->watch(id, version, std::chrono::seconds(60), [&] { woken = true; });
    bool late = false;
    driver_->watch(id, version + 1'000, std::chrono::milliseconds(1), [&] { late = true; });
    turn();
    EXPECT_FALSE(woken);
    ASSERT_TRUE(loop_.run_until([&] { return late; }, std::chrono::seconds(5)));
    log_.finish();
    turn();
    EXPECT_TRUE(woken);
}

TEST_F(DriverTest, NobodyWatchesWhileItIsDrained) {
    log_.hold = true;
    std::optional<Answer> answer;
    run(transfer(), answer);
    turn();
    protocol::TxnId id = driver_->machine().list({})[0].txn;
    std::uint64_t version = driver_->machine().query(id).report.version;
    int woken = 0;
    driver_->watch(id, version, std::chrono::seconds(60), [&] { ++woken; });
    bool drained = false;
    driver_->drain(std::chrono::seconds(60), [&] { drained = true; });
    EXPECT_EQ(woken, 1) << "at once";
    driver_->watch(id, version, std::chrono::seconds(60), [&] { ++woken; });
    EXPECT_EQ(woken, 2) << "and whoever comes later";
    turn();
    EXPECT_FALSE(drained) << "the transaction is finished first";
    log_.hold = false;
    log_.finish();
    ASSERT_TRUE(loop_.run_until([&] { return drained; }, std::chrono::seconds(5)));
    EXPECT_TRUE(answer.has_value());
}

TEST_F(DriverTest, AClientThatLeftDoesNotStopTheWork) {
    log_.hold = true;
    SubmitOneShot submit = transfer();
    bool answered = false;
    submit.ticket = driver_->open_ticket([&](const Answer&) { answered = true; });
    Ticket ticket = submit.ticket;
    driver_->submit(std::move(submit));
    turn();
    driver_->close_ticket(ticket);
    log_.finish();
    turn();
    EXPECT_FALSE(answered);
    EXPECT_EQ(metrics_.finished["committed"], 1);
}

TEST_F(DriverTest, AFullLogTakesNoNewWorkAndFinishesTheOld) {
    log_.hold = true;
    std::optional<Answer> first;
    run(transfer(), first);
    turn();
    log_.room = false;
    log_.finish();
    turn();
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(first->report.outcome, Outcome::committed);
    std::optional<Answer> second;
    run(transfer(), second);
    turn();
    ASSERT_TRUE(second.has_value());
    EXPECT_EQ(second->kind, AnswerKind::overloaded);
}

TEST_F(DriverTest, RoomIsNoticedAgainAlthoughNothingIsForced) {
    log_.room = false;
    std::optional<Answer> first;
    run(transfer(), first);
    turn();
    log_.room = true;
    ASSERT_TRUE(loop_.run_until(
        [&] {
            std::optional<Answer> answer;
            run(transfer(), answer);
            turn();
            return answer && answer->kind == AnswerKind::finished;
        },
        std::chrono::seconds(10)));
}

TEST_F(DriverTest, DrainTakesNoNewWork) {
    bool drained = false;
    driver_->drain(std::chrono::milliseconds(100), [&] { drained = true; });
    EXPECT_TRUE(drained) << "nothing was under way";
    std::optional<Answer> answer;
    run(transfer(), answer);
    turn();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->kind, AnswerKind::draining);
}

// A crash came after it was put, and before it was registered.
TEST_F(DriverTest, AnotherOneThanWasPutIsNotRegistered) {
    protocol::ParticipantUuid wanted;
    wanted.bytes.fill(8);
    driver_->put_participant({"east", std::make_unique<FakeParticipant>(9), wanted});
    turn();
    const ParticipantStatus* east = driver_->find_participant("east");
    EXPECT_EQ(east->number.value, 0U);
    EXPECT_NE(east->problem.find("answers there; put was"), std::string::npos) << east->problem;
    driver_->put_participant({"east", std::make_unique<FakeParticipant>(8, "http://new"), wanted});
    turn();
    EXPECT_NE(driver_->find_participant("east")->number.value, 0U);
}

TEST_F(DriverTest, WhatWasCutOffIsNeitherWrittenNorSentNorAnswered) {
    // One waits for the force of its decision, the other has not been sent at all.
    std::optional<Answer> decided;
    std::optional<Answer> queued;
    log_.hold = true;
    run(transfer(), decided);
    turn();
    participants_[0]->free = false;
    run(transfer(), queued);
    turn();
    std::size_t appended = log_.appended.size();
    std::size_t batches = participants_[0]->batches.size();
    ASSERT_EQ(log_.count<protocol::DecisionRecord>(), 1U);
    driver_->cut_off();
    participants_[0]->free = true;
    log_.finish();
    turn();
    EXPECT_EQ(log_.appended.size(), appended);
    EXPECT_EQ(participants_[0]->batches.size(), batches);
    EXPECT_FALSE(decided.has_value());
    EXPECT_FALSE(queued.has_value());
}

}  // namespace
}  // namespace twofold::coordinator
