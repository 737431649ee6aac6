#include "app/coordinator_client.h"

#include "protocol/json.h"

#include <utility>

namespace twofold::app {

namespace {
constexpr std::chrono::milliseconds kInquiryDeadline{5'000};
}

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

}  // namespace twofold::app
