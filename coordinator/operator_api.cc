#include "coordinator/operator_api.h"

#include "base/json_writer.h"
#include "base/log.h"
#include "coordinator/answer_json.h"
#include "coordinator/problems.h"
#include "protocol/json_reader.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <utility>

namespace twofold::coordinator {

namespace {

using base::Errc;
using base::Result;
using http::Method;
using http::Request;
using http::ResponseSink;
using http::Role;
namespace json = base::json;

constexpr std::size_t kDepthMax = 8;

http::Response refusal(const base::Error& error) {
    return http::problem(
        error.code == Errc::invalid_argument ? problems::kMalformedBody : problems::kInvalidRequest,
        error.context);
}

struct ResolveBody {
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;
    protocol::Decision found = protocol::Decision::abort;
    std::string reason;
    bool dry_run = false;
};

Result<ResolveBody> parse_resolve(std::string_view text) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, kDepthMax));
    protocol::ObjectReader in(value, "");
    ResolveBody body;
    body.branch = in.integer<std::uint16_t>("branch", 1);
    if (in.has("attempt")) body.attempt = in.integer<std::uint16_t>("attempt", 1);
    std::string outcome = in.text("outcome");
    if (outcome == "committed") {
        body.found = protocol::Decision::commit;
    } else if (outcome != "aborted") {
        in.fail("outcome", "\"committed\" or \"aborted\": what was found in the database");
    }
    body.reason = in.text("reason");
    if (in.has("dry_run")) body.dry_run = in.boolean("dry_run");
    TWOFOLD_TRY(in.finish());
    return body;
}

struct ReasonBody {
    std::string reason;
    bool dry_run = false;
};

Result<ReasonBody> parse_reason(std::string_view text, bool may_be_dry) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, kDepthMax));
    protocol::ObjectReader in(value, "");
    ReasonBody body;
    body.reason = in.text("reason");
    if (may_be_dry && in.has("dry_run")) body.dry_run = in.boolean("dry_run");
    TWOFOLD_TRY(in.finish());
    return body;
}

Result<ReasonBody> reason_of_query(const Request& request) {
    ReasonBody body;
    for (const http::Parameter& parameter : request.query) {
        if (parameter.name == "reason") {
            body.reason = parameter.value;
        } else if (parameter.name == "dry_run" &&
                   (parameter.value == "true" || parameter.value == "false")) {
            body.dry_run = parameter.value == "true";
        } else {
            return base::fail(Errc::precondition_failed,
                              "query parameter " + parameter.name.substr(0, 64) +
                                  ": known are reason=TEXT and dry_run=true|false");
        }
    }
    return body;
}

// ---- answers --------------------------------------------------------------------------

std::string advice_members(const Advice& advice) {
    std::string out = "{";
    json::text(out, "next", advice.next);
    json::text(out, "safe", advice.safe);
    return out.substr(1);
}

std::string explained_branch(const BranchExplanation& branch, const ReportContext& name) {
    std::string out = "{";
    json::number(out, "branch", branch.branch);
    json::number(out, "attempt", branch.attempt);
    json::flag(out, "replaced", branch.replaced);
    json::text(out, "participant", name(branch.participant));
    json::text(out, "state", branch.state);
    json::text(out, "gid", branch.gid);
    json::text(out, "identity", branch.identity);
    if (branch.proof) {
        std::string proof = "{";
        json::big_number(proof, "xid", branch.proof->xid);
        json::number(proof, "timeline", branch.proof->position.timeline);
        json::big_number(proof, "position", branch.proof->position.value);
        json::flag(proof, "witness", branch.proof->witness);
        json::raw(out, "proof", proof + "}");
    }
    return out + ',' + advice_members(branch.advice) + '}';
}

http::Response why_response(const Explanation& why, const ReportContext& name) {
    std::string out = "{";
    json::raw(out, "transaction", detailed_json(why.report, name));
    out += ',' + advice_members(why.advice);
    json::array(out, "branches", why.branches, [&](std::string& to, const auto& branch) {
        to += explained_branch(branch, name);
    });
    json::array(out, "records", why.records, [](std::string& to, const auto& record) {
        to += protocol::describe_record_json(record);
    });
    http::Response response = http::json_response(200, out + "}\n");
    response.headers.set("ETag", '"' + std::to_string(why.report.version) + '"');
    response.headers.set(kTransactionField, why.report.txn.text());
    return response;
}

// With what a person must know before deciding something about it. The ETag stands for that.
http::Response participant_response(const Driver& driver, const ParticipantStatus& status) {
    std::string out;
    append_participant(out, status);
    auto view = driver.machine().look_at(driver.number_of(status.name));
    if (view) {
        out.pop_back();
        json::number(out, "unfinished_branches", view->unfinished);
        if (view->mismatched) json::text(out, "enlisted", view->enlisted.text());
        out += '}';
    }
    http::Response response = http::json_response(200, out + "\n");
    std::uint64_t version = view ? view->version : 0;
    response.headers.set("ETag", '"' + std::to_string(version) + '"');
    return response;
}

class OperatorApi {
public:
    explicit OperatorApi(Driver& driver) : driver_(driver) {}

    void why(const Request& request, ResponseSink sink) const;
    void resolve(const Request& request, ResponseSink sink);
    void forget(const Request& request, ResponseSink sink);
    void participant(const Request& request, ResponseSink sink) const;
    void retire(const Request& request, ResponseSink sink);
    void rebind(const Request& request, ResponseSink sink);
    void accept_restore(const Request& request, ResponseSink sink);

private:
    [[nodiscard]] std::optional<protocol::TxnId> id_of(const Request& request,
                                                       ResponseSink& sink) const;
    [[nodiscard]] std::optional<std::uint64_t> version_of(const Request& request,
                                                          ResponseSink& sink) const;
    [[nodiscard]] const ParticipantStatus* status_of(const Request& request,
                                                     ResponseSink& sink) const;
    Ticket ticket_for(ResponseSink sink);
    Ticket participant_ticket(ResponseSink sink, std::string name);
    [[nodiscard]] ReportContext names() const { return report_context(driver_); }

    Driver& driver_;
};

// Nothing: it was answered.
std::optional<protocol::TxnId> OperatorApi::id_of(const Request& request,
                                                  ResponseSink& sink) const {
    auto id = protocol::TxnId::parse(request.path_parameter("id"));
    if (!id) {
        sink.send(http::problem(problems::kTransactionNotFound,
                                "a transaction id has 48 characters of A-Z a-z 0-9 - _"));
    }
    return id;
}

// The version that If-Match names. Nothing: it was answered.
std::optional<std::uint64_t> OperatorApi::version_of(const Request& request,
                                                     ResponseSink& sink) const {
    auto field = request.headers.find("If-Match");
    if (!field) {
        sink.send(http::problem(problems::kVersionRequired,
                                "If-Match: give the ETag of the report that you looked at (GET "
                                "/v1/transactions/ID, or /v1/participants/NAME)"));
        return std::nullopt;
    }
    std::uint64_t version = 0;
    bool quoted = field->size() > 2 && field->starts_with('"') && field->ends_with('"');
    std::string_view digits = quoted ? field->substr(1, field->size() - 2) : std::string_view();
    auto [stop, code] = std::from_chars(digits.data(), digits.data() + digits.size(), version);
    if (quoted && code == std::errc{} && stop == digits.data() + digits.size()) return version;
    sink.send(http::problem(problems::kVersionChanged,
                            "If-Match: " + std::string(field->substr(0, 64)) +
                                " is no version; give the ETag that comes with the transaction, or "
                                "with the participant"));
    return std::nullopt;
}

const ParticipantStatus* OperatorApi::status_of(const Request& request, ResponseSink& sink) const {
    std::string name(request.path_parameter("name"));
    const ParticipantStatus* status = driver_.find_participant(name);
    if (status == nullptr) {
        sink.send(http::problem(problems::kParticipantNotFound,
                                "\"" + name.substr(0, 128) + "\" is not configured"));
    }
    return status;
}

Ticket OperatorApi::ticket_for(ResponseSink sink) {
    auto shared = std::make_shared<ResponseSink>(std::move(sink));
    Ticket ticket = driver_.open_ticket(
        [this, shared](const Answer& answer) { shared->send(query_response(answer, names())); });
    shared->on_closed([this, ticket] { driver_.close_ticket(ticket); });
    return ticket;
}

Ticket OperatorApi::participant_ticket(ResponseSink sink, std::string name) {
    auto shared = std::make_shared<ResponseSink>(std::move(sink));
    Ticket ticket =
        driver_.open_ticket([this, shared, name = std::move(name)](const Answer& answer) {
            if (answer.kind == AnswerKind::not_found) {
                // It is configured, but was never reached: it has no number, and no record.
                return shared->send(http::problem(
                    problems::kParticipantNotFound,
                    "\"" + name + "\" has not been reached yet: take it out of the configuration"));
            }
            if (answer.kind != AnswerKind::done) {
                return shared->send(query_response(answer, names()));
            }
            const ParticipantStatus* status = driver_.find_participant(name);
            shared->send(status != nullptr ? participant_response(driver_, *status)
                                           : http::json_response(200, "{}\n"));
        });
    shared->on_closed([this, ticket] { driver_.close_ticket(ticket); });
    return ticket;
}

// ---- transactions ---------------------------------------------------------------------

void OperatorApi::why(const Request& request, ResponseSink sink) const {
    auto id = id_of(request, sink);
    if (!id) return;
    auto why = driver_.machine().explain(*id);
    if (why) {
        return sink.send(why_response(*why, names()));
    }
    Answer known = driver_.machine().query(*id);
    if (known.kind != AnswerKind::finished) return sink.send(query_response(known, names()));
    Explanation remembered;
    remembered.report = std::move(known.report);
    remembered.advice = {"nothing: it has ended, and only its outcome is remembered", ""};
    sink.send(why_response(remembered, names()));
}

void OperatorApi::resolve(const Request& request, ResponseSink sink) {
    auto id = id_of(request, sink);
    if (!id) return;
    auto body = parse_resolve(request.body);
    if (!body.has_value()) return sink.send(refusal(body.error()));
    auto version = version_of(request, sink);
    if (!version) return;
    base::log_event(base::LogLevel::warning,
                    "operator_resolve",
                    "a person resolves a branch",
                    {{"transaction", id->text()},
                     {"branch", static_cast<std::uint64_t>(body.value().branch)},
                     {"found", to_string(body.value().found)},
                     {"reason", body.value().reason},
                     {"dry_run", body.value().dry_run ? "true" : "false"},
                     {"peer", request.peer}});
    ResolveBranch input;
    input.txn = *id;
    input.branch = body.value().branch;
    input.attempt = body.value().attempt;
    input.found = body.value().found;
    input.version = *version;
    input.reason = std::move(body.value().reason);
    input.dry_run = body.value().dry_run;
    input.ticket = ticket_for(std::move(sink));
    driver_.submit(std::move(input));
}

void OperatorApi::forget(const Request& request, ResponseSink sink) {
    auto id = id_of(request, sink);
    if (!id) return;
    auto body = parse_reason(request.body, false);
    if (!body.has_value()) return sink.send(refusal(body.error()));
    auto version = version_of(request, sink);
    if (!version) return;
    base::log_event(
        base::LogLevel::warning,
        "operator_forget",
        "a person acknowledges a heuristic outcome",
        {{"transaction", id->text()}, {"reason", body.value().reason}, {"peer", request.peer}});
    Ticket ticket = ticket_for(std::move(sink));
    driver_.submit(Acknowledge{ticket, *id, *version, std::move(body.value().reason)});
}

// ---- participants ---------------------------------------------------------------------

void OperatorApi::participant(const Request& request, ResponseSink sink) const {
    const ParticipantStatus* status = status_of(request, sink);
    if (status != nullptr) sink.send(participant_response(driver_, *status));
}

void OperatorApi::retire(const Request& request, ResponseSink sink) {
    const ParticipantStatus* status = status_of(request, sink);
    if (status == nullptr) return;
    auto body = reason_of_query(request);
    if (!body.has_value()) return sink.send(refusal(body.error()));
    auto version = version_of(request, sink);
    if (!version) return;
    base::log_event(base::LogLevel::warning,
                    "operator_retire",
                    "a person retires a participant",
                    {{"participant", status->name},
                     {"reason", body.value().reason},
                     {"dry_run", body.value().dry_run ? "true" : "false"},
                     {"peer", request.peer}});
    protocol::ParticipantNumber number = driver_.number_of(status->name);
    Ticket ticket = participant_ticket(std::move(sink), status->name);
    driver_.submit(RetireParticipant{
        ticket, number, std::move(body.value().reason), body.value().dry_run, *version});
}

void OperatorApi::rebind(const Request& request, ResponseSink sink) {
    const ParticipantStatus* status = status_of(request, sink);
    if (status == nullptr) return;
    auto body = parse_reason(request.body, true);
    if (!body.has_value()) return sink.send(refusal(body.error()));
    auto version = version_of(request, sink);
    if (!version) return;
    base::log_event(base::LogLevel::warning,
                    "operator_rebind",
                    "a person accepts another database for a participant",
                    {{"participant", status->name},
                     {"reason", body.value().reason},
                     {"dry_run", body.value().dry_run ? "true" : "false"},
                     {"peer", request.peer}});
    protocol::ParticipantNumber number = driver_.number_of(status->name);
    Ticket ticket = participant_ticket(std::move(sink), status->name);
    driver_.submit(RebindParticipant{
        ticket, number, std::move(body.value().reason), body.value().dry_run, *version});
}

void OperatorApi::accept_restore(const Request& request, ResponseSink sink) {
    const ParticipantStatus* status = status_of(request, sink);
    if (status == nullptr) return;
    auto body = parse_reason(request.body, true);
    if (!body.has_value()) return sink.send(refusal(body.error()));
    auto version = version_of(request, sink);
    if (!version) return;
    base::log_event(base::LogLevel::warning,
                    "operator_accept_restore",
                    "a person accepts a restored log, or a participant's restored database",
                    {{"participant", status->name},
                     {"reason", body.value().reason},
                     {"dry_run", body.value().dry_run ? "true" : "false"},
                     {"peer", request.peer}});
    protocol::ParticipantNumber number = driver_.number_of(status->name);
    Ticket ticket = participant_ticket(std::move(sink), status->name);
    driver_.submit(AcceptRestore{
        ticket, number, std::move(body.value().reason), body.value().dry_run, *version});
}

}  // namespace

void add_operator_routes(http::Router& router, Driver& driver) {
    auto api = std::make_shared<OperatorApi>(driver);
    auto add = [&](Method method, std::string_view path, Role role, auto call) {
        router.add(method, path, role, [api, call](const Request& request, ResponseSink sink) {
            ((*api).*call)(request, std::move(sink));
        });
    };
    add(Method::get, "/v1/transactions/{id}/why", Role::operator_, &OperatorApi::why);
    add(Method::post, "/v1/transactions/{id}/resolve", Role::operator_, &OperatorApi::resolve);
    add(Method::post, "/v1/transactions/{id}/forget", Role::operator_, &OperatorApi::forget);
    add(Method::get, "/v1/participants/{name}", Role::client, &OperatorApi::participant);
    add(Method::delete_, "/v1/participants/{name}", Role::operator_, &OperatorApi::retire);
    add(Method::post, "/v1/participants/{name}/rebind", Role::operator_, &OperatorApi::rebind);
    add(Method::post,
        "/v1/participants/{name}/accept-restore",
        Role::operator_,
        &OperatorApi::accept_restore);
}

}  // namespace twofold::coordinator
