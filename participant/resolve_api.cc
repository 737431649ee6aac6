#include "participant/resolve_api.h"

#include "base/json_writer.h"
#include "base/log.h"
#include "http/problem.h"
#include "protocol/json_reader.h"
#include "protocol/person_reason.h"

#include <memory>
#include <utility>

namespace twofold::participant {

namespace {

namespace json = base::json;
using http::ProblemCode;
using http::Request;
using http::Response;
using http::ResponseSink;
using protocol::Decision;
using protocol::ItemStatus;

constexpr std::size_t kDepthMax = 4;

constexpr ProblemCode kMalformedBody{
    "malformed_body", 400, "The body is not the JSON that this call takes", false};
constexpr ProblemCode kInvalidRequest{
    "invalid_request", 422, "The request cannot be carried out as it is", false};
constexpr ProblemCode kNotReady{"not_ready", 503, "The participant's database is not ready", true};
constexpr ProblemCode kBranchNotFound{
    "branch_not_found", 404, "The participant holds no such branch", false};
constexpr ProblemCode kWrongState{
    "wrong_state", 409, "The transaction is not in a state that allows this", false};
constexpr ProblemCode kCoordinatorKnows{
    "coordinator_knows", 409, "The branch's coordinator decides it", false};
constexpr ProblemCode kFoundOtherwise{
    "found_otherwise", 409, "The branch has ended otherwise", false};
constexpr ProblemCode kVersionChanged{
    "version_changed", 412, "It is not the version any more that If-Match names", false};
constexpr ProblemCode kVersionRequired{
    "version_required", 428, "This call needs If-Match with the version that was looked at", false};
constexpr ProblemCode kUnreachable{
    "coordinator_unreachable", 503, "No coordinator could be asked about the transaction", true};
constexpr ProblemCode kUnfinished{
    "resolution_unfinished", 503, "The decision is taken, and the database has not said yet", true};

base::Result<ResolveReceived> parse_body(std::string_view text) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, kDepthMax));
    protocol::ObjectReader in(value, "");
    ResolveReceived out;
    out.gid = in.text("gid");
    std::string outcome = in.text("outcome");
    if (outcome == "commit") {
        out.outcome = Decision::commit;
    } else if (outcome != "abort") {
        in.fail("outcome", "\"commit\" or \"abort\": what is to become of the branch");
    }
    out.reason = in.text("reason");
    if (in.has("dry_run")) out.dry_run = in.boolean("dry_run");
    if (in.has("coordinator_is_gone")) out.coordinator_is_gone = in.boolean("coordinator_is_gone");
    TWOFOLD_TRY(in.finish());
    return out;
}

std::string evidence_json(const AnswerResolve& answer) {
    std::string out = "[";
    for (const AnswerResolve::Evidence& one : answer.evidence) {
        if (out.size() > 1) out += ',';
        std::string item = "{";
        json::text(item, "coordinator", one.coordinator);
        json::text(item, "answer", one.answer);
        json::flag(item, "own", one.own);
        out += item + '}';
    }
    return out + ']';
}

Response refusal(const ProblemCode& code, const AnswerResolve& answer, std::string_view detail) {
    http::ProblemExtras extras;
    if (answer.key.branch != 0) extras.transaction_id = answer.key.group.text();
    if (code.retryable) extras.retry_after_seconds = 1;
    if (!answer.state.empty()) {
        extras.members_json.emplace_back("state", '"' + answer.state + '"');
        extras.members_json.emplace_back("version", '"' + answer.version + '"');
    }
    if (!answer.evidence.empty()) {
        extras.members_json.emplace_back("coordinators", evidence_json(answer));
    }
    return http::problem(code, detail, extras);
}

Response success(const AnswerResolve& answer, std::string_view outcome, bool dry_run) {
    std::string out = "{";
    json::text(out, "transaction", answer.key.group.text());
    json::number(out, "branch", answer.key.branch);
    json::number(out, "attempt", answer.key.attempt);
    if (outcome.empty()) {
        json::text(out, "state", answer.state);
        json::text(out, "version", answer.version);
    } else {
        json::text(out, "outcome", outcome);
    }
    json::flag(out, "dry_run", dry_run);
    json::raw(out, "coordinators", evidence_json(answer));
    return http::json_response(200, out + "}\n");
}

const ProblemCode& problem_of(ResolveStatus status) {
    switch (status) {
        case ResolveStatus::not_ready: return kNotReady;
        case ResolveStatus::not_found: return kBranchNotFound;
        case ResolveStatus::version_changed: return kVersionChanged;
        case ResolveStatus::coordinator_knows: return kCoordinatorKnows;
        case ResolveStatus::coordinator_unreachable: return kUnreachable;
        case ResolveStatus::possible:
        case ResolveStatus::accepted:
        case ResolveStatus::done_before:
        case ResolveStatus::wrong_state: return kWrongState;
    }
    return kWrongState;
}

Response ended_response(const AnswerResolve& accepted, const protocol::ItemResult& result) {
    switch (result.status) {
        case ItemStatus::committed: return success(accepted, "committed", false);
        case ItemStatus::aborted: return success(accepted, "aborted", false);
        case ItemStatus::unknown:
            return refusal(kUnfinished, accepted, "it is tried again and again: ask later");
        default:
            return refusal(kFoundOtherwise,
                           accepted,
                           std::string(to_string(result.status)) +
                               (result.reason.empty() ? "" : ": " + result.reason.message));
    }
}

void log_request(const ResolveReceived& wanted, const Request& request) {
    base::log_event(base::LogLevel::warning,
                    "operator_resolve",
                    "a person decides a prepared branch",
                    {{"gid", wanted.gid},
                     {"outcome", to_string(wanted.outcome)},
                     {"reason", wanted.reason},
                     {"dry_run", wanted.dry_run ? "true" : "false"},
                     {"coordinator_is_gone", wanted.coordinator_is_gone ? "true" : "false"},
                     {"peer", request.peer}});
}

void log_answer(const std::string& gid, std::string_view what, const AnswerResolve& answer) {
    base::log_event(base::LogLevel::warning,
                    "operator_resolve_answer",
                    "what became of a person's decision",
                    {{"gid", gid}, {"status", what}, {"coordinators", evidence_json(answer)}});
}

// "\"3.17\"" without its quotes; empty: it is none.
std::string version_in(std::string_view field) {
    bool quoted = field.size() > 2 && field.starts_with('"') && field.ends_with('"');
    return quoted ? std::string(field.substr(1, field.size() - 2)) : std::string();
}

// One decision on its way.
struct Call {
    ResponseSink sink;
    AnswerResolve accepted;
    std::string gid;
    bool has_left = false;

    void send(Response response) {
        if (!has_left) sink.send(std::move(response));
    }
};

void resolve(Driver& driver, const Request& request, ResponseSink sink) {
    auto wanted = parse_body(request.body);
    if (!wanted.has_value()) {
        bool is_form = wanted.error().code == base::Errc::invalid_argument;
        return sink.send(
            http::problem(is_form ? kMalformedBody : kInvalidRequest, wanted.error().context));
    }
    if (!protocol::is_person_reason(wanted.value().reason)) {
        return sink.send(http::problem(kInvalidRequest, protocol::kPersonReasonRule));
    }
    auto field = request.headers.find("If-Match");
    if (!field) {
        return sink.send(http::problem(
            kVersionRequired, "If-Match: give the branch's version in quotes (GET /v1/branches)"));
    }
    wanted.value().version = version_in(*field);
    log_request(wanted.value(), request);
    auto call = std::make_shared<Call>();
    call->sink = std::move(sink);
    // A person who has left gives the connection back; what was decided is carried out.
    call->sink.on_closed([weak = std::weak_ptr<Call>(call)] {
        auto left = weak.lock();
        if (left == nullptr) return;
        left->has_left = true;
        left->sink = ResponseSink();
    });
    call->gid = wanted.value().gid;
    std::string_view outcome = wanted.value().outcome == Decision::commit ? "committed" : "aborted";
    bool dry_run = wanted.value().dry_run;
    driver.resolve(
        std::move(wanted.value()),
        [call, outcome, dry_run](const AnswerResolve& answer) {
            log_answer(call->gid, to_string(answer.status), answer);
            switch (answer.status) {
                case ResolveStatus::accepted: call->accepted = answer; return;
                case ResolveStatus::possible: return call->send(success(answer, {}, true));
                case ResolveStatus::done_before:
                    return call->send(success(answer, outcome, dry_run));
                default: call->send(refusal(problem_of(answer.status), answer, answer.text));
            }
        },
        [call](const protocol::ItemResult& result) {
            log_answer(call->gid, to_string(result.status), call->accepted);
            call->send(ended_response(call->accepted, result));
        });
}

}  // namespace

void add_resolve_route(http::Router& router, Driver& driver) {
    router.add(http::Method::post,
               "/v1/branches:resolve",
               http::Role::operator_,
               [&driver](const Request& request, ResponseSink sink) {
                   resolve(driver, request, std::move(sink));
               });
}

}  // namespace twofold::participant
