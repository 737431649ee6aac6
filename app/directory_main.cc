// `twofold participant list|put|retire|rebind|accept-restore`: the coordinator's directory of
// participants.
#include "app/answer_view.h"
#include "app/client.h"
#include "app/commands.h"
#include "app/indoubt_list.h"
#include "app/text_table.h"
#include "base/json_writer.h"

#include <boost/json/array.hpp>

#include <optional>
#include <string>
#include <utility>

namespace twofold::app {

namespace {

namespace json = base::json;

// Tells the person what is at stake, and notes what that was. The exit code, when it cannot be
// found out.
std::optional<int> show_open_work(const Client& client,
                                  const ReasonOptions& options,
                                  Fields& as_seen) {
    auto participant = client.get("/v1/participants/" + percent_encode(options.name));
    if (!participant.has_value()) return report_failure(participant.error(), Effect::reads);
    if (participant.value().status != 200) {
        return report_refusal(client, participant.value(), Effect::reads, options.client.output);
    }
    as_seen = {{"If-Match", std::string(participant.value().headers.find("ETag").value_or(""))}};
    const boost::json::value& known = participant.value().json;
    std::string enlisted = text_of(known, "enlisted");
    if (!enlisted.empty()) {
        say("database of " + options.name + ": enlisted was " + enlisted + ", now answers " +
            text_of(known, "identity"));
    }
    auto found = read_in_doubt(client, options.name);
    if (!found.has_value()) return report_failure(found.error(), Effect::reads);
    if (const auto* refusal = std::get_if<Answer>(&found.value())) {
        return report_refusal(client, *refusal, Effect::reads, options.client.output);
    }
    const auto& reports = std::get<boost::json::array>(found.value());
    say("in doubt at " + options.name + ": " + counted(reports.size(), "transaction") +
        (reports.empty() ? "" : "; see twofold indoubt list --participant " + options.name));
    return std::nullopt;
}

int report_participant(const Client& client,
                       const base::Result<Answer>& answer,
                       Output output,
                       bool dry_run) {
    if (!answer.has_value()) return report_failure(answer.error(), Effect::changes);
    const Answer& value = answer.value();
    bool is_done = value.status == 200 || value.status == 201;
    if (!is_done || !value.json.is_object()) {
        return report_refusal(client, value, Effect::changes, output);
    }
    if (dry_run) say("it could be done; this was a dry run and changed nothing");
    print(output == Output::json ? value.text : participants_table(boost::json::array{value.json}));
    return kExitOk;
}

// After the person has been shown what is open there, and has agreed.
int accept(const ReasonOptions& options, const std::string& call, const std::string& question) {
    Client client(options.client.address);
    Fields as_seen;
    if (auto code = show_open_work(client, options, as_seen)) return *code;
    if (!options.dry_run) {
        Consent consent = ask_consent(question, options.yes);
        if (consent != Consent::given) return without_consent(consent);
    }
    std::string body = "{";
    json::text(body, "reason", options.reason);
    if (options.dry_run) json::flag(body, "dry_run", true);
    return report_participant(
        client,
        client.post(
            "/v1/participants/" + percent_encode(options.name) + "/" + call, body + "}", as_seen),
        options.client.output,
        options.dry_run);
}

}  // namespace

int list_participants(const ClientOptions& options) {
    Client client(options.address);
    auto answer = client.get("/v1/participants");
    if (!answer.has_value()) return report_failure(answer.error(), Effect::reads);
    if (answer.value().status != 200 || !answer.value().json.is_object()) {
        return report_refusal(client, answer.value(), Effect::reads, options.output);
    }
    print(options.output == Output::json
              ? answer.value().text
              : participants_table(list_of(answer.value().json, "participants")));
    return kExitOk;
}

int put_participant(const ParticipantPutOptions& options) {
    Client client(options.client.address);
    std::string body = "{";
    json::text(body, "url", options.url);
    return report_participant(
        client,
        client.put("/v1/participants/" + percent_encode(options.name), body + "}"),
        options.client.output,
        false);
}

int retire_participant(const ReasonOptions& options) {
    Client client(options.client.address);
    Fields as_seen;
    if (auto code = show_open_work(client, options, as_seen)) return *code;
    if (!options.dry_run) {
        Consent consent =
            ask_consent("Retire " + options.name +
                            " for good? Its unfinished branches are recorded as heuristic-hazard.",
                        options.yes);
        if (consent != Consent::given) return without_consent(consent);
    }
    std::string target = "/v1/participants/" + percent_encode(options.name) +
                         "?reason=" + percent_encode(options.reason);
    if (options.dry_run) target += "&dry_run=true";
    return report_participant(
        client, client.remove(target, as_seen), options.client.output, options.dry_run);
}

int rebind_participant(const ReasonOptions& options) {
    return accept(options,
                  "rebind",
                  "Accept the database that answers now as the one of " + options.name + "?");
}

int accept_restore(const ReasonOptions& options) {
    int code = accept(options,
                      "accept-restore",
                      "Go on although " + options.name +
                          " knows more than the coordinator's log, or less than it did? What was "
                          "decided in between is not known any more.");
    if (code == kExitOk && !options.dry_run) {
        say("if the coordinator had stopped because of this, start it again now");
    }
    return code;
}

}  // namespace twofold::app
