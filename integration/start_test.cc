// The time between the start of a coordinator and its being ready: a long log must neither make an
// orchestrator kill it nor let anybody hear an answer that does not know the whole log.
#include "integration/fixture.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace twofold::integration {
namespace {

class Start : public ClusterTest {
protected:
    // A coordinator that has read its log and gets no further before let_go().
    void start_held() {
        write_file(hold_file(), "");
        cluster().launch_coordinator(
            {{"TWOFOLD_HOLD_AT", "coord_recovery_after_fold:" + hold_file()}});
        ASSERT_TRUE(wait_until([this] { return client().get("/livez").status == 200; }));
    }
    void let_go() { std::filesystem::remove(hold_file()); }
    [[nodiscard]] std::string hold_file() const { return cluster_->directory() + "/hold"; }

    void expect_recovering(const RestReply& reply) {
        EXPECT_EQ(reply.status, 503) << reply.summary();
        EXPECT_EQ(reply.content_type, "application/problem+json");
        EXPECT_EQ(reply.text_at("code"), "recovering") << reply.summary();
        EXPECT_EQ(reply.text_at("retryable"), "true");
        EXPECT_EQ(reply.headers.find("Retry-After"), "1");
    }
};

TEST_F(Start, LivesButIsNotReadyWhileItReadsItsLog) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    RestReply before = transfer();
    ASSERT_EQ(before.status, 200) << before.summary();
    cluster().coordinator().kill();
    ASSERT_NO_FATAL_FAILURE(start_held());
    std::string id = before.text_at("id");
    for (const std::string& path : {std::string("/readyz"),
                                    std::string("/metrics"),
                                    std::string("/v1/participants"),
                                    std::string("/no/such/path"),
                                    "/v1/transactions/" + id}) {
        SCOPED_TRACE(path);
        expect_recovering(client().get(path));
    }
    expect_recovering(cluster().transfer({}));
    expect_recovering(client().post("/v1/branches:inquire", "{}"));
    for (const char* alive : {"/livez", "/healthz"}) {
        EXPECT_EQ(client().get(alive).status, 200) << "still, after all these";
        EXPECT_EQ(cluster().participant_client(0).get(alive).status, 200);
    }
    EXPECT_TRUE(cluster().coordinator().running());
    EXPECT_EQ(cluster().coordinator().output().find("ready on"), std::string::npos);
    let_go();
    EXPECT_TRUE(cluster().coordinator().wait_for_output(": ready on ", kPatience));
    // That it ended may not have been in the log: then it is finished once more.
    EXPECT_TRUE(wait_until([this, &id] {
        return client().get("/v1/transactions/" + id).text_at("state") == "committed";
    }));
    ASSERT_TRUE(cluster().wait_participants_up());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

TEST_F(Start, SecondCoordinatorIsRefusedWhileTheFirstRecovers) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    ASSERT_NO_FATAL_FAILURE(start_held());
    auto second = run_program(sibling_program("twofold"),
                              {"coordinator", "--config", cluster().coordinator_config()},
                              {{"TWOFOLD_LISTEN", "127.0.0.1:0"}});
    ASSERT_TRUE(second.has_value());
    EXPECT_TRUE(second.value().status.exited_with(1)) << second.value().status.text();
    std::string holder = std::to_string(cluster().coordinator().pid());
    EXPECT_NE(second.value().output.find(holder), std::string::npos) << second.value().output;
    let_go();
    EXPECT_TRUE(cluster().coordinator().wait_for_output(": ready on ", kPatience));
}

TEST_F(Start, TerminationDuringRecoveryLeavesACleanLog) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    ASSERT_EQ(transfer().status, 200);
    cluster().coordinator().kill();
    ASSERT_NO_FATAL_FAILURE(start_held());
    cluster().coordinator().signal(SIGTERM);
    ASSERT_TRUE(cluster().coordinator().wait_for_output("\"event\":\"stopping\"", kPatience));
    let_go();
    auto ended = cluster().coordinator().wait(kPatience);
    ASSERT_TRUE(ended.has_value()) << "it does not end";
    EXPECT_TRUE(ended->exited_with(0)) << ended->text();
    ASSERT_TRUE(cluster().start_coordinator());
    EXPECT_TRUE(cluster().coordinator().wait_for_output("\"clean_shutdown\":\"true\"", kPatience));
    ASSERT_TRUE(cluster().wait_participants_up());
    expect_consistent();
}

// Every connection takes a descriptor, and shells and service managers allow few by default.
TEST_F(Start, AllowsItselfAsManyOpenFilesAsItMay) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    auto started = Process::start({.program = "sh",
                                   .arguments = {"-c",
                                                 "ulimit -Sn 200; exec \"$0\" coordinator --config "
                                                 "\"$1\"",
                                                 sibling_program("twofold"),
                                                 cluster().coordinator_config()},
                                   .environment = {},
                                   .output_path = cluster().directory() + "/limited.log"});
    ASSERT_TRUE(started.has_value()) << started.error().text();
    Process& coordinator = started.value();
    ASSERT_TRUE(coordinator.wait_for_output(": ready on ", kPatience)) << coordinator.output();
    std::ifstream limits("/proc/" + std::to_string(coordinator.pid()) + "/limits");
    std::string soft;
    std::string hard;
    for (std::string line; std::getline(limits, line);) {
        if (!line.starts_with("Max open files")) continue;
        std::istringstream values(line.substr(std::string_view("Max open files").size()));
        values >> soft >> hard;
    }
    EXPECT_FALSE(hard.empty());
    EXPECT_EQ(soft, hard);
}

}  // namespace
}  // namespace twofold::integration
