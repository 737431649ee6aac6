// Processes that are away, slow, late, twice there or unknown, without a chosen crash point.
#include "integration/fake_peers.h"
#include "integration/fixture.h"
#include "integration/stall_probe.h"

#include <csignal>
#include <future>
#include <sstream>

namespace twofold::integration {
namespace {

using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;

class Outage : public ClusterTest {
protected:
    // Starts a second sidecar with another port on the database of participant `index`.
    Process start_double(std::size_t index) {
        std::string text = read_file(cluster().participant_config(index));
        std::string mine = "127.0.0.1:" + std::to_string(cluster().participant_port(index));
        double_port_ = free_port();
        text.replace(text.find(mine), mine.size(), "127.0.0.1:" + std::to_string(double_port_));
        std::string config = cluster().directory() + "/double.yaml";
        write_file(config, text);
        auto started = Process::start({.program = sibling_program("twofold"),
                                       .arguments = {"participant", "--config", config},
                                       .environment = {},
                                       .output_path = cluster().directory() + "/double.log"});
        return started.has_value() ? std::move(started.value()) : Process();
    }

    std::string work(std::size_t index, int account = 1) {
        return "[" +
               statement(index,
                         "UPDATE accounts SET balance = balance + 1 WHERE id = ?",
                         "[" + std::to_string(account) + "]") +
               "]";
    }

    std::uint16_t double_port_ = 0;
};

TEST_F(Outage, ParticipantIsDownInPhaseTwo) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::mixed));
    ASSERT_TRUE(cluster().start_participant(1, {{"TWOFOLD_CRASH_AT", "part_before_commit"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    RestReply reply = transfer({.deadline_ms = 1500});
    ASSERT_EQ(reply.status, 202) << reply.summary();
    EXPECT_EQ(reply.text_at("decision"), "commit");
    EXPECT_EQ(reply.headers.find("Location"), "/v1/transactions/" + reply.text_at("id"));
    EXPECT_EQ(cluster().prepared_left(), 1);
    EXPECT_GE(client().metric("twofold_indoubt_transactions"), 1);
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
}

// What a person sees of a decision that nobody takes: figures, one alarm, the log, why and status.
TEST_F(Outage, ADecisionThatCannotBeDeliveredIsNoticed) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(
        start(Databases::sqlite, {.coordinator_yaml = "undelivered_alarm: 300ms\n"}));
    ASSERT_EQ(transfer().status, 200);
    EXPECT_EQ(client().metric("twofold_indoubt_oldest_age_seconds"), 0);
    EXPECT_EQ(client().metric("twofold_leader"), 1);
    ASSERT_TRUE(cluster().start_participant(1, {{"TWOFOLD_CRASH_AT", "part_before_commit"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    RestReply reply = transfer({.deadline_ms = 1500});
    ASSERT_EQ(reply.status, 202) << reply.summary();
    std::string id = reply.text_at("id");

    ASSERT_TRUE(cluster().coordinator().wait_for_output("decision_undelivered", kPatience));
    std::string figures = client().get("/metrics").text;
    auto has = [&figures](const std::string& line) {
        EXPECT_NE(figures.find(line), std::string::npos) << line << "\n" << figures;
    };
    has("twofold_indoubt_transactions{participant=\"stock\"} 1");
    has("twofold_indoubt_transactions{participant=\"orders\"} 0");
    has("twofold_alarms_total{code=\"decision_undelivered\"} 1");
    has("twofold_phase_duration_seconds_count{phase=\"prepare\"} 2");
    has("twofold_phase_duration_seconds_count{phase=\"decide\"} 2");
    has("twofold_phase_duration_seconds_count{phase=\"apply\"} 1");
    double before = metric_in(figures, "twofold_indoubt_oldest_age_seconds");
    EXPECT_GT(before, 0);
    EXPECT_TRUE(
        wait_until([&] { return client().metric("twofold_indoubt_oldest_age_seconds") > before; }));
    RestReply why = client().get("/v1/transactions/" + id + "/why");
    EXPECT_NE(why.text.find("decision_undelivered"), std::string::npos) << why.summary();
    auto status = run_program(sibling_program("twofold"),
                              {"status",
                               "-o",
                               "json",
                               "--addr",
                               "http://127.0.0.1:" + std::to_string(cluster().coordinator_port())});
    ASSERT_TRUE(status.has_value());
    EXPECT_NE(status.value().output.find("\"in_doubt\":1,"), std::string::npos)
        << status.value().output;
    EXPECT_NE(status.value().output.find("\"in_doubt_oldest_seconds\":"), std::string::npos)
        << status.value().output;
    EXPECT_NE(status.value().output.find("\"alarms\":1,"), std::string::npos)
        << status.value().output;

    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
    EXPECT_TRUE(wait_until([this] {
        return client().metric("twofold_indoubt_oldest_age_seconds") == 0 &&
               client().metric("twofold_indoubt_transactions") == 0;
    }));
    EXPECT_EQ(client().metric("twofold_alarms_total"), 1) << "one, however often it was told";
}

// A sidecar's own figures: what it holds, since when, and how much room there is.
TEST_F(Outage, ASidecarShowsWhatItHoldsAndForHowLong) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    RestClient& sidecar = cluster().participant_client(1);
    EXPECT_EQ(sidecar.metric("twofold_participant_oldest_prepared_age_seconds"), 0);
    EXPECT_EQ(sidecar.metric("twofold_participant_prepared_slots_used"), 0);
    EXPECT_EQ(sidecar.metric("twofold_participant_prepared_slots"), 1) << "exclusive";
    ASSERT_TRUE(cluster().start_coordinator({{"TWOFOLD_CRASH_AT", "coord_after_last_vote"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    std::ignore = transfer({.deadline_ms = 1500});
    ASSERT_TRUE(wait_until([this] { return !cluster().coordinator().running(); }));
    double age = 0;
    EXPECT_TRUE(wait_until([&] {
        age = sidecar.metric("twofold_participant_oldest_prepared_age_seconds");
        return age > 0;
    }));
    EXPECT_EQ(sidecar.metric("twofold_participant_prepared_slots_used"), 1);
    // A restart does not make it younger: the database remembers.
    ASSERT_TRUE(cluster().start_participant(1));
    EXPECT_GE(
        cluster().participant_client(1).metric("twofold_participant_oldest_prepared_age_seconds"),
        age);
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
    EXPECT_TRUE(wait_until([this] {
        RestClient& again = cluster().participant_client(1);
        return again.metric("twofold_participant_prepared_slots_used") == 0 &&
               again.metric("twofold_participant_oldest_prepared_age_seconds") == 0;
    }));
}

TEST_F(Outage, ParticipantIsDownBefore) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    cluster().participant(1).kill();
    RestReply reply = transfer({.deadline_ms = 3000});
    EXPECT_EQ(reply.status, 409) << reply.summary();
    EXPECT_EQ(reply.text_at("reason.code"), "participant_unavailable") << reply.summary();
    EXPECT_EQ(reply.text_at("participant"), "stock");
    EXPECT_EQ(reply.text_at("retryable"), "true");
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

// Patience hides items that only a deadline ends; without faults there must be none.
TEST_F(Outage, NothingGoesUnansweredOnPostgresWithoutFaults) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::mixed));
    auto begin = StallProbe::Clock::now();
    double sent_before = client().metric("twofold_participant_requests_total");
    TransferLoad load(cluster(), {.clients = 4});
    ASSERT_TRUE(wait_until([&load] { return load.committed() >= 200; }));
    remember(load.stop());
    expect_consistent();
    RestReply metrics = client().get("/metrics");
    EXPECT_GE(metric_in(metrics.text, "twofold_participant_requests_total") - sent_before, 800);
    StallProbe::Worst worst = StallProbe::instance().since(begin);
    if (worst.force + worst.wake > std::chrono::seconds(2)) {
        GTEST_SKIP() << "the machine stands still: " << worst.text();
    }
    std::istringstream lines(metrics.text);
    for (std::string line; std::getline(lines, line);) {
        bool unanswered = line.find("result=\"unknown\"") != std::string::npos ||
                          line.find("result=\"not_sent\"") != std::string::npos;
        EXPECT_FALSE(unanswered) << line << "; " << worst.text();
    }
    for (const Told& told : told_) {
        EXPECT_TRUE(told.reply.answered()) << told.transfer.reference << told.reply.summary();
    }
}

// A frozen process holds its lock and its promises; when it wakes up it goes on or is refused.
TEST_F(Outage, CoordinatorIsFrozenForAWhile) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    TransferLoad load(cluster(), {.clients = 2});
    ASSERT_TRUE(wait_until([&load] { return load.committed() > 5; }));
    cluster().coordinator().signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // longer than the deadlines
    cluster().coordinator().signal(SIGCONT);
    int before = load.committed();
    EXPECT_TRUE(wait_until([&load, before] { return load.committed() > before + 5; }));
    remember(load.stop());
    expect_consistent();
}

TEST_F(Outage, ParticipantIsFrozenForAWhile) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    TransferLoad load(cluster(), {.clients = 2, .deadline_ms = 700});
    ASSERT_TRUE(wait_until([&load] { return load.committed() > 5; }));
    cluster().participant(0).signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(2000));
    cluster().participant(0).signal(SIGCONT);
    int before = load.committed();
    EXPECT_TRUE(wait_until([&load, before] { return load.committed() > before + 5; }));
    remember(load.stop());
    expect_consistent();
}

// ---- a coordinator that the test plays
// --------------------------------------------------------------

class ByHand : public Outage, public ::testing::WithParamInterface<Databases> {
protected:
    void SetUp() override {
        ASSERT_NO_FATAL_FAILURE(start(GetParam()));
        fake_ = std::make_unique<FakeCoordinator>(cluster().participant_client(0));
        ASSERT_TRUE(fake_->look());
    }

    std::unique_ptr<FakeCoordinator> fake_;
};

TEST_P(ByHand, PrepareAfterAbortIsRefused) {
    auto key = fake_->new_branch();
    ItemResult aborted = fake_->send(fake_->finish(key, ItemOp::abort));
    EXPECT_EQ(aborted.status, ItemStatus::aborted) << aborted.reason.message;
    ItemResult late = fake_->send(fake_->execute_prepare(key, work(0)));
    EXPECT_EQ(late.status, ItemStatus::refused) << late.reason.message;
    EXPECT_EQ(late.reason.code, "after_abort");
    EXPECT_EQ(cluster().prepared_left(), 0);
    EXPECT_EQ(cluster().balance(0, 1), kBalance);
    // Abort again is no error; commit after abort is one.
    EXPECT_EQ(fake_->send(fake_->finish(key, ItemOp::abort)).status, ItemStatus::aborted);
    ItemResult commit = fake_->send(fake_->finish(key, ItemOp::commit));
    EXPECT_NE(commit.status, ItemStatus::committed);
    EXPECT_EQ(commit.reason.code, "protocol_violation") << commit.reason.message;
}

TEST_P(ByHand, RepeatsChangeNothing) {
    auto key = fake_->new_branch();
    auto prepare = fake_->execute_prepare(key, work(0));
    EXPECT_EQ(fake_->send(prepare).status, ItemStatus::yes);
    EXPECT_EQ(fake_->send(prepare).status, ItemStatus::yes);
    EXPECT_EQ(cluster().prepared_left(), 1);
    for (int i = 0; i < 3; ++i) {
        ItemResult commit = fake_->send(fake_->finish(key, ItemOp::commit));
        EXPECT_EQ(commit.status, ItemStatus::committed) << commit.reason.message;
    }
    EXPECT_EQ(cluster().balance(0, 1), kBalance + 1);
    EXPECT_NE(fake_->send(fake_->finish(key, ItemOp::abort)).status, ItemStatus::aborted);
}

TEST_P(ByHand, WorkOfAnOlderSidecarStartIsRefused) {
    ASSERT_TRUE(cluster().start_participant(0));
    FakeCoordinator fresh(cluster().participant_client(0));
    ASSERT_TRUE(fresh.look());
    EXPECT_GT(fresh.info().epoch, fake_->info().epoch);
    auto item = fresh.execute_prepare(fresh.new_branch(), work(0));
    item.participant_epoch = fake_->info().epoch;
    ItemResult result = fresh.send(item);
    EXPECT_EQ(result.status, ItemStatus::refused) << result.reason.message;
    EXPECT_EQ(result.reason.code, "stale_participant_epoch");
}

TEST_P(ByHand, OlderCoordinatorProcessIsRefused) {
    auto key = fake_->new_branch();
    fake_->stamp().epoch = 2;
    EXPECT_EQ(fake_->send(fake_->execute_prepare(key, work(0))).status, ItemStatus::yes);
    fake_->stamp().epoch = 1;
    ItemResult stale = fake_->send(fake_->finish(key, ItemOp::abort));
    EXPECT_EQ(stale.status, ItemStatus::refused) << stale.reason.message;
    EXPECT_EQ(stale.reason.code, "stale_sender");
    EXPECT_EQ(cluster().prepared_left(), 1);
    fake_->stamp().epoch = 2;
    EXPECT_EQ(fake_->send(fake_->finish(key, ItemOp::commit)).status, ItemStatus::committed);
}

// Somebody else's prepared branch: our coordinator cannot tell its outcome, so it stays.
TEST_P(ByHand, BranchOfAnUnknownCoordinatorIsLeftAlone) {
    auto key = fake_->new_branch();
    EXPECT_EQ(fake_->send(fake_->execute_prepare(key, work(0))).status, ItemStatus::yes);
    ASSERT_TRUE(cluster().start_participant(0));
    // It asks at its start and every 300 ms.
    EXPECT_TRUE(wait_until(
        [this] { return cluster().participant_client(0).metric("twofold_alarms_total") >= 1; }));
    std::this_thread::sleep_for(std::chrono::seconds(1));
    EXPECT_EQ(cluster().prepared_left(), 1);
    RestReply list = cluster().participant_client(0).get("/v1/branches?state=prepared");
    EXPECT_EQ(list.text_at("branches.0.group"), key.group.text()) << list.summary();
    // Its own coordinator comes back and finishes it.
    FakeCoordinator owner(cluster().participant_client(0));
    ASSERT_TRUE(owner.look());
    owner.stamp() = fake_->stamp();
    EXPECT_EQ(owner.send(owner.finish(key, ItemOp::commit)).status, ItemStatus::committed);
    EXPECT_EQ(cluster().balance(0, 1), kBalance + 1);
}

INSTANTIATE_TEST_SUITE_P(On,
                         ByHand,
                         ::testing::Values(Databases::sqlite, Databases::postgres),
                         [](const auto& test) { return databases_name(test.param); });

// ---- two of a kind
// ----------------------------------------------------------------------------------

TEST_F(Outage, SecondSidecarOnOneSqliteFileIsRefused) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    Process second = start_double(0);
    auto status = second.wait(kPatience);
    ASSERT_TRUE(status) << second.output();
    EXPECT_TRUE(status->exited_with(1)) << status->text() << second.output();
    EXPECT_NE(second.output().find(cluster().sqlite_path(0)), std::string::npos) << second.output();
    EXPECT_NE(second.output().find("another participant"), std::string::npos) << second.output();
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

TEST_F(Outage, SecondSidecarOnPostgresFencesTheFirst) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    EXPECT_EQ(transfer().status, 200);
    Process second = start_double(0);
    ASSERT_TRUE(second.wait_for_output(": ready on ", kPatience)) << second.output();
    // From now on the first one can do nothing in the database.
    RestReply reply = transfer({.deadline_ms = 3000});
    EXPECT_GE(reply.status, 400) << reply.summary();
    EXPECT_TRUE(wait_until([this] {
        return !cluster().participant(0).running() || !cluster().participant_client(0).ready();
    })) << "the first sidecar believes that it is still in charge";
    second.kill();
    ASSERT_TRUE(cluster().start_participant(0));
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

TEST_F(Outage, SecondCoordinatorOnOneLogIsRefused) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    auto second = run_program(sibling_program("twofold"),
                              {"coordinator", "--config", cluster().coordinator_config()});
    ASSERT_TRUE(second.has_value()) << second.error().text();
    EXPECT_TRUE(second.value().status.exited_with(1)) << second.value().output;
    std::string holder = std::to_string(cluster().coordinator().pid());
    EXPECT_NE(second.value().output.find(holder), std::string::npos) << second.value().output;
    EXPECT_EQ(transfer().status, 200);
}

// ---- starting and stopping
// --------------------------------------------------------------------------

TEST_F(Outage, ListingMustSucceedBeforeReady) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::postgres));
    // An owner may not take rights on a catalogue away, but the server's administrator can.
    auto revoked =
        PostgresPair::instance().as_superuser(0, "REVOKE SELECT ON pg_prepared_xacts FROM PUBLIC");
    ASSERT_TRUE(revoked.has_value()) << revoked.error().text();
    cluster().launch_participant(0);
    EXPECT_FALSE(
        cluster().participant(0).wait_for_output(": ready on ", std::chrono::milliseconds(2500)));
    if (cluster().participant(0).running()) {
        EXPECT_EQ(cluster().participant_client(0).get("/readyz").status, 503);
        EXPECT_EQ(cluster().participant_client(0).get("/v1/participant").status, 503);
    }
    auto granted =
        PostgresPair::instance().as_superuser(0, "GRANT SELECT ON pg_prepared_xacts TO PUBLIC");
    ASSERT_TRUE(granted.has_value()) << granted.error().text();
    ASSERT_TRUE(cluster().start_participant(0));
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

TEST_F(Outage, TerminationDrainsAndLeavesACleanLog) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    TransferLoad load(cluster(), {.clients = 3, .deadline_ms = 20'000});
    ASSERT_TRUE(wait_until([&load] { return load.committed() > 10; }));
    cluster().coordinator().signal(SIGTERM);
    auto status = cluster().coordinator().wait(kPatience);
    ASSERT_TRUE(status);
    EXPECT_TRUE(status->exited_with(0)) << status->text();
    remember(load.stop());
    // A connection that was idle is closed, and a request may meet that; but whoever got no answer
    // has changed nothing.
    auto books = bank_transfers(cluster().database(0));
    ASSERT_TRUE(books.has_value());
    for (const Told& told : told_) {
        if (told.reply.answered()) continue;
        EXPECT_FALSE(books.value().contains(told.transfer.reference)) << told.reply.summary();
    }
    auto verified = run_program(sibling_program("twofold"),
                                {"wal", "verify", "--dir", cluster().log_directory()});
    ASSERT_TRUE(verified.has_value()) << verified.error().text();
    EXPECT_TRUE(verified.value().status.exited_with(0)) << verified.value().output;
    EXPECT_NE(verified.value().output.find("clean"), std::string::npos) << verified.value().output;
    cluster().participant(0).signal(SIGTERM);
    auto sidecar = cluster().participant(0).wait(kPatience);
    EXPECT_TRUE(sidecar && sidecar->exited_with(0));
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(client().metric("twofold_recovery_transactions_total"), 0);
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

// Whoever submits just after a restart of the sidecar is not told that the work met another epoch.
TEST_F(Outage, ARestartedSidecarTakesTheWorkOfOneBranch) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    for (int i = 0; i < 3; ++i) {
        cluster().participant(0).kill();
        ASSERT_TRUE(cluster().start_participant(0));
        RestReply reply;
        EXPECT_TRUE(wait_until([&] {
            reply = submit({branch(
                0, {statement(0, "UPDATE accounts SET balance = balance - 1 WHERE id = 1")})});
            EXPECT_NE(reply.text_at("reason.code"), "stale_participant_epoch") << reply.summary();
            return reply.status == 200;
        })) << reply.summary();
    }
    EXPECT_EQ(cluster().balance(0, 1), kBalance - 3);
}

}  // namespace
}  // namespace twofold::integration
