#include "participant/api.h"

#include "base/log.h"
#include "http/problem.h"
#include "participant/core/state.h"
#include "participant/execute_api.h"
#include "participant/resolve_api.h"
#include "protocol/json.h"

#include <deque>
#include <memory>
#include <utility>
#include <vector>

namespace twofold::participant {

namespace {

using http::Method;
using http::Request;
using http::ResponseSink;
using http::Role;

constexpr http::ProblemCode kMalformedBody{
    "malformed_body", 400, "The body is not the JSON that this call takes", false};
constexpr http::ProblemCode kNotReady{
    "not_ready", 503, "The participant's database is not ready", true};

http::Response not_ready(const Driver& driver) {
    http::ProblemExtras extras;
    extras.retry_after_seconds = 1;
    return http::problem(kNotReady, driver.not_ready_reason(), extras);
}

// One batch whose answer is being streamed: a line per item, as each finishes.
// Lines that its reader has no room for wait: a stream that grows without heed would be cut, and
// every item of it with an unknown outcome.
class Stream : public std::enable_shared_from_this<Stream> {
public:
    Stream(ResponseSink sink, std::size_t items) : sink_(std::move(sink)), open_(items) {
        sink_.begin_stream(200, "application/x-ndjson");
    }

    void on_closed(async::UniqueFunction<void()> callback) { sink_.on_closed(std::move(callback)); }
    void answer(const protocol::ItemResult& result) {
        std::string line;
        protocol::append_item_result(line, result);
        --open_;
        lines_.push_back(std::move(line));
        write();
    }
    // The only line of an answer to a batch without items.
    void answer(const protocol::OfferReply& reply) {
        std::string line;
        protocol::append_offer_reply(line, reply);
        lines_.push_back(std::move(line));
        write();
    }

    std::vector<ReplyTicket> tickets;

private:
    void write() {
        while (!waits_ && !lines_.empty()) {
            http::WriteStatus status = sink_.write(lines_.front());
            lines_.pop_front();
            if (status != http::WriteStatus::backpressure) continue;
            waits_ = true;
            sink_.on_writable([self = shared_from_this()] {
                self->waits_ = false;
                self->write();
            });
        }
        if (open_ == 0 && lines_.empty()) sink_.end();
    }

    ResponseSink sink_;
    std::size_t open_;  // items that have no line yet
    std::deque<std::string> lines_;
    bool waits_ = false;
};

void receive_batch(Driver& driver,
                   const ApiOptions& options,
                   const Request& request,
                   ResponseSink sink) {
    protocol::JsonLimits limits;
    limits.items = options.items_max;
    auto batch = protocol::parse_batch_request(request.body, limits);
    if (!batch.has_value()) {
        sink.send(http::problem(kMalformedBody, batch.error().context));
        return;
    }
    auto stream = std::make_shared<Stream>(std::move(sink), batch.value().items.size());
    stream->on_closed([&driver, weak = std::weak_ptr(stream)] {
        if (auto closed = weak.lock()) driver.abandon(closed->tickets);
    });
    if (batch.value().items.empty()) {
        stream->tickets.push_back(driver.receive_offer(
            batch.value(), [stream](const protocol::OfferReply& reply) { stream->answer(reply); }));
        return;
    }
    driver.receive(
        batch.value(),
        [stream](const protocol::ItemResult& result) { stream->answer(result); },
        stream->tickets);
}

// "prepared" means what the database holds: what was found at a start, or is parked, too.
bool is_prepared(std::string_view state, std::string_view wanted) {
    return wanted == "prepared" && (state == "in_doubt" || state == "parked");
}

base::Result<void> check_query(const Request& request) {
    TWOFOLD_TRY(request.only_query_parameters({"state"}));
    auto state = request.query_parameter("state");
    if (!state || is_listed_state(*state)) return base::ok();
    return base::fail(base::Errc::precondition_failed,
                      "query parameter state: no state of an unfinished branch has this name");
}

void list_branches(const Driver& driver, const Request& request, ResponseSink sink) {
    auto checked = check_query(request);
    if (!checked.has_value()) {
        return sink.send(http::problem(http::problems::kBadRequest, checked.error().context));
    }
    auto wanted = request.query_parameter("state");
    std::string body = "{\"branches\":[";
    for (const Machine::BranchReport& branch : driver.machine().unfinished()) {
        if (wanted && branch.state != *wanted && !is_prepared(branch.state, *wanted)) continue;
        if (body.back() != '[') body += ',';
        body += "{\"group\":\"" + branch.key.group.text() +
                "\",\"branch\":" + std::to_string(branch.key.branch) +
                ",\"attempt\":" + std::to_string(branch.key.attempt) + ",\"state\":";
        base::append_json_string(body, branch.state);
        body += ",\"gid\":";
        base::append_json_string(body, branch.gid);
        body += ",\"version\":";
        base::append_json_string(body, branch.version);
        if (!branch.reason.empty()) {
            body += ",\"reason\":";
            base::append_json_string(body, branch.reason.message);
        }
        body += '}';
    }
    sink.send(http::json_response(200, body + "]}\n"));
}

void describe(const Driver& driver, ResponseSink sink) {
    if (!driver.ready()) {
        sink.send(not_ready(driver));
        return;
    }
    std::string body;
    protocol::append_participant_info(body, driver.info());
    sink.send(http::json_response(200, body + "\n"));
}

}  // namespace

void add_routes(http::Router& router, Driver& driver, const ApiOptions& options) {
    router.add(Method::post,
               "/v1/branches:batch",
               Role::sidecar,
               [&driver, options](const Request& request, ResponseSink sink) {
                   receive_batch(driver, options, request, std::move(sink));
               });
    add_execute_route(router, driver);
    add_resolve_route(router, driver);
    router.add(Method::get,
               "/v1/branches",
               Role::operator_,
               [&driver](const Request& request, ResponseSink sink) {
                   list_branches(driver, request, std::move(sink));
               });
    router.add(Method::get,
               "/v1/participant",
               Role::sidecar,
               [&driver](const Request&, ResponseSink sink) { describe(driver, std::move(sink)); });
    auto alive = [](const Request&, ResponseSink sink) {
        sink.send(http::text_response(200, "alive\n"));
    };
    router.add(Method::get, "/livez", Role::open, alive);
    router.add(Method::get, "/healthz", Role::open, alive);
    router.add(Method::get, "/readyz", Role::open, [&driver](const Request&, ResponseSink sink) {
        sink.send(driver.ready() ? http::text_response(200, "ready\n") : not_ready(driver));
    });
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

}  // namespace twofold::participant
