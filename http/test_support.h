// What the socket tests of http share: a server with a handler, and peers that speak raw bytes.
#pragma once

#include "async/event_loop.h"
#include "http/client.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace twofold::http::testing {

using namespace std::chrono_literals;

// In short turns: a condition on a raw socket becomes true without an event of the loop.
inline bool eventually(async::EventLoop& loop,
                       const std::function<bool()>& condition,
                       std::chrono::milliseconds limit = 5s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!loop.run_until(condition, 2ms)) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
    }
    return true;
}

// Raises the limit of open descriptors as far as it may, up to `wanted`; returns what it is then.
inline std::size_t allow_descriptors(std::size_t wanted) {
    rlimit limit{};
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    return limit.rlim_cur;
}

// A socket that sends and receives exactly what the test says.
class RawSocket {
public:
    explicit RawSocket(int fd) : fd_(fd) {}
    ~RawSocket() { close(); }
    RawSocket(RawSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    RawSocket& operator=(RawSocket&&) = delete;

    static RawSocket connect_to(std::uint16_t port, int receive_buffer = 0) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (receive_buffer != 0) {
            ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        }
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return RawSocket(fd);
    }

    void send(std::string_view bytes) const {
        ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    void end_sending() const { ::shutdown(fd_, SHUT_WR); }
    void close() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }
    // So that close() sends a reset.
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }

    // Takes what is there; true when the peer has closed.
    bool receive() {
        std::array<char, 65536> bytes;
        for (;;) {
            const auto got = ::recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
            if (got > 0) {
                received.append(bytes.data(), static_cast<std::size_t>(got));
                continue;
            }
            was_reset = got < 0 && errno == ECONNRESET;
            return got == 0 || was_reset;
        }
    }

    bool has_received(std::string_view text) {
        receive();
        return received.find(text) != std::string::npos;
    }

    std::string received;
    bool was_reset = false;

private:
    int fd_;
};

// A listening socket whose connections the test plays itself.
class RawServer {
public:
    RawServer() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_EQ(::listen(fd_, 64), 0);
        EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
        port = ntohs(address.sin_port);
    }
    ~RawServer() { close(); }
    RawServer(const RawServer&) = delete;
    RawServer& operator=(const RawServer&) = delete;

    std::unique_ptr<RawSocket> accept(async::EventLoop& loop) const {
        int accepted = -1;
        EXPECT_TRUE(eventually(loop, [&] {
            accepted = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            return accepted >= 0;
        }));
        return std::make_unique<RawSocket>(accepted);
    }
    void close() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }

    std::uint16_t port = 0;

private:
    int fd_;
};

// A loop, and a server on it whose handler the test sets.
class ServerTest : public ::testing::Test {
public:
    void serve(Handler handler, ServerOptions options = {}) {
        auto created = Server::create(loop, std::move(options), std::move(handler));
        ASSERT_TRUE(created.has_value()) << created.error().text();
        server = std::move(created.value());
    }
    static void echo(const Request& request, ResponseSink sink) {
        sink.send(text_response(200, request.path + "|" + request.body));
    }

    // Lets the server do what there is to do meanwhile.
    void pass(std::chrono::milliseconds time) {
        (void)loop.run_until([] { return false; }, time);
    }

    // Sends bytes; returns all that came until the server closed.
    std::string exchange(std::string_view bytes) {
        auto socket = RawSocket::connect_to(server->port());
        socket.send(bytes);
        EXPECT_TRUE(eventually(loop, [&] { return socket.receive(); })) << socket.received;
        return socket.received;
    }
    // The same, until `text` came.
    std::string exchange_until(std::string_view bytes, std::string_view text) {
        auto socket = RawSocket::connect_to(server->port());
        socket.send(bytes);
        EXPECT_TRUE(eventually(loop, [&] { return socket.has_received(text); })) << socket.received;
        return socket.received;
    }

    async::EventLoop loop;
    std::unique_ptr<Server> server;
};

}  // namespace twofold::http::testing
