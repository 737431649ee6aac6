// Bytes to replies. What a peer answers is as untrusted as a request. Pure. Internal to http.
#pragma once

#include "http/client.h"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace twofold::http {

struct ReplyLimits {
    std::size_t header_size_max;
    std::size_t body_size_max;
    std::size_t line_size_max;
};

enum class ReplyProgress : std::uint8_t { incomplete, complete, failed };

class ReplyParser {
public:
    // `to_head`: the reply to a HEAD request has no body. `on_line` may be null; it returns false
    // when it wants no more (the call is over): the parser fails then. `line_type`: which media
    // type is streamed. All three must outlive the reply.
    struct Expectation {
        bool to_head = false;
        async::UniqueFunction<bool(std::string_view)>* on_line = nullptr;
        std::string_view line_type;
    };

    explicit ReplyParser(const ReplyLimits& limits);
    ~ReplyParser();
    ReplyParser(const ReplyParser&) = delete;
    ReplyParser& operator=(const ReplyParser&) = delete;

    void begin(const Expectation& expectation);

    // As RequestParser::feed.
    [[nodiscard]] std::size_t feed(std::string_view bytes);
    // The peer closed its side. Completes a reply that is delimited by that; else it fails.
    void feed_end();

    [[nodiscard]] ReplyProgress progress() const noexcept;
    [[nodiscard]] bool keep_alive() const noexcept;  // after `complete`
    [[nodiscard]] const std::string& failure() const noexcept;
    [[nodiscard]] base::Errc failure_code() const noexcept;
    [[nodiscard]] ClientReply take_reply();

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::http
