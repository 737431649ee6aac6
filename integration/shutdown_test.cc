// SIGTERM while clients wait: what is not finished when the time for that is over is cut off, the
// process ends in good order, and the next start does the rest.
#include "integration/fixture.h"

#include <csignal>
#include <thread>

namespace twofold::integration {
namespace {

class Shutdown : public ClusterTest {
protected:
    // Terminated in the middle of many transfers, with no time to finish any of them.
    void expect_orderly_end(Process& process) {
        process.signal(SIGTERM);
        auto ended = process.wait(kPatience);
        ASSERT_TRUE(ended.has_value()) << "it does not end";
        ASSERT_TRUE(ended->exited_with(0)) << ended->text() << "\n" << process.output_tail(10);
    }
    void wait_for_more(const TransferLoad& load) {
        int before = load.committed();
        ASSERT_TRUE(wait_until([&] { return load.committed() >= before + 10; }));
    }
};

TEST_F(Shutdown, CoordinatorWithoutTimeToDrainEndsInGoodOrder) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite, {.coordinator_yaml = "drain_limit: 0ms\n"}));
    TransferLoad load(cluster(), {.clients = 6, .overdraft_every = 9});
    for (int round = 0; round < 12; ++round) {
        SCOPED_TRACE(round);
        ASSERT_NO_FATAL_FAILURE(wait_for_more(load));
        ASSERT_NO_FATAL_FAILURE(expect_orderly_end(cluster().coordinator()));
        ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
        EXPECT_TRUE(
            cluster().coordinator().wait_for_output("\"clean_shutdown\":\"true\"", kPatience));
    }
    ASSERT_NO_FATAL_FAILURE(wait_for_more(load));
    remember(load.stop());
    expect_consistent();
}

TEST_F(Shutdown, ParticipantWithoutTimeToDrainEndsInGoodOrder) {
    ClusterSpec spec;
    for (const char* name : {"orders", "stock"}) {
        spec.participants.push_back({.name = name, .extra_yaml = "drain_limit: 0ms\n"});
    }
    ASSERT_NO_FATAL_FAILURE(start(std::move(spec)));
    TransferLoad load(cluster(), {.clients = 6, .overdraft_every = 9});
    for (int round = 0; round < 8; ++round) {
        SCOPED_TRACE(round);
        std::size_t index = static_cast<std::size_t>(round) % 2;
        ASSERT_NO_FATAL_FAILURE(wait_for_more(load));
        ASSERT_NO_FATAL_FAILURE(expect_orderly_end(cluster().participant(index)));
        ASSERT_TRUE(cluster().start_participant(index)) << cluster().logs();
    }
    remember(load.stop());
    expect_consistent();
}

// A statement that would run for hours does not keep the process, and leaves nothing behind.
TEST_F(Shutdown, ParticipantCutsAnEndlessStatementOff) {
    ClusterSpec spec;
    for (const char* name : {"orders", "stock"}) {
        spec.participants.push_back({.name = name, .extra_yaml = "drain_limit: 0ms\n"});
    }
    ASSERT_NO_FATAL_FAILURE(start(std::move(spec)));
    std::string body = transaction_json(
        {branch(0,
                {statement(0, "UPDATE accounts SET balance = balance - 1 WHERE id = 1"),
                 statement(0,
                           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                           "SELECT count(*) FROM n WHERE i < 0")},
                R"(,"statement_timeout_ms":600000)"),
         branch(1, {statement(1, "UPDATE accounts SET balance = balance + 1 WHERE id = 1")})},
        R"(,"deadline_ms":600000)");
    RestReply reply;
    std::thread caller([&] {
        RestClient other(cluster().coordinator_port());
        reply = other.post("/v1/transactions", body, {.deadline = kPatience});
    });
    bool runs = wait_until([this] {
        return cluster().participant_client(0).metric("twofold_participant_branches") > 0;
    });
    cluster().participant(0).signal(SIGTERM);
    auto ended = cluster().participant(0).wait(kPatience);
    bool started = cluster().start_participant(0);
    caller.join();
    EXPECT_TRUE(runs);
    ASSERT_TRUE(ended.has_value()) << "it waits for the statement";
    EXPECT_TRUE(ended->exited_with(0)) << ended->text();
    ASSERT_TRUE(started);
    EXPECT_EQ(reply.status, 409) << reply.summary();
    expect_consistent();
}

}  // namespace
}  // namespace twofold::integration
