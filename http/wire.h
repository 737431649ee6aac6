// Requests and responses to bytes. Pure. Internal to http.
#pragma once

#include "http/message.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace twofold::http {

// No control character can leave in a header: nobody splits a response with a name from a request.
[[nodiscard]] bool is_valid_field(std::string_view name, std::string_view value) noexcept;
[[nodiscard]] bool is_valid_target(std::string_view target) noexcept;

// Status 200..599, and every field valid.
[[nodiscard]] bool is_sendable(const Response& response) noexcept;

enum class Framing : std::uint8_t {
    length,       // Content-Length, which 204 and 304 have not
    chunked,      // Transfer-Encoding: chunked
    until_close,  // neither: the body ends with the connection (a stream to an HTTP/1.0 client)
};

struct HeadOptions {
    Framing framing = Framing::length;
    bool close = false;       // "Connection: close"
    bool keep_alive = false;  // "Connection: keep-alive", which HTTP/1.0 clients want to hear
    std::string_view date;    // empty: no Date field
};

void append_response_head(std::string& out, const Response& response, const HeadOptions& options);
[[nodiscard]] bool status_has_body(int status) noexcept;

void append_chunk(std::string& out, std::string_view data);  // nothing for empty data
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// "Sun, 06 Nov 1994 08:49:37 GMT", computed once per second. Thread: one.
class DateText {
public:
    [[nodiscard]] std::string_view now();

private:
    std::int64_t second_ = -1;
    std::string text_;
};

// The head of a request; the body follows it.
void append_request_head(std::string& out, const Request& request, std::string_view host);

}  // namespace twofold::http
