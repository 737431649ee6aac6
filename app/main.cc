// The program `twofold`: finds the subcommand, checks the options, returns the exit code.
#include "app/command_line.h"
#include "app/commands.h"
#include "app/version.h"

#include <CLI/CLI.hpp>

#include <string>

namespace twofold::app {

void add_servers(CLI::App& app, Choice& choice) {
    auto* coordinator = app.add_subcommand("coordinator", "Run a coordinator");
    coordinator->add_option(
        "--config", choice.config, "YAML file; every key has a TWOFOLD_… form too");
    coordinator->footer("Example: twofold coordinator --config coordinator.yaml");
    coordinator->callback(
        [&choice] { choice.action = [&choice] { return run_coordinator(choice.config); }; });
    auto* participant = app.add_subcommand(
        "participant", "Run the sidecar of one database; or a command about participants");
    participant->add_option(
        "--config", choice.config, "YAML file; every key has a TWOFOLD_… form too");
    participant->footer("Example: twofold participant --config orders.yaml");
    participant->callback([&choice, participant] {
        if (!participant->get_subcommands().empty()) return;  // it has chosen
        choice.action = [&choice] { return run_participant(choice.config); };
    });
    add_participant_directory(*participant, choice);
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

namespace {

void add_about_this_program(CLI::App& app, Choice& choice) {
    auto* version = app.add_subcommand("version", "Print the version");
    version->footer("Example: twofold version");
    version->callback([&choice] { choice.action = &print_version; });
#if defined(TWOFOLD_CRASH_POINTS)
    app.add_subcommand("crash-points", "List the named crash points of this test build")
        ->callback([&choice] { choice.action = &list_crash_points; });
#endif
}

int parse_and_run(int argc, char** argv) {
    CLI::App app(
        "Twofold: transactions over several databases, all or nothing.\n"
        "Exit codes: 0 ok, 1 error, 2 usage or configuration, 3 not found, "
        "4 outcome unknown, 5 aborted.");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string(kVersion));
    Choice choice;
    add_servers(app, choice);
    add_txn(app, choice);
    add_in_doubt(app, choice);
    add_operations(app, choice);
    add_wal(app, choice);
    add_about_this_program(app, choice);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kExitOk : kExitUsage;
    }
    return choice.action();
}

}  // namespace

}  // namespace twofold::app

int main(int argc, char** argv) { return twofold::app::parse_and_run(argc, argv); }
