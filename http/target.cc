#include "http/target.h"

#include <boost/url/encoding_opts.hpp>
#include <boost/url/pct_string_view.hpp>

#include <algorithm>

namespace twofold::http {

namespace {

namespace urls = boost::urls;

bool is_control(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

std::optional<std::string> decode(std::string_view text, bool space_as_plus) {
    const auto view =
        urls::make_pct_string_view(boost::core::string_view(text.data(), text.size()));
    if (!view) {
        return std::nullopt;
    }
    urls::encoding_opts options;
    options.space_as_plus = space_as_plus;
    return view->decode(options);
}

bool split_query(std::string_view text, std::vector<Parameter>& out) {
    while (!text.empty()) {
        const std::string_view pair = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(text.size(), pair.size() + 1));
        if (pair.empty()) {
            continue;
        }
        const auto equals = pair.find('=');
        auto name = decode(pair.substr(0, equals), true);
        auto value = decode(
            equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1), true);
        if (!name.has_value() || !value.has_value()) {
            return false;
        }
        out.push_back({std::move(*name), std::move(*value)});
    }
    return true;
}

}  // namespace

std::optional<std::string> split_target(Request& request) {
    std::string_view rest = request.target;
    if (rest == "*" && request.method == Method::options) {
        request.path = rest;
        return std::nullopt;
    }
    constexpr std::string_view kScheme = "http://";
    if (rest.size() > kScheme.size() &&
        equal_ignoring_case(rest.substr(0, kScheme.size()), kScheme)) {
        // Who we are is not decided by the request: the authority is dropped.
        const auto end = rest.find_first_of("/?#", kScheme.size());
        rest = end == std::string_view::npos || rest[end] != '/' ? std::string_view()
                                                                 : rest.substr(end);
    }
    if (!rest.starts_with('/')) {
        return "the request target must begin with '/'";
    }
    if (rest.find('#') != std::string_view::npos) {
        return "the request target must not contain '#'";
    }
    const auto mark = rest.find('?');
    request.path = rest.substr(0, mark);
    if (mark != std::string_view::npos && !split_query(rest.substr(mark + 1), request.query)) {
        return "the query has a '%' that two hexadecimal digits do not follow";
    }
    return std::nullopt;
}

std::optional<std::string> decode_segment(std::string_view segment) {
    auto text = decode(segment, false);
    if (!text.has_value() || *text == "." || *text == ".." ||
        text->find('/') != std::string::npos ||
        std::any_of(text->begin(), text->end(), is_control)) {
        return std::nullopt;
    }
    return text;
}

}  // namespace twofold::http
