// `twofold config check`: reads a configuration as the server would, and starts nothing.
#include "app/client.h"
#include "app/commands.h"
#include "app/configs.h"
#include "app/text_table.h"
#include "base/json_writer.h"

#include <string>
#include <vector>

namespace twofold::app {

namespace {

// One per line of the error's text.
std::vector<std::string> problems_of(const ConfigCheckOptions& options) {
    base::Error error{};
    if (options.kind == "coordinator") {
        auto config = load_coordinator_config(options.file);
        if (config.has_value()) return {};
        error = config.error();
    } else {
        auto config = load_participant_config(options.file);
        if (config.has_value()) return {};
        error = config.error();
    }
    std::vector<std::string> lines;
    std::size_t begin = 0;
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
        end = error.context.find('\n', begin);
        lines.push_back(error.context.substr(begin, end - begin));
    }
    return lines;
}

}  // namespace

int check_config(const ConfigCheckOptions& options) {
    std::vector<std::string> problems = problems_of(options);
    if (options.output == Output::json) {
        std::string out = "{";
        base::json::text(out, "file", options.file);
        base::json::flag(out, "ok", problems.empty());
        base::json::array(
            out, "problems", problems, [](std::string& to, const std::string& problem) {
                base::append_json_string(to, problem);
            });
        print(out + "}");
    } else {
        for (const std::string& problem : problems) print(printable(problem));
        if (problems.empty()) print(options.file + ": ok");
    }
    if (problems.empty()) return kExitOk;
    say(counted(problems.size(), "problem"));
    return kExitUsage;
}

}  // namespace twofold::app
