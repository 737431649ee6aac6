// The command line of the program: what scripts rely on is exit codes and what goes to stdout.
#include "integration/fixture.h"

#include <csignal>
#include <utility>

namespace twofold::integration {
namespace {

class CommandLine : public ClusterTest {
protected:
    Finished run(std::vector<std::string> arguments) {
        auto done = run_program(sibling_program("twofold"), std::move(arguments));
        return done.has_value() ? std::move(done.value()) : Finished{{}, done.error().text()};
    }
    std::string address() {
        return "http://127.0.0.1:" + std::to_string(cluster().coordinator_port());
    }
};

TEST_F(CommandLine, UsageErrors) {
    EXPECT_TRUE(run({}).status.exited_with(2));
    EXPECT_TRUE(run({"koordinator"}).status.exited_with(2));
    EXPECT_TRUE(run({"txn", "get"}).status.exited_with(2));
    EXPECT_TRUE(run({"wal", "verify"}).status.exited_with(2));
    EXPECT_TRUE(run({"--help"}).status.exited_with(0));
    Finished version = run({"version"});
    EXPECT_TRUE(version.status.exited_with(0));
    EXPECT_TRUE(version.output.starts_with("twofold ")) << version.output;
}

TEST_F(CommandLine, RunGetListHealthcheckDump) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::string file = cluster().directory() + "/transfer.json";
    write_file(file, cluster().transfer_body({.amount = 1, .reference = "by-hand"}));
    Finished committed = run({"txn", "run", file, "--addr", address()});
    EXPECT_TRUE(committed.status.exited_with(0)) << committed.output;
    // The same reference again breaks the ledger's primary key.
    Finished aborted = run({"txn", "run", file, "--addr", address()});
    EXPECT_TRUE(aborted.status.exited_with(5)) << aborted.output;
    std::string id = committed.output.substr(committed.output.find("\"id\":\"") + 6, 48);
    Finished got = run({"txn", "get", id, "--addr", address()});
    EXPECT_TRUE(got.status.exited_with(0)) << got.output;
    EXPECT_NE(got.output.find("committed"), std::string::npos);
    std::string unknown(48, 'A');
    EXPECT_TRUE(run({"txn", "get", unknown, "--addr", address()}).status.exited_with(3));
    Finished list = run({"txn", "list", "--addr", address()});
    EXPECT_TRUE(list.status.exited_with(0));
    EXPECT_NE(list.output.find(id), std::string::npos) << list.output;

    EXPECT_TRUE(run({"healthcheck", "--addr", address()}).status.exited_with(0));
    cluster().coordinator().kill();
    EXPECT_TRUE(run({"healthcheck", "--addr", address()}).status.exited_with(1));
    EXPECT_TRUE(run({"txn", "get", id, "--addr", address()}).status.exited_with(1));

    std::string log = cluster().log_directory();
    EXPECT_TRUE(run({"wal", "verify", "--dir", log}).status.exited_with(0));
    Finished dump = run({"wal", "dump", "--dir", log, "-o", "json"});
    EXPECT_TRUE(dump.status.exited_with(0)) << dump.output;
    EXPECT_NE(dump.output.find(id), std::string::npos) << dump.output;
    EXPECT_TRUE(run({"wal", "verify", "--dir", log + "/none"}).status.exited_with(1));
}

TEST_F(CommandLine, EverythingInOneProcess) {
    auto dir = TempDir::create("twofold-dev-test");
    ASSERT_TRUE(dir.has_value());
    auto started = Process::start({.program = sibling_program("twofold"),
                                   .arguments = {"dev",
                                                 "--port",
                                                 std::to_string(free_port()),
                                                 "--participant-port",
                                                 "0",
                                                 "--data",
                                                 dir.value().path() + "/data"},
                                   .environment = {},
                                   .output_path = dir.value().path() + "/out"});
    ASSERT_TRUE(started.has_value());
    Process& dev = started.value();
    ASSERT_TRUE(dev.wait_for_output("curl", kPatience)) << dev.output();
    dev.signal(SIGTERM);
    auto status = dev.wait(kPatience);
    EXPECT_TRUE(status && status->exited_with(0)) << dev.output();
}

}  // namespace
}  // namespace twofold::integration
