// A coordinator's log is lost, its branches stay prepared: a person decides them, and only when no
// coordinator can.
#include "integration/fake_peers.h"
#include "integration/fixture.h"
#include "integration/run_cli.h"

#include <csignal>
#include <memory>
#include <utility>

namespace twofold::integration {
namespace {

using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;

// Participant 0 holds a branch of a coordinator that is not there any more; the one that it is
// configured with has another log.
class LostLog : public ClusterTest, public ::testing::WithParamInterface<Databases> {
protected:
    void SetUp() override {
        ASSERT_NO_FATAL_FAILURE(start(GetParam()));
        lost_ = std::make_unique<FakeCoordinator>(cluster().participant_client(0));
        ASSERT_TRUE(lost_->look());
        key_ = lost_->new_branch();
        std::string work =
            "[" + statement(0, "UPDATE accounts SET balance = balance + 1 WHERE id = ?", "[1]") +
            "]";
        ASSERT_EQ(lost_->send(lost_->execute_prepare(key_, work)).status, ItemStatus::yes);
        // Its sidecar does not know any more that it was alive a moment ago.
        ASSERT_TRUE(cluster().start_participant(0));
        ASSERT_TRUE(cluster().wait_participants_up());
    }

    std::string gid() {
        return cluster().participant_client(0).get("/v1/branches").text_at("branches.0.gid");
    }
    Ran resolve(const std::string& outcome, std::vector<std::string> more = {}) {
        std::vector<std::string> arguments{"indoubt",
                                           "resolve",
                                           "--participant",
                                           "orders",
                                           "--gid",
                                           gid(),
                                           "--outcome",
                                           outcome,
                                           "--reason",
                                           "the disk burnt"};
        if (!cluster().coordinator().running()) arguments[3] = sidecar();
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run_cli(
            std::move(arguments),
            {{"TWOFOLD_ADDR", "http://127.0.0.1:" + std::to_string(cluster().coordinator_port())}});
    }
    std::string sidecar() {
        return "http://127.0.0.1:" + std::to_string(cluster().participant_port(0));
    }
    // What the lost coordinator is told, should it come back with this decision.
    ItemResult order(ItemOp op) {
        FakeCoordinator back(cluster().participant_client(0));
        EXPECT_TRUE(back.look());
        back.stamp() = lost_->stamp();
        return back.send(back.finish(key_, op));
    }

    std::unique_ptr<FakeCoordinator> lost_;
    protocol::BranchKey key_;
};

TEST_P(LostLog, APersonCommits) {
    Ran dry = resolve("commit", {"--dry-run"});
    EXPECT_EQ(dry.code, 0) << dry;
    EXPECT_TRUE(dry.err_has("says cannot_tell")) << dry;
    EXPECT_EQ(cluster().prepared_left(), 1) << "a dry run changes nothing";
    EXPECT_EQ(resolve("commit").code, 2) << "nobody could be asked";
    Ran done = resolve("commit", {"--yes"});
    EXPECT_EQ(done.code, 0) << done;
    EXPECT_EQ(done.out, "committed\n") << done;
    EXPECT_EQ(cluster().prepared_left(), 0);
    EXPECT_EQ(cluster().balance(0, 1), kBalance + 1);
    EXPECT_EQ(order(ItemOp::commit).status, ItemStatus::committed);
    ItemResult opposite = order(ItemOp::abort);
    EXPECT_EQ(opposite.status, ItemStatus::heuristic_commit) << opposite.reason.message;
    // It is not forgotten by a restart. The order has no proof: the lost one never had the vote.
    ASSERT_TRUE(cluster().start_participant(0));
    opposite = order(ItemOp::abort);
    EXPECT_EQ(opposite.status, ItemStatus::heuristic_commit) << opposite.reason.message;
    EXPECT_EQ(cluster().balance(0, 1), kBalance + 1);
}

TEST_P(LostLog, APersonAborts) {
    Ran done = resolve("abort", {"--yes", "-o", "json"});
    EXPECT_EQ(done.code, 0) << done;
    EXPECT_EQ(done.json().at("outcome").as_string(), "aborted") << done;
    EXPECT_EQ(cluster().prepared_left(), 0);
    EXPECT_EQ(cluster().balance(0, 1), kBalance);
    ItemResult opposite = order(ItemOp::commit);
    EXPECT_EQ(opposite.status, ItemStatus::heuristic_abort) << opposite.reason.message;
    ASSERT_TRUE(cluster().start_participant(0));
    opposite = order(ItemOp::commit);
    EXPECT_EQ(opposite.status, ItemStatus::heuristic_abort) << opposite.reason.message;
}

TEST_P(LostLog, ACoordinatorThatDoesNotAnswerMayKnow) {
    cluster().coordinator().kill();
    Ran refused = resolve("abort", {"--yes"});
    EXPECT_EQ(refused.code, 1) << refused;
    EXPECT_TRUE(refused.err_has("says unreachable")) << refused;
    EXPECT_EQ(cluster().prepared_left(), 1);
    Ran forced = resolve("abort", {"--yes", "--force-coordinator-is-gone"});
    EXPECT_EQ(forced.code, 0) << forced;
    EXPECT_EQ(cluster().prepared_left(), 0);
}

TEST_P(LostLog, WhatWasPreparedSinceTheStartHasAnotherCoordinator) {
    ASSERT_EQ(resolve("abort", {"--yes"}).code, 0) << "one that was prepared before";
    FakeCoordinator alive(cluster().participant_client(0));
    ASSERT_TRUE(alive.look());
    std::string work =
        "[" + statement(0, "UPDATE accounts SET balance = balance + 1 WHERE id = ?", "[1]") + "]";
    ASSERT_EQ(alive.send(alive.execute_prepare(alive.new_branch(), work)).status, ItemStatus::yes);
    Ran refused = resolve("abort", {"--yes"});
    EXPECT_EQ(refused.code, 1) << refused;
    EXPECT_TRUE(refused.err_has("none of the coordinators")) << refused;
    EXPECT_EQ(cluster().prepared_left(), 1);
    EXPECT_EQ(resolve("abort", {"--yes", "--force-coordinator-is-gone"}).code, 0);
    EXPECT_EQ(cluster().prepared_left(), 0);
}

TEST_P(LostLog, WhatIsNotHeldOrHasChanged) {
    Ran unknown = run_cli({"indoubt",
                           "resolve",
                           "--participant",
                           sidecar(),
                           "--gid",
                           "42",
                           "--outcome",
                           "abort",
                           "--reason",
                           "r",
                           "--yes"});
    EXPECT_EQ(unknown.code, 3) << unknown;
    auto post = [this](const std::string& body, const std::string& version) {
        RestOptions options;
        if (!version.empty()) options.headers.emplace_back("If-Match", version);
        return cluster().participant_client(0).post("/v1/branches:resolve", body, options);
    };
    std::string body = R"({"gid":")" + gid() + R"(","outcome":"abort","reason":"r"})";
    EXPECT_EQ(post(body, "").status, 428);
    RestReply changed = post(body, "\"1.999\"");
    EXPECT_EQ(changed.status, 412) << changed.summary();
    EXPECT_EQ(post(R"({"gid":"x","outcome":"maybe","reason":"r"})", "\"1.1\"").status, 400);
    EXPECT_EQ(post(R"({"gid":"x","outcome":"abort","reason":""})", "\"1.1\"").status, 422);
    EXPECT_EQ(post(R"({"gid":"x","outcome":"abort"})", "\"1.1\"").status, 400);
    EXPECT_EQ(cluster().prepared_left(), 1);
    EXPECT_EQ(order(ItemOp::abort).status, ItemStatus::aborted);
}

INSTANTIATE_TEST_SUITE_P(On,
                         LostLog,
                         ::testing::Values(Databases::sqlite, Databases::postgres),
                         [](const auto& test) { return databases_name(test.param); });

// A branch of the living coordinator, which has not decided yet.
class KnownBranch : public ClusterTest {};

TEST_F(KnownBranch, ItsCoordinatorDecides) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    cluster().participant(1).signal(SIGSTOP);
    std::string body = cluster().transfer_body({.reference = "slow"});
    RestReply begun =
        cluster().submit(body.substr(0, body.size() - 1) + R"(,"answer_within_ms":50})");
    EXPECT_EQ(begun.status, 202) << begun.summary();
    RestClient& sidecar = cluster().participant_client(0);
    ASSERT_TRUE(wait_until(
        [&] { return sidecar.get("/v1/branches").text_at("branches.0.state") == "prepared"; }));
    Ran refused = run_cli({"indoubt",
                           "resolve",
                           "--participant",
                           "http://127.0.0.1:" + std::to_string(cluster().participant_port(0)),
                           "--gid",
                           sidecar.get("/v1/branches").text_at("branches.0.gid"),
                           "--outcome",
                           "abort",
                           "--reason",
                           "impatient",
                           "--yes",
                           "--force-coordinator-is-gone"});
    EXPECT_EQ(refused.code, 1) << refused;
    EXPECT_TRUE(refused.err_has("says still_active")) << refused;
    cluster().participant(1).signal(SIGCONT);
    expect_consistent();
}

// A person has booked by hand what the branch was to do, because its participant did not come back.
class ResolvedBranch : public ClusterTest, public ::testing::WithParamInterface<Databases> {};

TEST_P(ResolvedBranch, IsNotToldTheDecisionWhenItIsBack) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(GetParam()));
    ASSERT_TRUE(cluster().start_participant(1, {{"TWOFOLD_CRASH_AT", "part_before_commit"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    RestReply reply =
        cluster().submit(cluster().transfer_body({.amount = 10, .deadline_ms = 1500}));
    ASSERT_EQ(reply.status, 202) << reply.summary();
    std::string path = "/v1/transactions/" + reply.text_at("id");
    auto version = [&] {
        RestOptions options;
        RestReply now = client().get(path);
        options.headers.emplace_back("If-Match", std::string(*now.headers.find("ETag")));
        return options;
    };
    RestReply resolved;
    ASSERT_TRUE(wait_until([&] {  // its version grows with every try
        resolved = client().post(path + "/resolve",
                                 R"({"branch":2,"outcome":"aborted","reason":"its disk is gone"})",
                                 version());
        return resolved.status != 412;
    }));
    ASSERT_EQ(resolved.status, 200) << resolved.summary();
    ASSERT_TRUE(cluster().start_participant(1));
    ASSERT_TRUE(cluster().wait_participants_up());
    ASSERT_TRUE(cluster().coordinator().wait_for_output("resolved_branch_in_doubt", kPatience));
    RestClient& sidecar = cluster().participant_client(1);
    ASSERT_TRUE(wait_until(
        [&] { return sidecar.get("/v1/branches").text_at("branches.0.state") == "parked"; }));
    EXPECT_EQ(cluster().balance(1, 1), kBalance) << "it would be booked twice";
    // Whoever looks at it ends it as it was resolved, also after the outcome was forgotten.
    RestReply forgotten =
        client().post(path + "/forget", R"({"reason":"booked by hand"})", version());
    EXPECT_EQ(forgotten.status, 200) << forgotten.summary();
    Ran ended = run_cli({"indoubt",
                         "resolve",
                         "--participant",
                         "http://127.0.0.1:" + std::to_string(cluster().participant_port(1)),
                         "--gid",
                         sidecar.get("/v1/branches").text_at("branches.0.gid"),
                         "--outcome",
                         "abort",
                         "--reason",
                         "booked by hand",
                         "--yes"});
    EXPECT_EQ(ended.code, 0) << ended;
    EXPECT_TRUE(ended.err_has("says expired")) << ended;
    EXPECT_EQ(cluster().prepared_left(), 0);
    EXPECT_EQ(cluster().balance(1, 1), kBalance);
}

INSTANTIATE_TEST_SUITE_P(On,
                         ResolvedBranch,
                         ::testing::Values(Databases::sqlite, Databases::postgres),
                         [](const auto& test) { return databases_name(test.param); });

}  // namespace
}  // namespace twofold::integration
