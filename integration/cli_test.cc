// The command line of the program: what scripts rely on is exit codes, what goes to stdout, and
// that nothing else does.
#include "integration/fake_peers.h"
#include "integration/fixture.h"
#include "integration/run_cli.h"
#include "integration/temp_dir.h"

#include <boost/json/parse.hpp>

#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

namespace twofold::integration {
namespace {

class CommandLine : public ClusterTest {
protected:
    // Of a command that talks to the coordinator.
    Ran run(std::vector<std::string> arguments) {
        return run_cli(std::move(arguments), {{"TWOFOLD_ADDR", address()}});
    }
    std::string address() {
        return "http://127.0.0.1:" + std::to_string(cluster().coordinator_port());
    }
    std::string transfer_file(const std::string& reference) {
        std::string file = cluster().directory() + "/" + reference + ".json";
        write_file(file, cluster().transfer_body({.amount = 1, .reference = reference}));
        return file;
    }
    std::string begun(std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"txn", "begin"});
        Ran begun = run(std::move(more));
        EXPECT_EQ(begun.code, 0) << begun;
        EXPECT_EQ(begun.out.size(), 49U) << begun;
        return begun.out.substr(0, 48);
    }
};

const std::string kUnknownId(48, 'A');

// ---- usage ----------------------------------------------------------------------------

TEST_F(CommandLine, BadUsageIsTwoAndSaysSoOnStderrOnly) {
    const std::vector<std::vector<std::string>> cases{
        {},
        {"koordinator"},
        {"txn"},
        {"txn", "get"},
        {"txn", "get", "x", "-o", "yaml"},
        {"txn", "get", "x", "--addr", "127.0.0.1"},
        {"txn", "begin", "--label", "order"},
        {"txn", "begin", "--deadline-ms", "soon"},
        {"txn", "list", "--limit", "0"},
        {"txn", "commit", "x", "--executes", "north=two"},
        {"txn", "commit", "x", "--wait", "never"},
        {"txn", "forget", "x"},
        {"indoubt"},
        {"indoubt", "resolve", "x", "--branch", "1", "--reason", "r"},
        {"indoubt", "resolve", "x", "--branch", "0", "--outcome", "aborted", "--reason", "r"},
        {"indoubt", "resolve", "x", "--branch", "1", "--outcome", "maybe", "--reason", "r"},
        {"indoubt", "resolve", "x", "--branch", "1", "--outcome", "commit", "--reason", "r"},
        {"indoubt", "resolve", "--participant", "p", "--outcome", "commit", "--reason", "r"},
        {"indoubt", "resolve", "--gid", "g", "--outcome", "commit", "--reason", "r"},
        {"participant", "put", "south"},
        {"participant", "retire", "south"},
        {"status", "--addr", "nowhere"},
        {"config", "check", "x.yaml"},
        {"wal", "verify"},
    };
    for (const auto& arguments : cases) {
        Ran bad = run_cli(arguments);
        std::string words;
        for (const std::string& word : arguments) words += word + " ";
        EXPECT_EQ(bad.code, 2) << words << bad;
        EXPECT_EQ(bad.out, "") << words;
        EXPECT_NE(bad.err, "") << words;
    }
    Ran version = run_cli({"version"});
    EXPECT_EQ(version.code, 0);
    EXPECT_TRUE(version.out.starts_with("twofold ")) << version;
}

// The names below "Subcommands:" of a help text.
std::vector<std::string> subcommands_of(const std::string& help) {
    std::vector<std::string> names;
    std::size_t at = help.find("Subcommands:\n");
    if (at == std::string::npos) return names;
    std::istringstream lines(help.substr(at));
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line) && line.starts_with("  ")) {
        if (line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
    return names;
}

TEST_F(CommandLine, EveryCommandHasAnExampleAndAPlaceInTheDocs) {
    std::string page = content_of("docs/cli.md");
    ASSERT_NE(page, "") << "run from the project's folder";
    std::size_t commands = 0;
    for (const std::string& noun : subcommands_of(run_cli({"--help"}).out)) {
        if (noun == "crash-points") continue;  // of test builds only
        Ran help = run_cli({noun, "--help"});
        EXPECT_EQ(help.code, 0) << help;
        std::vector<std::vector<std::string>> leaves;
        for (const std::string& verb : subcommands_of(help.out)) leaves.push_back({noun, verb});
        if (leaves.empty() || noun == "participant") leaves.push_back({noun});
        for (auto& leaf : leaves) {
            std::string name = "twofold " + leaf[0] + (leaf.size() > 1 ? " " + leaf[1] : "");
            EXPECT_NE(page.find("`" + name), std::string::npos) << name << " is not in docs/cli.md";
            leaf.emplace_back("--help");
            Ran one = run_cli(leaf);
            EXPECT_TRUE(one.out_has("Example")) << name << " has no example in its help";
            ++commands;
        }
    }
    EXPECT_GE(commands, 24U);
}

TEST_F(CommandLine, NobodyListensIsOneWithoutData) {
    std::string nowhere = "http://127.0.0.1:" + std::to_string(free_port());
    const std::vector<std::vector<std::string>> cases{
        {"txn", "begin"},
        {"txn", "get", kUnknownId},
        {"txn", "list"},
        {"txn", "watch", kUnknownId},
        {"txn", "commit", kUnknownId},
        {"txn", "abort", kUnknownId},
        {"txn", "why", kUnknownId},
        {"txn", "forget", kUnknownId, "--reason", "r", "--yes"},
        {"indoubt", "list"},
        {"indoubt",
         "resolve",
         kUnknownId,
         "--branch",
         "1",
         "--outcome",
         "aborted",
         "--reason",
         "r",
         "--yes"},
        {"participant", "list"},
        {"participant", "put", "x", "--url", "http://127.0.0.1:1"},
        {"participant", "retire", "x", "--reason", "r", "--yes"},
        {"participant", "rebind", "x", "--reason", "r", "--yes"},
        {"participant", "accept-restore", "x", "--reason", "r", "--yes"},
        {"healthcheck"},
    };
    for (const auto& arguments : cases) {
        Ran bad = run_cli(arguments, {{"TWOFOLD_ADDR", nowhere}});
        EXPECT_EQ(bad.code, 1) << arguments[0] << ' ' << arguments.back() << bad;
        EXPECT_EQ(bad.out, "");
        EXPECT_TRUE(bad.err_has("onnection refused")) << bad;
    }
    Ran status = run_cli({"status"}, {{"TWOFOLD_ADDR", nowhere}});
    EXPECT_EQ(status.code, 1);
    EXPECT_TRUE(status.out_has("unreachable")) << status;
    Ran doctor = run_cli({"doctor"}, {{"TWOFOLD_ADDR", nowhere}});
    EXPECT_EQ(doctor.code, 1);
    EXPECT_TRUE(doctor.out_has("FAIL  coordinator:")) << doctor;
    EXPECT_TRUE(doctor.out_has("do: ")) << doctor;
}

// ---- transactions ---------------------------------------------------------------------

TEST_F(CommandLine, RunGetListHealthcheckDump) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::string file = transfer_file("by-hand");
    Ran committed = run({"txn", "run", file, "-o", "json"});
    EXPECT_EQ(committed.code, 0) << committed;
    EXPECT_EQ(committed.err, "");
    std::string id(committed.json().at("id").as_string());
    // The same reference again breaks the ledger's primary key.
    Ran aborted = run({"txn", "run", file});
    EXPECT_EQ(aborted.code, 5) << aborted;
    EXPECT_TRUE(aborted.out_has("outcome     aborted")) << aborted;
    EXPECT_TRUE(aborted.err_has("nothing was changed")) << aborted;
    Ran again = run({"txn", "run", file, "-o", "json"});
    EXPECT_EQ(again.code, 5);
    EXPECT_EQ(again.json().at("outcome").as_string(), "aborted");
    Ran got = run({"txn", "get", id});
    EXPECT_EQ(got.code, 0) << got;
    EXPECT_TRUE(got.out.starts_with("id ")) << got;
    EXPECT_TRUE(got.out_has("outcome   committed")) << got;
    EXPECT_TRUE(got.out_has("orders")) << got;
    EXPECT_EQ(run({"txn", "get", kUnknownId}).code, 3);
    EXPECT_EQ(run({"txn", "get", "not an id/%"}).out, "");
    Ran missing = run({"txn", "run", file + ".none"});
    EXPECT_EQ(missing.code, 1) << missing;
    EXPECT_TRUE(missing.err_has("cannot be read")) << missing;

    EXPECT_EQ(run({"healthcheck"}).code, 0);
    EXPECT_EQ(run_cli({"healthcheck", "--addr", address()}).code, 0);
    cluster().coordinator().kill();
    std::string log = cluster().log_directory();
    EXPECT_EQ(run_cli({"wal", "verify", "--dir", log}).code, 0);
    Ran dump = run_cli({"wal", "dump", "--dir", log, "-o", "json"});
    EXPECT_EQ(dump.code, 0) << dump;
    EXPECT_TRUE(dump.out_has(id)) << dump;
    EXPECT_EQ(run_cli({"wal", "verify", "--dir", log + "/none"}).code, 1);
}

TEST_F(CommandLine, AnInteractiveTransactionIsBegunFoundFollowedAndEnded) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    const std::string label = "order=a&b=c d";  // every character of it must arrive
    std::string id = begun({"--label", label, "--label", "kind=x", "--deadline-ms", "60000"});
    Ran active = run({"txn", "get", id});
    EXPECT_EQ(active.code, 4) << active;
    EXPECT_TRUE(active.out_has("state     active")) << active;
    Ran found = run({"txn", "list", "--label", label, "-o", "json"});
    EXPECT_EQ(found.code, 0) << found;
    ASSERT_EQ(found.json().at("transactions").as_array().size(), 1U) << found;
    EXPECT_TRUE(run({"txn", "list", "--label", label}).out_has(id));
    EXPECT_FALSE(run({"txn", "list", "--label", "order=a"}).out_has(id));
    Ran nobody = run({"txn", "list", "--participant", "nobody"});
    EXPECT_EQ(nobody.code, 1) << nobody;
    EXPECT_EQ(nobody.out, "");

    EXPECT_TRUE(run({"txn", "why", id}).out_has("next "));
    Ran raw = run({"txn", "why", id, "-o", "json"});
    EXPECT_TRUE(raw.json().at("transaction").at("id").as_string() == id) << raw;
    Ran committed = run({"txn", "commit", id});
    EXPECT_EQ(committed.code, 0) << committed;
    EXPECT_EQ(run({"txn", "commit", id, "-o", "json"}).code, 0);
    Ran too_late = run({"txn", "abort", id});
    EXPECT_EQ(too_late.code, 1) << too_late;
    EXPECT_TRUE(too_late.err_has("ended the other way")) << too_late;
    Ran watched = run({"txn", "watch", id});
    EXPECT_EQ(watched.code, 0) << watched;
    EXPECT_TRUE(watched.out_has("committed")) << watched;

    std::string other = begun();
    Ran aborted = run({"txn", "abort", other, "-o", "json"});
    EXPECT_EQ(aborted.code, 0) << aborted;
    EXPECT_EQ(aborted.json().at("outcome").as_string(), "aborted");
    EXPECT_EQ(run({"txn", "get", other}).code, 5);
    EXPECT_EQ(run({"txn", "watch", other}).code, 5);
    EXPECT_EQ(run({"txn", "commit", other}).code, 5);
    for (const char* verb : {"commit", "abort", "why", "watch"}) {
        Ran unknown = run({"txn", verb, kUnknownId});
        EXPECT_EQ(unknown.code, 3) << verb << unknown;
        EXPECT_EQ(unknown.out, "") << verb;
    }
}

TEST_F(CommandLine, AKeyBeginsOnce) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::string id = begun({"--idempotency-key", "order-17"});
    EXPECT_EQ(begun({"--idempotency-key", "order-17"}), id);
    EXPECT_NE(begun({"--idempotency-key", "order-18"}), id);
    Ran other_body =
        run({"txn", "begin", "--idempotency-key", "order-17", "--deadline-ms", "9999"});
    EXPECT_EQ(other_body.code, 1) << other_body;
    EXPECT_EQ(run({"txn", "abort", id}).code, 0);
    EXPECT_EQ(run({"txn", "begin", "--idempotency-key", "order-17"}).code, 5);
}

TEST_F(CommandLine, WatchSaysEachChangeUntilTheEnd) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::string id = begun({"--deadline-ms", "3000"});
    // Nobody commits it: it ends by its deadline.
    Ran watched = run({"txn", "watch", id});
    EXPECT_EQ(watched.code, 5) << watched;
    EXPECT_TRUE(watched.out.starts_with("v1  active  unknown\n")) << watched;
    EXPECT_TRUE(watched.out_has("aborted")) << watched;
    std::string other = begun({"--deadline-ms", "3000"});
    Ran lines = run({"txn", "watch", other, "-o", "json"});
    std::istringstream in(lines.out);
    std::string line;
    std::size_t count = 0;
    for (; std::getline(in, line); ++count) {
        EXPECT_TRUE(boost::json::parse(line).at("id").as_string() == other) << line;
    }
    EXPECT_GE(count, 2U) << lines;
}

TEST_F(CommandLine, WatchOutlivesARestartOfTheCoordinator) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::string id = begun({"--deadline-ms", "600000"});
    auto started = Process::start({.program = sibling_program("twofold"),
                                   .arguments = {"txn", "watch", id, "--patience", "600"},
                                   .environment = {{"TWOFOLD_ADDR", address()}},
                                   .output_path = cluster().directory() + "/watch.log"});
    ASSERT_TRUE(started.has_value());
    Process& watch = started.value();
    ASSERT_TRUE(watch.wait_for_output("v1  active", kPatience)) << watch.output();
    cluster().coordinator().kill();
    ASSERT_TRUE(watch.wait_for_output("asking again", kPatience)) << watch.output();
    ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
    // What was not decided is aborted by the restart.
    auto status = watch.wait(kPatience);
    EXPECT_TRUE(status && status->exited_with(5)) << watch.output();
    EXPECT_NE(watch.output().find("it answers again"), std::string::npos) << watch.output();
}

// ---- in doubt -------------------------------------------------------------------------

TEST_F(CommandLine, WhatIsInDoubtIsListedExplainedResolvedAndForgotten) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    Ran none = run({"indoubt", "list"});
    EXPECT_EQ(none.code, 0) << none;
    EXPECT_TRUE(none.err_has("nothing is in doubt")) << none;
    ASSERT_TRUE(cluster().start_participant(1, {{"TWOFOLD_CRASH_AT", "part_before_commit"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    std::string file = cluster().directory() + "/decided.json";
    std::string body = cluster().transfer_body({.reference = "stuck"});
    write_file(file, body.substr(0, body.size() - 1) + ",\"wait\":\"decided\"}");
    Ran decided = run({"txn", "run", file, "-o", "json"});
    ASSERT_EQ(decided.code, 0) << decided;
    EXPECT_TRUE(decided.err_has("not yet applied")) << decided;
    std::string id(decided.json().at("id").as_string());
    ASSERT_TRUE(wait_until([this] { return !cluster().participant(1).running(); }));

    Ran list = run({"indoubt", "list"});
    EXPECT_TRUE(list.out_has(id)) << list;
    EXPECT_TRUE(list.out_has("stock")) << list;
    Ran there = run({"indoubt", "list", "--participant", "stock", "-o", "json"});
    EXPECT_EQ(there.json().at("transactions").as_array().size(), 1U) << there;
    Ran doctor = run({"doctor"});
    EXPECT_EQ(doctor.code, 1) << doctor;
    EXPECT_TRUE(doctor.out_has("FAIL  participant stock")) << doctor;
    EXPECT_TRUE(doctor.out_has("warn  in doubt")) << doctor;
    std::string second = begun();
    Ran sorted = run({"indoubt", "list", "-o", "json"});
    EXPECT_TRUE(sorted.json().at("transactions").at(0).as_object().contains("age_ms")) << sorted;
    // It was recovered by nobody yet: every change was seen.
    Ran one = run({"txn", "get", id, "-o", "json"});
    boost::json::value shown = one.json();
    const auto& timeline = shown.at("timeline").as_array();
    ASSERT_GE(timeline.size(), 3U) << one;
    EXPECT_EQ(timeline.at(0).at("at_ms").to_number<int>(), 0) << one;
    EXPECT_EQ(timeline.at(timeline.size() - 1).at("state").as_string(), "committing") << one;
    EXPECT_TRUE(run({"txn", "list"}).out_has("AGE"));
    EXPECT_EQ(run({"txn", "abort", second}).code, 0);
    Ran why = run({"txn", "why", id});
    EXPECT_TRUE(why.out_has("timeline")) << why;
    EXPECT_TRUE(why.out_has("decision")) << why;
    EXPECT_TRUE(why.out_has("gid")) << why;

    std::vector<std::string> resolve{
        "indoubt", "resolve", id, "--branch", "2", "--outcome", "aborted", "--reason", "restored"};
    auto with = [&resolve](std::vector<std::string> more) {
        more.insert(more.begin(), resolve.begin(), resolve.end());
        return more;
    };
    Ran nobody_asked = run(resolve);
    EXPECT_EQ(nobody_asked.code, 2) << nobody_asked;
    EXPECT_TRUE(nobody_asked.err_has("branch 2 at stock: committing")) << nobody_asked;
    EXPECT_TRUE(nobody_asked.err_has("--yes")) << nobody_asked;
    Ran dry = run(with({"--dry-run"}));
    EXPECT_EQ(dry.code, 0) << dry;
    EXPECT_TRUE(run({"txn", "get", id}).out_has("committing")) << "a dry run changes nothing";
    Ran done = run(with({"--yes", "-o", "json"}));
    EXPECT_EQ(done.code, 0) << done;
    Ran odd = run({"txn", "get", id});
    EXPECT_EQ(odd.code, 1) << odd;
    EXPECT_TRUE(odd.out_has("heuristic")) << odd;
    EXPECT_TRUE(run({"indoubt", "list"}).out_has("heuristic"));
    EXPECT_TRUE(run({"doctor"}).out_has("FAIL  in doubt"));
    EXPECT_EQ(run({"txn", "forget", id, "--reason", "booked"}).code, 2);
    Ran forgotten = run({"txn", "forget", id, "--reason", "booked", "--yes"});
    EXPECT_EQ(forgotten.code, 0) << forgotten;
    EXPECT_FALSE(run({"indoubt", "list"}).out_has(id));
}

// ---- participants, status, doctor -----------------------------------------------------

TEST_F(CommandLine, ParticipantsAreListedAndRetired) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    Ran list = run({"participant", "list"});
    EXPECT_EQ(list.code, 0) << list;
    EXPECT_TRUE(list.out.starts_with("NAME ")) << list;
    EXPECT_TRUE(list.out_has("orders")) << list;
    Ran json = run({"participant", "list", "-o", "json"});
    EXPECT_EQ(json.json().at("participants").as_array().size(), 2U) << json;
    EXPECT_EQ(run({"participant", "retire", "nobody", "--reason", "r", "--yes"}).code, 3);
    EXPECT_EQ(run({"participant", "rebind", "nobody", "--reason", "r", "--yes"}).code, 3);
    Ran unchanged = run({"participant", "rebind", "stock", "--reason", "r", "--yes"});
    EXPECT_EQ(unchanged.code, 1) << unchanged;
    EXPECT_TRUE(unchanged.err_has("nothing has to be accepted")) << unchanged;
    EXPECT_EQ(run({"participant", "retire", "stock", "--reason", "sold"}).code, 2);
    EXPECT_EQ(run({"participant", "retire", "stock", "--reason", "sold", "--dry-run"}).code, 0);
    EXPECT_FALSE(run({"participant", "list"}).out_has("retired"));
    Ran retired = run({"participant", "retire", "stock", "--reason", "sold & gone", "--yes"});
    EXPECT_EQ(retired.code, 0) << retired;
    EXPECT_TRUE(retired.out_has("retired")) << retired;
}

TEST_F(CommandLine, StatusAndDoctorTellWhatIsWrong) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::string sidecar = "http://127.0.0.1:" + std::to_string(cluster().participant_port(0));
    Ran status = run_cli({"status", "--addr", address(), "--addr", sidecar});
    EXPECT_EQ(status.code, 0) << status;
    EXPECT_TRUE(status.out_has("coordinator  ready")) << status;
    EXPECT_TRUE(status.out_has("participant  ready")) << status;
    EXPECT_EQ(status.err, "");
    Ran json = run({"status", "-o", "json"});
    EXPECT_EQ(json.json().at("servers").at(0).at("participants").as_array().size(), 2U) << json;
    Ran well = run({"doctor", "--config", cluster().coordinator_config()});
    EXPECT_EQ(well.code, 0) << well;
    EXPECT_TRUE(well.out_has("disk: ")) << well;
    EXPECT_FALSE(well.out_has("FAIL")) << well;
    Ran sidecar_asked = run_cli({"doctor", "--addr", sidecar});
    EXPECT_EQ(sidecar_asked.code, 1) << sidecar_asked;
    EXPECT_TRUE(sidecar_asked.out_has("is a participant")) << sidecar_asked;
    EXPECT_EQ(run({"doctor", "--data-dir", "/nonexistent"}).code, 1);
    cluster().participant(1).kill();
    ASSERT_TRUE(wait_until([this] {
        return client().get("/v1/participants").text_at("participants.1.up") == "false";
    }));
    Ran ill = run({"doctor", "-o", "json"});
    EXPECT_EQ(ill.code, 1) << ill;
    EXPECT_FALSE(ill.json().at("ok").as_bool()) << ill;
    EXPECT_TRUE(ill.out_has("participant stock")) << ill;
}

TEST_F(CommandLine, ConfigurationsAreCheckedWithoutAServer) {
    ASSERT_NO_FATAL_FAILURE(create(Databases::sqlite));
    auto check = [](const std::string& file, const std::string& kind, const std::string& output) {
        return run_cli({"config", "check", file, "--kind", kind, "-o", output});
    };
    EXPECT_EQ(check(cluster().coordinator_config(), "coordinator", "table").code, 0);
    EXPECT_EQ(check(cluster().participant_config(0), "participant", "json").code, 0);
    std::string file = cluster().directory() + "/bad.yaml";
    write_file(file, "retry_max: soon\nparticipant: []\n");
    Ran bad = check(file, "coordinator", "table");
    EXPECT_EQ(bad.code, 2) << bad;
    EXPECT_TRUE(bad.out_has(file + ": data_dir: is required")) << bad;
    EXPECT_TRUE(bad.out_has(file + ":1: retry_max: must be a duration")) << bad;
    EXPECT_TRUE(bad.out_has(file + ":2: unknown key \"participant\"")) << bad;
    EXPECT_TRUE(bad.err_has("3 problems")) << bad;
    Ran json = check(file, "coordinator", "json");
    EXPECT_EQ(json.json().at("problems").as_array().size(), 3U) << json;
    EXPECT_EQ(check(file + ".none", "participant", "table").code, 2);
}

// ---- answers that only others give ----------------------------------------------------

// What a command makes of one answer, whoever gave it.
Ran against(const std::vector<std::string>& arguments, const http::Response& answer) {
    FakeServer server([&answer](const http::Request&) { return answer; });
    return run_cli(arguments,
                   {{"TWOFOLD_ADDR", "http://127.0.0.1:" + std::to_string(server.port())}});
}

TEST_F(CommandLine, OnlyAnAnswerOfTwofoldIsAnAnswer) {
    http::Response page;
    page.content_type = "text/html";
    page.body = "<html>";
    // Reading: an error. Changing: it may have been done.
    EXPECT_EQ(against({"txn", "get", kUnknownId}, page).code, 1);
    EXPECT_EQ(against({"txn", "commit", kUnknownId}, page).code, 4);
    EXPECT_EQ(against({"txn", "begin"}, page).code, 4);
    page.status = 502;
    EXPECT_EQ(against({"txn", "list"}, page).code, 1);
    EXPECT_EQ(against({"txn", "abort", kUnknownId}, page).code, 4);
    // A bare 404 is no word of the coordinator's.
    page.status = 404;
    Ran bare = against({"txn", "get", kUnknownId}, page);
    EXPECT_EQ(bare.code, 1) << bare;
    EXPECT_TRUE(bare.err_has("is this the right address?")) << bare;
    EXPECT_EQ(bare.out, "");
}

TEST_F(CommandLine, AnUnknownOutcomeIsFour) {
    std::string report = R"({"id":"x","state":"settling","outcome":"unknown","version":1})";
    Ran accepted = against({"txn", "commit", kUnknownId},
                           http::json_response(202, R"({"id":"x","decision":"none"})"));
    EXPECT_EQ(accepted.code, 4) << accepted;
    EXPECT_TRUE(accepted.err_has("not known yet")) << accepted;
    EXPECT_EQ(against({"txn", "get", kUnknownId}, http::json_response(200, report)).code, 4);
    http::Response cannot_tell =
        http::json_response(503, R"({"title":"t","detail":"d","code":"cannot_tell"})");
    EXPECT_EQ(against({"txn", "get", kUnknownId}, cannot_tell).code, 4);
    EXPECT_EQ(against({"txn", "watch", kUnknownId}, cannot_tell).code, 4);
    http::Response expired =
        http::json_response(410, R"({"title":"t","detail":"d","code":"transaction_expired"})");
    EXPECT_EQ(against({"txn", "get", kUnknownId}, expired).code, 3);
}

TEST_F(CommandLine, ForeignTextCannotSteerTheTerminal) {
    Ran shown = against({"txn", "get", kUnknownId},
                        http::json_response(200,
                                            R"({"id":"x","state":"aborted","outcome":"aborted",)"
                                            R"("reason":{"code":"c","message":"\u001b[2J\n!"}})"));
    EXPECT_EQ(shown.code, 5) << shown;
    EXPECT_FALSE(shown.out_has("\x1b")) << shown;
    EXPECT_TRUE(shown.out_has("c: ?[2J?!")) << shown;
}

// ---- the whole in one process ---------------------------------------------------------

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
