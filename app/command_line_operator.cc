// The command line of those who run Twofold: participants, status, doctor, configuration, logs.
#include "app/command_line.h"
#include "app/config_reader.h"

#include <CLI/CLI.hpp>

#include <string>

namespace twofold::app {

void add_participant_directory(CLI::App& participant, Choice& choice) {
    auto* list = participant.add_subcommand("list", "The participants that the coordinator knows");
    add_client(*list, choice.client);
    list->footer("Example: twofold participant list -o json");
    list->callback(choose(choice, choice.client, &list_participants));

    auto* put = participant.add_subcommand(
        "put",
        "Add a participant, or move one to another address, without a restart; the coordinator's "
        "registration_allow must name the host");
    put->add_option("name", choice.put.name, "The participant")->required();
    put->add_option("--url", choice.put.url, "Its address, http://HOST:PORT")->required();
    add_client(*put, choice.put.client);
    put->footer("Example: twofold participant put stock --url http://127.0.0.1:8433");
    put->callback(choose(choice, choice.put, &put_participant));

    auto* retire = participant.add_subcommand(
        "retire",
        "Give a participant up for good: it gets no new work, and its unfinished branches are "
        "recorded as heuristic-hazard");
    retire->add_option("name", choice.reason.name, "The participant")->required();
    add_reason(*retire, choice.reason, true);
    add_client(*retire, choice.reason.client);
    retire->footer("Example: twofold participant retire south --reason 'sold' --dry-run");
    retire->callback(choose(choice, choice.reason, &retire_participant));

    auto* rebind = participant.add_subcommand(
        "rebind",
        "Accept another database under the same participant, after pg_upgrade for example");
    rebind->add_option("name", choice.reason.name, "The participant")->required();
    add_reason(*rebind, choice.reason, true);
    add_client(*rebind, choice.reason.client);
    rebind->footer("Example: twofold participant rebind south --reason 'pg_upgrade to 16'");
    rebind->callback(choose(choice, choice.reason, &rebind_participant));

    auto* restore = participant.add_subcommand(
        "accept-restore",
        "Go on with a coordinator's log that was restored from a copy and that this participant "
        "refuses, or with this participant's restored database");
    restore->add_option("name", choice.reason.name, "The participant")->required();
    add_reason(*restore, choice.reason, true);
    add_client(*restore, choice.reason.client);
    restore->footer(
        "Example: twofold participant accept-restore south --reason 'disk lost, copy of 3 am'");
    restore->callback(choose(choice, choice.reason, &accept_restore));
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
    check->add_option("-o,--output", choice.text_or_json, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    check->footer(
        "Examples: twofold participant check http://127.0.0.1:8440 "
        "--work '[{\"reserve\": \"hamlet\", \"quantity\": 1}]'\n"
        "          twofold participant check http://127.0.0.1:8431 "
        "--work '[{\"statement\": \"debit\", \"params\": {\"id\": 1, \"amount\": 1}}]'");
    check->callback([&choice] {
        choice.check.json = choice.text_or_json == "json";
        choice.action = [&choice] { return check_participant(choice.check); };
    });
}

namespace {

void add_status(CLI::App& app, Choice& choice) {
    auto* status = app.add_subcommand(
        "status", "Servers at a glance: ready or not, epoch, counts, participants");
    StatusOptions& options = choice.status;
    status->add_option("--addr", options.addresses, "Addresses of coordinators or participants")
        ->envname("TWOFOLD_ADDR")
        ->delimiter(',')
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->check([](const std::string& text) {
            auto parsed = parse_http_url(text);
            return parsed.has_value() ? std::string() : parsed.error().context;
        });
    add_output(*status, options.output);
    status->footer(
        "Example: twofold status --addr http://127.0.0.1:8420 --addr http://127.0.0.1:8431");
    status->callback([&choice] {
        if (choice.status.addresses.empty()) choice.status.addresses = {kDefaultAddress};
        choice.action = [&choice] { return show_status(choice.status); };
    });
}

void add_doctor(CLI::App& app, Choice& choice) {
    auto* doctor = app.add_subcommand(
        "doctor", "Look for what is wrong and say what to do: coordinator, participants, disk");
    DoctorOptions& options = choice.doctor;
    doctor->add_option("--config",
                       options.config_file,
                       "The coordinator's configuration, when it is on this machine");
    doctor->add_option("--data-dir", options.data_dir, "Its data_dir, instead of --config");
    add_client(*doctor, options.client);
    doctor->footer("Example: twofold doctor --config coordinator.yaml");
    doctor->callback(choose(choice, options, &run_doctor));
}

void add_config(CLI::App& app, Choice& choice) {
    auto* config = app.add_subcommand("config", "Configuration files");
    config->require_subcommand(1);
    auto* check = config->add_subcommand(
        "check", "Read a file, and the TWOFOLD_… environment, as the server would; start nothing");
    ConfigCheckOptions& options = choice.config_check;
    check->add_option("file", options.file, "The YAML file")->required();
    check->add_option("--kind", options.kind, "coordinator or participant")
        ->required()
        ->check(CLI::IsMember({"coordinator", "participant"}));
    add_output(*check, options.output);
    check->footer("Example: twofold config check coordinator.yaml --kind coordinator");
    check->callback(choose(choice, options, &check_config));
}

void add_wal_command(CLI::App& wal,
                     Choice& choice,
                     const char* name,
                     const char* help,
                     int (*action)(const WalOptions&)) {
    auto* command = wal.add_subcommand(name, help);
    command->add_option("--dir", choice.wal.directory, "The coordinator's data_dir")->required();
    command->add_option("-o,--output", choice.text_or_json, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    command->footer(std::string("Example: twofold wal ") + name + " --dir /var/lib/twofold");
    command->callback([&choice, action] {
        choice.wal.json = choice.text_or_json == "json";
        choice.action = [&choice, action] { return action(choice.wal); };
    });
}

}  // namespace

void add_operations(CLI::App& app, Choice& choice) {
    add_status(app, choice);
    add_doctor(app, choice);
    add_config(app, choice);
    auto* health = app.add_subcommand("healthcheck", "Exit 0 when a server is ready");
    add_address(*health, choice.health_address);
    health->footer("Example: twofold healthcheck --addr http://127.0.0.1:8431");
    health->callback(
        [&choice] { choice.action = [&choice] { return check_health(choice.health_address); }; });
}

void add_wal(CLI::App& app, Choice& choice) {
    auto* wal = app.add_subcommand("wal", "Look at a log offline; nothing is modified");
    wal->require_subcommand(1);
    add_wal_command(*wal, choice, "verify", "Check a log; exit 1 when it is damaged", &verify_wal);
    add_wal_command(*wal, choice, "dump", "Print every record of a log", &dump_wal);
}

}  // namespace twofold::app
