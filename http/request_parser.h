// Bytes to requests. Pure: no socket, no clock; tested with a corpus of hostile input.
// Internal to http.
#pragma once

#include "http/message.h"
#include "http/problem.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace twofold::http {

struct RequestLimits {
    std::size_t header_size_max;
    std::size_t header_count_max;
    std::size_t body_size_max;
};

enum class RequestProgress : std::uint8_t {
    header,    // the header is not complete
    body,      // the header is complete, the body is not
    complete,  // take_request()
    failed,    // failure(): answer it and close
};

class RequestParser {
public:
    explicit RequestParser(const RequestLimits& limits);
    ~RequestParser();
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    // Takes from the front of `bytes` what belongs to the request and is complete enough to be
    // used; returns how much that was. Call it again with the rest and what has arrived since. At
    // most max(header_size_max, 8 KiB) unused bytes are ever left while more are wanted.
    [[nodiscard]] std::size_t feed(std::string_view bytes);

    [[nodiscard]] RequestProgress progress() const noexcept;
    [[nodiscard]] std::size_t body_received() const noexcept;
    [[nodiscard]] bool expects_continue() const noexcept;  // once the header is complete
    [[nodiscard]] bool keep_alive() const noexcept;        // likewise
    [[nodiscard]] bool is_http_1_0() const noexcept;       // likewise

    // Then begins with the next request.
    [[nodiscard]] Request take_request();

    struct Failure {
        const ProblemCode* problem = nullptr;
        std::string detail;
    };
    [[nodiscard]] const Failure& failure() const noexcept;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::http
