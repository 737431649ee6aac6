// The harness itself: a kill that does not kill, or a metric that is always 0, would make every
// other test of this folder pass for the wrong reason.
#include "integration/cluster.h"
#include "integration/fake_peers.h"
#include "integration/stall_probe.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

namespace twofold::integration {
namespace {

using std::chrono::milliseconds;

Process started(const std::string& program, std::vector<std::string> arguments, TempDir& dir) {
    auto process = Process::start({.program = program,
                                   .arguments = std::move(arguments),
                                   .environment = {{"GREETING", "hello"}},
                                   .output_path = dir.path() + "/out"});
    EXPECT_TRUE(process.has_value());
    return process.has_value() ? std::move(process.value()) : Process();
}

class Harness : public ::testing::Test {
protected:
    void SetUp() override {
        auto made = TempDir::create("twofold-harness");
        ASSERT_TRUE(made.has_value());
        dir_ = std::move(made.value());
    }
    TempDir dir_;
};

TEST_F(Harness, ExitCodesSignalsAndOutput) {
    Process process = started("sh", {"-c", "echo $GREETING; exit 3"}, dir_);
    auto status = process.wait(kPatience);
    ASSERT_TRUE(status);
    EXPECT_TRUE(status->exited_with(3)) << status->text();
    EXPECT_EQ(process.output(), "hello\n");
    Process again = started("sh", {"-c", "echo one; echo two; echo three; sleep 60"}, dir_);
    EXPECT_TRUE(again.wait_for_output("three", kPatience));
    EXPECT_EQ(again.output_tail(2), "two\nthree\n");  // without what the first one wrote
    EXPECT_FALSE(again.wait(milliseconds(1)));
    again.kill();
    EXPECT_FALSE(again.running());
    EXPECT_TRUE(again.exit_status()->killed_by(SIGKILL));
    again.signal(SIGKILL);  // nobody is there: nothing happens
}

TEST_F(Harness, MissingProgramAndTimeLimit) {
    auto missing = run_program("twofold-no-such-program", {});
    ASSERT_TRUE(missing.has_value());
    EXPECT_TRUE(missing.value().status.exited_with(127));
    auto slow = run_program("sleep", {"60"}, {}, milliseconds(50));
    ASSERT_FALSE(slow.has_value());
    EXPECT_EQ(slow.error().code, base::Errc::timed_out);
}

TEST_F(Harness, ChildrenDieWithTheirParent) {
    std::string pid_file = dir_.path() + "/pid";
    Process process = started("sh", {"-c", "echo $$ > " + pid_file + "; exec sleep 60"}, dir_);
    ASSERT_TRUE(wait_until([&pid_file] { return !read_file(pid_file).empty(); }));
    std::string stat = read_file("/proc/" + std::to_string(process.pid()) + "/status");
    EXPECT_NE(stat.find("sleep"), std::string::npos);
    Process moved = std::move(process);
    EXPECT_TRUE(moved.running());
    moved = Process();  // the owner goes
    EXPECT_FALSE(std::filesystem::exists(
        "/proc/" + read_file(pid_file).substr(0, read_file(pid_file).find('\n'))));
}

TEST_F(Harness, TempDirGoesAway) {
    std::string path = dir_.path();
    write_file(path + "/file", "x");
    EXPECT_EQ(read_file(path + "/file"), "x");
    dir_ = TempDir();
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Harness, TheMachinesStallsAreMeasured) {
    auto begin = StallProbe::Clock::now();
    StallProbe& probe = StallProbe::instance();
    EXPECT_TRUE(wait_until([&] { return probe.since(begin).samples >= 3; }));
    StallProbe::Worst worst = probe.since(begin);
    EXPECT_LE(worst.force + worst.wake, StallProbe::Clock::now() - begin + milliseconds(1));
    EXPECT_EQ(probe.since(StallProbe::Clock::now() + std::chrono::hours(1)).samples, 0);
}

TEST_F(Harness, PortsAreDifferent) {
    std::uint16_t first = free_port();
    EXPECT_NE(first, 0);
    EXPECT_NE(first, free_port());
}

TEST_F(Harness, MetricsAreSummedByName) {
    constexpr std::string_view kText =
        "# HELP a_total x\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\na_total_more 100\nb 7\n";
    EXPECT_EQ(metric_in(kText, "a_total"), 5.5);
    EXPECT_EQ(metric_in(kText, "b"), 7);
    EXPECT_EQ(metric_in(kText, "c"), 0);
}

TEST_F(Harness, ClientAndFakeServer) {
    FakeServer server([](const http::Request& request) {
        return http::json_response(200, R"({"a":{"b":[1,"two"]},"echo":")" + request.body + "\"}");
    });
    ASSERT_NE(server.port(), 0);
    RestClient client(server.port());
    RestReply reply = client.post("/x", "body");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.text_at("a.b.1"), "two");
    EXPECT_EQ(reply.text_at("a.b.0"), "1");
    EXPECT_EQ(reply.text_at("echo"), "body");
    EXPECT_EQ(reply.text_at("a.c.9"), "");
    RestReply nobody = RestClient(free_port()).get("/");
    EXPECT_FALSE(nobody.answered());
    EXPECT_TRUE(nobody.not_sent);
}

}  // namespace
}  // namespace twofold::integration
