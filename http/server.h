// An HTTP/1.1 server. Reads whole requests, calls the handler, writes what its sink is given.
// Thread: the loop's. The handler runs inside the read callback; it must not block.
#pragma once

#include "async/event_loop.h"
#include "async/unique_function.h"
#include "base/result.h"
#include "http/message.h"
#include "http/response_sink.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace twofold::http {

using Handler = std::function<void(Request, ResponseSink)>;

struct ServerOptions {
    std::string host = "127.0.0.1";  // an IP address, or "localhost"
    std::uint16_t port = 0;          // 0: the system picks one
    // The last defence against exposing an unprotected interface: without it only loopback is
    // bound.
    bool allow_insecure_public_bind = false;

    std::size_t header_size_max = 8UL * 1024;   // request line and fields; above: 431
    std::size_t header_count_max = 64;          // above: 431
    std::size_t body_size_max = 1024UL * 1024;  // above: 413
    // Of the bodies that are being read, of all connections, with their buffers. Above: 503 and
    // close.
    std::size_t bodies_size_max = 256UL * 1024 * 1024;
    // When there are so many, the one that has been idle longest makes room for a new one; when
    // none is idle: 503 and close.
    std::size_t connections_max = 4096;
    // Above connections_max: for one request each, and only for those that is_urgent lets pass, so
    // that probes and decisions find a way in while everybody else waits.
    std::size_t connections_reserved = 64;
    std::function<bool(const Request&)> is_urgent{};  // empty: none is
    std::size_t requests_per_connection_max = 0;      // 0: no limit
    std::size_t stream_backlog_soft = 256UL * 1024;   // unsent bytes: write() reports backpressure
    std::size_t stream_backlog_hard =
        4UL * 1024 * 1024;  // unsent bytes of a stream: the connection is cut

    std::chrono::milliseconds header_deadline{5'000};  // from a request's first byte; then 408
    std::chrono::milliseconds body_deadline{
        5'000};  // grace; every body_rate_floor bytes buy one second more
    std::size_t body_rate_floor = 16UL * 1024;         // bytes per second
    std::chrono::milliseconds idle_deadline{75'000};   // between requests; then closed silently
    std::chrono::milliseconds write_deadline{10'000};  // grace for unsent output; same rate floor
};

struct ServerStats {
    std::uint64_t connections_accepted = 0;
    std::uint64_t connections_refused = 0;    // above connections_max
    std::uint64_t connections_made_room = 0;  // closed for a new one, because idle
    std::size_t connections_open = 0;
    std::size_t body_bytes = 0;          // of bodies that are being read
    std::uint64_t bodies_refused = 0;    // above bodies_size_max
    std::uint64_t requests = 0;          // handed to the handler
    std::uint64_t requests_refused = 0;  // answered by the server itself (400, 408, 413, …)
};

class Server {
public:
    // Binds and listens before it returns. Errors name address, port and reason: invalid_argument
    // (host), permission_denied (privileged port, public bind), already_exists (port in use),
    // io_error.
    [[nodiscard]] static base::Result<std::unique_ptr<Server>> create(async::EventLoop& loop,
                                                                      ServerOptions options,
                                                                      Handler handler);

    // Closes everything at once. Sinks that are still held stay valid and report `closed`. Not to
    // be called by the handler.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] const std::string& host() const noexcept;

    // Stops accepting and closes idle connections. Requests in flight get their answers with
    // "Connection: close", for at most `limit`; then the rest is cut. `on_drained` runs once, on
    // the loop. The sockets of clients that connected but were not accepted yet are refused by the
    // system.
    void drain(std::chrono::milliseconds limit, async::UniqueFunction<void()> on_drained);

    [[nodiscard]] ServerStats stats() const noexcept;

private:
    struct Impl;
    explicit Server(std::shared_ptr<Impl> impl) noexcept;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::http
