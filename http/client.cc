#include "http/client.h"

#include "http/client_connection.h"
#include "http/wire.h"

#include <algorithm>
#include <utility>

namespace twofold::http {

namespace {

// "127.0.0.1:8431"; "[::1]:8431".
std::string origin_of(const ClientOptions& options) {
    const std::string port = std::to_string(options.port);
    const bool v6 = options.host.find(':') != std::string::npos;
    return v6 ? "[" + options.host + "]:" + port : options.host + ":" + port;
}

bool is_sendable(const Request& request) {
    for (std::size_t i = 0; i < request.headers.size(); ++i) {
        if (!is_valid_field(request.headers.name_at(i), request.headers.value_at(i))) {
            return false;
        }
    }
    return is_valid_target(request.target) && request.method != Method::other;
}

CallError not_sent(base::Errc code, std::string reason) {
    return CallError{CallFailure::not_sent, code, std::move(reason)};
}

}  // namespace

std::string_view to_string(CallFailure failure) noexcept {
    return failure == CallFailure::not_sent ? "not_sent" : "unknown";
}

ClientPool::ClientPool(async::EventLoop& event_loop, ClientOptions client_options)
    : loop(event_loop),
      options(std::move(client_options)),
      limits{options.header_size_max, options.body_size_max, options.line_size_max},
      origin(origin_of(options)),
      deadlines(std::in_place, event_loop) {}

void ClientPool::submit(const std::shared_ptr<ClientCall>& call) {
    ++calls;
    if (!is_sendable(call->request)) {
        return finish(*call,
                      not_sent(base::Errc::invalid_argument,
                               origin + ": the request's target or a header field is malformed"));
    }
    if (queued >= options.queue_max) {
        return finish(*call,
                      not_sent(base::Errc::limit_exceeded,
                               origin + ": " + std::to_string(queued) +
                                   " calls wait for a connection already"));
    }
    if (call->options.deadline != std::chrono::milliseconds::max()) {
        call->deadline.emplace(*deadlines,
                               [this, call = call.get()] { expire(call->shared_from_this()); });
        call->deadline->arm(std::chrono::steady_clock::now() + call->options.deadline);
    }
    queue.push_back(call);
    ++queued;
    serve();
}

void ClientPool::serve() {
    while (!queue.empty() && !closed) {
        if (queue.front()->over) {
            queue.pop_front();
            continue;
        }
        if (idle.empty()) {
            break;
        }
        const auto connection = idle.back()->shared_from_this();
        idle.pop_back();
        auto call = queue.front();
        queue.pop_front();
        --queued;
        if (!connection->start(call)) {
            connection->close();
            queue.push_front(std::move(call));
            ++queued;
        }
    }
    while (!closed && connecting < queued && connections.size() < options.connections_max) {
        open_connection();
    }
}

void ClientPool::open_connection() {
    const auto connection = std::make_shared<ClientConnection>(shared_from_this());
    connections.push_back(connection);
    ++connecting;
    ++connects;
    connection->connect();
}

void ClientPool::remove(ClientConnection& connection) {
    std::erase(idle, &connection);
    std::erase_if(connections,
                  [&connection](const auto& each) { return each.get() == &connection; });
    // Calls may have been waiting for it: not served here, in the middle of whatever closed it.
    if (queued > 0 && !closed) {
        loop.post([self = shared_from_this()] { self->serve(); });
    }
}

// Without any connection that works, nothing suggests that the next attempt would fare better: all
// waiting calls fail. Else one call fails for each failed attempt, so that attempts cannot go round
// in circles.
void ClientPool::connect_failed(ClientConnection& connection,
                                base::Errc code,
                                const std::string& reason) {
    const auto guard = connection.shared_from_this();
    const bool any_works = std::any_of(
        connections.begin(), connections.end(), [](const auto& each) { return each->connected(); });
    // Taken before the connection goes: its removal would open the next one for them.
    std::vector<std::shared_ptr<ClientCall>> failed;
    while (queued > 0 && (failed.empty() || !any_works)) {
        if (!queue.front()->over) {
            failed.push_back(queue.front());
            --queued;
        }
        queue.pop_front();
    }
    connection.close();
    for (const auto& call : failed) {
        finish(*call, not_sent(code, reason));
    }
}

void ClientPool::requeue(std::shared_ptr<ClientCall> call) {
    queue.push_front(std::move(call));
    ++queued;
    loop.post([self = shared_from_this()] { self->serve(); });
}

void ClientPool::finish(ClientCall& call, CallResult result) {
    call.over = true;
    call.deadline.reset();
    // The call is kept until then, so that it can still be cancelled.
    call.finished = std::move(result);
    loop.post([pool = shared_from_this(), self = call.shared_from_this()] {
        auto done = std::exchange(self->on_done, nullptr);
        if (done && !pool->closed) {
            done(std::move(*self->finished));
        }
    });
}

void ClientPool::expire(const std::shared_ptr<ClientCall>& call) {
    if (call->connection == nullptr) {
        --queued;
        return finish(*call,
                      not_sent(base::Errc::timed_out,
                               origin + ": no connection was free before the deadline"));
    }
    const auto connection = call->connection->shared_from_this();
    const CallFailure failure = connection->failure_now();
    connection->close();
    finish(*call,
           CallError{
               failure, base::Errc::timed_out, origin + ": no complete reply before the deadline"});
}

bool ClientPool::cancel(ClientCall& call) {
    if (!call.on_done) {
        return false;
    }
    const auto self = call.shared_from_this();
    call.on_done = nullptr;
    if (std::exchange(call.over, true)) {
        return true;  // its callback was posted, but will not run
    }
    call.deadline.reset();
    if (call.connection == nullptr) {
        --queued;
    } else {
        const auto connection = call.connection->shared_from_this();
        connection->close();
    }
    return true;
}

void ClientPool::shut_down() {
    closed = true;
    const auto all = connections;
    // Calls own deadlines, which must go before their queue does; a handle may keep a call alive.
    for (const auto& connection : all) {
        connection->abandon();
    }
    for (const auto& call : std::exchange(queue, {})) {
        call->over = true;
        call->on_done = nullptr;
        call->deadline.reset();
    }
    deadlines.reset();
}

bool CallHandle::cancel() {
    const auto call = call_.lock();
    const auto pool = call != nullptr ? call->pool.lock() : nullptr;
    return pool != nullptr && pool->cancel(*call);
}

struct Client::Impl : ClientPool {
    using ClientPool::ClientPool;
};

Client::Client(async::EventLoop& loop, ClientOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}

Client::~Client() { impl_->shut_down(); }

CallHandle Client::request(Request request, CallOptions options, CallCallback on_done) {
    const auto call = std::make_shared<ClientCall>();
    call->pool = impl_;
    call->request = std::move(request);
    call->options = std::move(options);
    call->on_done = std::move(on_done);
    if (call->options.on_line) {
        call->on_line = [call = call.get()](std::string_view line) {
            call->options.on_line(line);
            return !call->over;
        };
    }
    impl_->submit(call);
    return CallHandle(call);
}

void Client::preconnect(std::size_t count) {
    const std::size_t wanted = std::min(count, impl_->options.connections_max);
    while (impl_->connections.size() < wanted) {
        impl_->open_connection();
    }
}

ClientStats Client::stats() const noexcept {
    ClientStats stats;
    stats.connections_open = impl_->connections.size();
    stats.connections_idle = impl_->idle.size();
    stats.queued = impl_->queued;
    stats.connects = impl_->connects;
    stats.calls = impl_->calls;
    return stats;
}

const std::string& Client::origin() const noexcept { return impl_->origin; }

}  // namespace twofold::http
