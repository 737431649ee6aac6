// The program `twofold`: finds the subcommand, checks the options, returns the exit code. The only
// file with CLI11.
#include "app/commands.h"
#include "app/version.h"
#include "base/crash_point.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

namespace {

using namespace twofold::app;

constexpr const char* kDefaultAddress = "http://127.0.0.1:8420";

// What was asked for; filled in by the parser, run after it.
struct Choice {
    std::string config;
    DevOptions dev;
    TxnRunOptions run;
    TxnGetOptions get;
    TxnListOptions list;
    WalOptions wal;
    ParticipantCheckOptions check;
    std::string health_address = kDefaultAddress;
    std::string output = "table";
    std::function<int()> action;
};

void add_address(CLI::App& command, std::string& address) {
    address = kDefaultAddress;
    command.add_option("--addr", address, "The coordinator's address")
        ->envname("TWOFOLD_ADDR")
        ->capture_default_str();
}

void add_participant_check(CLI::App& participant, Choice& choice) {
    auto* check = participant.add_subcommand(
        "check",
        "Drive a participant through the protocol as a coordinator would and say which rules of "
        "docs/participants.md it breaks. It really commits the work, several times: use a test "
        "database");
    ParticipantCheckOptions& options = choice.check;
    check->add_option("url", options.url, "Its address, http://HOST:PORT")->required();
    check->add_option(
        "--work", options.work, "A JSON array of work that it can do, again and again");
    check->add_option("--failing-work", options.failing_work, "Work that it must answer with no");
    check->add_option(
        "--read-only-work", options.read_only_work, "Work that it must answer with read_only");
    check->add_option("--restart-command",
                      options.restart_command,
                      "Kills it and starts it again; run between a yes and its commit");
    check->add_option("-o,--output", choice.output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    check->footer(
        "Examples: twofold participant check http://127.0.0.1:8440 "
        "--work '[{\"reserve\": \"hamlet\", \"quantity\": 1}]'\n"
        "          twofold participant check http://127.0.0.1:8431 "
        "--work '[{\"statement\": \"debit\", \"params\": {\"id\": 1, \"amount\": 1}}]'");
    check->callback([&choice] {
        choice.check.json = choice.output == "json";
        choice.action = [&choice] { return check_participant(choice.check); };
    });
}

void add_servers(CLI::App& app, Choice& choice) {
    auto* coordinator = app.add_subcommand("coordinator", "Run a coordinator");
    coordinator->add_option(
        "--config", choice.config, "YAML file; every key has a TWOFOLD_… form too");
    coordinator->footer("Example: twofold coordinator --config coordinator.yaml");
    coordinator->callback(
        [&choice] { choice.action = [&choice] { return run_coordinator(choice.config); }; });
    auto* participant = app.add_subcommand("participant", "Run the sidecar of one database");
    participant->add_option(
        "--config", choice.config, "YAML file; every key has a TWOFOLD_… form too");
    participant->footer("Example: twofold participant --config orders.yaml");
    participant->callback([&choice, participant] {
        if (!participant->get_subcommands().empty()) return;  // it has chosen
        choice.action = [&choice] { return run_participant(choice.config); };
    });
    add_participant_check(*participant, choice);
    auto* dev = app.add_subcommand(
        "dev", "A coordinator and two SQLite participants in one process, for trying things out");
    dev->add_option(
        "--data", choice.dev.data_dir, "Keep the data here; default: a temporary folder");
    dev->add_option("--port", choice.dev.coordinator_port, "The coordinator's port; 0 = any")
        ->capture_default_str();
    dev->add_option("--participant-port",
                    choice.dev.first_participant_port,
                    "Port of the first participant, the second is one above; 0 = any")
        ->capture_default_str();
    dev->footer("Example: twofold dev");
    dev->callback([&choice] { choice.action = [&choice] { return run_dev(choice.dev); }; });
}

void add_txn(CLI::App& app, Choice& choice) {
    auto* txn = app.add_subcommand("txn", "Run and look at transactions");
    txn->require_subcommand(1);
    auto* run = txn->add_subcommand("run", "Run a one-shot transaction from a JSON file");
    run->add_option("file", choice.run.file, "The body of POST /v1/transactions; - = stdin")
        ->required();
    run->add_option("--idempotency-key", choice.run.idempotency_key, "Makes a retry safe");
    add_address(*run, choice.run.address);
    run->footer("Example: twofold txn run transfer.json");
    run->callback([&choice] { choice.action = [&choice] { return run_txn(choice.run); }; });
    auto* get = txn->add_subcommand("get", "The state of one transaction");
    get->add_option("id", choice.get.id, "Its id")->required();
    get->add_option("--wait-ms", choice.get.wait_ms, "Wait this long for a change");
    add_address(*get, choice.get.address);
    get->footer("Example: twofold txn get ID --wait-ms 5000");
    get->callback([&choice] { choice.action = [&choice] { return get_txn(choice.get); }; });
    auto* list = txn->add_subcommand("list", "Transactions that the coordinator remembers");
    list->add_option("--state", choice.list.state, "Only these");
    list->add_option("--participant", choice.list.participant, "Only with a branch there");
    list->add_option("--limit", choice.list.limit, "At most this many")->capture_default_str();
    list->add_option("-o,--output", choice.output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
    add_address(*list, choice.list.address);
    list->footer("Example: twofold txn list -o json");
    list->callback([&choice] {
        choice.list.json = choice.output == "json";
        choice.action = [&choice] { return list_txns(choice.list); };
    });
}

void add_wal_command(CLI::App& wal,
                     Choice& choice,
                     const char* name,
                     const char* help,
                     int (*action)(const WalOptions&)) {
    auto* command = wal.add_subcommand(name, help);
    command->add_option("--dir", choice.wal.directory, "The coordinator's data_dir")->required();
    command->add_option("-o,--output", choice.output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    command->footer(std::string("Example: twofold wal ") + name + " --dir /var/lib/twofold");
    command->callback([&choice, action] {
        choice.wal.json = choice.output == "json";
        choice.action = [&choice, action] { return action(choice.wal); };
    });
}

void add_tools(CLI::App& app, Choice& choice) {
    auto* wal = app.add_subcommand("wal", "Look at a log offline; nothing is modified");
    wal->require_subcommand(1);
    add_wal_command(*wal, choice, "verify", "Check a log; exit 1 when it is damaged", &verify_wal);
    add_wal_command(*wal, choice, "dump", "Print every record of a log", &dump_wal);
    auto* health = app.add_subcommand("healthcheck", "Exit 0 when a server is ready");
    add_address(*health, choice.health_address);
    health->footer("Example: twofold healthcheck --addr http://127.0.0.1:8431");
    health->callback(
        [&choice] { choice.action = [&choice] { return check_health(choice.health_address); }; });
    app.add_subcommand("version", "Print the version")->callback([&choice] {
        choice.action = &print_version;
    });
    if (!twofold::base::crash_point_names().empty()) {
        app.add_subcommand("crash-points", "List the named crash points of this test build")
            ->callback([&choice] { choice.action = &list_crash_points; });
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "Twofold: transactions over several databases, all or nothing.\n"
        "Exit codes: 0 ok, 1 error, 2 usage or configuration, 3 not found, "
        "4 outcome unknown, 5 aborted.");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string(kVersion));
    Choice choice;
    add_servers(app, choice);
    add_txn(app, choice);
    add_tools(app, choice);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kExitOk : kExitUsage;
    }
    return choice.action();
}
