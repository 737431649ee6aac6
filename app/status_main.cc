// `twofold status` and `twofold healthcheck`: how servers are, at a glance.
#include "app/answer_view.h"
#include "app/client.h"
#include "app/commands.h"
#include "app/server_look.h"
#include "app/text_table.h"
#include "base/json_writer.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace twofold::app {

namespace {

namespace json = base::json;

struct ServerStatus {
    std::string address;
    ServerLook look;
    std::optional<boost::json::array> participants;  // nothing: it did not say
};

ServerStatus read_status(const std::string& address) {
    Client client(address);
    ServerStatus status{address, look_at(client), std::nullopt};
    if (!status.look.reachable || status.look.role == "participant") return status;
    auto answer = client.get("/v1/participants", std::chrono::seconds(5));
    if (answer.has_value() && answer.value().status == 200) {
        status.participants = list_of(answer.value().json, "participants");
    }
    return status;
}

std::string state_of(const ServerLook& look) {
    if (!look.reachable) return "unreachable";
    return look.ready ? "ready" : "not ready";
}

// Empty when the server has no such figure.
std::string whole(std::optional<double> figure) {
    return figure ? std::to_string(static_cast<std::uint64_t>(*figure)) : std::string();
}

// Of nothing there is no age.
std::string age_of(std::optional<double> seconds) {
    return seconds && *seconds > 0 ? whole(seconds) + " s" : std::string();
}

struct Counts {
    std::optional<double> epoch;
    std::optional<double> active;    // transactions, or branches, that have not ended
    std::optional<double> in_doubt;  // transactions, or prepared branches
    std::optional<double> oldest;    // of these, seconds
    std::optional<double> alarms;
};

Counts counts_of(const ServerLook& look) {
    const Figures& figures = look.figures;
    bool participant = look.role == "participant";
    return {
        figures.sum("twofold_epoch"),
        figures.sum(participant ? "twofold_participant_branches" : "twofold_transactions_active"),
        participant ? figures.sum("twofold_participant_branches", "state=\"prepared\"")
                    : figures.sum("twofold_transactions_active", "state=\"in_doubt\""),
        figures.sum(participant ? "twofold_participant_oldest_prepared_age_seconds"
                                : "twofold_indoubt_oldest_age_seconds"),
        figures.sum("twofold_alarms_total").value_or(0)};
}

std::string status_text(const std::vector<ServerStatus>& servers) {
    std::vector<Row> rows;
    for (const ServerStatus& server : servers) {
        const ServerLook& look = server.look;
        Counts counts = look.reachable ? counts_of(look) : Counts{};
        rows.push_back({server.address,
                        look.role,
                        state_of(look),
                        whole(counts.epoch),
                        whole(counts.active),
                        whole(counts.in_doubt),
                        age_of(counts.oldest),
                        whole(counts.alarms),
                        look.version,
                        look.why_not});
    }
    std::string out = text_table({"ADDRESS",
                                  "ROLE",
                                  "STATE",
                                  "EPOCH",
                                  "ACTIVE",
                                  "IN DOUBT",
                                  "OLDEST",
                                  "ALARMS",
                                  "VERSION",
                                  "NOTE"},
                                 rows);
    for (const ServerStatus& server : servers) {
        if (!server.participants) continue;
        out +=
            "\nparticipants of " + server.address + "\n" + participants_table(*server.participants);
    }
    return out;
}

void append_count(std::string& out, const char* name, std::optional<double> count) {
    if (count) json::number(out, name, static_cast<std::uint64_t>(*count));
}

std::string status_json(const std::vector<ServerStatus>& servers) {
    std::string out = "{";
    json::array(out, "servers", servers, [](std::string& to, const ServerStatus& server) {
        const ServerLook& look = server.look;
        to += '{';
        json::text(to, "address", server.address);
        if (!look.role.empty()) json::text(to, "role", look.role);
        json::flag(to, "reachable", look.reachable);
        json::flag(to, "ready", look.ready);
        if (!look.why_not.empty()) json::text(to, "reason", look.why_not);
        if (!look.version.empty()) json::text(to, "version", look.version);
        Counts counts = look.reachable ? counts_of(look) : Counts{};
        append_count(to, "epoch", counts.epoch);
        append_count(to, "active", counts.active);
        append_count(to, "in_doubt", counts.in_doubt);
        append_count(to, "in_doubt_oldest_seconds", counts.oldest);
        append_count(to, "alarms", counts.alarms);
        if (server.participants) {
            json::raw(to, "participants", boost::json::serialize(*server.participants));
        }
        to += '}';
    });
    return out + "}";
}

}  // namespace

int show_status(const StatusOptions& options) {
    std::vector<ServerStatus> servers;
    bool all_ready = true;
    for (const std::string& address : options.addresses) {
        servers.push_back(read_status(address));
        all_ready = all_ready && servers.back().look.ready;
    }
    print(options.output == Output::json ? status_json(servers) : status_text(servers));
    for (const ServerStatus& server : servers) {
        if (!server.look.ready) say(server.address + ": " + server.look.why_not);
    }
    return all_ready ? kExitOk : kExitError;
}

int check_health(const std::string& address) {
    Client client(address);
    auto answer = client.get("/readyz", std::chrono::seconds(5));
    if (!answer.has_value()) return report_failure(answer.error(), Effect::reads);
    if (answer.value().status == 200) {
        print("ready");
        return kExitOk;
    }
    std::string detail = text_of(answer.value().json, "detail");
    say(address + ": not ready" + (detail.empty() ? "" : ": " + detail));
    return kExitError;
}

}  // namespace twofold::app
