// `twofold indoubt resolve --participant P --gid G`: a person decides a branch that its participant
// holds prepared and that no coordinator knows any more, because its log is lost.
#include "app/answer_view.h"
#include "app/client.h"
#include "app/commands.h"
#include "base/json_writer.h"

#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace twofold::app {

namespace {

namespace json = base::json;

// The participant's address: given, or from the coordinator's directory. Nothing: `code` says why.
std::optional<std::string> address_of(const ResolveHeldOptions& options, int& code) {
    if (options.participant.find("://") != std::string::npos) return options.participant;
    Client coordinator(options.base.client.address);
    auto answer = coordinator.get("/v1/participants/" + percent_encode(options.participant));
    if (!answer.has_value()) {
        code = report_failure(answer.error(), Effect::reads);
        say("without a coordinator give the participant's address: --participant http://HOST:PORT");
        return std::nullopt;
    }
    if (answer.value().status != 200 || !answer.value().json.is_object()) {
        code =
            report_refusal(coordinator, answer.value(), Effect::reads, options.base.client.output);
        return std::nullopt;
    }
    return text_of(answer.value().json, "url");
}

std::string body_of(const ResolveHeldOptions& options, bool dry_run) {
    std::string body = "{";
    json::text(body, "gid", options.gid);
    json::text(body, "outcome", options.outcome);
    json::text(body, "reason", options.base.reason);
    if (dry_run) json::flag(body, "dry_run", true);
    if (options.coordinator_is_gone) json::flag(body, "coordinator_is_gone", true);
    return body + "}";
}

// What is known goes to the person, not into the data.
void show_words(const boost::json::value& answer) {
    for (const boost::json::value& one : list_of(answer, "coordinators")) {
        bool own = flag_of(one, "own");
        say("coordinator " + text_of(one, "coordinator") + " says " + text_of(one, "answer") +
            (own ? " (the branch is of its log)" : ""));
    }
}

int finish(const Client& sidecar, const Answer& answer, const ResolveHeldOptions& options) {
    if (answer.status == 200 && answer.json.is_object()) {
        print(options.base.client.output == Output::json ? answer.text
                                                         : text_of(answer.json, "outcome"));
        return kExitOk;
    }
    show_words(answer.json);
    return report_refusal(sidecar, answer, Effect::changes, options.base.client.output);
}

// Its version, as listed; empty: it is not there.
std::string version_of(const Answer& list, const std::string& gid) {
    for (const boost::json::value& branch : list_of(list.json, "branches")) {
        if (text_of(branch, "gid") != gid) continue;
        say("the branch is " + text_of(branch, "state"));
        return text_of(branch, "version");
    }
    return {};
}

}  // namespace

int resolve_held(const ResolveHeldOptions& options) {
    const ReasonOptions& base = options.base;
    int code = kExitError;
    auto address = address_of(options, code);
    if (!address) return code;
    Client sidecar(*address);
    auto list = sidecar.get("/v1/branches");
    if (!list.has_value()) return report_failure(list.error(), Effect::reads);
    if (list.value().status != 200 || !list.value().json.is_object()) {
        return report_refusal(sidecar, list.value(), Effect::reads, base.client.output);
    }
    Fields version{{"If-Match", '"' + version_of(list.value(), options.gid) + '"'}};
    auto dry = sidecar.post("/v1/branches:resolve", body_of(options, true), version);
    if (!dry.has_value()) return report_failure(dry.error(), Effect::reads);
    if (dry.value().status != 200 || !dry.value().json.is_object()) {
        return finish(sidecar, dry.value(), options);
    }
    show_words(dry.value().json);
    if (base.dry_run) {
        say("it could be resolved; this was a dry run and changed nothing");
        if (base.client.output == Output::json) print(dry.value().text);
        return kExitOk;
    }
    Consent consent = ask_consent("Really " + options.outcome +
                                      " this branch for good? The other branches of its "
                                      "transaction must end the same way.",
                                  base.yes);
    if (consent != Consent::given) return without_consent(consent);
    auto done = sidecar.post("/v1/branches:resolve", body_of(options, false), version);
    if (!done.has_value()) return report_failure(done.error(), Effect::changes);
    return finish(sidecar, done.value(), options);
}

}  // namespace twofold::app
