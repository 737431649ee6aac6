#include "app/participant_client.h"

#include "base/log.h"
#include "protocol/json.h"

#include <memory>
#include <optional>
#include <utility>

namespace twofold::app {

namespace {

using coordinator::BatchEnd;
using coordinator::Lane;
using protocol::CallOutcome;

std::unique_ptr<http::Client> make_client(async::EventLoop& loop,
                                          const ParticipantClientOptions& options,
                                          std::size_t connections) {
    http::ClientOptions client;
    client.host = options.host;
    client.port = options.port;
    client.connections_max = connections;
    return std::make_unique<http::Client>(loop, std::move(client));
}

http::Request batch_request(const protocol::BatchRequest& batch) {
    http::Request request;
    request.method = http::Method::post;
    request.target = "/v1/branches:batch";
    request.headers.add("Content-Type", "application/json");
    protocol::append_batch_request(request.body, batch);
    return request;
}

BatchEnd end_of(const http::CallResult& result, const std::string& url) {
    BatchEnd end;
    if (!result.has_value()) {
        bool sent = result.error().failure == http::CallFailure::unknown;
        end.outcome = sent ? CallOutcome::unknown : CallOutcome::not_sent;
        end.why = result.error().reason;
        return end;
    }
    const http::ClientReply& reply = result.value();
    if (reply.streamed) return end;
    // Somebody else answers there, or the sidecar refused the batch as a whole. Whether it acted is
    // not known: a proxy may have passed the request on.
    end.why = url + " answered status " + std::to_string(reply.status) + " (" +
              (reply.content_type.empty() ? "no content type" : reply.content_type) +
              ") instead of results";
    if (reply.content_type == "application/problem+json") {
        end.why += ": " + reply.body.substr(0, 300);
    }
    return end;
}

}  // namespace

ParticipantClient::ParticipantClient(async::EventLoop& loop, ParticipantClientOptions options)
    : options_(std::move(options)),
      url_("http://" + options_.host + ":" + std::to_string(options_.port)) {
    work_ = {make_client(loop, options_, options_.work_connections), 0, options_.work_connections};
    // One connection more than batches: looking at the participant must not wait for them.
    decisions_ = {make_client(loop, options_, options_.decision_connections + 1),
                  0,
                  options_.decision_connections};
}

ParticipantClient::~ParticipantClient() = default;

ParticipantClient::LaneState& ParticipantClient::state(Lane lane) {
    return lane == Lane::work ? work_ : decisions_;
}

bool ParticipantClient::has_free_connection(Lane lane) const {
    const LaneState& lane_state = lane == Lane::work ? work_ : decisions_;
    return lane_state.in_flight < lane_state.limit;
}

void ParticipantClient::send(const protocol::BatchRequest& batch,
                             Lane lane,
                             std::chrono::milliseconds deadline,
                             ResultCallback on_result,
                             EndCallback on_end) {
    http::CallOptions call;
    call.deadline = deadline;
    call.on_line = [this,
                    uuid = batch.participant,
                    identity = batch.identity,
                    on_result = std::move(on_result)](std::string_view line) mutable {
        auto result = protocol::parse_item_result(line);
        if (!result.has_value()) {
            base::log_event(base::LogLevel::warning,
                            "participant_answer_ignored",
                            result.error().context,
                            {{"url", url_}});
            return;
        }
        // A result from another database is no answer about ours, whatever it says. The machine
        // learns of the mismatch from the participant's description.
        bool ours = result.value().participant == uuid && result.value().identity == identity;
        bool told = result.value().reason.code == protocol::reason::kIdentityMismatch;
        if (!ours && !told) {
            base::log_event(base::LogLevel::warning,
                            "participant_answer_ignored",
                            "the answer is from another participant or database",
                            {{"url", url_}, {"identity", result.value().identity.text()}});
            return;
        }
        if (!ours) return;
        on_result(std::move(result.value()));
    };
    LaneState& lane_state = state(lane);
    ++lane_state.in_flight;
    lane_state.client->request(
        batch_request(batch),
        std::move(call),
        [this, lane, on_end = std::move(on_end)](const http::CallResult& result) mutable {
            --state(lane).in_flight;
            on_end(end_of(result, url_));
        });
}

void ParticipantClient::offer(const protocol::BatchRequest& batch,
                              std::chrono::milliseconds deadline,
                              OfferCallback done) {
    http::CallOptions call;
    call.deadline = deadline;
    auto reply = std::make_shared<std::optional<protocol::OfferReply>>();
    call.on_line = [reply](std::string_view line) {
        auto parsed = protocol::parse_offer_reply(line);
        if (parsed.has_value()) *reply = std::move(parsed.value());
    };
    decisions_.client->request(
        batch_request(batch),
        std::move(call),
        [this, reply, done = std::move(done)](const http::CallResult& result) mutable {
            if (reply->has_value()) {
                done(std::move(**reply));
            } else {
                done(base::fail(base::Errc::unavailable, end_of(result, url_).why));
            }
        });
}

void ParticipantClient::fetch_info(InfoCallback done) {
    http::Request request;
    request.method = http::Method::get;
    request.target = "/v1/participant";
    http::CallOptions call;
    call.deadline = options_.info_deadline;
    decisions_.client->request(
        std::move(request),
        std::move(call),
        [this, done = std::move(done)](const http::CallResult& result) mutable {
            if (!result.has_value()) {
                done(base::fail(base::Errc::unavailable, result.error().reason));
                return;
            }
            if (result.value().status != 200) {
                done(base::fail(base::Errc::unavailable, end_of(result, url_).why));
                return;
            }
            auto info = protocol::parse_participant_info(result.value().body);
            if (!info.has_value()) {
                done(base::fail(
                    base::Errc::protocol_violation,
                    url_ + " does not answer like a participant: " + info.error().context));
                return;
            }
            done(std::move(info));
        });
}

}  // namespace twofold::app
