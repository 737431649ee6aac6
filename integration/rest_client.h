// A blocking JSON client for tests and the demo: http::Client on an event loop of its own that runs
// only while a call is waited for. Thread: one at a time; give each thread its own client.
#pragma once

#include "async/event_loop.h"
#include "http/client.h"

#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::integration {

struct RestReply {
    int status = 0;  // 0: there was no answer, and `error` says why
    std::string error;
    bool not_sent = false;  // without an answer: the server certainly saw nothing
    std::string content_type;
    http::Headers headers;
    std::string text;
    boost::json::value json;  // null when the body is not JSON

    [[nodiscard]] bool answered() const { return status != 0; }
    // The member of the body reached by names (and array indices) separated by dots: "reason.code",
    // "branches.0.state". Null when there is none.
    [[nodiscard]] const boost::json::value& at(std::string_view path) const;
    // The same as text: strings without quotes, everything else as JSON; "" when absent or null.
    [[nodiscard]] std::string text_at(std::string_view path) const;
    // "409 {…}" or "no answer: connection refused", for messages.
    [[nodiscard]] std::string summary() const;
};

struct RestOptions {
    std::vector<std::pair<std::string, std::string>> headers;
    std::chrono::milliseconds deadline{20'000};
    std::string content_type = "application/json";
};

class RestClient {
public:
    // Of http://127.0.0.1:port.
    explicit RestClient(std::uint16_t port);
    ~RestClient();
    RestClient(RestClient&&) noexcept;
    RestClient& operator=(RestClient&&) noexcept;

    [[nodiscard]] RestReply get(const std::string& target, const RestOptions& options = {});
    [[nodiscard]] RestReply post(const std::string& target,
                                 std::string body,
                                 const RestOptions& options = {});
    [[nodiscard]] RestReply call(http::Request request, const RestOptions& options);

    // GET /metrics: the sum of all samples of this name; labels are not looked at. 0 when absent.
    [[nodiscard]] double metric(std::string_view name);
    // GET /readyz answers 200.
    [[nodiscard]] bool ready();

    [[nodiscard]] std::uint16_t port() const { return port_; }

private:
    std::uint16_t port_;
    std::unique_ptr<async::EventLoop> loop_;
    std::unique_ptr<http::Client> client_;
};

// Sum of the samples called `name` in a text of the Prometheus format.
[[nodiscard]] double metric_in(std::string_view exposition, std::string_view name);

}  // namespace twofold::integration
