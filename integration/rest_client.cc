#include "integration/rest_client.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <cstdlib>
#include <optional>

namespace twofold::integration {

namespace json = boost::json;

namespace {

const json::value kNull;

// One step of a path into a document.
const json::value* member(const json::value& value, std::string_view name) {
    if (const auto* object = value.if_object()) return object->if_contains(name);
    if (const auto* array = value.if_array()) {
        std::size_t index = std::strtoul(std::string(name).c_str(), nullptr, 10);
        return index < array->size() ? &(*array)[index] : nullptr;
    }
    return nullptr;
}

RestReply to_reply(http::CallResult result) {
    RestReply reply;
    if (!result.has_value()) {
        reply.error = result.error().reason;
        reply.not_sent = result.error().failure == http::CallFailure::not_sent;
        return reply;
    }
    http::ClientReply& answer = result.value();
    reply.status = answer.status;
    reply.content_type = answer.content_type;
    reply.headers = std::move(answer.headers);
    reply.text = std::move(answer.body);
    std::error_code error;
    json::value document = json::parse(reply.text, error);
    if (!error) reply.json = std::move(document);
    return reply;
}

}  // namespace

const json::value& RestReply::at(std::string_view path) const {
    const json::value* place = &json;
    while (place != nullptr && !path.empty()) {
        std::size_t dot = path.find('.');
        place = member(*place, path.substr(0, dot));
        path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    }
    return place != nullptr ? *place : kNull;
}

std::string RestReply::text_at(std::string_view path) const {
    const json::value& value = at(path);
    if (value.is_null()) return "";
    if (const auto* string = value.if_string()) return std::string(*string);
    return json::serialize(value);
}

std::string RestReply::summary() const {
    return answered() ? std::to_string(status) + " " + text : "no answer: " + error;
}

RestClient::RestClient(std::uint16_t port)
    : port_(port), loop_(std::make_unique<async::EventLoop>()) {
    http::ClientOptions options;
    options.port = port;
    options.connections_max = 4;
    client_ = std::make_unique<http::Client>(*loop_, options);
}

RestClient::~RestClient() = default;
RestClient::RestClient(RestClient&&) noexcept = default;

// The client must go before the loop that it uses.
RestClient& RestClient::operator=(RestClient&& other) noexcept {
    port_ = other.port_;
    client_ = std::move(other.client_);
    loop_ = std::move(other.loop_);
    return *this;
}

RestReply RestClient::call(http::Request request, const RestOptions& options) {
    if (!options.content_type.empty() && !request.body.empty()) {
        request.headers.set("Content-Type", options.content_type);
    }
    for (const auto& [name, value] : options.headers) request.headers.set(name, value);
    std::optional<http::CallResult> result;
    http::CallOptions call_options;
    call_options.deadline = options.deadline;
    http::CallHandle handle = client_->request(
        std::move(request), std::move(call_options), [&result](http::CallResult answer) {
            result.emplace(std::move(answer));
        });
    // The client's own deadline comes first; the second limit is for a defect of the client.
    if (!loop_->run_until([&result] { return result.has_value(); },
                          options.deadline + std::chrono::seconds(5))) {
        handle.cancel();
        RestReply reply;
        reply.error = "the client did not keep its deadline";
        return reply;
    }
    return to_reply(std::move(*result));
}

RestReply RestClient::get(const std::string& target, const RestOptions& options) {
    http::Request request;
    request.target = target;
    return call(std::move(request), options);
}

RestReply RestClient::post(const std::string& target,
                           std::string body,
                           const RestOptions& options) {
    http::Request request;
    request.method = http::Method::post;
    request.target = target;
    request.body = std::move(body);
    return call(std::move(request), options);
}

double RestClient::metric(std::string_view name) {
    RestReply reply = get("/metrics");
    return reply.status == 200 ? metric_in(reply.text, name) : 0;
}

bool RestClient::ready() {
    return get("/readyz", {.deadline = std::chrono::milliseconds(2000)}).status == 200;
}

double metric_in(std::string_view exposition, std::string_view name) {
    double sum = 0;
    while (!exposition.empty()) {
        std::size_t end = exposition.find('\n');
        std::string_view line = exposition.substr(0, end);
        exposition =
            end == std::string_view::npos ? std::string_view() : exposition.substr(end + 1);
        if (!line.starts_with(name)) continue;
        std::string_view rest = line.substr(name.size());
        if (rest.empty() || (rest.front() != ' ' && rest.front() != '{')) continue;
        sum += std::strtod(std::string(rest.substr(rest.rfind(' ') + 1)).c_str(), nullptr);
    }
    return sum;
}

}  // namespace twofold::integration
