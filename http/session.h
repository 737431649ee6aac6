// One connection of the server. Internal to http; includes Asio.
//
// Reading: bytes go through the parser one request at a time; a pipelined request waits in the
// buffer until the one before it is answered. A read is pending even while a handler works, so that
// a peer that leaves is noticed. Writing: everything that is to be sent goes into one string;
// flush() writes it without waiting, and waits for the socket only when it is full. Responses to
// pipelined requests that are answered at once therefore leave in one write, and so do the chunks
// of a stream written in one turn of the loop.
#pragma once

#include "async/deadline.h"
#include "async/tcp.h"
#include "http/read_buffer.h"
#include "http/request_parser.h"
#include "http/server.h"
#include "http/wire.h"

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace twofold::http {

class Session;

// What the sessions of a server share. They hold it; the server empties it when it goes.
struct SessionHost {
    SessionHost(async::EventLoop& event_loop, ServerOptions server_options, Handler request_handler)
        : loop(event_loop),
          options(std::move(server_options)),
          limits{options.header_size_max, options.header_count_max, options.body_size_max},
          handler(std::move(request_handler)),
          deadlines(std::in_place, event_loop) {}

    async::EventLoop& loop;
    const ServerOptions options;
    const RequestLimits limits;
    Handler handler;
    std::optional<async::DeadlineQueue> deadlines;
    DateText date;
    ServerStats stats;
    bool draining = false;
    std::unordered_map<Session*, std::shared_ptr<Session>> sessions;
    std::list<Session*> idle;  // between requests; the longest first
    async::UniqueFunction<void()> on_session_closed;
};

class Session final : public ResponsePort, public std::enable_shared_from_this<Session> {
public:
    using Socket = async::TcpSocket;

    Session(std::shared_ptr<SessionHost> host, Socket socket, std::string peer);

    void start();
    // The same for a connection above the limit: it has one request, and that must be urgent.
    void start_reserved();
    // Answers 503 without reading anything, and closes.
    void refuse();
    // Nothing has arrived that was not read: closing it loses no request, as far as we know.
    [[nodiscard]] bool has_nothing_unread() const;
    // Closes unless a request is under way; then its response says "Connection: close".
    void drain();
    // At once. The caller holds a reference.
    void close();

    void send(std::uint64_t exchange, Response response) override;
    WriteStatus begin_stream(std::uint64_t exchange, Response head) override;
    WriteStatus write(std::uint64_t exchange, std::string_view chunk) override;
    void end(std::uint64_t exchange) override;
    void abandon(std::uint64_t exchange) override;
    void on_closed(std::uint64_t exchange, async::UniqueFunction<void()> callback) override;
    void on_writable(std::uint64_t exchange, async::UniqueFunction<void()> callback) override;
    [[nodiscard]] bool open(std::uint64_t exchange) const noexcept override;

private:
    using Clock = std::chrono::steady_clock;
    using TimePoint = Clock::time_point;

    enum class Phase : std::uint8_t {
        serving,
        lingering,  // the last response is out and our side is shut; what still comes is thrown
                    // away
        closed,
    };
    enum class Exchange : std::uint8_t { none, unanswered, streaming };

    // Reading (session.cc).
    void read_more();
    void shrink_input();
    void on_read(const boost::system::error_code& error, std::size_t size);
    void on_peer_ended();
    void pump();
    bool pump_once();
    void dispatch();
    void fail(const ProblemCode& code, std::string_view detail);
    [[nodiscard]] bool is_in_body() const noexcept;
    void count_body();
    void refuse_body_above_limit();
    void linger();
    [[nodiscard]] bool is_idle() const noexcept;
    void note_idle();
    void leave_idle();
    void tell_closed();
    [[nodiscard]] TimePoint deadline_now() const;
    [[nodiscard]] TimePoint with_rate_floor(TimePoint since,
                                            std::chrono::milliseconds grace,
                                            std::size_t bytes) const;
    void update_deadline();
    void on_deadline();

    // Writing (session_write.cc).
    [[nodiscard]] bool is_current(std::uint64_t exchange) const noexcept;
    void append_head(const Response& response, Framing framing);
    void finish_exchange();
    void flush_in_this_turn();
    void flush();
    void frame_stream_data();
    void wait_writable();
    void cut();
    [[nodiscard]] std::size_t backlog() const noexcept;

    std::shared_ptr<SessionHost> host_;
    std::optional<Socket> socket_;  // empty when closed: the session may outlive the event loop
    std::optional<async::Deadline> deadline_;
    std::string peer_;
    Phase phase_ = Phase::serving;
    bool reserved_ = false;
    std::optional<std::list<Session*>::iterator> idle_place_;

    RequestParser parser_;
    ReadBuffer input_;
    std::size_t counted_ = 0;  // of stats.body_bytes: ours
    bool reading_ = false;
    bool pumping_ = false;
    bool peer_ended_ = false;     // it sends no more; it may still read
    bool continue_sent_ = false;  // for the request that is being read
    TimePoint phase_began_;       // idle since, or the request's header or body began then
    RequestProgress waits_for_ = RequestProgress::complete;  // of which phase; complete: idle

    Exchange exchange_ = Exchange::none;
    std::uint64_t exchange_number_ = 0;
    std::size_t requests_ = 0;
    bool to_head_ = false;
    bool http_1_0_ = false;
    bool keep_alive_ = true;
    Framing framing_ = Framing::length;
    async::UniqueFunction<void()> on_closed_;
    async::UniqueFunction<void()> on_writable_;

    std::string output_;
    std::size_t output_sent_ = 0;  // of output_
    std::string stream_data_;      // chunks of this turn, not framed yet
    bool flush_posted_ = false;
    bool waiting_writable_ = false;
    bool close_when_sent_ = false;
    bool stalled_ = false;  // the socket was full and has not caught up since
    TimePoint stalled_since_;
    std::size_t sent_since_ = 0;  // bytes that left it since then
};

}  // namespace twofold::http
