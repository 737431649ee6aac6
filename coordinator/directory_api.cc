#include "coordinator/directory_api.h"

#include "base/log.h"
#include "coordinator/answer_json.h"
#include "coordinator/problems.h"
#include "protocol/json_reader.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <utility>

namespace twofold::coordinator {

namespace {

using base::Errc;
using http::Request;
using http::ResponseSink;

constexpr std::size_t kDepthMax = 4;
constexpr std::size_t kNameMax = 64;

bool is_name(std::string_view name) {
    bool fits = !name.empty() && name.size() <= kNameMax && name.front() != '.';
    return fits && std::ranges::all_of(name, [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
           });
}

base::Result<std::string> parse_put(std::string_view text) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, kDepthMax));
    protocol::ObjectReader in(value, "");
    std::string url = in.text("url");
    TWOFOLD_TRY(in.finish());
    return url;
}

// One PUT, while the address is being looked at.
struct Put {
    std::string name;
    std::string url;
    std::unique_ptr<ParticipantPort> port;
    ResponseSink sink;
};

class DirectoryApi : public std::enable_shared_from_this<DirectoryApi> {
public:
    DirectoryApi(Driver& driver, DirectoryPort& directory)
        : driver_(driver), directory_(directory) {}

    void put(const Request& request, ResponseSink sink);

private:
    // Nothing: it may be put there. Otherwise the refusal.
    [[nodiscard]] std::optional<http::Response> refusal_of(const std::string& name,
                                                           const std::string& url) const;
    void found(Put& put, const base::Result<protocol::ParticipantInfo>& info);
    [[nodiscard]] std::optional<http::Response> refusal_of(
        const std::string& name, const protocol::ParticipantUuid& uuid) const;

    Driver& driver_;
    DirectoryPort& directory_;
    // What was put since the start: its record may not be durable yet.
    std::map<std::string, protocol::ParticipantUuid> put_;
};

std::optional<http::Response> DirectoryApi::refusal_of(const std::string& name,
                                                       const std::string& url) const {
    if (!is_name(name)) {
        return http::problem(problems::kInvalidRequest,
                             "the name must be 1 to 64 of A-Z a-z 0-9 - _ ., not beginning with a "
                             "dot");
    }
    base::Result<void> allowed = directory_.check(url);
    if (!allowed.has_value()) {
        bool is_off = allowed.error().code == Errc::permission_denied;
        return http::problem(is_off ? problems::kRegistrationOff : problems::kInvalidRequest,
                             allowed.error().context);
    }
    const ParticipantStatus* known = driver_.find_participant(name);
    if (known != nullptr && directory_.is_configured(name)) {
        return http::problem(
            problems::kWrongState,
            "\"" + name + "\" is in the coordinator's configuration: change its url there");
    }
    if (known != nullptr && known->retired) {
        return http::problem(problems::kWrongState,
                             "\"" + name + "\" was retired: give the new one another name");
    }
    return std::nullopt;
}

void DirectoryApi::put(const Request& request, ResponseSink sink) {
    std::string name(request.path_parameter("name"));
    auto url = parse_put(request.body);
    if (!url.has_value()) {
        bool is_form = url.error().code == Errc::invalid_argument;
        return sink.send(http::problem(
            is_form ? problems::kMalformedBody : problems::kInvalidRequest, url.error().context));
    }
    if (auto refusal = refusal_of(name, url.value())) return sink.send(std::move(*refusal));
    base::log_event(base::LogLevel::warning,
                    "operator_put_participant",
                    "a participant is put into the directory",
                    {{"participant", name}, {"url", url.value()}, {"peer", request.peer}});
    auto put = std::make_shared<Put>();
    put->name = std::move(name);
    put->url = std::move(url.value());
    put->port = directory_.connect(put->url);
    put->sink = std::move(sink);
    ParticipantPort& port = *put->port;
    port.fetch_info(
        [self = shared_from_this(), put](const base::Result<protocol::ParticipantInfo>& info) {
            self->found(*put, info);
        });
}

// A uuid belongs to one name for good, and a name to one uuid.
std::optional<http::Response> DirectoryApi::refusal_of(
    const std::string& name, const protocol::ParticipantUuid& uuid) const {
    for (const auto& [number, record] : driver_.machine().participants()) {
        bool same_name = record.name == name && !record.retired;
        if ((record.uuid == uuid) == same_name) continue;
        if (record.uuid == uuid && record.name == name) continue;  // of one that was retired
        return http::problem(
            problems::kAnotherParticipant,
            same_name ? "\"" + name + "\" is " + record.uuid.text() + "; " + uuid.text() +
                            " answers there"
                      : uuid.text() + " answers there, which is \"" + record.name + "\"");
    }
    for (const auto& [other, known] : put_) {
        if ((known == uuid) == (other == name)) continue;
        return http::problem(
            problems::kAnotherParticipant,
            "\"" + other + "\" was put as " + known.text() + "; " + uuid.text() + " answers there");
    }
    return std::nullopt;
}

void DirectoryApi::found(Put& put, const base::Result<protocol::ParticipantInfo>& info) {
    if (!info.has_value()) {
        http::ProblemExtras extras;
        extras.retry_after_seconds = 1;
        return put.sink.send(http::problem(
            problems::kParticipantUnusable, put.url + ": " + info.error().context, extras));
    }
    // Another call may have been faster.
    auto refusal = refusal_of(put.name, put.url);
    if (!refusal) refusal = refusal_of(put.name, info.value().uuid);
    if (refusal) return put.sink.send(std::move(*refusal));
    auto kept = directory_.keep(put.name, put.url, info.value().uuid);
    if (!kept.has_value()) {
        return put.sink.send(http::problem(http::problems::kInternal, kept.error().context));
    }
    bool is_new = driver_.find_participant(put.name) == nullptr;
    put_[put.name] = info.value().uuid;
    driver_.put_participant({put.name, std::move(put.port), info.value().uuid});
    std::string body;
    append_participant(body, *driver_.find_participant(put.name));
    put.sink.send(http::json_response(is_new ? 201 : 200, body + "\n"));
}

}  // namespace

void add_directory_routes(http::Router& router, Driver& driver, DirectoryPort& directory) {
    auto api = std::make_shared<DirectoryApi>(driver, directory);
    router.add(
        http::Method::put,
        "/v1/participants/{name}",
        http::Role::operator_,
        [api](const Request& request, ResponseSink sink) { api->put(request, std::move(sink)); });
}

}  // namespace twofold::coordinator
