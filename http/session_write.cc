// The writing half of a session.
#include "base/assert.h"
#include "base/log.h"
#include "http/session.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <utility>

namespace twofold::http {

namespace {

constexpr std::size_t kOutputCapacityMax = 64UL * 1024;  // kept for the next response

Response instead_of(const Response& unsendable) {
    base::log_event(base::LogLevel::error,
                    "response_invalid",
                    "a handler's response has an invalid status or field; 500 is sent instead",
                    {{"status", unsendable.status}});
    return problem(problems::kInternal, "the response could not be written");
}

}  // namespace

bool Session::is_current(std::uint64_t exchange) const noexcept {
    return phase_ == Phase::serving && exchange_ != Exchange::none && exchange == exchange_number_;
}

std::size_t Session::backlog() const noexcept {
    return output_.size() - output_sent_ + stream_data_.size();
}

bool Session::open(std::uint64_t exchange) const noexcept {
    return is_current(exchange) && !peer_ended_;
}

void Session::append_head(const Response& response, Framing framing) {
    const std::size_t requests_max = host_->options.requests_per_connection_max;
    HeadOptions head;
    head.framing = framing;
    head.close = !keep_alive_ || framing == Framing::until_close || host_->draining ||
                 peer_ended_ || (requests_max != 0 && requests_ >= requests_max);
    head.keep_alive = http_1_0_;
    head.date = host_->date.now();
    append_response_head(output_, response, head);
    close_when_sent_ = close_when_sent_ || head.close;
}

void Session::send(std::uint64_t exchange, Response response) {
    if (!is_current(exchange)) {
        return;
    }
    TWOFOLD_ASSERT(exchange_ == Exchange::unanswered, "a stream goes on with write() and end()");
    if (!is_sendable(response)) {
        response = instead_of(response);
    }
    append_head(response, Framing::length);
    if (!to_head_ && status_has_body(response.status)) {
        output_ += response.body;
    }
    finish_exchange();
}

WriteStatus Session::begin_stream(std::uint64_t exchange, Response head) {
    if (!is_current(exchange)) {
        return WriteStatus::closed;
    }
    TWOFOLD_ASSERT(exchange_ == Exchange::unanswered, "a stream begins once");
    TWOFOLD_ASSERT(is_sendable(head) && status_has_body(head.status), "a stream's head is valid");
    framing_ = http_1_0_ ? Framing::until_close : Framing::chunked;
    exchange_ = Exchange::streaming;
    append_head(head, framing_);
    if (to_head_) {
        // The head is the whole answer: a stream without an end would hold up the next request.
        finish_exchange();
        return WriteStatus::closed;
    }
    // The head goes when the stream ends its turn, although more may follow on this connection.
    flush_in_this_turn();
    return peer_ended_ ? WriteStatus::closed : WriteStatus::accepted;
}

WriteStatus Session::write(std::uint64_t exchange, std::string_view chunk) {
    if (!is_current(exchange) || peer_ended_) {
        return WriteStatus::closed;
    }
    TWOFOLD_ASSERT(exchange_ == Exchange::streaming, "begin_stream() comes before write()");
    stream_data_ += chunk;
    if (backlog() > host_->options.stream_backlog_hard) {
        base::log_event(base::LogLevel::warning,
                        "stream_cut",
                        "the reader of a stream is too slow; its connection is cut",
                        {{"peer", peer_}});
        cut();
        return WriteStatus::closed;
    }
    flush_in_this_turn();
    return backlog() > host_->options.stream_backlog_soft ? WriteStatus::backpressure
                                                          : WriteStatus::accepted;
}

void Session::end(std::uint64_t exchange) {
    if (!is_current(exchange)) {
        return;
    }
    TWOFOLD_ASSERT(exchange_ == Exchange::streaming, "begin_stream() comes before end()");
    frame_stream_data();
    if (framing_ == Framing::chunked) {
        output_ += kLastChunk;
    }
    finish_exchange();
}

void Session::abandon(std::uint64_t exchange) {
    if (exchange == exchange_number_) {
        on_closed_ = nullptr;
        on_writable_ = nullptr;
    }
    if (!is_current(exchange)) {
        return;
    }
    if (exchange_ == Exchange::streaming) {
        return cut();
    }
    if (peer_ended_) {
        return close();  // nobody waits for the answer
    }
    send(exchange, problem(problems::kInternal, "the request was dropped without an answer"));
}

void Session::on_closed(std::uint64_t exchange, async::UniqueFunction<void()> callback) {
    if (!is_current(exchange)) {
        // The connection went before the handler asked: it hears about it all the same.
        if (callback && exchange == exchange_number_ && exchange_ != Exchange::none) {
            on_closed_ = std::move(callback);
            tell_closed();
        }
        return;
    }
    on_closed_ = std::move(callback);
    if (peer_ended_) {
        tell_closed();
    }
}

void Session::on_writable(std::uint64_t exchange, async::UniqueFunction<void()> callback) {
    if (is_current(exchange)) {
        on_writable_ = std::move(callback);
    }
}

void Session::finish_exchange() {
    exchange_ = Exchange::none;
    on_closed_ = nullptr;
    on_writable_ = nullptr;
    phase_began_ = Clock::now();
    if (pumping_) {
        return;  // pump() takes the next request, and flushes at its end
    }
    pump();
    read_more();
    update_deadline();
}

// Chunks that follow in this turn of the loop leave in the same write.
void Session::flush_in_this_turn() {
    if (flush_posted_ || waiting_writable_) {
        return;
    }
    flush_posted_ = true;
    host_->loop.post([self = shared_from_this()] {
        self->flush_posted_ = false;
        if (self->phase_ != Phase::closed) {
            self->flush();
            self->update_deadline();
        }
    });
}

void Session::frame_stream_data() {
    if (framing_ == Framing::chunked) {
        append_chunk(output_, stream_data_);
    } else {
        output_ += stream_data_;
    }
    stream_data_.clear();
}

void Session::flush() {
    if (phase_ == Phase::closed || waiting_writable_) {
        return;
    }
    frame_stream_data();
    while (output_sent_ < output_.size()) {
        boost::system::error_code error;
        const std::size_t sent = socket_->write_some(
            boost::asio::buffer(output_.data() + output_sent_, output_.size() - output_sent_),
            error);
        if (error == boost::asio::error::would_block) {
            return wait_writable();
        }
        if (error) {
            return close();
        }
        output_sent_ += sent;
        sent_since_ += sent;
    }
    stalled_ = false;
    output_.clear();
    output_sent_ = 0;
    if (output_.capacity() > kOutputCapacityMax) {
        output_ = {};
    }
    if (close_when_sent_ && exchange_ == Exchange::none && phase_ == Phase::serving) {
        return linger();
    }
    if (on_writable_) {
        host_->loop.post([self = shared_from_this()] {
            if (auto callback = std::exchange(self->on_writable_, nullptr)) {
                callback();
            }
        });
    }
}

void Session::wait_writable() {
    if (!std::exchange(stalled_, true)) {
        stalled_since_ = Clock::now();
        sent_since_ = 0;
    }
    // What has left already is dropped, so that a stream's memory is bounded by its backlog.
    output_.erase(0, output_sent_);
    output_sent_ = 0;
    waiting_writable_ = true;
    socket_->async_wait(Socket::wait_write,
                        [self = shared_from_this()](const boost::system::error_code&) {
                            self->waiting_writable_ = false;
                            if (self->phase_ == Phase::closed) {
                                return;
                            }
                            // An error shows itself in the write.
                            self->flush();
                            self->pump();
                            self->read_more();
                            self->update_deadline();
                        });
    update_deadline();
}

// Ends a stream so that the peer cannot take the part for the whole: to an HTTP/1.0 client an
// orderly close would be the end of the body.
void Session::cut() {
    if (socket_.has_value() && framing_ == Framing::until_close) {
        boost::system::error_code ignored;
        socket_->set_option(boost::asio::socket_base::linger(true, 0), ignored);
    }
    close();
}

}  // namespace twofold::http
