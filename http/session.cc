#include "http/session.h"

#include "base/assert.h"
#include "base/log.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <utility>

namespace twofold::http {

namespace {

constexpr std::size_t kReadSize = 4UL * 1024;
constexpr std::size_t kBodyReadSize = 64UL * 1024;
constexpr std::size_t kIdleCapacityMax = 16UL * 1024;
// Bytes of pipelined requests that wait while one is being answered; above, TCP holds the peer
// back.
constexpr std::size_t kPipelineMax = 16UL * 1024;
// How long a connection is kept after our last byte, so that the peer can read it: closing with
// unread input would reset the connection and could take the response away.
constexpr std::chrono::milliseconds kLinger{1'000};
constexpr std::string_view kTooMany = "too many connections; try again later";

}  // namespace

Session::Session(std::shared_ptr<SessionHost> host, Socket socket, std::string peer)
    : host_(std::move(host)),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      parser_(host_->limits),
      phase_began_(Clock::now()) {
    deadline_.emplace(*host_->deadlines, [this] { on_deadline(); });
    boost::system::error_code ignored;
    socket_->set_option(boost::asio::ip::tcp::no_delay(true), ignored);
    socket_->non_blocking(true, ignored);
}

void Session::start() {
    read_more();
    update_deadline();
}

void Session::start_reserved() {
    reserved_ = true;
    start();
}

void Session::refuse() {
    fail(problems::kOverloaded, kTooMany);
    flush();
    if (phase_ == Phase::serving) {
        close();  // not even this fits into the socket
    }
}

void Session::drain() {
    if (is_idle()) {
        close();
    }
}

bool Session::is_idle() const noexcept {
    return phase_ == Phase::serving && exchange_ == Exchange::none && !close_when_sent_ &&
           waits_for_ == RequestProgress::complete && backlog() == 0;
}

void Session::note_idle() {
    if (!is_idle()) {
        return leave_idle();
    }
    if (!idle_place_.has_value()) {
        idle_place_ = host_->idle.insert(host_->idle.end(), this);
    }
}

void Session::leave_idle() {
    if (idle_place_.has_value()) {
        host_->idle.erase(*idle_place_);
        idle_place_.reset();
    }
}

bool Session::has_nothing_unread() const {
    boost::system::error_code error;
    return !socket_.has_value() || (socket_->available(error) == 0 && !error);
}

void Session::close() {
    if (phase_ == Phase::closed) {
        return;
    }
    phase_ = Phase::closed;
    const auto self = shared_from_this();
    leave_idle();
    deadline_.reset();
    socket_.reset();
    output_ = {};
    output_sent_ = 0;
    stream_data_ = {};
    input_.reset();
    count_body();
    tell_closed();
    host_->sessions.erase(this);
    if (host_->on_session_closed) {
        host_->on_session_closed();
    }
}

// Never inside of a call of the handler's: it may be in the middle of its own business.
void Session::tell_closed() {
    on_writable_ = nullptr;
    if (exchange_ == Exchange::none || !on_closed_) {
        return;
    }
    host_->loop.post([self = shared_from_this()] {
        if (auto callback = std::exchange(self->on_closed_, nullptr)) {
            callback();
        }
    });
}

void Session::read_more() {
    const bool full =
        input_.unread().size() >= std::max(kPipelineMax, host_->limits.header_size_max + 1);
    if (phase_ == Phase::closed || reading_ || peer_ended_ || full) {
        return;
    }
    reading_ = true;
    const bool in_body = is_in_body();
    shrink_input();
    const auto room = input_.prepare(in_body ? kBodyReadSize : kReadSize);
    socket_->async_read_some(
        boost::asio::buffer(room.data(), room.size()),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
            self->reading_ = false;
            if (self->phase_ != Phase::closed) {
                self->on_read(error, size);
            }
        });
}

// Before a read into it: a connection that waits for its next request, or whose handler is at work,
// needs no more than room for a header.
void Session::shrink_input() {
    const bool between = parser_.progress() == RequestProgress::header && input_.unread().empty();
    if (between && input_.capacity() > kIdleCapacityMax) {
        input_.reset();
    }
}

void Session::on_read(const boost::system::error_code& error, std::size_t size) {
    if (error == boost::asio::error::eof) {
        return on_peer_ended();
    }
    if (error) {
        return close();
    }
    if (phase_ == Phase::lingering) {
        return read_more();  // thrown away: nothing was committed
    }
    input_.commit(size);
    pump();
    refuse_body_above_limit();
    read_more();
    update_deadline();
}

bool Session::is_in_body() const noexcept {
    return phase_ == Phase::serving && exchange_ == Exchange::none && !close_when_sent_ &&
           parser_.progress() == RequestProgress::body;
}

// What arrives counts, not what was announced: announcing costs a peer nothing.
void Session::count_body() {
    const std::size_t bytes = is_in_body() ? parser_.body_received() + input_.capacity() : 0;
    host_->stats.body_bytes = host_->stats.body_bytes - counted_ + bytes;
    counted_ = bytes;
}

void Session::refuse_body_above_limit() {
    count_body();
    if (counted_ == 0 || host_->stats.body_bytes <= host_->options.bodies_size_max) {
        return;
    }
    ++host_->stats.bodies_refused;
    fail(problems::kOverloaded, "too many request bodies are being read; try again later");
    flush();
}

// The peer sends no more. It may have closed, or only its sending side while it waits for the
// answer, which cannot be told apart: the handler hears that the peer is gone, and an answer is
// sent nevertheless.
void Session::on_peer_ended() {
    peer_ended_ = true;
    if (phase_ == Phase::lingering || (exchange_ == Exchange::none && backlog() == 0)) {
        return close();
    }
    if (exchange_ == Exchange::none) {
        close_when_sent_ = true;
        return;
    }
    tell_closed();
}

void Session::pump() {
    if (pumping_ || phase_ != Phase::serving) {
        return;
    }
    pumping_ = true;
    while (pump_once()) {
    }
    pumping_ = false;
    if (phase_ != Phase::closed) {
        flush();
    }
}

// Takes one step on the input. False when there is nothing to do before something else happens.
bool Session::pump_once() {
    if (phase_ != Phase::serving || exchange_ != Exchange::none || close_when_sent_ ||
        backlog() > host_->options.stream_backlog_soft) {
        return false;
    }
    input_.consume(parser_.feed(input_.unread()));
    const RequestProgress progress = parser_.progress();
    if (progress == RequestProgress::complete) {
        dispatch();
        return true;
    }
    if (progress == RequestProgress::failed) {
        fail(*parser_.failure().problem, parser_.failure().detail);
        return false;
    }
    const bool idle = progress == RequestProgress::header && input_.unread().empty();
    const RequestProgress waits_for = idle ? RequestProgress::complete : progress;
    if (waits_for != waits_for_) {
        waits_for_ = waits_for;
        phase_began_ = Clock::now();
    }
    if (progress == RequestProgress::body && parser_.expects_continue() && !continue_sent_ &&
        parser_.body_received() == 0 && input_.unread().empty()) {
        continue_sent_ = true;
        output_ += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    return false;
}

void Session::dispatch() {
    keep_alive_ = parser_.keep_alive();
    http_1_0_ = parser_.is_http_1_0();
    Request request = parser_.take_request();
    request.peer = peer_;
    leave_idle();  // if it is idle again in a moment, then since that moment
    if (reserved_ && !host_->options.is_urgent(request)) {
        ++host_->stats.connections_refused;
        return fail(problems::kOverloaded, kTooMany);
    }
    keep_alive_ = keep_alive_ && !reserved_;
    to_head_ = request.method == Method::head;
    continue_sent_ = false;
    waits_for_ = RequestProgress::complete;
    phase_began_ = Clock::now();
    framing_ = Framing::length;
    exchange_ = Exchange::unanswered;
    ++exchange_number_;
    ++requests_;
    ++host_->stats.requests;
    host_->handler(std::move(request), ResponseSink(shared_from_this(), exchange_number_));
}

// Answers on the server's own account, and ends the connection: after an error nobody knows where
// in the input the next request begins.
void Session::fail(const ProblemCode& code, std::string_view detail) {
    ++host_->stats.requests_refused;
    base::log_event(base::LogLevel::debug,
                    "request_refused",
                    "a request was refused before it reached its handler",
                    {{"peer", peer_}, {"code", code.code}, {"detail", detail}});
    keep_alive_ = false;
    to_head_ = false;
    ProblemExtras extras;
    if (code.status == problems::kOverloaded.status) {
        extras.retry_after_seconds = 1;
    }
    const Response response = problem(code, detail, extras);
    append_head(response, Framing::length);
    output_ += response.body;
    close_when_sent_ = true;
}

void Session::linger() {
    if (peer_ended_) {
        return close();
    }
    phase_ = Phase::lingering;
    phase_began_ = Clock::now();
    boost::system::error_code ignored;
    socket_->shutdown(Socket::shutdown_send, ignored);
    if (!reading_) {
        input_.reset();
    }
    read_more();
    update_deadline();
}

Session::TimePoint Session::with_rate_floor(TimePoint since,
                                            std::chrono::milliseconds grace,
                                            std::size_t bytes) const {
    const std::size_t floor = std::max<std::size_t>(host_->options.body_rate_floor, 1);
    return since + grace + std::chrono::milliseconds(bytes * 1000 / floor);
}

Session::TimePoint Session::deadline_now() const {
    const ServerOptions& options = host_->options;
    if (phase_ == Phase::lingering) {
        return phase_began_ + kLinger;
    }
    if (waiting_writable_) {
        return with_rate_floor(stalled_since_, options.write_deadline, sent_since_);
    }
    if (exchange_ != Exchange::none) {
        return TimePoint::max();  // the handler's time is the handler's business
    }
    switch (waits_for_) {
        case RequestProgress::header: return phase_began_ + options.header_deadline;
        case RequestProgress::body:
            return with_rate_floor(phase_began_, options.body_deadline, parser_.body_received());
        case RequestProgress::complete:
        case RequestProgress::failed:
            return phase_began_ + (reserved_ ? options.header_deadline : options.idle_deadline);
    }
    return TimePoint::max();
}

void Session::update_deadline() {
    count_body();
    note_idle();
    if (phase_ != Phase::closed) {
        deadline_->arm(deadline_now());
    }
}

void Session::on_deadline() {
    const auto self = shared_from_this();
    const bool reads_request =
        phase_ == Phase::serving && !waiting_writable_ &&
        (waits_for_ == RequestProgress::header || waits_for_ == RequestProgress::body);
    if (!reads_request) {
        return close();
    }
    fail(problems::kRequestTimeout,
         waits_for_ == RequestProgress::header ? "the header did not arrive in time"
                                               : "the body arrived too slowly");
    flush();
    update_deadline();
}

}  // namespace twofold::http
