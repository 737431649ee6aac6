// Where a handler puts its answer, now or later. Move-only; answers exactly once.
// Thread: the loop's, for every call and for destruction. It may outlive the connection and the
// server: then every call does nothing and reports `closed`.
#pragma once

#include "async/unique_function.h"
#include "http/message.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace twofold::http {

enum class WriteStatus : std::uint8_t {
    accepted,  // queued; it goes out with everything else that is queued in this turn of the loop
    backpressure,  // queued, but the reader is slow: stop until on_writable, or be cut off at the
                   // hard limit
    closed,        // the peer is gone or too slow; nothing will be sent any more
};

// What a sink talks to: a server connection, or a fake in tests. `exchange` tells the requests of
// one connection apart; calls for an exchange that is over are ignored.
class ResponsePort {
public:
    virtual ~ResponsePort() = default;
    virtual void send(std::uint64_t exchange, Response response) = 0;
    virtual WriteStatus begin_stream(std::uint64_t exchange, Response head) = 0;
    virtual WriteStatus write(std::uint64_t exchange, std::string_view chunk) = 0;
    virtual void end(std::uint64_t exchange) = 0;
    virtual void abandon(
        std::uint64_t exchange) = 0;  // the sink was dropped before its answer was complete
    virtual void on_closed(std::uint64_t exchange, async::UniqueFunction<void()> callback) = 0;
    virtual void on_writable(std::uint64_t exchange, async::UniqueFunction<void()> callback) = 0;
    [[nodiscard]] virtual bool open(std::uint64_t exchange) const noexcept = 0;
};

class ResponseSink {
public:
    ResponseSink() noexcept = default;  // answered already
    ResponseSink(std::shared_ptr<ResponsePort> port, std::uint64_t exchange) noexcept;
    ResponseSink(ResponseSink&&) noexcept = default;
    ResponseSink& operator=(ResponseSink&& other) noexcept;
    // Dropped without an answer: the peer gets a 500 problem. Dropped within a stream: the
    // connection is cut, so that the peer cannot take the part for the whole.
    ~ResponseSink();

    // The whole answer. The sink is done afterwards. An invalid status or header field: a 500 is
    // sent instead, and logged.
    void send(Response response);

    // A chunked answer; `head.body` must be empty. Then write() any number of times, then end(). To
    // HEAD the head is the whole answer: `closed` is returned, and nothing else is sent.
    WriteStatus begin_stream(int status, std::string_view content_type);
    WriteStatus begin_stream(Response head);
    WriteStatus write(std::string_view chunk);
    void end();

    // Called once from the loop if the peer goes away, or the server closes, before the answer is
    // complete; never after it. Replaces an earlier callback.
    void on_closed(async::UniqueFunction<void()> callback);

    // Called once, when a stream that reported backpressure has room again.
    void on_writable(async::UniqueFunction<void()> callback);

    // The peer is still there and the answer is not complete.
    [[nodiscard]] bool open() const noexcept;

private:
    std::shared_ptr<ResponsePort> port_;
    std::uint64_t exchange_ = 0;
};

}  // namespace twofold::http
