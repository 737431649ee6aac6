// `twofold doctor`: what is wrong, and what to do about it. Looks from where it runs: the network
// between the coordinator and the participants may be another one. Changes nothing.
#include "app/answer_view.h"
#include "app/client.h"
#include "app/commands.h"
#include "app/configs.h"
#include "app/indoubt_list.h"
#include "app/server_look.h"
#include "app/text_table.h"
#include "app/version.h"
#include "base/json_writer.h"

#include <boost/json/array.hpp>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace twofold::app {

namespace {

namespace json = base::json;

// Phase 2 takes milliseconds: what is in doubt at both ends of this pause is stuck on something.
constexpr std::chrono::milliseconds kSecondLook{2'000};
constexpr std::uint64_t kMebibyte = 1U << 20U;
constexpr std::uint64_t kSpaceLow = 1024 * kMebibyte;
// Less than a few segments: the next ones cannot be made.
constexpr std::uint64_t kSpaceGone = 64 * kMebibyte;
constexpr double kSlowForceSeconds = 0.05;

struct Finding {
    std::string_view result;  // ok, warn, FAIL
    std::string name;
    std::string text;
    std::string fix;  // warn, FAIL
};

class Doctor {
public:
    explicit Doctor(const DoctorOptions& options)
        : options_(options), client_(options.client.address) {}

    int examine() {
        ServerLook look = look_at(client_);
        check_coordinator(look);
        if (look.reachable) {
            check_figures(look.figures);
            check_participants();
            check_in_doubt();
        }
        check_disk();
        return finish();
    }

private:
    void add(std::string_view result, std::string name, std::string text, std::string fix = {}) {
        findings_.push_back({result, std::move(name), std::move(text), std::move(fix)});
    }

    void check_coordinator(const ServerLook& look);
    void check_figures(const Figures& figures);
    void check_participants();
    void check_participant(const boost::json::value& participant);
    void check_in_doubt();
    void check_disk();
    int finish() const;

    const DoctorOptions& options_;
    Client client_;
    std::vector<Finding> findings_;
};

void Doctor::check_coordinator(const ServerLook& look) {
    const std::string& address = client_.address();
    if (!look.reachable) {
        return add("FAIL",
                   "coordinator",
                   look.why_not,
                   "start it (twofold coordinator --config FILE), or give its address with --addr "
                   "or TWOFOLD_ADDR");
    }
    if (look.role == "participant") {
        return add("FAIL",
                   "coordinator",
                   address + " is a participant",
                   "give the coordinator's address with --addr or TWOFOLD_ADDR");
    }
    if (!look.ready) {
        return add("FAIL",
                   "coordinator",
                   address + " is not ready: " + look.why_not,
                   "wait while it reads its log; otherwise see its log of events on stderr");
    }
    add("ok", "coordinator", address + " is ready");
    if (look.version != kVersion) {
        add("warn",
            "version",
            "the coordinator is " +
                (look.version.empty() ? "of an unknown version" : look.version) +
                ", this program is " + std::string(kVersion),
            "run the client of the coordinator's version");
    }
}

void Doctor::check_figures(const Figures& figures) {
    std::string alarms;
    for (const auto& [code, count] : figures.by_label("twofold_alarms_total", "code")) {
        if (count > 0) alarms += (alarms.empty() ? "" : ", ") + code;
    }
    if (alarms.empty()) {
        add("ok", "alarms", "none since the coordinator's start");
    } else {
        add("warn",
            "alarms",
            "since the coordinator's start: " + alarms,
            "find them in the coordinator's log of events, with transaction and participant");
    }
    if (figures.sum("twofold_wal_append_failures_total").value_or(0) > 0) {
        add("warn",
            "log",
            "the disk of the log has been full since the coordinator's start",
            "make room on the disk of data_dir");
    }
    double count = figures.sum("twofold_wal_fsync_duration_seconds_count").value_or(0);
    double seconds = figures.sum("twofold_wal_fsync_duration_seconds_sum").value_or(0);
    if (count > 0 && seconds / count > kSlowForceSeconds) {
        add("warn",
            "log",
            "a forced write takes " +
                std::to_string(static_cast<std::uint64_t>(seconds / count * 1000)) +
                " ms on average; every commit waits for one",
            "put data_dir on a faster local disk");
    }
}

void Doctor::check_participants() {
    auto answer = client_.get("/v1/participants");
    if (!answer.has_value() || answer.value().status != 200) {
        return add("FAIL",
                   "participants",
                   "the coordinator does not list them",
                   "see whether it is recovering: twofold status");
    }
    const boost::json::array& participants = list_of(answer.value().json, "participants");
    if (participants.empty()) {
        add("warn",
            "participants",
            "none is configured",
            "name them in the coordinator's configuration: participants: [{name: …, url: …}]");
    }
    for (const boost::json::value& participant : participants) check_participant(participant);
}

void Doctor::check_participant(const boost::json::value& participant) {
    std::string name = "participant " + text_of(participant, "name");
    std::string url = text_of(participant, "url");
    if (flag_of(participant, "retired")) return add("ok", name, "is retired");
    std::string problem = text_of(participant, "problem");
    bool up = flag_of(participant, "up") && problem.empty();
    ServerLook look = look_at(Client(url));
    if (look.reachable && !look.ready) {
        // Wrong settings of its database, for example, are told here, with what to change.
        return add("FAIL",
                   name,
                   url + " is not ready: " + look.why_not,
                   "do what it says; it tries again by itself");
    }
    if (!up) {
        std::string text = "the coordinator cannot use " + url + ": " +
                           (problem.empty() ? "it has not answered" : problem);
        return add("FAIL",
                   name,
                   look.ready ? text + "; from here it is ready" : text,
                   look.ready ? "let the coordinator's machine reach that address, or correct url"
                              : "start it (twofold participant --config FILE), or correct url in "
                                "the coordinator's configuration");
    }
    if (!look.reachable) {
        return add("warn",
                   name,
                   "is up for the coordinator, but not reachable from here: " + look.why_not,
                   "nothing, when only the coordinator's network reaches it");
    }
    add("ok", name, url + " is ready");
}

void Doctor::check_in_doubt() {
    auto read = [this]() -> base::Result<InDoubt> { return read_in_doubt(client_, ""); };
    auto first = read();
    const auto* before =
        first.has_value() ? std::get_if<boost::json::array>(&first.value()) : nullptr;
    if (before == nullptr) {
        return add("FAIL",
                   "in doubt",
                   "the coordinator does not list its transactions",
                   "see whether it is recovering: twofold status");
    }
    if (before->empty()) return add("ok", "in doubt", "nothing");
    std::this_thread::sleep_for(kSecondLook);
    auto second = read();
    const auto* after =
        second.has_value() ? std::get_if<boost::json::array>(&second.value()) : nullptr;
    if (after == nullptr) after = before;
    std::set<std::string> known;
    for (const boost::json::value& report : *before) known.insert(text_of(report, "id"));
    std::size_t stuck = 0;
    std::size_t for_people = 0;
    for (const boost::json::value& report : *after) {
        if (!known.contains(text_of(report, "id"))) continue;
        const boost::json::array& branches = list_of(report, "branches");
        bool parked = std::ranges::any_of(
            branches, [](const auto& branch) { return text_of(branch, "state") == "parked"; });
        bool odd = text_of(report, "state") == "heuristic";
        (parked || odd ? for_people : stuck) += 1;
    }
    if (for_people > 0) {
        add("FAIL",
            "in doubt",
            "a person has to look at " + counted(for_people, "transaction"),
            "twofold indoubt list, then twofold txn why ID says what is safe to do");
    }
    if (stuck > 0) {
        add("warn",
            "in doubt",
            counted(stuck, "transaction") + " for more than " +
                std::to_string(kSecondLook.count() / 1000) + " s",
            "bring their participants back: twofold indoubt list; everything else happens by "
            "itself");
    }
    if (for_people + stuck == 0) add("ok", "in doubt", "nothing that stays");
}

void Doctor::check_disk() {
    std::string folder = options_.data_dir;
    if (!options_.config_file.empty()) {
        auto config = load_coordinator_config(options_.config_file);
        if (!config.has_value()) {
            return add("FAIL",
                       "configuration",
                       config.error().context,
                       "twofold config check " + options_.config_file + " --kind coordinator");
        }
        if (folder.empty()) folder = config.value().data_dir;
    }
    if (folder.empty()) return;
    struct statvfs disk {};
    if (::statvfs(folder.c_str(), &disk) != 0) {
        return add("FAIL",
                   "disk",
                   folder + ": " + std::strerror(errno),
                   "run this where the coordinator runs, as its user; or correct data_dir");
    }
    std::uint64_t available = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    std::string text =
        folder + " has room for " + std::to_string(available / kMebibyte) + " MiB more";
    if (available < kSpaceGone) {
        add("FAIL", "disk", text, "make room: the coordinator takes no new work without it");
    } else if (available < kSpaceLow) {
        add("warn", "disk", text, "make room before new work is refused");
    } else {
        add("ok", "disk", text);
    }
}

int Doctor::finish() const {
    bool failed =
        std::ranges::any_of(findings_, [](const Finding& one) { return one.result == "FAIL"; });
    if (options_.client.output == Output::json) {
        std::string out = "{";
        json::flag(out, "ok", !failed);
        json::array(out, "checks", findings_, [](std::string& to, const Finding& one) {
            to += '{';
            json::text(to, "result", one.result);
            json::text(to, "name", one.name);
            json::text(to, "text", one.text);
            if (!one.fix.empty()) json::text(to, "fix", one.fix);
            to += '}';
        });
        print(out + "}");
    } else {
        for (const Finding& one : findings_) {
            std::string line = std::string(one.result);
            line.resize(6, ' ');
            print(printable(line + one.name + ": " + one.text));
            if (!one.fix.empty()) print(printable("      do: " + one.fix));
        }
    }
    return failed ? kExitError : kExitOk;
}

}  // namespace

int run_doctor(const DoctorOptions& options) { return Doctor(options).examine(); }

}  // namespace twofold::app
