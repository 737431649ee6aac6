#include "participant/api.h"

#include "base/log.h"
#include "http/problem.h"
#include "participant/execute_api.h"
#include "participant/resolve_api.h"
#include "protocol/json.h"

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
struct Stream {
    ResponseSink sink;
    std::size_t open = 0;
    std::vector<ReplyTicket> tickets;
    std::string line;
};

void answer_item(Stream& stream, const protocol::ItemResult& result) {
    stream.line.clear();
    protocol::append_item_result(stream.line, result);
    stream.sink.write(stream.line);
    if (--stream.open == 0) stream.sink.end();
}

// The only line of an answer to a batch without items.
void answer_offer(Stream& stream, const protocol::OfferReply& reply) {
    stream.line.clear();
    protocol::append_offer_reply(stream.line, reply);
    stream.sink.write(stream.line);
    stream.sink.end();
}

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
    auto stream = std::make_shared<Stream>();
    stream->sink = std::move(sink);
    stream->open = batch.value().items.size();
    stream->sink.begin_stream(200, "application/x-ndjson");
    std::weak_ptr<Stream> weak = stream;
    stream->sink.on_closed([&driver, weak] {
        if (auto closed = weak.lock()) driver.abandon(closed->tickets);
    });
    if (stream->open == 0) {
        stream->tickets.push_back(driver.receive_offer(
            batch.value(),
            [stream](const protocol::OfferReply& reply) { answer_offer(*stream, reply); }));
        return;
    }
    driver.receive(
        batch.value(),
        [stream](const protocol::ItemResult& result) { answer_item(*stream, result); },
        stream->tickets);
}

void list_branches(const Driver& driver, ResponseSink sink) {
    std::string body = "{\"branches\":[";
    for (const Machine::BranchReport& branch : driver.machine().unfinished()) {
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
    router.add(
        Method::get, "/v1/branches", Role::operator_, [&driver](const Request&, ResponseSink sink) {
            list_branches(driver, std::move(sink));
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
