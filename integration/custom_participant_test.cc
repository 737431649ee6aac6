// Participants that are no sidecars, and the program that checks participants: the example in a
// transaction with a database, killed between its promise and the commit; every participant of ours
// keeps the rules; and one that breaks a rule is told which.
#include "integration/custom_participant.h"

#include "integration/fake_peers.h"
#include "integration/fixture.h"
#include "integration/run_cli.h"

#include <filesystem>
#include <thread>
#include <utility>

namespace twofold::integration {
namespace {

// ---- the directory --------------------------------------------------------------------

// Nothing of the seats is in the coordinator's configuration.
class PutParticipant : public ClusterTest {
protected:
    void start_allowing(const std::string& hosts) {
        ClusterSpec spec;
        spec.participants = {{.name = "orders"}};
        if (!hosts.empty()) spec.coordinator_yaml = "registration_allow: [" + hosts + "]\n";
        ASSERT_NO_FATAL_FAILURE(start(std::move(spec)));
        seats_ = seats_at(free_port());
        ASSERT_TRUE(seats_->start());
    }
    std::unique_ptr<SeatsProcess> seats_at(std::uint16_t port) {
        return std::make_unique<SeatsProcess>(
            cluster().directory(), port, cluster().coordinator_port());
    }
    static std::string url_of(std::uint16_t port) {
        return "http://127.0.0.1:" + std::to_string(port);
    }
    RestReply put(const std::string& name, const std::string& url) {
        http::Request request;
        request.method = http::Method::put;
        request.target = "/v1/participants/" + name;
        request.body = R"({"url":")" + url + R"("})";
        return client().call(std::move(request), {});
    }
    bool buys() {
        return wait_until([this] {
            return submit({R"({"participant":"seats","work":)" + SeatsProcess::work(1) + "}"})
                       .status == 200;
        });
    }

    std::unique_ptr<SeatsProcess> seats_;
};

TEST_F(PutParticipant, IsKeptOverARestartAndMayMove) {
    ASSERT_NO_FATAL_FAILURE(start_allowing("127.0.0.1"));
    RestReply made = put("seats", url_of(seats_->port()));
    EXPECT_EQ(made.status, 201) << made.summary();
    EXPECT_TRUE(buys());
    ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
    EXPECT_TRUE(buys()) << "after a restart of the coordinator";
    seats_->process().kill();
    seats_ = seats_at(free_port());
    ASSERT_TRUE(seats_->start());
    RestReply moved = put("seats", url_of(seats_->port()));
    EXPECT_EQ(moved.status, 200) << moved.summary();
    EXPECT_TRUE(buys()) << "at its new address";
    EXPECT_EQ(put("seats", url_of(cluster().participant_port(0))).text_at("code"),
              "another_participant");
    EXPECT_EQ(put("orders", url_of(seats_->port())).text_at("code"), "wrong_state");
    EXPECT_EQ(put("more", "http://192.0.2.1:8431").status, 422) << "not allowed";
    EXPECT_EQ(put("more", url_of(free_port())).text_at("code"), "participant_unusable");
}

TEST_F(PutParticipant, IsOffByDefault) {
    ASSERT_NO_FATAL_FAILURE(start_allowing(""));
    EXPECT_EQ(put("seats", url_of(seats_->port())).text_at("code"), "registration_off");
}

TEST_F(PutParticipant, ByTheCommandLine) {
    ASSERT_NO_FATAL_FAILURE(start_allowing("127.0.0.1"));
    auto put_by_command = [this](const std::string& url) {
        return run_cli({"participant", "put", "seats", "--url", url},
                       {{"TWOFOLD_ADDR", url_of(cluster().coordinator_port())}});
    };
    Ran made = put_by_command(url_of(seats_->port()));
    EXPECT_EQ(made.code, 0) << made;
    EXPECT_TRUE(made.out_has(url_of(seats_->port()))) << made;
    EXPECT_TRUE(buys());
    Ran wrong = put_by_command(url_of(cluster().participant_port(0)));
    EXPECT_EQ(wrong.code, 1) << wrong;
    EXPECT_TRUE(wrong.err_has("answers there")) << wrong;
    EXPECT_EQ(wrong.out, "") << wrong;
}

// ---- the example in transactions ------------------------------------------------------

class CustomTransactions : public ClusterTest {
protected:
    void SetUp() override {
        std::uint16_t port = free_port();
        ClusterSpec spec;
        spec.participants = {{.name = "orders"}};
        spec.others = {{"seats", port}};
        ASSERT_NO_FATAL_FAILURE(create(std::move(spec)));
        seats_ = std::make_unique<SeatsProcess>(
            cluster().directory(), port, cluster().coordinator_port());
        ASSERT_TRUE(seats_->start());
        ASSERT_TRUE(cluster().start_all()) << cluster().logs();
    }

    RestReply buy(int quantity, const std::string& reference) {
        return submit(
            {branch(0,
                    {statement(0,
                               "INSERT INTO ledger (ref, amount) VALUES (?, ?)",
                               "[\"" + reference + "\"," + std::to_string(quantity) + "]")}),
             R"({"participant":"seats","work":)" + SeatsProcess::work(quantity) + "}"});
    }
    bool ordered(const std::string& reference) {
        auto ledger = bank_transfers(cluster().database(0));
        return ledger.has_value() && ledger.value().contains(reference);
    }
    // Both have heard the decision.
    bool settled() {
        return wait_until(
            [this] { return seats_->tried() == 0 && cluster().prepared_left() == 0; });
    }

    // Dies at `point` of the coordinator with the seats taken; then the seats' process is killed.
    void crash_both_at(const std::string& point, const std::string& reference) {
        ASSERT_TRUE(cluster().start_coordinator({{"TWOFOLD_CRASH_AT", point + ":1"}}));
        ASSERT_TRUE(cluster().wait_participants_up());
        RestReply reply = buy(3, reference);
        EXPECT_FALSE(reply.answered()) << reply.summary();
        ASSERT_TRUE(cluster().coordinator().wait(kPatience)) << "it passed " << point;
        ASSERT_EQ(seats_->tried(), 1) << "the seats are promised";
        seats_->process().kill();
        ASSERT_EQ(seats_->stock(), "997/0") << "and stay so";
        ASSERT_TRUE(seats_->start());
        ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
    }

    std::unique_ptr<SeatsProcess> seats_;
};

TEST_F(CustomTransactions, BothOrNeither) {
    RestReply bought = buy(2, "two");
    EXPECT_EQ(bought.status, 200) << bought.summary();
    EXPECT_EQ(seats_->stock(), "998/2");
    EXPECT_TRUE(ordered("two"));
    RestReply refused = buy(5'000, "too-many");
    EXPECT_EQ(refused.status, 409) << refused.summary();
    EXPECT_NE(refused.text_at("detail").find("not enough seats for hamlet"), std::string::npos)
        << refused.summary();
    EXPECT_FALSE(ordered("too-many"));
    // The ledger's key refuses the second of the same name, after the seats were taken.
    EXPECT_EQ(buy(1, "two").status, 409);
    // The client hears of the abort at once; the seats may still be on their way out and back.
    EXPECT_TRUE(wait_until([this] { return seats_->stock() == "998/2" && settled(); }))
        << seats_->stock();
}

TEST_F(CustomTransactions, ManyAtATimeAlthoughItTakesOneItemAtATime) {
    constexpr int kClients = 4;
    constexpr int kEach = 10;
    std::vector<std::thread> clients;
    clients.reserve(kClients);
    std::array<int, kClients> committed{};
    for (int client = 0; client < kClients; ++client) {
        clients.emplace_back([this, client, &committed] {
            RestClient rest(cluster().coordinator_port());
            for (int i = 0; i < kEach; ++i) {
                std::string body = R"({"branches":[{"participant":"seats","work":)" +
                                   SeatsProcess::work(1) + "}]}";
                RestReply reply = rest.post("/v1/transactions", body, {.deadline = kPatience});
                committed.at(static_cast<std::size_t>(client)) += reply.status == 200 ? 1 : 0;
            }
        });
    }
    for (std::thread& client : clients) client.join();
    for (int count : committed) EXPECT_EQ(count, kEach);
    EXPECT_EQ(seats_->stock(), "960/40") << "without one_phase: in two phases";
}

TEST_F(CustomTransactions, KilledBetweenPromiseAndCommit) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(crash_both_at("coord_before_commit_sent", "kept"));
    EXPECT_TRUE(settled());
    EXPECT_EQ(seats_->stock(), "997/3") << "decided before the crash: committed";
    EXPECT_TRUE(ordered("kept"));
}

TEST_F(CustomTransactions, KilledBetweenPromiseAndDecision) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(crash_both_at("coord_before_decision_appended", "dropped"));
    EXPECT_TRUE(settled());
    EXPECT_EQ(seats_->stock(), "1000/0") << "never decided: aborted";
    EXPECT_FALSE(ordered("dropped"));
}

// By hand, so that it is tested without crash points, too.
TEST_F(CustomTransactions, APromiseSurvivesAKill) {
    RestClient rest(seats_->port());
    FakeCoordinator fake(rest);
    ASSERT_TRUE(fake.look());
    protocol::BranchKey key = fake.new_branch();
    auto promised = fake.send(fake.execute_prepare(key, SeatsProcess::work(4)));
    ASSERT_EQ(promised.status, protocol::ItemStatus::yes) << promised.reason.message;
    seats_->process().kill();
    ASSERT_TRUE(seats_->start());
    RestClient again(seats_->port());
    FakeCoordinator successor(again);
    ASSERT_TRUE(successor.look());
    successor.stamp() = fake.stamp();
    auto done = successor.send(successor.finish(key, protocol::ItemOp::commit));
    EXPECT_EQ(done.status, protocol::ItemStatus::committed) << done.reason.message;
    EXPECT_EQ(seats_->stock(), "996/4");
}

// The application makes its own calls to the service; the coordinator only asks for the promise.
TEST_F(CustomTransactions, EnlistedByNameInAnInteractiveTransaction) {
    CustomParticipant participant(Flaw::none);
    FakeServer server(
        [&participant](const http::Request& request) { return participant.respond(request); });
    ClusterSpec spec;
    spec.others = {{"custom", server.port()}};
    ASSERT_NO_FATAL_FAILURE(start(std::move(spec)));
    RestReply begun = client().post("/v1/transactions", "{}");
    ASSERT_EQ(begun.status, 201) << begun.summary();
    std::string path = "/v1/transactions/" + begun.text_at("id");
    RestReply enlisted = client().post(path + "/branches", R"({"participant":"custom"})");
    ASSERT_EQ(enlisted.status, 201) << enlisted.summary();
    EXPECT_EQ(enlisted.text_at("branch"), "1") << enlisted.summary();
    EXPECT_EQ(enlisted.text_at("attempt"), "1") << enlisted.summary();
    EXPECT_EQ(participant.committed(), 0U);
    RestReply done = client().post(path + "/commit", "{}", {.deadline = kPatience});
    EXPECT_EQ(done.status, 200) << done.summary();
    EXPECT_EQ(participant.committed(), 1U);
}

// ---- the check ------------------------------------------------------------------------

class ParticipantCheck : public ClusterTest {
protected:
    void SetUp() override {
        auto dir = TempDir::create("twofold-check");
        ASSERT_TRUE(dir.has_value());
        dir_ = std::move(dir.value());
    }

    struct Options {
        std::string work;
        std::string failing_work;
        std::string read_only_work;
        // On this thread, while the check waits for its restart command.
        std::function<void()> restart;
        bool json = false;
    };

    // Runs the check to its end.
    Finished check(std::uint16_t port, const Options& options) {
        std::vector<std::string> arguments{"participant",
                                           "check",
                                           "http://127.0.0.1:" + std::to_string(port),
                                           "--work",
                                           options.work};
        auto add = [&arguments](const std::string& name, const std::string& value) {
            if (!value.empty()) arguments.insert(arguments.end(), {name, value});
        };
        add("--failing-work", options.failing_work);
        add("--read-only-work", options.read_only_work);
        if (options.json) add("-o", "json");
        std::string wanted = dir_.path() + "/wanted";
        std::string done = dir_.path() + "/done";
        if (options.restart) {
            add("--restart-command",
                "touch " + wanted + "; until [ -e " + done + " ]; do sleep 0.05; done");
        }
        auto started = Process::start({.program = sibling_program("twofold"),
                                       .arguments = arguments,
                                       .environment = {},
                                       .output_path = dir_.path() + "/check.out"});
        if (!started.has_value()) return {{}, started.error().text()};
        Process& process = started.value();
        static_cast<void>(wait_until([&] {
            if (options.restart && std::filesystem::exists(wanted)) {
                std::filesystem::remove(wanted);
                options.restart();
                write_file(done, "");
            }
            return !process.running();
        }));
        auto status = process.wait(kPatience);
        return {status.value_or(ExitStatus{}), process.output()};
    }

    static std::string summary(const Finished& finished) {
        return finished.status.text() + "\n" + finished.output;
    }

    void check_sidecar(Databases databases) {
        std::size_t index = databases == Databases::sqlite ? 0 : 1;
        ASSERT_NO_FATAL_FAILURE(start(databases));
        auto array = [](const std::string& text) { return "[" + text + "]"; };
        Options options;
        options.work = array(
            statement(index, "UPDATE accounts SET balance = balance + 1 WHERE id = 1", "[]", 1));
        options.failing_work = array(
            statement(index, "UPDATE accounts SET balance = balance + 1 WHERE id = -1", "[]", 1));
        options.read_only_work = array(statement(index, "SELECT balance FROM accounts"));
        options.restart = [this, index] {
            EXPECT_TRUE(cluster().start_participant(index)) << cluster().logs();
        };
        Finished finished = check(cluster().participant_port(index), options);
        EXPECT_TRUE(finished.status.exited_with(0)) << summary(finished) << cluster().logs();
        EXPECT_NE(finished.output.find("ok restart\n"), std::string::npos) << summary(finished);
        EXPECT_NE(finished.output.find("skipped=0\n"), std::string::npos) << summary(finished);
        EXPECT_EQ(cluster().prepared_left(), 0) << "nothing of the check is left";
    }

    TempDir dir_;
};

TEST_F(ParticipantCheck, SqliteSidecarPasses) { check_sidecar(Databases::sqlite); }

TEST_F(ParticipantCheck, PostgresSidecarPasses) { check_sidecar(Databases::mixed); }

TEST_F(ParticipantCheck, TheExamplePasses) {
    SeatsProcess seats(dir_.path(), free_port(), free_port());
    ASSERT_TRUE(seats.start());
    Finished finished = check(seats.port(),
                              {.work = SeatsProcess::work(1),
                               .failing_work = SeatsProcess::work(5'000),
                               .restart = [&seats] { EXPECT_TRUE(seats.start()); }});
    EXPECT_TRUE(finished.status.exited_with(0)) << summary(finished);
    EXPECT_NE(finished.output.find("ok restart\n"), std::string::npos) << summary(finished);
    EXPECT_EQ(seats.tried(), 0);
}

struct FlawCase {
    Flaw flaw;
    std::string name;  // of the test
    std::string line;  // what the output must have
};
void PrintTo(const FlawCase& flaw, std::ostream* out) { *out << flaw.name; }

class FlawedParticipant : public ParticipantCheck,
                          public ::testing::WithParamInterface<FlawCase> {};

TEST_P(FlawedParticipant, IsToldWhichRuleItBreaks) {
    CustomParticipant participant(GetParam().flaw);
    FakeServer server(
        [&participant](const http::Request& request) { return participant.respond(request); });
    ASSERT_NE(server.port(), 0);
    Finished finished = check(server.port(),
                              {.work = R"([{"x":1}])",
                               .failing_work = R"([{"fail":1}])",
                               .restart = [&participant] { participant.restart(); }});
    if (GetParam().flaw == Flaw::none) {
        EXPECT_TRUE(finished.status.exited_with(0)) << summary(finished);
        EXPECT_NE(finished.output.find("check: ok checks="), std::string::npos);
        return;
    }
    EXPECT_TRUE(finished.status.exited_with(1)) << summary(finished);
    EXPECT_NE(finished.output.find("check: FAILED failed="), std::string::npos);
    std::size_t at =
        finished.output.find("FAIL " + GetParam().line.substr(0, GetParam().line.find('|')));
    ASSERT_NE(at, std::string::npos) << summary(finished);
    std::string line = finished.output.substr(at, finished.output.find('\n', at) - at);
    std::string rule = GetParam().line.substr(GetParam().line.find('|') + 1);
    EXPECT_NE(line.find("(rule " + rule + " of docs/participants.md)"), std::string::npos) << line;
}

INSTANTIATE_TEST_SUITE_P(
    Custom,
    FlawedParticipant,
    ::testing::Values(
        FlawCase{Flaw::none, "None", ""},
        FlawCase{Flaw::foreign_identity, "ForeignIdentity", "yes_commit:|P-2"},
        FlawCase{Flaw::wrong_attempt, "WrongAttempt", "yes_commit:|P-2"},
        FlawCase{Flaw::unknown_commit_is_done, "UnknownCommitIsDone", "commit_unknown:|P-8"},
        FlawCase{Flaw::work_after_abort, "WorkAfterAbort", "abort_unknown_then_work:|P-7"},
        FlawCase{Flaw::commit_only_once, "CommitOnlyOnce", "commit_twice:|P-5"},
        FlawCase{Flaw::yes_in_memory, "YesInMemory", "restart:|P-4"},
        FlawCase{Flaw::ignores_address, "IgnoresAddress", "another_uuid:|P-3"},
        FlawCase{Flaw::abort_in_memory, "AbortInMemory", "restart:|P-7"},
        FlawCase{Flaw::items_wait, "ItemsWait", "batch_items_independent:|P-15"},
        FlawCase{Flaw::claims_epochs, "ClaimsEpochs", "older_coordinator:|P-20"},
        FlawCase{Flaw::claims_one_phase, "ClaimsOnePhase", "one_phase:|P-17"},
        FlawCase{Flaw::ignores_keys, "IgnoresKeys", "keys:|P-21"},
        FlawCase{Flaw::key_of_failure, "KeyOfFailure", "key_of_failed_work:|P-21"},
        FlawCase{Flaw::half_a_batch, "HalfABatch", "unknown_op:|P-12"},
        FlawCase{Flaw::abort_undoes_commit, "AbortUndoesCommit", "abort_after_commit:|P-9"}),
    [](const auto& test) { return test.param.name; });

TEST_F(ParticipantCheck, OutputForPrograms) {
    CustomParticipant participant(Flaw::commit_only_once);
    FakeServer server(
        [&participant](const http::Request& request) { return participant.respond(request); });
    Finished finished = check(server.port(), {.work = R"([{"x":1}])", .json = true});
    EXPECT_TRUE(finished.status.exited_with(1));
    EXPECT_TRUE(finished.output.starts_with(R"({"url":"http://127.0.0.1:)")) << finished.output;
    EXPECT_NE(
        finished.output.find(R"({"name":"commit_twice","result":"FAIL","rule":"P-5","text":)"),
        std::string::npos)
        << finished.output;
}

TEST_F(ParticipantCheck, WrongUsageAndNobodyThere) {
    auto run = [](std::vector<std::string> arguments) {
        auto done = run_program(sibling_program("twofold"), std::move(arguments));
        return done.has_value() ? std::move(done.value()) : Finished{{}, done.error().text()};
    };
    std::string url = "http://127.0.0.1:" + std::to_string(free_port());
    Finished no_work = run({"participant", "check", url});
    EXPECT_TRUE(no_work.status.exited_with(2)) << no_work.output;
    EXPECT_NE(no_work.output.find("--work: must be given"), std::string::npos) << no_work.output;
    Finished no_array = run({"participant", "check", url, "--work", "{}"});
    EXPECT_TRUE(no_array.status.exited_with(2)) << no_array.output;
    EXPECT_TRUE(run({"participant", "check"}).status.exited_with(2));
    Finished nobody = run({"participant", "check", url, "--work", R"([{"x":1}])"});
    EXPECT_TRUE(nobody.status.exited_with(1)) << nobody.output;
    EXPECT_NE(nobody.output.find("FAIL description: GET /v1/participant: no answer"),
              std::string::npos)
        << nobody.output;
    // The server form is as it was: without a configuration it says what is missing.
    Finished server = run({"participant"});
    EXPECT_TRUE(server.status.exited_with(2)) << server.output;
    EXPECT_NE(server.output.find("name"), std::string::npos) << server.output;
}

}  // namespace
}  // namespace twofold::integration
