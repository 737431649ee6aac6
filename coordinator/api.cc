#include "coordinator/api.h"

#include "base/json_writer.h"
#include "coordinator/api_support.h"
#include "coordinator/core/state.h"
#include "coordinator/events_api.h"
#include "coordinator/interactive_api.h"
#include "coordinator/problems.h"
#include "protocol/json.h"

#include <algorithm>
#include <charconv>
#include <functional>
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
// Of "older_than_ms": a year.
constexpr std::uint64_t kOldestAgeMs = 365ULL * 86'400'000;
// Reports that are made at a time for a list.
constexpr std::size_t kListStep = 50;

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

// Handlers of what is not about one interactive transaction. Lives as long as the routes.
class Api {
public:
    explicit Api(const ApiContext& context) : context_(context), driver_(context.driver) {}

    void begin_or_submit(const Request& request, ResponseSink sink) const;
    void get(const Request& request, ResponseSink sink) const;
    void list(const Request& request, ResponseSink sink) const;
    void participants(ResponseSink sink) const;
    void inquire(const Request& request, ResponseSink sink) const;
    void ready(ResponseSink sink) const;

private:
    void begin(BeginOptions options, ResponseSink sink) const;
    void submit(SubmitBody body, ResponseSink sink) const;
    void ask_participant(const protocol::TxnId& id, milliseconds wait, ResponseSink sink) const;
    [[nodiscard]] base::Result<Machine::ListFilter> list_filter(const Request& request) const;

    const ApiContext& context_;
    Driver& driver_;
};

void Api::begin_or_submit(const Request& request, ResponseSink sink) const {
    auto body = parse_submit_body(request.body, context_.limits());
    if (!body.has_value()) {
        sink.send(body_problem(body.error()));
        return;
    }
    auto key = idempotency_of(request);
    if (!key.has_value()) {
        sink.send(http::problem(problems::kInvalidRequest, key.error().context));
        return;
    }
    body.value().options.idempotency = key.value();
    if (body.value().one_shot) {
        submit(std::move(body.value()), std::move(sink));
    } else {
        begin(std::move(body.value().options), std::move(sink));
    }
}

void Api::begin(BeginOptions options, ResponseSink sink) const {
    context_.run(
        std::move(sink),
        [this](const Answer& answer) {
            const TransactionReport& report = answer.report;
            return begin_response(
                answer, context_.names(), driver_.time_left(report.txn, report.deadline));
        },
        [&options](Ticket ticket) {
            return Begin{ticket, std::move(options)};
        });
}

void Api::submit(SubmitBody body, ResponseSink sink) const {
    SubmitOneShot input;
    input.options = std::move(body.options);
    for (std::size_t i = 0; i < body.branches.size(); ++i) {
        SubmitBranch& branch = body.branches[i];
        http::Response refusal;
        const ParticipantStatus* status =
            usable_participant(driver_,
                               branch.participant,
                               "branches[" + std::to_string(i) + "].participant",
                               refusal);
        if (status == nullptr) {
            sink.send(std::move(refusal));
            return;
        }
        input.branches.push_back({status->number, std::move(branch.work), branch.options});
    }
    context_.run(
        std::move(sink),
        [this](const Answer& answer) { return terminate_response(answer, context_.names()); },
        [&input](Ticket ticket) {
            input.ticket = ticket;
            return std::move(input);
        });
}

void Api::get(const Request& request, ResponseSink sink) const {
    http::Response refusal;
    auto id = transaction_of(request, refusal);
    if (!id) {
        sink.send(std::move(refusal));
        return;
    }
    auto known = request.only_query_parameters({"wait_ms", "since"});
    auto longest = static_cast<std::uint64_t>(context_.options.wait_max.count());
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
    WatchId watch = driver_.watch(*id, from, milliseconds(wait.value()), [this, shared, id = *id] {
        shared->send(query_response(driver_.machine().query(id), context_.names()));
    });
    // Who has left gives its connection back: otherwise a few impatient clients would have them
    // all.
    shared->on_closed([this, watch] { driver_.unwatch(watch); });
}

// The outcome of a one-phase transaction of an earlier start is in its participant's database only.
void Api::ask_participant(const protocol::TxnId& id, milliseconds wait, ResponseSink sink) const {
    context_.run(
        std::move(sink),
        [this](const Answer& answer) { return query_response(answer, context_.names()); },
        [&id, wait](Ticket ticket) {
            return OutcomeRequest{ticket, id, std::max(wait, kShortestAsk)};
        });
}

base::Result<Machine::ListFilter> Api::list_filter(const Request& request) const {
    TWOFOLD_TRY(request.only_query_parameters(
        {"state", "participant", "older_than_ms", "limit", "cursor", "label"}));
    Machine::ListFilter filter;
    TWOFOLD_TRY(std::uint64_t limit, query_number(request, "limit", 50, 1000));
    if (limit == 0) {
        return base::fail(Errc::precondition_failed, "query parameter limit: must be at least 1");
    }
    filter.limit = limit;
    if (auto state = request.query_parameter("state")) {
        // A misspelt state would look as if there were no such transactions.
        if (!is_state_name(*state)) {
            return base::fail(Errc::precondition_failed,
                              "query parameter state: no state of a transaction has this name");
        }
        filter.state = std::string(*state);
    }
    if (auto name = request.query_parameter("participant")) {
        const ParticipantStatus* status = driver_.find_participant(*name);
        if (status == nullptr) {
            return base::fail(
                Errc::precondition_failed,
                "query parameter participant: \"" + std::string(*name) + "\" is not configured");
        }
        filter.participant = status->number;
    }
    if (request.query_parameter("older_than_ms")) {
        TWOFOLD_TRY(std::uint64_t age, query_number(request, "older_than_ms", 0, kOldestAgeMs));
        filter.accepts = [this, age](const protocol::TxnId& txn) {
            return driver_.is_older_than(txn, milliseconds(age));
        };
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

void Api::list(const Request& request, ResponseSink sink) const {
    auto filter = list_filter(request);
    if (!filter.has_value()) {
        sink.send(body_problem(filter.error()));
        return;
    }
    // A page ends where it is large enough: it is built, and sent, while everybody else waits.
    Machine::ListFilter next = filter.value();
    std::string page;
    std::size_t left = next.limit;
    bool is_last = false;
    while (!is_last && left > 0 && page.size() < context_.options.list_size_max) {
        next.limit = std::min(left, kListStep);
        auto reports = driver_.machine().list(next);
        is_last = reports.size() < next.limit;
        for (const TransactionReport& report : reports) {
            if (page.size() >= context_.options.list_size_max) {
                is_last = false;
                break;
            }
            if (!page.empty()) page += ',';
            page += listed_json(report, context_.names());
            next.after = report.txn;
            --left;
        }
    }
    std::string body = "{\"transactions\":[" + page + ']';
    if (!is_last && next.after) json::text(body, "next_cursor", next.after->text());
    sink.send(http::json_response(200, body + "}\n"));
}

void Api::participants(ResponseSink sink) const {
    std::string body = "{";
    json::array(body, "participants", driver_.participants(), append_participant);
    sink.send(http::json_response(200, body + "}\n"));
}

void Api::inquire(const Request& request, ResponseSink sink) const {
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
    shared->on_closed([this, ticket] { driver_.close_ticket(ticket); });
    driver_.submit(Inquire{ticket, std::move(parsed.value())});
}

void Api::ready(ResponseSink sink) const {
    std::string why =
        context_.options.not_ready_reason ? context_.options.not_ready_reason() : std::string();
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
    auto context = std::make_shared<const ApiContext>(ApiContext{driver, options});
    auto api = std::make_shared<const Api>(*context);
    // Every handler keeps both alive.
    auto route = [&router, context, api](
                     Method method, std::string_view pattern, Role role, auto handler) {
        router.add(method,
                   pattern,
                   role,
                   [context, api, handler](const Request& request, ResponseSink sink) {
                       handler(*api, request, std::move(sink));
                   });
    };
    route(Method::post, "/v1/transactions", Role::client, std::mem_fn(&Api::begin_or_submit));
    route(Method::get, "/v1/transactions", Role::client, std::mem_fn(&Api::list));
    route(Method::get, "/v1/transactions/{id}", Role::client, std::mem_fn(&Api::get));
    route(Method::post, "/v1/branches:inquire", Role::sidecar, std::mem_fn(&Api::inquire));
    route(Method::get,
          "/v1/participants",
          Role::client,
          [](const Api& self, const Request&, ResponseSink sink) {
              self.participants(std::move(sink));
          });
    route(
        Method::get, "/readyz", Role::open, [](const Api& self, const Request&, ResponseSink sink) {
            self.ready(std::move(sink));
        });
    add_interactive_routes(router, context);
    add_event_routes(router, context);
    auto alive = [](const Request&, ResponseSink sink) {
        sink.send(http::text_response(200, "alive\n"));
    };
    router.add(Method::get, "/livez", Role::open, alive);
    router.add(Method::get, "/healthz", Role::open, alive);
    if (options.metrics_text) {
        router.add(Method::get,
                   "/metrics",
                   Role::metrics,
                   [text = options.metrics_text](const Request&, ResponseSink sink) {
                       http::Response response = http::text_response(200, text());
                       response.content_type = "text/plain; version=0.0.4";
                       sink.send(std::move(response));
                   });
    }
}

}  // namespace twofold::coordinator
