#include "http/message.h"

#include <algorithm>

namespace twofold::http {

namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::optional<std::string_view> find_parameter(const std::vector<Parameter>& parameters,
                                               std::string_view name) noexcept {
    for (const Parameter& parameter : parameters) {
        if (parameter.name == name) {
            return parameter.value;
        }
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(Method method) noexcept {
    switch (method) {
        case Method::get: return "GET";
        case Method::head: return "HEAD";
        case Method::post: return "POST";
        case Method::put: return "PUT";
        case Method::delete_: return "DELETE";
        case Method::patch: return "PATCH";
        case Method::options: return "OPTIONS";
        case Method::other: return "OTHER";
    }
    return "OTHER";
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               return lower(x) == lower(y);
           });
}

void Headers::add(std::string_view name, std::string_view value) {
    fields_.push_back({static_cast<std::uint32_t>(text_.size()),
                       static_cast<std::uint32_t>(name.size()),
                       static_cast<std::uint32_t>(value.size())});
    text_.append(name).append(value);
}

void Headers::set(std::string_view name, std::string_view value) {
    // `name` and `value` may be views into this object.
    const std::string new_name(name);
    const std::string new_value(value);
    Headers kept;
    for (std::size_t i = 0; i < size(); ++i) {
        if (!equal_ignoring_case(name_at(i), new_name)) {
            kept.add(name_at(i), value_at(i));
        }
    }
    kept.add(new_name, new_value);
    *this = std::move(kept);
}

std::optional<std::string_view> Headers::find(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < size(); ++i) {
        if (equal_ignoring_case(name_at(i), name)) {
            return value_at(i);
        }
    }
    return std::nullopt;
}

std::string_view Headers::name_at(std::size_t index) const noexcept {
    const Field& field = fields_[index];
    return std::string_view(text_).substr(field.offset, field.name_size);
}

std::string_view Headers::value_at(std::size_t index) const noexcept {
    const Field& field = fields_[index];
    return std::string_view(text_).substr(field.offset + field.name_size, field.value_size);
}

std::optional<std::string_view> Request::query_parameter(std::string_view name) const noexcept {
    return find_parameter(query, name);
}

base::Result<void> Request::only_query_parameters(
    std::initializer_list<std::string_view> known) const {
    for (const Parameter& parameter : query) {
        if (std::ranges::find(known, parameter.name) != known.end()) continue;
        std::string message =
            "query parameter " + parameter.name.substr(0, 64) + ": unknown; known are";
        for (std::string_view name : known) message.append(" ").append(name);
        return base::fail(base::Errc::precondition_failed, std::move(message));
    }
    return base::ok();
}

std::string_view Request::path_parameter(std::string_view name) const noexcept {
    return find_parameter(path_parameters, name).value_or(std::string_view());
}

Response json_response(int status, std::string body) {
    Response response;
    response.status = status;
    response.content_type = "application/json";
    response.body = std::move(body);
    return response;
}

Response text_response(int status, std::string body) {
    Response response;
    response.status = status;
    response.content_type = "text/plain; charset=utf-8";
    response.body = std::move(body);
    return response;
}

std::string_view reason_phrase(int status) noexcept {
    switch (status) {
        case 100: return "Continue";
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 204: return "No Content";
        case 206: return "Partial Content";
        case 301: return "Moved Permanently";
        case 302: return "Found";
        case 303: return "See Other";
        case 304: return "Not Modified";
        case 307: return "Temporary Redirect";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 406: return "Not Acceptable";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 410: return "Gone";
        case 411: return "Length Required";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 415: return "Unsupported Media Type";
        case 417: return "Expectation Failed";
        case 421: return "Misdirected Request";
        case 422: return "Unprocessable Content";
        case 428: return "Precondition Required";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 502: return "Bad Gateway";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 505: return "HTTP Version Not Supported";
        default: return "Unknown";
    }
}

std::string media_type(std::string_view content_type) {
    content_type = content_type.substr(0, content_type.find(';'));
    while (!content_type.empty() && (content_type.back() == ' ' || content_type.back() == '\t')) {
        content_type.remove_suffix(1);
    }
    std::string type(content_type);
    std::transform(type.begin(), type.end(), type.begin(), lower);
    return type;
}

}  // namespace twofold::http
