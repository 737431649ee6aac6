// Requests and responses as plain values: what handlers see. Nothing of Beast or of sockets.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::http {

enum class Method : std::uint8_t {
    get,
    head,
    post,
    put,
    delete_,  // NOLINT(readability-identifier-naming): `delete` is a keyword
    patch,
    options,
    other,
};

[[nodiscard]] std::string_view to_string(Method method) noexcept;  // "GET"; other: "OTHER"

// Header fields in their order. Names compare without regard to case.
class Headers {
public:
    // Neither checks its input: the server and the client refuse to send a field whose name is no
    // token or whose value contains a control character.
    void add(std::string_view name, std::string_view value);  // keeps earlier fields of that name
    void set(std::string_view name,
             std::string_view value);  // replaces earlier fields of that name

    // The first value of that name.
    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
    [[nodiscard]] bool contains(std::string_view name) const noexcept {
        return find(name).has_value();
    }

    [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }
    [[nodiscard]] std::string_view name_at(std::size_t index) const noexcept;
    [[nodiscard]] std::string_view value_at(std::size_t index) const noexcept;

private:
    // All text lies in one string: two allocations for all fields of a message.
    struct Field {
        std::uint32_t offset;
        std::uint32_t name_size;
        std::uint32_t value_size;
    };
    std::string text_;
    std::vector<Field> fields_;
};

struct Parameter {
    std::string name;
    std::string value;
};

struct Request {
    Method method = Method::get;
    std::string target;                      // as sent: "/v1/transactions/a%20b?wait=1"
    std::string path;                        // without the query, still encoded; begins with '/'
    std::vector<Parameter> query;            // decoded, in order
    std::vector<Parameter> path_parameters;  // decoded; filled in by the router
    Headers headers;
    std::string body;
    std::string peer;  // "127.0.0.1:50123"

    // The first of that name. Views into this object.
    [[nodiscard]] std::optional<std::string_view> query_parameter(
        std::string_view name) const noexcept;
    // An error that names the first query parameter that is none of these.
    [[nodiscard]] base::Result<void> only_query_parameters(
        std::initializer_list<std::string_view> known) const;
    // Empty when the route has no such parameter: a parameter never matches an empty segment.
    [[nodiscard]] std::string_view path_parameter(std::string_view name) const noexcept;
};

// Content-Length, Transfer-Encoding, Connection and Date are the server's; fields of those names in
// `headers` are ignored.
struct Response {
    int status = 200;
    std::string content_type;  // empty: no Content-Type field
    Headers headers;
    std::string body;
};

[[nodiscard]] Response json_response(int status, std::string body);
[[nodiscard]] Response text_response(int status, std::string body);

// "Not Found" for 404; "Unknown" for a number without a name.
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;

// Equality without regard to the case of ASCII letters.
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

// "application/json" for "Application/JSON; charset=utf-8": the media type alone, in lower case.
[[nodiscard]] std::string media_type(std::string_view content_type);

}  // namespace twofold::http
