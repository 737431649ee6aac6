// Requests, peers, files and settings that are wrong: each is refused with a message that says what
// is wrong, and nothing else is harmed.
#include "integration/custom_participant.h"
#include "integration/fake_peers.h"
#include "integration/fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <tuple>
#include <utility>

namespace twofold::integration {
namespace {

// A problem with this status and code whose detail contains `needle`.
void expect_problem(const RestReply& reply,
                    int status,
                    std::string_view code,
                    std::string_view needle) {
    EXPECT_EQ(reply.status, status) << reply.summary();
    EXPECT_EQ(reply.content_type, "application/problem+json") << reply.summary();
    EXPECT_EQ(reply.text_at("code"), code) << reply.summary();
    EXPECT_EQ(reply.text_at("status"), std::to_string(status));
    EXPECT_FALSE(reply.text_at("title").empty());
    EXPECT_NE(reply.text_at("detail").find(needle), std::string::npos) << reply.summary();
}

// ---- requests
// ---------------------------------------------------------------------------------------

class BadRequest : public ClusterTest {
protected:
    void SetUp() override { ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite)); }

    void TearDown() override {
        if (!HasFatalFailure()) {
            EXPECT_EQ(transfer().status, 200) << "a bad request did harm";
            expect_consistent();
        }
        ClusterTest::TearDown();
    }

    RestReply post(std::string body) { return client().post("/v1/transactions", std::move(body)); }
    std::string read(std::size_t index) { return branch(index, {statement(index, "SELECT 1")}); }
};

TEST_F(BadRequest, MalformedJson) {
    expect_problem(post(R"({"branches":[)"), 400, "malformed_body", "byte 13");
    expect_problem(post(""), 400, "malformed_body", "");
    expect_problem(post("hello"), 400, "malformed_body", "byte 0");
    expect_problem(post("{\"branches\":\"\xff\"}"), 400, "malformed_body", "");
    expect_problem(post(R"({"branches":[],"branches":[]})"), 400, "malformed_body", "twice");
}

TEST_F(BadRequest, UnknownFieldIsNamed) {
    RestReply top = cluster().submit(transaction_json({read(0)}, R"(,"brunches":1)"));
    EXPECT_TRUE(top.status == 400 || top.status == 422) << top.summary();
    EXPECT_NE(top.text_at("detail").find("brunches"), std::string::npos) << top.summary();
    RestReply nested = submit({branch(0, {statement(0, "SELECT 1")}, R"(,"isolatoin":"x")")});
    EXPECT_NE(nested.text_at("detail").find("branches[0].isolatoin"), std::string::npos)
        << nested.summary();
    // Within the work it is the participant that knows the fields.
    RestReply work = submit({branch(0, {R"({"sql":"SELECT 1","parms":[]})"}), read(1)});
    EXPECT_EQ(work.status, 409) << work.summary();
    EXPECT_NE(work.text_at("detail").find("parms"), std::string::npos) << work.summary();
}

TEST_F(BadRequest, WrongType) {
    RestReply reply = post(R"({"branches":[{"participant":7,"work":[{"sql":"SELECT 1"}]}]})");
    EXPECT_TRUE(reply.status == 400 || reply.status == 422) << reply.summary();
    EXPECT_NE(reply.text_at("detail").find("branches[0].participant"), std::string::npos)
        << reply.summary();
    EXPECT_NE(reply.text_at("detail").find("string"), std::string::npos) << reply.summary();
    RestReply deadline = cluster().submit(transaction_json({read(0)}, R"(,"deadline_ms":"soon")"));
    EXPECT_NE(deadline.text_at("detail").find("deadline_ms"), std::string::npos)
        << deadline.summary();
}

TEST_F(BadRequest, DeepNesting) {
    std::string deep(100'000, '[');
    RestReply reply = post(R"({"branches":)" + deep);
    EXPECT_TRUE(reply.status == 400 || reply.status == 422) << reply.summary();
    EXPECT_NE(reply.text_at("detail").find("deep"), std::string::npos) << reply.summary();
}

TEST_F(BadRequest, BodyOverTheLimit) {
    RestReply reply = post(std::string(2U << 20U, ' '));
    expect_problem(reply, 413, "body_too_large", "");
}

TEST_F(BadRequest, BadAndForgedIds) {
    expect_problem(client().get("/v1/transactions/short"), 404, "transaction_not_found", "48");
    RestReply real = transfer();
    std::string forged = real.text_at("id");
    forged.back() = forged.back() == 'A' ? 'Q' : 'A';  // the tag does not fit any more
    RestReply reply = client().get("/v1/transactions/" + forged);
    EXPECT_EQ(reply.status, 404) << reply.summary();
    EXPECT_EQ(reply.text_at("code"), "transaction_not_found") << reply.summary();
    EXPECT_EQ(client().get("/v1/transactions/%2e%2e%2fetc").status / 100, 4);
    RestReply parameter = client().get("/v1/transactions/" + real.text_at("id") + "?wait_ms=x");
    EXPECT_NE(parameter.text_at("detail").find("wait_ms"), std::string::npos)
        << parameter.summary();
}

TEST_F(BadRequest, UnknownParticipant) {
    expect_problem(submit({read(0), R"({"participant":"nobody","work":[{"sql":"SELECT 1"}]})"}),
                   422,
                   "unknown_participant",
                   "nobody");
}

TEST_F(BadRequest, NoBranchesOrTooMany) {
    expect_problem(post(R"({"branches":[]})"), 422, "invalid_request", "1 to 64");
    std::vector<std::string> many(65, read(0));
    expect_problem(submit(many), 422, "invalid_request", "65");
}

TEST_F(BadRequest, SameParticipantTwice) {
    expect_problem(submit({read(0), read(1), read(0)}), 422, "invalid_request", "branches[2]");
}

TEST_F(BadRequest, WorkThatIsNoWork) {
    RestReply none = submit({branch(0, {})});
    EXPECT_NE(none.text_at("detail").find("branches[0].work"), std::string::npos) << none.summary();
    RestReply text = post(R"({"branches":[{"participant":"orders","work":["SELECT 1"]}]})");
    EXPECT_NE(text.text_at("detail").find("branches[0].work"), std::string::npos) << text.summary();
    RestReply control = submit({branch(0, {statement(0, "COMMIT")}), read(1)});
    EXPECT_EQ(control.status, 409) << control.summary();
    EXPECT_EQ(control.text_at("reason.code"), "not_allowed") << control.summary();
}

TEST_F(BadRequest, MethodsAndPaths) {
    EXPECT_EQ(client().get("/nowhere").text_at("code"), "no_such_route");
    EXPECT_EQ(client().post("/v1/participants", "{}").text_at("code"), "method_not_allowed");
}

TEST_F(BadRequest, ParticipantRefusesNonsenseToo) {
    RestClient& sidecar = cluster().participant_client(0);
    expect_problem(sidecar.post("/v1/branches:batch", "{"), 400, "malformed_body", "");
    expect_problem(
        sidecar.post("/v1/branches:batch", R"({"items":[]})"), 400, "malformed_body", "sender");
    FakeCoordinator fake(sidecar);
    ASSERT_TRUE(fake.look());
    auto item = fake.execute_prepare(fake.new_branch(), R"([{"sql":17}])");
    auto result = fake.send(item);
    EXPECT_TRUE(result.status == protocol::ItemStatus::no ||
                result.status == protocol::ItemStatus::refused)
        << result.reason.message;
    EXPECT_NE(result.reason.message.find("sql"), std::string::npos) << result.reason.message;
}

// ---- peers
// ------------------------------------------------------------------------------------------

class BadPeer : public ClusterTest {};

// Something that is no participant answers at a participant's address.
TEST_F(BadPeer, GarbageInsteadOfAParticipant) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::atomic<int> kind{0};
    cluster().participant(1).kill();
    FakeServer garbage(
        [&kind](const http::Request&) {
            switch (kind++ % 4) {
                case 0: return http::text_response(200, "<html>welcome</html>");
                case 1: return http::json_response(200, "{\"uuid\":");
                case 2: return http::json_response(404, "{}");
                default: break;
            }
            http::Response redirect;
            redirect.status = 301;
            redirect.headers.add("Location", "http://127.0.0.1:1/");
            return redirect;
        },
        cluster().participant_port(1));
    ASSERT_EQ(garbage.port(), cluster().participant_port(1));
    for (int i = 0; i < 4; ++i) {
        RestReply reply = transfer({.deadline_ms = 1000});
        EXPECT_TRUE(reply.status == 409 || reply.status == 503) << reply.summary();
    }
    EXPECT_TRUE(wait_until([this] {
        return !client().get("/v1/participants").text_at("participants.1.problem").empty();
    }));
    EXPECT_GT(kind.load(), 0);
}

// It describes itself well, works well, and its votes arrive as something else.
enum class Garbled { page, cut_short, other_media_type, other_attempt, other_transaction };

http::Response garbled(Garbled how, http::Response good, const std::string& former) {
    switch (how) {
        case Garbled::page: return http::text_response(200, "<html>welcome</html>");
        case Garbled::cut_short: good.body.resize(good.body.size() / 2); return good;
        case Garbled::other_media_type: good.content_type = "text/html"; return good;
        case Garbled::other_attempt: {
            std::size_t attempt = good.body.find("\"attempt\":1");
            if (attempt != std::string::npos) good.body.replace(attempt, 11, "\"attempt\":2");
            return good;
        }
        case Garbled::other_transaction: good.body = former; return good;
    }
    return good;
}

TEST_F(BadPeer, AGarbledVoteIsNoYes) {
    CustomParticipant seats(Flaw::none);
    std::atomic<int> how{-1};  // -1: as it should be
    std::string former;        // the vote of an earlier transaction; on the server's thread only
    std::atomic<int> garbled_votes{0};
    FakeServer server([&](const http::Request& request) {
        http::Response good = seats.respond(request);
        if (request.body.find("execute_prepare") == std::string::npos) return good;
        int now = how;
        if (now < 0) {
            former = good.body;
            return good;
        }
        ++garbled_votes;
        return garbled(static_cast<Garbled>(now), std::move(good), former);
    });
    ClusterSpec spec;
    spec.participants = {{.name = "orders"}};
    spec.others = {{"seats", server.port()}};
    ASSERT_NO_FATAL_FAILURE(start(std::move(spec)));
    auto buy = [this] {
        return submit({branch(0, {statement(0, "UPDATE accounts SET balance = balance + 1")}),
                       R"({"participant":"seats","work":[{"take":1}]})"},
                      R"(,"deadline_ms":1500)");
    };
    RestReply good = buy();
    ASSERT_EQ(good.status, 200) << good.summary();
    auto before = cluster().balance(0, 1);
    ASSERT_EQ(seats.committed(), 1U);
    for (int kind = 0; kind <= static_cast<int>(Garbled::other_transaction); ++kind) {
        SCOPED_TRACE(kind);
        how = kind;
        int votes = garbled_votes;
        RestReply reply = buy();
        EXPECT_EQ(reply.status, 409) << reply.summary();
        EXPECT_EQ(reply.text_at("code"), "transaction_aborted") << reply.summary();
        EXPECT_GT(garbled_votes.load(), votes) << "the vote was asked for";
    }
    how = -1;
    EXPECT_TRUE(wait_until([this] { return cluster().prepared_left() == 0; }));
    EXPECT_EQ(cluster().balance(0, 1), before);
    EXPECT_EQ(seats.committed(), 1U);
    RestReply again = buy();
    EXPECT_EQ(again.status, 200) << again.summary();
    EXPECT_EQ(seats.committed(), 2U);
}

TEST_F(BadPeer, GarbageGivesWayToTheParticipant) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    {
        FakeServer garbage([](const http::Request&) { return http::text_response(200, "?"); },
                           cluster().participant_port(1));
        ASSERT_TRUE(cluster().start_participant(0));
        ASSERT_TRUE(cluster().start_coordinator());
        RestReply reply = cluster().transfer({.reference = "early", .deadline_ms = 1000});
        expect_problem(reply, 503, "participant_unusable", "not been reached");
        EXPECT_TRUE(reply.headers.contains("Retry-After"));
    }
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

// The two files change places: each address now leads to the other's database.
TEST_F(BadPeer, AnotherDatabaseBehindTheAddress) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    EXPECT_EQ(transfer().status, 200);
    for (std::size_t index : {0U, 1U}) {
        cluster().participant(index).signal(SIGTERM);
        ASSERT_TRUE(cluster().participant(index).wait(kPatience));
    }
    namespace fs = std::filesystem;
    auto swap_files = [this] {
        for (const char* suffix : {"", "-wal", "-shm"}) {
            fs::path a = cluster().sqlite_path(0) + suffix;
            fs::path b = cluster().sqlite_path(1) + suffix;
            fs::path c = a.string() + ".swap";
            if (fs::exists(a)) fs::rename(a, c);
            if (fs::exists(b)) fs::rename(b, a);
            if (fs::exists(c)) fs::rename(c, b);
        }
    };
    swap_files();
    for (std::size_t index : {0U, 1U}) {
        cluster().launch_participant(index);
        // Ready or not: both are fine, as long as nothing is written there.
        std::ignore =
            cluster().participant(index).wait_for_output(": ready on ", std::chrono::seconds(5));
    }
    // Whether the sidecars or the coordinator notice: nothing may be sent there.
    RestReply reply = transfer({.deadline_ms = 2000});
    EXPECT_TRUE(reply.status == 409 || reply.status == 503) << reply.summary();
    RestReply list;
    EXPECT_TRUE(wait_until([this, &list] {
        list = client().get("/v1/participants");
        return list.text_at("participants.0.problem").find("another database") != std::string::npos;
    })) << list.summary();
    for (std::size_t index : {0U, 1U}) cluster().participant(index).kill();
    swap_files();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

// ---- files and settings
// -----------------------------------------------------------------------------

class BadEnvironment : public ClusterTest {
protected:
    // Starts the coordinator and expects that it gives up with this code and words.
    void expect_refusal(int code, const std::vector<std::string>& words) {
        cluster().launch_coordinator();
        expect_end(cluster().coordinator(), code, words);
    }
    static void expect_end(Process& process, int code, const std::vector<std::string>& words) {
        auto status = process.wait(kPatience);
        ASSERT_TRUE(status) << "it runs\n" << process.output();
        EXPECT_TRUE(status->exited_with(code)) << status->text() << "\n" << process.output();
        for (const std::string& word : words) {
            EXPECT_NE(process.output().find(word), std::string::npos)
                << "\"" << word << "\" is not in: " << process.output();
        }
    }
};

TEST_F(BadEnvironment, UnknownKey) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    std::string good = read_file(cluster().coordinator_config());
    auto line = std::to_string(std::ranges::count(good, '\n') + 1);
    write_file(cluster().coordinator_config(), good + "datadir: /tmp\n");
    expect_refusal(2, {"coordinator.yaml", line, "datadir"});
    std::string participant = read_file(cluster().participant_config(0));
    write_file(cluster().participant_config(0), participant + "raw-sql: true\n");
    cluster().launch_participant(0);
    expect_end(cluster().participant(0), 2, {"orders.yaml", "raw-sql"});
}

TEST_F(BadEnvironment, BadValues) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    std::string good = read_file(cluster().coordinator_config());
    for (auto [text, word] :
         {std::pair{"retry_min: 5\n", "retry_min"},
          std::pair{"drain_limit: soon\n", "drain_limit"},
          std::pair{"transactions_max: -1\n", "transactions_max"},
          std::pair{"insecure_public_bind: maybe\n", "insecure_public_bind"},
          std::pair{"registration_allow: [\"http://x\"]\n", "registration_allow"},
          std::pair{"retry_min: [\n", "coordinator.yaml"}}) {
        write_file(cluster().coordinator_config(), good + text);
        expect_refusal(2, {word});
    }
    std::string open = good;
    open.replace(open.find("127.0.0.1"), 9, "0.0.0.0");
    write_file(cluster().coordinator_config(), open);
    expect_refusal(2, {"0.0.0.0", "insecure_public_bind"});
}

TEST_F(BadEnvironment, MissingConfiguration) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    auto result = run_program(sibling_program("twofold"),
                              {"coordinator", "--config", cluster().directory() + "/none.yaml"});
    ASSERT_TRUE(result.has_value()) << result.error().text();
    EXPECT_TRUE(result.value().status.exited_with(2)) << result.value().output;
    EXPECT_NE(result.value().output.find("none.yaml"), std::string::npos) << result.value().output;
}

TEST_F(BadEnvironment, ForceFails) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    // Not at the first force, which belongs to the start.
    ASSERT_TRUE(cluster().start_coordinator({{"TWOFOLD_FAULT_AT", "wal_after_write:6=eio"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    for (int i = 0; i < 20 && cluster().coordinator().running(); ++i) transfer();
    auto status = cluster().coordinator().wait(kPatience);
    ASSERT_TRUE(status) << "a failed force must end the process";
    EXPECT_FALSE(status->exited_with(0));
    EXPECT_FALSE(told_.back().reply.status == 200) << told_.back().reply.summary();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
}

TEST_F(BadEnvironment, DiskFull) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ClusterSpec spec;
    spec.log_yaml = "{ segment_size_bytes: 65536, checkpoint_bytes: 1048576 }";
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite, std::move(spec)));
    // From some segment on no more can be made, and no checkpoint frees old ones for a while.
    ASSERT_TRUE(
        cluster().start_coordinator({{"TWOFOLD_FAULT_AT", "wal_spare_before_create:3=enospc+"}}))
        << cluster().logs();
    ASSERT_TRUE(cluster().wait_participants_up());
    RestReply last;
    for (int i = 0; i < 150 && last.status != 503; ++i) {
        last = transfer({.amount = 1});
        ASSERT_TRUE(last.answered()) << last.summary();
    }
    expect_problem(last, 503, "no_room", "");
    EXPECT_TRUE(last.headers.contains("Retry-After"));
    EXPECT_TRUE(cluster().coordinator().running());
    EXPECT_EQ(client().get("/v1/transactions").status, 200);
    expect_consistent();
    ASSERT_TRUE(cluster().start_coordinator());
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

TEST_F(BadEnvironment, LogDirectoryCannotBeWritten) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    write_file(cluster().log_directory(), "in the way");
    expect_refusal(1, {cluster().log_directory()});
    std::filesystem::remove(cluster().log_directory());
    // Readable by others: somebody could take the keys of the transaction ids.
    std::filesystem::remove_all(cluster().log_directory());
    mkdir(cluster().log_directory().c_str(), 0755);
    chmod(cluster().log_directory().c_str(), 0755);
    expect_refusal(1, {cluster().log_directory(), "0700"});
}

// Modes do not stop root, so the coordinator runs as somebody else then.
TEST_F(BadEnvironment, LogDirectoryMayOnlyBeRead) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    constexpr uid_t kNobody = 65534;
    std::string log = cluster().log_directory();
    std::string program = sibling_program("twofold");
    std::vector<std::string> arguments = {
        "coordinator", "--config", cluster().coordinator_config()};
    ASSERT_EQ(mkdir(log.c_str(), 0500), 0);
    if (geteuid() == 0) {
        std::vector<std::string> as_nobody = {
            "--reuid=65534", "--regid=65534", "--clear-groups", program};
        ASSERT_EQ(chown(log.c_str(), kNobody, kNobody), 0);
        chmod(cluster().directory().c_str(), 0711);
        chmod(cluster().coordinator_config().c_str(), 0644);
        auto able = run_program(
            "setpriv", {"--reuid=65534", "--regid=65534", "--clear-groups", program, "--version"});
        if (!able.has_value() || !able.value().status.exited_with(0)) {
            GTEST_SKIP() << "nobody may not run " << program
                         << " here, and root may write anywhere";
        }
        arguments.insert(arguments.begin(), as_nobody.begin(), as_nobody.end());
        program = "setpriv";
    }
    auto ended = run_program(program, arguments);
    ASSERT_TRUE(ended.has_value()) << ended.error().text();
    EXPECT_TRUE(ended.value().status.exited_with(1)) << ended.value().status.text();
    EXPECT_NE(ended.value().output.find(log), std::string::npos) << ended.value().output;
    EXPECT_NE(ended.value().output.find("ermission"), std::string::npos) << ended.value().output;
    EXPECT_TRUE(std::filesystem::is_empty(log)) << "nothing was written";
}

// The disk stands still under a force: nobody is told anything that is not durable, new work is
// refused when there is too much of it, and the figures show it afterwards.
TEST_F(BadEnvironment, SlowDisk) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(
        start(Databases::sqlite, {.coordinator_yaml = "transactions_max: 1\n"}));
    std::string stall = cluster().directory() + "/stall";
    ASSERT_TRUE(cluster().start_coordinator({{"TWOFOLD_HOLD_AT", "wal_after_write:" + stall}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    ASSERT_EQ(transfer().status, 200);
    auto before = cluster().balance(0, 1);
    double forced_before = client().metric("twofold_wal_fsync_duration_seconds_sum");
    write_file(stall, "");
    RestReply slow = transfer({.deadline_ms = 1500});
    auto stalled = std::chrono::steady_clock::now();
    EXPECT_EQ(slow.status, 202) << slow.summary();
    EXPECT_EQ(slow.text_at("decision"), "none") << slow.summary();
    EXPECT_EQ(client().get("/livez").status, 200);
    EXPECT_EQ(cluster().prepared_left(), 2) << "nobody was told to commit or to abort";
    RestReply refused = cluster().transfer({.reference = "too-much"});
    EXPECT_EQ(refused.status, 503) << refused.summary();
    EXPECT_TRUE(refused.headers.contains("Retry-After"));
    EXPECT_EQ(cluster().balance(0, 1), before);
    std::chrono::duration<double> held = std::chrono::steady_clock::now() - stalled;
    std::filesystem::remove(stall);
    std::string id = slow.text_at("id");
    EXPECT_TRUE(wait_until(
        [&] { return client().get("/v1/transactions/" + id).text_at("state") == "committed"; }));
    EXPECT_TRUE(wait_until([&] {
        double forced = client().metric("twofold_wal_fsync_duration_seconds_sum");
        return forced >= forced_before + held.count();
    }));
    EXPECT_TRUE(cluster().coordinator().wait_for_output("log_force_slow", kPatience));
    expect_consistent();
}

TEST_F(BadEnvironment, DamagedLog) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(transfer().status, 200);
    cluster().coordinator().kill();
    // The newest segment, somewhere in its second batch: valid ones follow, so it is no torn tail.
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(cluster().log_directory())) {
        std::string path = entry.path().string();
        bool segment = entry.path().filename().string().starts_with("segment-");
        if (segment && path > newest) newest = path;
    }
    ASSERT_FALSE(newest.empty());
    constexpr std::streamoff kSecondBatch = 8192 + 100;
    {
        std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(kSecondBatch);
        int byte = file.get();
        file.seekp(kSecondBatch);
        file.put(static_cast<char>(byte ^ 0x10));
    }
    std::string file_name = std::filesystem::path(newest).filename().string();
    expect_refusal(1, {file_name, "offset", "twofold wal"});
    auto verified = run_program(sibling_program("twofold"),
                                {"wal", "verify", "--dir", cluster().log_directory()});
    ASSERT_TRUE(verified.has_value());
    EXPECT_TRUE(verified.value().status.exited_with(1)) << verified.value().output;
    EXPECT_NE(verified.value().output.find(file_name), std::string::npos);
    // Nothing was cut off or mended: still refused.
    expect_refusal(1, {file_name});
}

TEST_F(BadEnvironment, SqliteFileIsNoDatabase) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    write_file(cluster().sqlite_path(0), std::string(8192, 'x'));
    cluster().launch_participant(0);
    EXPECT_FALSE(cluster().participant(0).wait_for_output(": ready on ", std::chrono::seconds(3)));
    EXPECT_NE(cluster().participant(0).output().find("not a database"), std::string::npos)
        << cluster().participant(0).output();
}

TEST_F(BadEnvironment, PostgresWithoutPreparedTransactions) {
    TWOFOLD_NEEDS_OWN_POSTGRES();
    ASSERT_NO_FATAL_FAILURE(create(Databases::postgres));
    ASSERT_TRUE(PostgresPair::instance().restart_with(0, "max_prepared_transactions", "0"));
    cluster().launch_participant(0);
    expect_end(cluster().participant(0), 1, {"max_prepared_transactions", "postgresql.conf"});
    ASSERT_TRUE(PostgresPair::instance().restart_with(0, "max_prepared_transactions", "64"));
    ASSERT_TRUE(cluster().start_participant(0)) << cluster().logs();
}

TEST_F(BadEnvironment, PostgresSuperuserIsRefused) {
    ClusterSpec spec;
    spec.participants.push_back({.name = "orders",
                                 .postgres_dsn = PostgresPair::instance().superuser_dsn(0),
                                 .with_bank = false});
    ASSERT_NO_FATAL_FAILURE(create(std::move(spec)));
    cluster().launch_participant(0);
    expect_end(cluster().participant(0), 1, {"superuser"});
}

}  // namespace
}  // namespace twofold::integration
