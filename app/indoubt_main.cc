// `twofold indoubt list|resolve`: what is decided and not ended everywhere, and what a person has
// found out about a branch that cannot end by itself.
#include "app/answer_view.h"
#include "app/client.h"
#include "app/commands.h"
#include "app/indoubt_list.h"
#include "base/json_writer.h"

#include <boost/json/serialize.hpp>

#include <cstdio>
#include <string>
#include <utility>

namespace twofold::app {

namespace {

namespace json = base::json;

std::string resolve_body(const ResolveOptions& options) {
    std::string body = "{";
    json::number(body, "branch", options.branch);
    if (options.attempt != 0) json::number(body, "attempt", options.attempt);
    json::text(body, "outcome", options.outcome);
    json::text(body, "reason", options.base.reason);
    if (options.base.dry_run) json::flag(body, "dry_run", true);
    return body + "}";
}

// The evidence goes to the person, not into the data.
void show_evidence(const Answer& why, std::uint16_t branch) {
    std::string evidence = why_branch_text(why.json, branch);
    if (evidence.empty()) {
        evidence =
            "there is no branch " + std::to_string(branch) + "; it has\n" + why_text(why.json);
    }
    std::fputs(evidence.c_str(), stderr);
}

}  // namespace

int list_in_doubt(const InDoubtListOptions& options) {
    Client client(options.client.address);
    auto found = read_in_doubt(client, options.participant);
    if (!found.has_value()) return report_failure(found.error(), Effect::reads);
    if (const auto* refusal = std::get_if<Answer>(&found.value())) {
        return report_refusal(client, *refusal, Effect::reads, options.client.output);
    }
    const auto& reports = std::get<boost::json::array>(found.value());
    if (options.client.output == Output::json) {
        print("{\"transactions\":" + boost::json::serialize(reports) + "}");
    } else {
        print(in_doubt_table(reports));
        if (reports.empty()) say("nothing is in doubt");
    }
    return kExitOk;
}

int resolve_in_doubt(const ResolveOptions& options) {
    const ReasonOptions& base = options.base;
    Client client(base.client.address);
    auto why = client.get(transaction_path(base.name) + "/why");
    if (!why.has_value()) return report_failure(why.error(), Effect::reads);
    if (why.value().status != 200 || !why.value().json.is_object()) {
        return report_refusal(client, why.value(), Effect::reads, base.client.output);
    }
    show_evidence(why.value(), options.branch);
    if (!base.dry_run) {
        Consent consent =
            ask_consent("Record for good that branch " + std::to_string(options.branch) +
                            " was found " + options.outcome + " in its database?",
                        base.yes);
        if (consent != Consent::given) return without_consent(consent);
    }
    // If it has changed since the evidence was shown, this is refused.
    std::string version(why.value().headers.find("ETag").value_or(""));
    auto answer = client.post(
        transaction_path(base.name) + "/resolve", resolve_body(options), {{"If-Match", version}});
    if (!answer.has_value()) return report_failure(answer.error(), Effect::changes);
    if (answer.value().status != 200 || !answer.value().json.is_object()) {
        return report_refusal(client, answer.value(), Effect::changes, base.client.output);
    }
    if (base.dry_run) say("it could be resolved; this was a dry run and changed nothing");
    print(base.client.output == Output::json ? answer.value().text
                                             : transaction_text(answer.value().json));
    return kExitOk;
}

}  // namespace twofold::app
