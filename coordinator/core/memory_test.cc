// How many bytes of foreign text the machine holds.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using protocol::ItemStatus;

class HeldBytes : public ::testing::Test {
protected:
    static protocol::JsonText text(std::size_t size) {
        return std::make_shared<const std::string>(size, ' ');
    }
    static Input work(Script& s, std::size_t bytes) {
        Input input = s.submit({1, 2});
        auto& submit = std::get<SubmitOneShot>(input);
        submit.branches[0].work = text(bytes - 10);
        submit.branches[1].work = text(10);
        return input;
    }
    // One that returns so many bytes, to its end.
    static protocol::TxnId run(Script& s, std::size_t bytes) {
        s.when("work comes", s.submit({1, 2}));
        protocol::TxnId txn = s.txn;
        auto returns = [&](protocol::ItemResult& result) { result.results = text(bytes / 2); };
        s.when("a vote", s.reply(1, ItemStatus::yes, {}, returns));
        s.when("a vote", s.reply(2, ItemStatus::yes, {}, returns));
        s.when("it is durable", s.decided());
        s.when("told", s.reply(1, ItemStatus::committed));
        s.when("told", s.reply(2, ItemStatus::committed))
            .expect_one("finished t1." + number(txn) + " committed");
        return txn;
    }
    static std::string number(const protocol::TxnId& txn) { return std::to_string(txn.sequence()); }
    // "results" when it has all of them, "lost", or what is wrong.
    static std::string results(const Script& s, const protocol::TxnId& txn) {
        TransactionReport report = s.machine.query(txn).report;
        std::size_t there = 0;
        for (const BranchReport& branch : report.branches) there += branch.results ? 1U : 0U;
        if (report.results_lost) return there == 0 ? "lost" : "said to be lost";
        return there == 2 ? "results" : "gone without a word";
    }
};

TEST_F(HeldBytes, WorkThatDoesNotFitIsRefusedUntilSomeHasEnded) {
    Config config;
    config.work_size_max = 1000;
    Script s(2, config);
    s.when("much work", work(s, 600)).expect_one("send execute_prepare t1.1/1.1 to 1");
    EXPECT_EQ(s.machine.counts().work_bytes, 600U);
    s.when("as much again", work(s, 600)).expect({"answer 2 overloaded (participant_unavailable)"});
    EXPECT_EQ(s.machine.counts().work_bytes, 600U);
    s.when("what fits", work(s, 400)).expect_one("send execute_prepare t1.2/1.1 to 1");
    s.when("and no more", work(s, 11)).expect({"answer 4 overloaded (participant_unavailable)"});
    s.when("one is refused", s.reply(1, ItemStatus::no, protocol::reason::kConstraint));
    s.when("and gone", s.reply(2, ItemStatus::aborted)).expect_one("finished t1.2 aborted");
    EXPECT_EQ(s.machine.counts().work_bytes, 600U);
    s.when("there is room", work(s, 400)).expect_one("send execute_prepare t1.3/1.1 to 1");
}

TEST_F(HeldBytes, ResultsCountWhileTheirTransactionIsInFlight) {
    Config config;
    config.work_size_max = 1000;
    Script s(2, config);
    s.when("work comes", work(s, 100));
    s.when("a vote", s.reply(1, ItemStatus::yes, {}, [](protocol::ItemResult& result) {
        result.results = text(800);
    }));
    EXPECT_EQ(s.machine.counts().work_bytes, 900U);
    s.when("more work", work(s, 200)).expect({"answer 2 overloaded (participant_unavailable)"});
}

TEST_F(HeldBytes, LabelsOfWhatIsBegunCount) {
    Config config;
    config.work_size_max = 100;
    Script s(2, config);
    BeginOptions options;
    options.labels["name"] = std::string(60, 'x');
    s.when("it begins", s.begin(options)).expect_one("answer 1 begun");
    EXPECT_EQ(s.machine.counts().work_bytes, 64U);
    s.when("another", s.begin(options)).expect({"answer 2 overloaded (participant_unavailable)"});
    s.when("it ends", s.abort());
    EXPECT_EQ(s.machine.counts().work_bytes, 0U);
}

TEST_F(HeldBytes, WorkThatGoesOnUnderAnotherIdCountsOnce) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}));
    auto newer_epoch = [](protocol::ItemResult& result) {
        result.executed = false;
        result.participant_epoch = 2;
    };
    s.when("it was started since",
           s.reply(1, ItemStatus::unknown, protocol::reason::kStaleParticipantEpoch, newer_epoch));
    s.when("nothing has run", s.reply(1, ItemStatus::aborted, {}, newer_epoch))
        .expect_one("finished t1.1 aborted");
    EXPECT_EQ(s.machine.counts().work_bytes, 2U) << "of t1.2 only";
    s.when("committed", s.reply(1, ItemStatus::committed, {}, newer_epoch))
        .expect_one("finished t1.2 committed");
    EXPECT_EQ(s.machine.counts().work_bytes, 0U);
}

TEST_F(HeldBytes, OldResultsGoFirstAndTheirReportsSaySo) {
    Config config;
    config.results_size_max = 1000;
    Script s(2, config);
    protocol::TxnId first = run(s, 400);
    protocol::TxnId second = run(s, 400);
    EXPECT_EQ(results(s, first), "results");
    EXPECT_EQ(s.machine.counts().results_bytes, 800U);
    protocol::TxnId third = run(s, 400);
    EXPECT_EQ(results(s, first), "lost");
    EXPECT_EQ(results(s, second), "results");
    EXPECT_EQ(results(s, third), "results");
    EXPECT_EQ(s.machine.counts().results_bytes, 800U);
    EXPECT_EQ(s.machine.counts().results_dropped, 1U);
    EXPECT_EQ(s.machine.query(first).report.outcome, protocol::Outcome::committed);
    protocol::TxnId large = run(s, 2000);
    EXPECT_EQ(results(s, large), "lost") << "more than there is room for at all";
    EXPECT_EQ(s.machine.counts().results_bytes, 0U);
    EXPECT_EQ(s.machine.counts().remembered, 4U);
}

TEST_F(HeldBytes, AReportThatGoesTakesItsResultsAlong) {
    Config config;
    config.reports_max = 2;
    Script s(2, config);
    for (int i = 0; i < 5; ++i) run(s, 400);
    EXPECT_EQ(s.machine.counts().remembered, 2U);
    EXPECT_EQ(s.machine.counts().results_bytes, 800U);
    EXPECT_EQ(s.machine.counts().results_dropped, 0U);
}

}  // namespace
}  // namespace twofold::coordinator
