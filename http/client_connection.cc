#include "http/client_connection.h"

#include "base/assert.h"
#include "http/wire.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <utility>

namespace twofold::http {

namespace {

namespace asio = boost::asio;

constexpr std::size_t kReadSize = 16UL * 1024;
constexpr std::size_t kKeptBytesMax = 64UL * 1024;
// A connection that was idle for longer is looked at before it is used: its end may not have
// reached the loop yet. On a busy one the look would cost more than it finds.
constexpr std::chrono::milliseconds kLookAfter{10};

}  // namespace

ClientConnection::ClientConnection(std::shared_ptr<ClientPool> pool)
    : pool_(std::move(pool)), parser_(pool_->limits) {
    deadline_.emplace(*pool_->deadlines, [this] { on_deadline(); });
}

void ClientConnection::connect() {
    deadline_->arm(Clock::now() + pool_->options.connect_deadline);
    boost::system::error_code error;
    const auto address = asio::ip::make_address(pool_->options.host, error);
    if (!error) {
        std::vector<Tcp::endpoint> endpoints{Tcp::endpoint(address, pool_->options.port)};
        return resolved({}, std::move(endpoints));
    }
    resolver_.emplace(pool_->loop.context());
    resolver_->async_resolve(
        pool_->options.host,
        std::to_string(pool_->options.port),
        Resolver::numeric_service,
        [self = shared_from_this()](const boost::system::error_code& resolve_error,
                                    const Resolver::results_type& results) {
            if (self->state_ != State::closed) {
                self->resolved(resolve_error, {results.begin(), results.end()});
            }
        });
}

void ClientConnection::resolved(const boost::system::error_code& error,
                                std::vector<Tcp::endpoint> endpoints) {
    if (error) {
        return pool_->connect_failed(
            *this,
            base::Errc::unavailable,
            pool_->origin + ": the name cannot be resolved: " + error.message());
    }
    last_reason_ = pool_->origin + ": no address that may be connected to";
    last_code_ = base::Errc::invalid_argument;
    if (const auto& allow = pool_->options.allow_address) {
        std::erase_if(endpoints, [&allow](const Tcp::endpoint& endpoint) {
            return !allow(endpoint.address().to_string());
        });
    }
    std::reverse(endpoints.begin(), endpoints.end());
    endpoints_ = std::move(endpoints);
    // Not at once: connect() is called by request(), which calls nobody back.
    pool_->loop.post([self = shared_from_this()] {
        if (self->state_ != State::closed) {
            self->connect_next();
        }
    });
}

void ClientConnection::connect_next() {
    if (endpoints_.empty()) {
        return pool_->connect_failed(*this, last_code_, last_reason_);
    }
    endpoint_ = endpoints_.back();
    endpoints_.pop_back();
    socket_.emplace(pool_->loop.context());
    boost::system::error_code failed;  // async_connect tries again and reports it
    socket_->open(endpoint_.protocol(), failed);
    if (!failed) {
        async::set_close_on_exec(socket_->native_handle());
    }
    socket_->async_connect(endpoint_,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                               if (self->state_ != State::closed) {
                                   self->connected_to(error);
                               }
                           });
}

void ClientConnection::connected_to(const boost::system::error_code& error) {
    boost::system::error_code ignored;
    // When nobody listens on a port of the ephemeral range, a socket can be connected to itself.
    const bool to_itself = !error && socket_->local_endpoint(ignored) == endpoint_;
    if (error || to_itself) {
        last_code_ = base::Errc::unavailable;
        last_reason_ = pool_->origin + ": " +
                       (to_itself ? std::string("connection refused") : error.message());
        return connect_next();
    }
    socket_->set_option(Tcp::no_delay(true), ignored);
    socket_->non_blocking(true, ignored);
    --pool_->connecting;
    state_ = State::busy;  // until become_idle()
    become_idle();
    read();
    pool_->serve();
}

void ClientConnection::on_deadline() {
    const auto self = shared_from_this();
    if (state_ == State::connecting) {
        return pool_->connect_failed(
            *this, base::Errc::timed_out, pool_->origin + ": connecting took too long");
    }
    close();  // idle for too long
}

void ClientConnection::become_idle() {
    TWOFOLD_ASSERT(state_ == State::busy && call_ == nullptr,
                   "only a connection that is done is idle");
    state_ = State::idle;
    idle_since_ = Clock::now();
    deadline_->arm(idle_since_ + pool_->options.idle_deadline);
    pool_->idle.push_back(this);
    if (input_.capacity() > kKeptBytesMax) {
        // A read is pending into the buffer only while bytes are unread; here none is under way.
        input_.reset();
    }
    if (output_.capacity() > kKeptBytesMax) {
        output_ = {};
    }
}

void ClientConnection::close() {
    if (state_ == State::closed) {
        return;
    }
    if (state_ == State::connecting) {
        --pool_->connecting;
    }
    state_ = State::closed;
    deadline_.reset();
    resolver_.reset();
    socket_.reset();
    if (call_ != nullptr) {
        call_->connection = nullptr;
        call_ = nullptr;
    }
    pool_->remove(*this);
}

void ClientConnection::abandon() {
    if (call_ != nullptr) {
        call_->over = true;
        call_->on_done = nullptr;
        call_->deadline.reset();
    }
    close();
}

bool ClientConnection::peer_has_closed() {
    char byte = 0;
    boost::system::error_code error;
    socket_->receive(asio::buffer(&byte, 1), Socket::message_peek, error);
    return error != asio::error::would_block;  // the end, an error, or bytes that nobody asked for
}

bool ClientConnection::start(std::shared_ptr<ClientCall> call) {
    TWOFOLD_ASSERT(state_ == State::idle, "one call at a time");
    if (Clock::now() - idle_since_ > kLookAfter && peer_has_closed()) {
        return false;
    }
    state_ = State::busy;
    deadline_->disarm();
    call_ = std::move(call);
    call_->connection = this;
    ReplyParser::Expectation expectation;
    expectation.to_head = call_->request.method == Method::head;
    if (call_->on_line) {
        expectation.on_line = &call_->on_line;
        expectation.line_type = call_->options.line_content_type;
    }
    parser_.begin(expectation);
    output_.clear();
    append_request_head(output_, call_->request, pool_->origin);
    output_ += call_->request.body;
    bytes_sent_ = 0;
    write_broken_ = false;
    write();
    return true;
}

void ClientConnection::write() {
    while (bytes_sent_ < output_.size()) {
        boost::system::error_code error;
        const std::size_t sent = socket_->write_some(
            asio::buffer(output_.data() + bytes_sent_, output_.size() - bytes_sent_), error);
        if (error == asio::error::would_block) {
            waiting_writable_ = true;
            socket_->async_wait(Socket::wait_write,
                                [self = shared_from_this()](const boost::system::error_code&) {
                                    self->waiting_writable_ = false;
                                    if (self->state_ == State::busy && !self->write_broken_) {
                                        self->write();
                                    }
                                });
            return;
        }
        if (error) {
            return write_failed(error);
        }
        bytes_sent_ += sent;
    }
}

void ClientConnection::write_failed(const boost::system::error_code& error) {
    if (bytes_sent_ > 0) {
        // The peer may have answered before it closed (413, 431): the read tells.
        write_broken_ = true;
        return;
    }
    // Not one byte was taken: the peer cannot have acted. A connection that was idle may just have
    // been stale, so a fresh one gets a try, once.
    const auto self = shared_from_this();
    const auto call = std::exchange(call_, nullptr);
    call->connection = nullptr;
    close();
    if (std::exchange(call->repeated, true)) {
        return pool_->finish(*call,
                             CallError{CallFailure::not_sent,
                                       base::Errc::unavailable,
                                       pool_->origin + ": " + error.message()});
    }
    pool_->requeue(call);
}

void ClientConnection::read() {
    const auto room = input_.prepare(kReadSize);
    socket_->async_read_some(
        asio::buffer(room.data(), room.size()),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
            if (self->state_ != State::closed) {
                self->on_read(error, size);
            }
        });
}

void ClientConnection::on_read(const boost::system::error_code& error, std::size_t size) {
    if (state_ != State::busy) {
        return close();  // an idle connection ends, or says something that nobody asked for
    }
    if (!error) {
        input_.commit(size);
        parse();
    } else if (error == asio::error::eof) {
        parser_.feed_end();
        parse();
    } else {
        return fail_call(base::Errc::io_error, error.message());
    }
    if (state_ != State::closed) {
        read();
    }
}

void ClientConnection::parse() {
    // Callbacks for lines may cancel the call, or destroy the client.
    const auto call = call_;
    input_.consume(parser_.feed(input_.unread()));
    if (state_ != State::busy || call_ != call) {
        return;
    }
    switch (parser_.progress()) {
        case ReplyProgress::incomplete: return;
        case ReplyProgress::complete: return finish_call();
        case ReplyProgress::failed: return fail_call(parser_.failure_code(), parser_.failure());
    }
}

void ClientConnection::finish_call() {
    const auto self = shared_from_this();
    const auto call = std::exchange(call_, nullptr);
    call->connection = nullptr;
    const bool reusable = parser_.keep_alive() && bytes_sent_ == output_.size() &&
                          !waiting_writable_ && input_.unread().empty();
    pool_->finish(*call, CallResult(parser_.take_reply()));
    if (!reusable) {
        return close();
    }
    become_idle();
    pool_->serve();
}

void ClientConnection::fail_call(base::Errc code, const std::string& reason) {
    const auto self = shared_from_this();
    const auto call = std::exchange(call_, nullptr);
    call->connection = nullptr;
    const CallFailure failure = failure_now();
    close();
    pool_->finish(*call, CallError{failure, code, pool_->origin + ": " + reason});
}

}  // namespace twofold::http
