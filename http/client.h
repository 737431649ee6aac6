// A pool of keep-alive connections to one origin.
//
// What the caller must know after a failure is whether the peer may have acted. `not_sent`: it
// cannot have, no byte of the request was handed to the system. `unknown`: it may have; that is no
// failure to be retried blindly but an input of the protocol. The pool itself repeats a call only
// when it is not_sent, on an idle connection that turned out dead, once. Redirects are never
// followed.
//
// Thread: the loop's. Callbacks run on the loop, never inside request().
#pragma once

#include "async/event_loop.h"
#include "async/unique_function.h"
#include "base/errc.h"
#include "base/result.h"
#include "http/message.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace twofold::http {

enum class CallFailure : std::uint8_t { not_sent, unknown };

[[nodiscard]] std::string_view to_string(CallFailure failure) noexcept;

struct CallError {
    CallFailure failure;
    // unavailable, timed_out, cancelled, limit_exceeded, protocol_violation, io_error,
    // invalid_argument
    base::Errc code;
    std::string reason;  // "10.0.0.1:8431: connection refused"
};

struct ClientReply {
    int status = 0;
    std::string content_type;  // the media type alone, in lower case; empty when absent
    Headers headers;
    std::string body;       // empty when the lines were streamed
    bool streamed = false;  // on_line saw the body
    // The body ended within a line; what was left of it is dropped. Only for a streamed body.
    bool truncated = false;
};

// Either the complete reply or the error. Any status is a reply: judging it is the caller's.
class CallResult {
public:
    CallResult(ClientReply reply) : value_(std::move(reply)) {}  // implicit, like Result
    CallResult(CallError error) : value_(std::move(error)) {}    // implicit, like Result
    [[nodiscard]] bool has_value() const noexcept { return value_.index() == 0; }
    [[nodiscard]] ClientReply& value() { return std::get<0>(value_); }
    [[nodiscard]] const ClientReply& value() const { return std::get<0>(value_); }
    [[nodiscard]] const CallError& error() const { return std::get<1>(value_); }

private:
    std::variant<ClientReply, CallError> value_;
};

using CallCallback = async::UniqueFunction<void(CallResult)>;

// Sees each complete line of a streamed body as it arrives, without its newline (LF or CRLF). The
// view is valid during the call only. The call may still fail afterwards: lines seen until then are
// good.
using LineCallback = async::UniqueFunction<void(std::string_view line)>;

struct ClientOptions {
    std::string host = "127.0.0.1";  // a name or an IP address
    std::uint16_t port = 0;
    std::size_t connections_max = 16;
    std::size_t queue_max =
        4096;  // calls that wait for a connection; above: not_sent, limit_exceeded
    std::size_t header_size_max = 16UL * 1024;
    std::size_t body_size_max = 16UL * 1024 * 1024;  // of a collected body
    std::size_t line_size_max = 1024UL * 1024;       // of one line of a streamed body
    std::chrono::milliseconds connect_deadline{2'000};
    // An idle connection is closed after this; keep it below the server's own idle deadline.
    std::chrono::milliseconds idle_deadline{30'000};
    // Asked for each address after the name was resolved; the checked address is the one connected
    // to. Empty: all addresses are allowed.
    std::function<bool(std::string_view address)> allow_address;
};

struct CallOptions {
    // Covers waiting for a connection, connecting, sending and the whole reply. max(): none.
    std::chrono::milliseconds deadline{10'000};
    // When set, a 2xx reply with the media type `line_content_type` is streamed to it, and any
    // other reply is collected in ClientReply::body.
    LineCallback on_line;
    std::string line_content_type = "application/x-ndjson";
};

struct ClientCall;

// Names a call for cancelling it. Copyable; dropping it does nothing.
class CallHandle {
public:
    CallHandle() noexcept = default;

    // On return neither callback will run any more. Its connection is closed if bytes were written.
    // False: the call was over already.
    bool cancel();

private:
    friend class Client;
    explicit CallHandle(std::weak_ptr<ClientCall> call) noexcept : call_(std::move(call)) {}
    std::weak_ptr<ClientCall> call_;
};

struct ClientStats {
    std::size_t connections_open = 0;
    std::size_t connections_idle = 0;
    std::size_t queued = 0;
    std::uint64_t connects = 0;
    std::uint64_t calls = 0;
};

class Client {
public:
    Client(async::EventLoop& loop, ClientOptions options);
    // Cuts all connections; callbacks of calls that are under way are dropped without being run.
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Of `request`, method, target, headers and body are sent; Host, Content-Length and Connection
    // are the client's. `on_done` runs exactly once unless the call is cancelled or the client
    // destroyed.
    CallHandle request(Request request, CallOptions options, CallCallback on_done);

    // Opens connections until `count` (at most connections_max) are there, so that the first calls
    // need not wait. Failures are silent: the next call finds out.
    void preconnect(std::size_t count);

    [[nodiscard]] ClientStats stats() const noexcept;
    [[nodiscard]] const std::string& origin() const noexcept;  // "127.0.0.1:8431"

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::http
