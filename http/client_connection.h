// One connection of the client's pool, and the calls that go over it. Internal to http; includes
// Asio.
#pragma once

#include "async/deadline.h"
#include "async/tcp.h"
#include "http/client.h"
#include "http/read_buffer.h"
#include "http/reply_parser.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::http {

class ClientConnection;
struct ClientPool;

struct ClientCall : std::enable_shared_from_this<ClientCall> {
    std::weak_ptr<ClientPool> pool;
    Request request;
    CallOptions options;
    CallCallback on_done;
    async::UniqueFunction<bool(std::string_view)> on_line;  // wraps options.on_line
    std::optional<async::Deadline> deadline;
    ClientConnection* connection = nullptr;  // while it is bound to one
    std::optional<CallResult> finished;      // what on_done, which is posted, will be told
    bool over = false;                       // answered, failed or cancelled
    bool repeated = false;  // it failed once on a dead idle connection, with nothing sent
};

// What the connections of a client share. The client empties it when it goes.
struct ClientPool : std::enable_shared_from_this<ClientPool> {
    ClientPool(async::EventLoop& event_loop, ClientOptions client_options);

    async::EventLoop& loop;
    const ClientOptions options;
    const ReplyLimits limits;
    const std::string origin;
    std::optional<async::DeadlineQueue> deadlines;
    std::vector<std::shared_ptr<ClientConnection>> connections;
    std::vector<ClientConnection*>
        idle;  // the latest at the end; used first, so that the rest can expire
    std::deque<std::shared_ptr<ClientCall>> queue;
    std::size_t queued = 0;      // calls in the queue that are not over
    std::size_t connecting = 0;  // connections that are not connected yet
    std::uint64_t connects = 0;
    std::uint64_t calls = 0;
    bool closed = false;

    void submit(const std::shared_ptr<ClientCall>& call);
    void serve();  // gives queued calls to connections; opens what is needed
    void open_connection();
    void remove(ClientConnection& connection);
    void connect_failed(ClientConnection& connection, base::Errc code, const std::string& reason);
    void requeue(std::shared_ptr<ClientCall> call);
    void finish(ClientCall& call, CallResult result);  // posts the callback
    void expire(const std::shared_ptr<ClientCall>& call);
    bool cancel(ClientCall& call);
    void shut_down();
};

class ClientConnection final : public std::enable_shared_from_this<ClientConnection> {
public:
    explicit ClientConnection(std::shared_ptr<ClientPool> pool);

    void connect();
    // On an idle connection only. False, with nothing done: the peer has closed it.
    [[nodiscard]] bool start(std::shared_ptr<ClientCall> call);
    // At once, without telling the call. The caller holds a reference.
    void close();
    // close(), and the call is over without a word: the client is being destroyed.
    void abandon();

    [[nodiscard]] CallFailure failure_now() const noexcept {
        return bytes_sent_ == 0 ? CallFailure::not_sent : CallFailure::unknown;
    }
    [[nodiscard]] bool connected() const noexcept {
        return state_ == State::idle || state_ == State::busy;
    }

private:
    using Tcp = async::Tcp;
    using Socket = async::TcpSocket;
    using Resolver = async::TcpResolver;
    using Clock = std::chrono::steady_clock;

    enum class State : std::uint8_t { connecting, idle, busy, closed };

    void resolved(const boost::system::error_code& error, std::vector<Tcp::endpoint> endpoints);
    void connect_next();
    void connected_to(const boost::system::error_code& error);
    void on_deadline();
    void become_idle();
    [[nodiscard]] bool peer_has_closed();
    void write();
    void write_failed(const boost::system::error_code& error);
    void read();
    void on_read(const boost::system::error_code& error, std::size_t size);
    void parse();
    void finish_call();
    void fail_call(base::Errc code, const std::string& reason);

    std::shared_ptr<ClientPool> pool_;
    State state_ = State::connecting;
    std::optional<Socket> socket_;
    std::optional<Resolver> resolver_;
    std::optional<async::Deadline> deadline_;  // for connecting, and for being idle
    std::vector<Tcp::endpoint> endpoints_;     // still to be tried, the next one last
    Tcp::endpoint endpoint_;
    std::string last_reason_;
    base::Errc last_code_ = base::Errc::unavailable;

    std::shared_ptr<ClientCall> call_;
    ReplyParser parser_;
    ReadBuffer input_;
    std::string output_;  // head and body of the call's request
    std::size_t bytes_sent_ = 0;
    bool waiting_writable_ = false;
    bool write_broken_ = false;  // no more can be sent, but a reply may have come
    Clock::time_point idle_since_;
};

}  // namespace twofold::http
