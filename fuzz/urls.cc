// Addresses: what is taken for host and port names exactly one place, in the eyes of another URL
// parser too; the filter of places that a call may name lets nothing else through; and a request
// target has one path.
#include "app/config_reader.h"
#include "app/participant_registry.h"
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "http/target.h"
#include "wal/memory_file.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <string>

namespace twofold::fuzz {

namespace {

std::string_view plain(boost::core::string_view text) { return {text.data(), text.size()}; }

// Boost.URL 1.81 loses its way in names such as "127.0.0.1s".
bool begins_like_an_address(std::string_view host) {
    return host.front() >= '0' && host.front() <= '9' &&
           host.find_first_not_of("0123456789.:") != std::string_view::npos;
}

void check_url(std::string_view text) {
    auto parsed = app::parse_http_url(text);
    if (!parsed.has_value()) return;
    const app::HostPort& to = parsed.value();
    if (begins_like_an_address(to.host) && to.host.find(':') == std::string::npos) return;
    auto url = boost::urls::parse_uri(boost::core::string_view(text.data(), text.size()));
    TWOFOLD_ASSERT(url.has_value(), "an address that is no URL");
    TWOFOLD_ASSERT(!url->has_userinfo() && url->scheme() == "http",
                   "an address with more than a host");
    TWOFOLD_ASSERT(url->has_port() && url->port_number() == to.port, "another port");
    std::string_view host = plain(url->encoded_host());
    bool is_bracketed = host.starts_with('[') && host.ends_with(']');
    TWOFOLD_ASSERT(host == to.host || (is_bracketed && host.substr(1, host.size() - 2) == to.host),
                   "another host");
    TWOFOLD_ASSERT((url->encoded_path().empty() || url->encoded_path() == "/") &&
                       !url->has_query() && !url->has_fragment(),
                   "an address with a path");
}

// One directory for all inputs: nothing is kept in it.
void check_filter(const std::string& text) {
    static app::CoordinatorConfig config;
    config.registration_allow = {"127.0.0.1", "sidecar:8431"};
    async::EventLoop loop;
    wal::MemoryDisk disk;
    const app::ParticipantRegistry registry(loop, config, disk.directory());
    if (!registry.check(text).has_value()) return;
    bool is_allowed = text.starts_with("http://127.0.0.1:") ||
                      text.starts_with("http://[127.0.0.1]:") || text == "http://sidecar:8431" ||
                      text == "http://sidecar:8431/";
    TWOFOLD_ASSERT(is_allowed, "the filter lets another place through");
}

void check_target(std::string_view text) {
    http::Request request;
    request.target = text;
    if (http::split_target(request)) return;
    TWOFOLD_ASSERT(request.path.starts_with('/'), "a path begins with /");
    TWOFOLD_ASSERT(request.path.find_first_of("?#") == std::string::npos, "no plain path");
    auto url = boost::urls::parse_origin_form(boost::core::string_view(text.data(), text.size()));
    TWOFOLD_ASSERT(!url.has_value() || plain(url->encoded_path()) == request.path, "another path");
}

void check_segment(std::string_view text) {
    auto segment = http::decode_segment(text);
    if (!segment) return;
    TWOFOLD_ASSERT(*segment != "." && *segment != ".." && segment->find('/') == std::string::npos &&
                       segment->find('\0') == std::string::npos &&
                       segment->find_first_of("\r\n") == std::string::npos,
                   "a segment that leads elsewhere");
}

}  // namespace

void urls(base::ByteSpan input) {
    std::string_view text = as_text(input);
    check_url(text);
    auto address = app::parse_host_port(text);
    TWOFOLD_ASSERT(!address.has_value() || !address.value().host.empty(), "no host");
    check_filter(std::string(text));
    check_target(text);
    check_segment(text);
}

}  // namespace twofold::fuzz
