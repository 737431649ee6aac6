#include "coordinator/api.h"

#include "base/json_writer.h"
#include "coordinator/answer_json.h"
#include "coordinator/problems.h"
#include "coordinator/submit_request.h"
#include "protocol/json.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

namespace twofold::coordinator {

namespace {

using base::Errc;
using http::Method;
using http::Request;
using http::ResponseSink;
using http::Role;
using std::chrono::milliseconds;
namespace json = base::json;

// Long enough for one round trip to a participant that is there.
constexpr milliseconds kShortestAsk{1'000};

http::Response body_problem(const base::Error& error) {
    const http::ProblemCode& code =
        error.code == Errc::invalid_argument ? problems::kMalformedBody : problems::kInvalidRequest;
    return http::problem(code, error.context);
}

// A query parameter as a number within [0, highest]; `fallback` when absent.
base::Result<std::uint64_t> query_number(const Request& request,
                                         std::string_view name,
                                         std::uint64_t fallback,
                                         std::uint64_t highest) {
    auto text = request.query_parameter(name);
    if (!text) return fallback;
    std::uint64_t value = 0;
    const char* end = text->data() + text->size();
    auto [stop, code] = std::from_chars(text->data(), end, value);
    if (code != std::errc{} || stop != end || text->empty() || value > highest) {
        return base::fail(Errc::precondition_failed,
                          "query parameter " + std::string(name) +
                              ": must be an integer from 0 to " + std::to_string(highest));
    }
    return value;
}

base::Result<void> only_parameters(const Request& request,
                                   std::initializer_list<std::string_view> known) {
    for (const http::Parameter& parameter : request.query) {
        bool found = false;
        for (std::string_view name : known) found = found || parameter.name == name;
        if (found) continue;
        std::string message =
            "query parameter " + parameter.name.substr(0, 64) + ": unknown; known are";
        for (std::string_view name : known) message.append(" ").append(name);
        return base::fail(Errc::precondition_failed, std::move(message));
    }
    return base::ok();
}

void append_participant(std::string& out, const ParticipantStatus& status) {
    out += '{';
    json::text(out, "name", status.name);
    json::text(out, "url", status.url);
    json::number(out, "number", status.number.value);
    json::flag(out, "up", status.up);
    if (!status.problem.empty()) json::text(out, "problem", status.problem);
    if (!status.info.identity.empty()) {
        json::text(out, "uuid", status.info.uuid.text());
        json::text(out, "identity", status.info.identity.text());
        json::number(out, "epoch", status.info.epoch);
        json::number(out, "slots", status.info.slots);
    }
    out += '}';
}

// All handlers share this; it lives as long as the routes.
class Api {
public:
    Api(Driver& driver, ApiOptions options) : driver_(driver), options_(std::move(options)) {}

    void submit(const Request& request, ResponseSink sink);
    void get(const Request& request, ResponseSink sink);
    void ask_participant(const protocol::TxnId& id, milliseconds wait, ResponseSink sink);
    void list(const Request& request, ResponseSink sink);
    void participants(ResponseSink sink) const;
    void inquire(const Request& request, ResponseSink sink);
    void ready(ResponseSink sink) const;

    [[nodiscard]] const ApiOptions& options() const { return options_; }

private:
    [[nodiscard]] SubmitLimits limits() const;
    [[nodiscard]] base::Result<SubmitOneShot> to_input(SubmitBody body, http::Response& refusal);
    [[nodiscard]] base::Result<Machine::ListFilter> list_filter(const Request& request) const;
    [[nodiscard]] ParticipantName names() const {
        return
            [this](protocol::ParticipantNumber number) { return driver_.participant_name(number); };
    }

    Driver& driver_;
    ApiOptions options_;
};

SubmitLimits Api::limits() const {
    SubmitLimits limits;
    limits.json_depth_max = options_.json_depth_max;
    limits.branches_max = options_.branches_max;
    limits.statements_max = options_.statements_max;
    limits.labels_max = options_.labels_max;
    limits.deadline_default = options_.deadline_default;
    limits.deadline_max = options_.deadline_max;
    return limits;
}

base::Result<SubmitOneShot> Api::to_input(SubmitBody body, http::Response& refusal) {
    SubmitOneShot input;
    input.options = std::move(body.options);
    for (std::size_t i = 0; i < body.branches.size(); ++i) {
        SubmitBranch& branch = body.branches[i];
        const ParticipantStatus* status = driver_.find_participant(branch.participant);
        std::string path = "branches[" + std::to_string(i) + "].participant: ";
        if (status == nullptr) {
            std::string message = path + "\"" + branch.participant.substr(0, 128) +
                                  "\" is not configured; configured are";
            for (const auto& known : driver_.participants()) message.append(" ").append(known.name);
            refusal = http::problem(problems::kUnknownParticipant, message);
            return base::fail(Errc::not_found, message);
        }
        if (status->number.value == 0) {
            // It was never reached, so it has no number and nothing can be enlisted.
            http::ProblemExtras extras;
            extras.retry_after_seconds = 1;
            refusal = http::problem(problems::kNoRoom,
                                    path + branch.participant + " at " + status->url +
                                        " has not been reached yet: " + status->problem,
                                    extras);
            return base::fail(Errc::unavailable, status->problem);
        }
        input.branches.push_back({status->number, std::move(branch.work), branch.options});
    }
    return input;
}

void Api::submit(const Request& request, ResponseSink sink) {
    auto body = parse_submit_body(request.body, limits());
    if (!body.has_value()) {
        sink.send(body_problem(body.error()));
        return;
    }
    if (auto field = request.headers.find("Idempotency-Key")) {
        auto key = parse_idempotency_key(*field, request.body);
        if (!key.has_value()) {
            sink.send(http::problem(problems::kInvalidRequest, key.error().context));
            return;
        }
        body.value().options.idempotency = key.value();
    }
    http::Response refusal;
    auto input = to_input(std::move(body.value()), refusal);
    if (!input.has_value()) {
        sink.send(std::move(refusal));
        return;
    }
    auto shared = std::make_shared<ResponseSink>(std::move(sink));
    Ticket ticket = driver_.open_ticket([shared, name = names()](const Answer& answer) {
        shared->send(terminate_response(answer, name));
    });
    // A client that goes away is not a reason to stop: the outcome can be asked for later.
    shared->on_closed([this, ticket] { driver_.close_ticket(ticket); });
    input.value().ticket = ticket;
    driver_.submit(std::move(input.value()));
}

void Api::get(const Request& request, ResponseSink sink) {
    auto id = protocol::TxnId::parse(request.path_parameter("id"));
    if (!id) {
        sink.send(http::problem(problems::kTransactionNotFound,
                                "a transaction id has 48 characters of A-Z a-z 0-9 - _"));
        return;
    }
    auto known = only_parameters(request, {"wait_ms", "since"});
    auto longest = static_cast<std::uint64_t>(options_.wait_max.count());
    auto wait = query_number(request, "wait_ms", 0, longest);
    auto since = query_number(request, "since", 0, ~0ULL);
    for (const base::Error* error : {known.has_value() ? nullptr : &known.error(),
                                     wait.has_value() ? nullptr : &wait.error(),
                                     since.has_value() ? nullptr : &since.error()}) {
        if (error == nullptr) continue;
        sink.send(body_problem(*error));
        return;
    }
    Answer now = driver_.machine().query(*id);
    if (now.kind == AnswerKind::cannot_tell) {
        ask_participant(*id, milliseconds(wait.value()), std::move(sink));
        return;
    }
    bool has_since = request.query_parameter("since").has_value();
    std::uint64_t from = has_since ? since.value() : now.report.version;
    auto shared = std::make_shared<ResponseSink>(std::move(sink));
    driver_.watch(*id, from, milliseconds(wait.value()), [this, shared, id = *id] {
        shared->send(query_response(driver_.machine().query(id), names()));
    });
}

// The outcome of a one-phase transaction of an earlier start is in its participant's database only.
void Api::ask_participant(const protocol::TxnId& id, milliseconds wait, ResponseSink sink) {
    auto shared = std::make_shared<ResponseSink>(std::move(sink));
    Ticket ticket = driver_.open_ticket([shared, name = names()](const Answer& answer) {
        shared->send(query_response(answer, name));
    });
    shared->on_closed([this, ticket] { driver_.close_ticket(ticket); });
    driver_.submit(OutcomeRequest{ticket, id, std::max(wait, kShortestAsk)});
}

base::Result<Machine::ListFilter> Api::list_filter(const Request& request) const {
    TWOFOLD_TRY(only_parameters(request, {"state", "participant", "limit", "cursor", "label"}));
    Machine::ListFilter filter;
    TWOFOLD_TRY(std::uint64_t limit, query_number(request, "limit", 50, 1000));
    filter.limit = limit == 0 ? 50 : limit;
    if (auto state = request.query_parameter("state")) filter.state = std::string(*state);
    if (auto name = request.query_parameter("participant")) {
        const ParticipantStatus* status = driver_.find_participant(*name);
        if (status == nullptr) {
            return base::fail(
                Errc::precondition_failed,
                "query parameter participant: \"" + std::string(*name) + "\" is not configured");
        }
        filter.participant = status->number;
    }
    if (auto cursor = request.query_parameter("cursor")) {
        filter.after = protocol::TxnId::parse(*cursor);
        if (!filter.after) {
            return base::fail(
                Errc::precondition_failed,
                "query parameter cursor: take it from next_cursor of the page before");
        }
    }
    for (const http::Parameter& parameter : request.query) {
        if (parameter.name != "label") continue;
        std::size_t split = parameter.value.find('=');
        if (split == std::string::npos) {
            return base::fail(Errc::precondition_failed,
                              "query parameter label: must be name=value");
        }
        filter.labels[parameter.value.substr(0, split)] = parameter.value.substr(split + 1);
    }
    return filter;
}

void Api::list(const Request& request, ResponseSink sink) {
    auto filter = list_filter(request);
    if (!filter.has_value()) {
        sink.send(body_problem(filter.error()));
        return;
    }
    auto reports = driver_.machine().list(filter.value());
    std::string body = "{";
    json::array(
        body, "transactions", reports, [this](std::string& out, const TransactionReport& report) {
            out += report_json(report, names());
        });
    if (reports.size() == filter.value().limit) {
        json::text(body, "next_cursor", reports.back().txn.text());
    }
    sink.send(http::json_response(200, body + "}\n"));
}

void Api::participants(ResponseSink sink) const {
    std::string body = "{";
    json::array(body, "participants", driver_.participants(), append_participant);
    sink.send(http::json_response(200, body + "}\n"));
}

void Api::inquire(const Request& request, ResponseSink sink) {
    auto parsed = protocol::parse_inquiry_request(request.body);
    if (!parsed.has_value()) {
        sink.send(http::problem(problems::kMalformedBody, parsed.error().context));
        return;
    }
    auto shared = std::make_shared<ResponseSink>(std::move(sink));
    Ticket ticket = driver_.open_inquiry([shared](const protocol::InquiryReply& reply) {
        std::string body;
        protocol::append_inquiry_reply(body, reply);
        shared->send(http::json_response(200, std::move(body)));
    });
    driver_.submit(Inquire{ticket, std::move(parsed.value())});
}

void Api::ready(ResponseSink sink) const {
    std::string why = options_.not_ready_reason ? options_.not_ready_reason() : std::string();
    if (why.empty()) {
        sink.send(http::text_response(200, "ready\n"));
        return;
    }
    http::ProblemExtras extras;
    extras.retry_after_seconds = 1;
    sink.send(http::problem(http::problems::kOverloaded, why, extras));
}

}  // namespace

void add_routes(http::Router& router, Driver& driver, const ApiOptions& options) {
    auto api = std::make_shared<Api>(driver, options);
    router.add(Method::post,
               "/v1/transactions",
               Role::client,
               [api](const Request& request, ResponseSink sink) {
                   api->submit(request, std::move(sink));
               });
    router.add(
        Method::get,
        "/v1/transactions",
        Role::client,
        [api](const Request& request, ResponseSink sink) { api->list(request, std::move(sink)); });
    router.add(
        Method::get,
        "/v1/transactions/{id}",
        Role::client,
        [api](const Request& request, ResponseSink sink) { api->get(request, std::move(sink)); });
    router.add(
        Method::get, "/v1/participants", Role::client, [api](const Request&, ResponseSink sink) {
            api->participants(std::move(sink));
        });
    router.add(Method::post,
               "/v1/branches:inquire",
               Role::sidecar,
               [api](const Request& request, ResponseSink sink) {
                   api->inquire(request, std::move(sink));
               });
    router.add(Method::get, "/livez", Role::open, [](const Request&, ResponseSink sink) {
        sink.send(http::text_response(200, "alive\n"));
    });
    router.add(Method::get, "/readyz", Role::open, [api](const Request&, ResponseSink sink) {
        api->ready(std::move(sink));
    });
    if (options.metrics_text) {
        router.add(
            Method::get, "/metrics", Role::metrics, [api](const Request&, ResponseSink sink) {
                http::Response response = http::text_response(200, api->options().metrics_text());
                response.content_type = "text/plain; version=0.0.4";
                sink.send(std::move(response));
            });
    }
}

}  // namespace twofold::coordinator
