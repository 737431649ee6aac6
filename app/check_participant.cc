// `twofold participant check URL`: does a participant keep the rules of docs/participants.md?
#include "app/check_participant_cases.h"
#include "app/commands.h"
#include "base/json_writer.h"
#include "protocol/json_reader.h"

#include <boost/json/array.hpp>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace twofold::app {

namespace {

namespace json = base::json;

constexpr const char* kPage = "docs/participants.md";

struct Line {
    std::string name;
    std::string_view result;  // ok, FAIL, skip
    std::string rule;         // FAIL
    std::string text;         // FAIL, skip
};

// Prints as it goes, or everything at the end as one JSON object.
class Report {
public:
    Report(std::string url, bool as_json) : url_(std::move(url)), as_json_(as_json) {}

    void add(Line line) {
        failed_ += line.result == "FAIL" ? 1 : 0;
        skipped_ += line.result == "skip" ? 1 : 0;
        lines_.push_back(std::move(line));
        if (as_json_) return;
        const Line& added = lines_.back();
        std::string text = std::string(added.result) + " " + added.name;
        if (!added.text.empty()) text += ": " + added.text;
        if (!added.rule.empty()) text += " (rule " + added.rule + " of " + kPage + ")";
        std::printf("%s\n", text.c_str());
        std::fflush(stdout);
    }

    int finish() {
        if (as_json_) {
            std::printf("%s\n", json_text().c_str());
        } else if (failed_ > 0) {
            std::printf("check: FAILED failed=%zu\n", failed_);
        } else {
            std::printf("check: ok checks=%zu skipped=%zu\n", lines_.size() - skipped_, skipped_);
        }
        std::fflush(stdout);
        return failed_ > 0 ? kExitError : kExitOk;
    }

private:
    [[nodiscard]] std::string json_text() const {
        std::string out = "{";
        json::text(out, "url", url_);
        json::flag(out, "ok", failed_ == 0);
        json::number(out, "failed", failed_);
        json::number(out, "skipped", skipped_);
        json::array(out, "checks", lines_, [](std::string& to, const Line& line) {
            to += '{';
            json::text(to, "name", line.name);
            json::text(to, "result", line.result);
            if (!line.rule.empty()) json::text(to, "rule", line.rule);
            if (!line.text.empty()) json::text(to, "text", line.text);
            to += '}';
        });
        return out + "}";
    }

    std::string url_;
    bool as_json_;
    std::vector<Line> lines_;
    std::size_t failed_ = 0;
    std::size_t skipped_ = 0;
};

// Nothing when `text` is empty or an array of objects.
std::string work_problem(const std::string& text) {
    if (text.empty()) return {};
    auto value = protocol::parse_json(text, 32);
    if (!value.has_value()) return value.error().context;
    const boost::json::array* array = value.value().if_array();
    if (array == nullptr || array->empty()) return "must be an array of at least one object";
    for (const boost::json::value& element : *array) {
        if (!element.is_object()) return "must be an array of objects";
    }
    return {};
}

// The command's own output must not mix with ours.
Verdict run_command(const std::string& command) {
    std::string redirected = "{ " + command + "\n} 1>&2";
    int status = std::system(redirected.c_str());  // NOLINT(concurrency-mt-unsafe): one thread
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    std::string how = status != -1 && WIFEXITED(status)
                          ? "exit code " + std::to_string(WEXITSTATUS(status))
                          : "wait status " + std::to_string(status);
    return Fault{"P-4", "--restart-command failed with " + how};
}

Verdict restart(Probe& probe, const ParticipantCheckOptions& options) {
    if (Verdict fault = run_command(options.restart_command)) return fault;
    probe.reconnect();
    auto give_up = std::chrono::steady_clock::now() + options.restart_limit;
    while (true) {
        Verdict fault = probe.look();
        if (!fault) return {};
        if (std::chrono::steady_clock::now() >= give_up) {
            fault->text = "after the restart: " + fault->text;
            return fault;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

Line run_case(const CheckCase& check, CheckContext& context) {
    std::string_view skip = check.skip(context);
    if (!skip.empty()) return {std::string(check.name), "skip", {}, std::string(skip)};
    context.probe.begin_check();
    Verdict fault = check.run(context);
    context.probe.clean_up();
    if (!fault) return {std::string(check.name), "ok", {}, {}};
    return {std::string(check.name), "FAIL", std::string(fault->rule), std::move(fault->text)};
}

int usage_error(const std::string& text) {
    std::fprintf(stderr, "twofold participant check: %s\n", text.c_str());
    return kExitUsage;
}

}  // namespace

int check_participant(const ParticipantCheckOptions& options) {
    auto peer = parse_http_url(options.url);
    if (!peer.has_value()) return usage_error("URL: " + peer.error().context);
    if (options.work.empty()) {
        return usage_error(
            "--work: must be given: a JSON array of work that this participant can do again and "
            "again, such as '[{\"statement\": \"debit\", \"params\": {\"id\": 1, \"amount\": 1}}]' "
            "for a sidecar; it is committed several times, so use a test database");
    }
    for (const auto& [name, text] : {std::pair("--work", &options.work),
                                     std::pair("--failing-work", &options.failing_work),
                                     std::pair("--read-only-work", &options.read_only_work)}) {
        std::string problem = work_problem(*text);
        if (!problem.empty()) return usage_error(std::string(name) + ": " + problem);
    }
    Probe probe(peer.value(), {.deadline = options.deadline});
    Report report(options.url, options.json);
    Verdict unusable = probe.look();
    report.add({"description",
                unusable ? "FAIL" : "ok",
                unusable ? std::string(unusable->rule) : "",
                unusable ? unusable->text : ""});
    if (unusable) return report.finish();
    CheckContext context{
        probe, options.work, options.failing_work, options.read_only_work, nullptr};
    if (!options.restart_command.empty()) {
        context.restart = [&probe, &options] { return restart(probe, options); };
    }
    for (const CheckCase& check : check_cases()) report.add(run_case(check, context));
    probe.say_goodbye();
    return report.finish();
}

}  // namespace twofold::app
