#include "http/server.h"

#include "async/tcp.h"
#include "async/timer.h"
#include "base/log.h"
#include "http/session.h"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>

#include <utility>
#include <vector>

namespace twofold::http {

namespace {

namespace asio = boost::asio;
using async::Tcp;
using Acceptor = async::TcpAcceptor;

constexpr int kListenBacklog = 4096;
// Connections above the limit that are still told why; above these they are closed without a word.
constexpr std::size_t kRefusalsMax = 64;
// Idle connections that are looked at to make room for a new one.
constexpr std::size_t kIdleLooksMax = 16;
constexpr std::chrono::milliseconds kAcceptRetryDelay{100};

std::string text_of(const Tcp::endpoint& endpoint) {
    const std::string address = endpoint.address().to_string();
    const std::string port = std::to_string(endpoint.port());
    return endpoint.address().is_v6() ? "[" + address + "]:" + port : address + ":" + port;
}

base::Error bind_failure(const Tcp::endpoint& endpoint, const boost::system::error_code& error) {
    auto code = base::Errc::io_error;
    std::string fix;
    if (error == asio::error::address_in_use) {
        code = base::Errc::already_exists;
        fix = "; another process listens there: stop it, or choose another port";
    } else if (error == asio::error::access_denied) {
        code = base::Errc::permission_denied;
        fix = "; ports below 1024 need a privilege: choose another port";
    } else if (error == boost::system::errc::address_not_available) {
        code = base::Errc::invalid_argument;
        fix = "; this machine has no such address";
    }
    return base::fail(code, "cannot listen on " + text_of(endpoint) + ": " + error.message() + fix);
}

base::Result<Tcp::endpoint> endpoint_of(const ServerOptions& options) {
    const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
    boost::system::error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error) {
        return base::fail(base::Errc::invalid_argument,
                          "cannot listen on \"" + options.host +
                              "\": it is neither an IP address nor \"localhost\"");
    }
    const Tcp::endpoint endpoint(address, options.port);
    if (!address.is_loopback() && !options.allow_insecure_public_bind) {
        return base::fail(base::Errc::permission_denied,
                          "refused to listen on " + text_of(endpoint) +
                              ": it is not a loopback address, and anybody who reaches it could "
                              "decide transactions; listen on 127.0.0.1, or allow it explicitly");
    }
    return endpoint;
}

}  // namespace

struct Server::Impl : SessionHost, std::enable_shared_from_this<Server::Impl> {
    Impl(async::EventLoop& event_loop, ServerOptions server_options, Handler request_handler)
        : SessionHost(event_loop, std::move(server_options), std::move(request_handler)),
          acceptor(std::in_place, event_loop.context()),
          timer(std::in_place, event_loop) {}

    base::Result<void> listen(const Tcp::endpoint& endpoint) {
        boost::system::error_code error;
        acceptor->open(endpoint.protocol(), error);
        if (!error) {
            async::set_close_on_exec(acceptor->native_handle());
            acceptor->set_option(Acceptor::reuse_address(true), error);
        }
        if (!error) {
            acceptor->bind(endpoint, error);
        }
        if (!error) {
            acceptor->listen(kListenBacklog, error);
        }
        if (!error) {
            port = acceptor->local_endpoint(error).port();
        }
        if (error) {
            return bind_failure(endpoint, error);
        }
        return base::ok();
    }

    void accept() {
        acceptor->async_accept([self = shared_from_this()](const boost::system::error_code& error,
                                                           Session::Socket socket) {
            if (!self->acceptor.has_value() || !self->acceptor->is_open()) {
                return;
            }
            if (error) {
                return self->retry_accept(error);
            }
            self->add(std::move(socket));
            self->accept();
        });
    }

    // Out of descriptors, most likely: connections that end give some back.
    void retry_accept(const boost::system::error_code& error) {
        if (error == asio::error::connection_aborted) {
            return accept();  // the peer went away while it waited in the backlog
        }
        base::log_event(base::LogLevel::warning,
                        "accept_failed",
                        "a connection could not be accepted; trying again soon",
                        {{"reason", error.message()}});
        timer->start(kAcceptRetryDelay, [this] { accept(); });
    }

    void add(Session::Socket socket) {
        async::set_close_on_exec(socket.native_handle());
        boost::system::error_code error;
        const auto peer = socket.remote_endpoint(error);
        if (error) {
            return;  // gone already
        }
        ++stats.connections_accepted;
        if (sessions.size() >= options.connections_max) {
            make_room();
        }
        const std::size_t open = sessions.size();
        const std::size_t reserved = options.is_urgent ? options.connections_reserved : 0;
        const bool is_reserved = open >= options.connections_max;
        const bool refused = open >= options.connections_max + reserved;
        stats.connections_refused += refused ? 1U : 0U;
        if (open >= options.connections_max + reserved + kRefusalsMax) {
            return;
        }
        const auto session =
            std::make_shared<Session>(shared_from_this(), std::move(socket), text_of(peer));
        sessions.emplace(session.get(), session);
        if (refused) {
            session->refuse();
        } else if (is_reserved) {
            session->start_reserved();
        } else {
            session->start();
        }
    }

    // An idle connection is kept as a favour; the one that has been idle longest is missed least.
    // Not one whose next request has just arrived.
    void make_room() {
        std::size_t looked_at = 0;
        for (Session* candidate : idle) {
            if (candidate->has_nothing_unread()) {
                ++stats.connections_made_room;
                return sessions.at(candidate)->close();
            }
            if (++looked_at == kIdleLooksMax) {
                return;
            }
        }
    }

    void stop_accepting() {
        boost::system::error_code ignored;
        acceptor->close(ignored);
        timer->cancel();
    }

    template <class Function>
    void for_each_session(Function function) {
        std::vector<std::shared_ptr<Session>> all;
        all.reserve(sessions.size());
        for (const auto& [key, session] : sessions) {
            all.push_back(session);
        }
        for (const auto& session : all) {
            function(*session);
        }
    }

    void finish_drain_if_empty() {
        if (draining && sessions.empty() && on_drained) {
            timer->cancel();
            loop.post(std::exchange(on_drained, nullptr));
        }
    }

    // Everything that belongs to the loop goes; sinks that are held keep the rest alive.
    void shut_down() {
        on_drained = nullptr;
        on_session_closed = nullptr;
        stop_accepting();
        for_each_session([](Session& session) { session.close(); });
        acceptor.reset();
        timer.reset();
        deadlines.reset();
        handler = nullptr;
    }

    std::optional<Acceptor> acceptor;
    std::optional<async::Timer> timer;  // retries accept(); later limits the drain
    std::uint16_t port = 0;
    async::UniqueFunction<void()> on_drained;
};

Server::Server(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

base::Result<std::unique_ptr<Server>> Server::create(async::EventLoop& loop,
                                                     ServerOptions options,
                                                     Handler handler) {
    TWOFOLD_TRY(const auto endpoint, endpoint_of(options));
    const auto impl = std::make_shared<Impl>(loop, std::move(options), std::move(handler));
    TWOFOLD_TRY(impl->listen(endpoint));
    impl->on_session_closed = [impl = impl.get()] { impl->finish_drain_if_empty(); };
    impl->accept();
    return std::unique_ptr<Server>(new Server(impl));
}

Server::~Server() { impl_->shut_down(); }

std::uint16_t Server::port() const noexcept { return impl_->port; }

const std::string& Server::host() const noexcept { return impl_->options.host; }

void Server::drain(std::chrono::milliseconds limit, async::UniqueFunction<void()> on_drained) {
    Impl& impl = *impl_;
    impl.stop_accepting();
    impl.draining = true;
    impl.on_drained = std::move(on_drained);
    impl.timer->start(limit, [&impl] { impl.for_each_session([](Session& s) { s.close(); }); });
    impl.for_each_session([](Session& session) { session.drain(); });
    impl.finish_drain_if_empty();
}

ServerStats Server::stats() const noexcept {
    ServerStats stats = impl_->stats;
    stats.connections_open = impl_->sessions.size();
    return stats;
}

}  // namespace twofold::http
