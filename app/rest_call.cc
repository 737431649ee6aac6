#include "app/rest_call.h"

#include "async/event_loop.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <optional>
#include <utility>

namespace twofold::app {

base::Result<http::ClientReply> call(const std::string& address,
                                     http::Request request,
                                     std::chrono::milliseconds limit) {
    TWOFOLD_TRY(HostPort peer, parse_http_url(address));
    async::EventLoop loop;
    http::ClientOptions options;
    options.host = peer.host;
    options.port = peer.port;
    options.connections_max = 1;
    http::Client client(loop, std::move(options));
    std::optional<http::CallResult> result;
    http::CallOptions call_options;
    call_options.deadline = limit;
    client.request(std::move(request), std::move(call_options), [&result](http::CallResult done) {
        result.emplace(std::move(done));
    });
    bool finished =
        loop.run_until([&result] { return result.has_value(); }, limit + std::chrono::seconds(2));
    if (!finished) return base::fail(base::Errc::timed_out, address + ": no answer");
    if (!result->has_value()) {
        bool sent = result->error().failure == http::CallFailure::unknown;
        return base::fail(sent ? base::Errc::timed_out : base::Errc::unavailable,
                          result->error().reason);
    }
    return std::move(result->value());
}

std::string json_text(const std::string& body, const std::string& member) {
    boost::system::error_code error;
    boost::json::value value = boost::json::parse(body, error);
    if (error || !value.is_object()) return {};
    const boost::json::value* found = value.get_object().if_contains(member);
    if (found == nullptr || !found->is_string()) return {};
    return std::string(found->get_string());
}

}  // namespace twofold::app
