#include "http/wire.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

namespace twofold::http {

namespace {

constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";

bool is_token_character(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kTokenMarks.find(c) != std::string_view::npos;
}

bool is_value_character(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

bool is_valid_value(std::string_view value) noexcept {
    return std::all_of(value.begin(), value.end(), is_value_character);
}

template <class Number>
void append_number(std::string& out, Number number, int base = 10) {
    std::array<char, 24> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number, base);
    out.append(text.data(), end.ptr);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
}

// What this side decides for every message; a caller's field of that name is ignored.
bool is_ours(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 6> kOurs{
        "content-length", "transfer-encoding", "connection", "date", "keep-alive", "upgrade"};
    return std::any_of(kOurs.begin(), kOurs.end(), [name](std::string_view ours) {
        return equal_ignoring_case(ours, name);
    });
}

}  // namespace

bool is_valid_field(std::string_view name, std::string_view value) noexcept {
    return !name.empty() && std::all_of(name.begin(), name.end(), is_token_character) &&
           is_valid_value(value);
}

bool is_valid_target(std::string_view target) noexcept {
    return target.starts_with('/') && std::all_of(target.begin(), target.end(), [](char c) {
               const auto byte = static_cast<unsigned char>(c);
               return byte > 0x20 && byte < 0x7f && c != '#';
           });
}

bool is_sendable(const Response& response) noexcept {
    if (response.status < 200 || response.status > 599 || !is_valid_value(response.content_type)) {
        return false;
    }
    for (std::size_t i = 0; i < response.headers.size(); ++i) {
        if (!is_valid_field(response.headers.name_at(i), response.headers.value_at(i))) {
            return false;
        }
    }
    return true;
}

bool status_has_body(int status) noexcept { return status != 204 && status != 304; }

void append_response_head(std::string& out, const Response& response, const HeadOptions& options) {
    out += "HTTP/1.1 ";
    append_number(out, response.status);
    out += ' ';
    out += reason_phrase(response.status);
    out += "\r\n";
    if (!response.content_type.empty()) {
        append_field(out, "Content-Type", response.content_type);
    }
    for (std::size_t i = 0; i < response.headers.size(); ++i) {
        if (!is_ours(response.headers.name_at(i))) {
            append_field(out, response.headers.name_at(i), response.headers.value_at(i));
        }
    }
    if (!options.date.empty()) {
        append_field(out, "Date", options.date);
    }
    if (options.close) {
        out += "Connection: close\r\n";
    } else if (options.keep_alive) {
        out += "Connection: keep-alive\r\n";
    }
    if (options.framing == Framing::chunked) {
        out += "Transfer-Encoding: chunked\r\n";
    } else if (options.framing == Framing::length && status_has_body(response.status)) {
        out += "Content-Length: ";
        append_number(out, response.body.size());
        out += "\r\n";
    }
    out += "\r\n";
}

void append_chunk(std::string& out, std::string_view data) {
    if (data.empty()) {
        return;  // an empty chunk would end the body
    }
    append_number(out, data.size(), 16);
    out.append("\r\n").append(data).append("\r\n");
}

std::string_view DateText::now() {
    const std::time_t now = std::time(nullptr);
    if (now != second_) {
        second_ = now;
        std::tm parts{};
        ::gmtime_r(&now, &parts);
        // By hand: strftime writes the names of days in the language of the process.
        constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        constexpr std::array<const char*, 12> kMonths{
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        const auto two = [](int number) {
            return std::string{static_cast<char>('0' + number / 10),
                               static_cast<char>('0' + number % 10)};
        };
        text_ = std::string(kDays[static_cast<std::size_t>(parts.tm_wday)]) + ", " +
                two(parts.tm_mday) + ' ' + kMonths[static_cast<std::size_t>(parts.tm_mon)] + ' ' +
                std::to_string(1900 + parts.tm_year) + ' ' + two(parts.tm_hour) + ':' +
                two(parts.tm_min) + ':' + two(parts.tm_sec) + " GMT";
    }
    return text_;
}

void append_request_head(std::string& out, const Request& request, std::string_view host) {
    out.append(to_string(request.method))
        .append(" ")
        .append(request.target)
        .append(" HTTP/1.1\r\n");
    append_field(out, "Host", host);
    for (std::size_t i = 0; i < request.headers.size(); ++i) {
        const std::string_view name = request.headers.name_at(i);
        if (!is_ours(name) && !equal_ignoring_case(name, "host")) {
            append_field(out, name, request.headers.value_at(i));
        }
    }
    const bool has_body = !request.body.empty() || request.method == Method::post ||
                          request.method == Method::put || request.method == Method::patch;
    if (has_body) {
        out += "Content-Length: ";
        append_number(out, request.body.size());
        out += "\r\n";
    }
    out += "\r\n";
}

}  // namespace twofold::http
