#include "app/coordinator_client.h"

#include "app/rest_call.h"
#include "base/json_writer.h"
#include "protocol/json.h"
#include "protocol/json_reader.h"

#include <utility>

namespace twofold::app {

namespace {

using participant::EnlistReply;
using participant::EnlistStatus;

constexpr std::chrono::milliseconds kInquiryDeadline{5'000};
constexpr std::chrono::milliseconds kEnlistDeadline{5'000};
constexpr std::size_t kReplyDepthMax = 8;

std::string enlist_body(const participant::EnlistRequest& request) {
    std::string body = "{";
    base::json::text(body, "participant", request.participant);
    base::json::number(body, "participant_epoch", request.participant_epoch);
    base::json::text(body, "session", std::to_string(request.session));
    return body + '}';
}

EnlistReply unreachable(std::string detail) {
    EnlistReply reply;
    reply.detail = std::move(detail);
    return reply;
}

// {"id", "branch", "attempt", "participant_uuid", "deadline_ms", "sender", …}
base::Result<EnlistReply> parse_enlisted(const std::string& body) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(body, kReplyDepthMax));
    protocol::ObjectReader in(value, "");
    EnlistReply reply;
    reply.status = EnlistStatus::enlisted;
    auto txn = protocol::TxnId::parse(in.text("id"));
    auto uuid = protocol::ParticipantUuid::parse(in.text("participant_uuid"));
    reply.key.branch = in.integer<std::uint16_t>("branch", 1);
    reply.key.attempt = in.integer<std::uint16_t>("attempt", 1);
    reply.deadline_ms = in.integer<std::uint32_t>("deadline_ms");
    if (in.has("idle_deadline_ms")) {
        reply.idle_deadline_ms = in.integer<std::uint32_t>("idle_deadline_ms");
    }
    // One of before it was told has none.
    if (in.has("sender")) reply.sender = protocol::read_sender(in);
    // Members that a newer coordinator adds are none of our business.
    if (in.failed()) {
        TWOFOLD_TRY(in.finish());
    }
    if (!txn.has_value() || !uuid.has_value()) {
        return base::fail(base::Errc::protocol_violation, "an id that is none");
    }
    reply.key.group = *txn;
    reply.uuid = *uuid;
    return reply;
}

// Only a problem in the coordinator's own form counts: a proxy's 404 proves nothing.
EnlistReply read_refusal(const http::ClientReply& reply, const std::string& url) {
    std::string code = json_text(reply.body, "code");
    if (reply.content_type != "application/problem+json" || code.empty()) {
        return unreachable(url + " answered status " + std::to_string(reply.status) +
                           " to an enlistment");
    }
    EnlistReply out;
    out.status = EnlistStatus::refused;
    out.http_status = reply.status;
    out.code = code;
    out.detail = json_text(reply.body, "detail");
    if (reply.status == 404) out.status = EnlistStatus::not_mine;
    if (reply.status >= 500) out.status = EnlistStatus::unreachable;
    return out;
}
}  // namespace

CoordinatorClient::CoordinatorClient(async::EventLoop& loop, std::string host, std::uint16_t port)
    : url_("http://" + host + ":" + std::to_string(port)) {
    http::ClientOptions options;
    options.host = std::move(host);
    options.port = port;
    options.connections_max = 2;
    client_ = std::make_unique<http::Client>(loop, std::move(options));
}

CoordinatorClient::~CoordinatorClient() = default;

void CoordinatorClient::inquire(const protocol::InquiryRequest& request, ReplyCallback done) {
    http::Request call;
    call.method = http::Method::post;
    call.target = "/v1/branches:inquire";
    call.headers.add("Content-Type", "application/json");
    protocol::append_inquiry_request(call.body, request);
    http::CallOptions options;
    options.deadline = kInquiryDeadline;
    client_->request(std::move(call),
                     std::move(options),
                     [this, done = std::move(done)](const http::CallResult& result) mutable {
                         if (!result.has_value()) {
                             done(base::fail(result.error().code, result.error().reason));
                             return;
                         }
                         // Only a complete inquiry reply counts. A 404 of a proxy must not read as
                         // "unknown transaction", which would mean abort.
                         const http::ClientReply& reply = result.value();
                         if (reply.status != 200 || reply.content_type != "application/json") {
                             done(base::fail(base::Errc::protocol_violation,
                                             url_ + " answered status " +
                                                 std::to_string(reply.status) + " to an inquiry"));
                             return;
                         }
                         done(protocol::parse_inquiry_reply(reply.body));
                     });
}

void CoordinatorClient::enlist(const participant::EnlistRequest& request, EnlistCallback done) {
    http::Request call;
    call.method = http::Method::post;
    call.target = "/v1/transactions/" + request.txn.text() + "/branches";
    call.headers.add("Content-Type", "application/json");
    call.body = enlist_body(request);
    http::CallOptions options;
    options.deadline = kEnlistDeadline;
    client_->request(std::move(call),
                     std::move(options),
                     [this, done = std::move(done)](const http::CallResult& result) mutable {
                         if (!result.has_value()) return done(unreachable(result.error().reason));
                         const http::ClientReply& reply = result.value();
                         bool is_enlisted = (reply.status == 200 || reply.status == 201) &&
                                            reply.content_type == "application/json";
                         if (!is_enlisted) return done(read_refusal(reply, url_));
                         auto parsed = parse_enlisted(reply.body);
                         if (!parsed.has_value()) return done(unreachable(parsed.error().context));
                         done(std::move(parsed.value()));
                     });
}

}  // namespace twofold::app
