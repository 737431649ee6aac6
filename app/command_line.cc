#include "app/command_line.h"

#include "app/config_reader.h"

#include <CLI/CLI.hpp>

namespace twofold::app {

void add_address(CLI::App& command, std::string& address) {
    address = kDefaultAddress;
    command.add_option("--addr", address, "The coordinator's address")
        ->envname("TWOFOLD_ADDR")
        ->capture_default_str()
        ->check([](const std::string& text) {
            auto parsed = parse_http_url(text);
            return parsed.has_value() ? std::string() : parsed.error().context;
        });
}

void add_output(CLI::App& command, Output& output) {
    command
        .add_option_function<std::string>(
            "-o,--output",
            [&output](const std::string& text) {
                output = text == "json" ? Output::json : Output::table;
            },
            "table (default) or json")
        ->check(CLI::IsMember({"table", "json"}));
}

void add_client(CLI::App& command, ClientOptions& client) {
    add_address(command, client.address);
    add_output(command, client.output);
}

void add_reason(CLI::App& command, ReasonOptions& options, bool has_dry_run) {
    command.add_option("--reason", options.reason, "Why, for the log and for those who come after")
        ->required();
    command.add_flag("--yes", options.yes, "Do not ask; needed where nobody can be asked");
    if (!has_dry_run) return;
    command.add_flag("--dry-run", options.dry_run, "Only say whether it could be done");
}

}  // namespace twofold::app
