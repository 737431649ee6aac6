// The declaration of the command line, noun by noun. Parsing fills a Choice; main() runs its
// action. Only these files know CLI11.
#pragma once

#include "app/commands.h"

#include <functional>
#include <string>

// The library's own name.
namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace twofold::app {

inline constexpr const char* kDefaultAddress = "http://127.0.0.1:8420";

// What was asked for; each command has options of its own.
struct Choice {
    std::string config;
    std::string text_or_json = "text";  // of the commands that print text
    DevOptions dev;
    TxnBeginOptions begin;
    TxnRunOptions run;
    TxnGetOptions get;
    TxnListOptions list;
    TxnWatchOptions watch;
    TxnCommitOptions commit;
    TxnAbortOptions abort;
    TxnIdOptions one;
    ReasonOptions reason;
    ParticipantPutOptions put;
    InDoubtListOptions in_doubt;
    ResolveOptions resolve;
    ResolveHeldOptions resolve_held;
    ClientOptions client;
    StatusOptions status;
    DoctorOptions doctor;
    ConfigCheckOptions config_check;
    ParticipantCheckOptions check;
    WalOptions wal;
    std::string health_address;
    std::function<int()> action;
};

// ---- by noun; `choice` outlives the parsing ----
void add_servers(CLI::App& app, Choice& choice);
void add_txn(CLI::App& app, Choice& choice);
void add_in_doubt(CLI::App& app, Choice& choice);
// Below `twofold participant`, which is a server, too.
void add_participant_directory(CLI::App& participant, Choice& choice);
void add_participant_check(CLI::App& participant, Choice& choice);
void add_operations(CLI::App& app, Choice& choice);  // status, doctor, config, healthcheck
void add_wal(CLI::App& app, Choice& choice);

// ---- what several have ----
void add_address(CLI::App& command, std::string& address);
// -o, --output table|json
void add_output(CLI::App& command, Output& output);
// Both.
void add_client(CLI::App& command, ClientOptions& client);
// --reason, --yes and, where there is one, --dry-run.
void add_reason(CLI::App& command, ReasonOptions& options, bool has_dry_run);

// Calls `command(options)` when this subcommand was given.
template <class Options>
std::function<void()> choose(Choice& choice, Options& options, int (*command)(const Options&)) {
    return [&choice, &options, command] {
        choice.action = [&options, command] { return command(options); };
    };
}

}  // namespace twofold::app
