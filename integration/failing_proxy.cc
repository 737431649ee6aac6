#include "integration/failing_proxy.h"

#include "integration/temp_dir.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using std::chrono::milliseconds;

constexpr milliseconds kLook{20};  // how often a waiting thread looks whether it has to stop
constexpr std::size_t kTrickle = 16;
constexpr std::size_t kReadSize = 65'536;

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

// The sockets interface is made of casts between address types.
const sockaddr* plain(const sockaddr_in& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

void send_at_once(int socket) {
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void close_if_open(int& socket) {
    if (socket >= 0) close(socket);
    socket = -1;
}

// The peer sees a reset instead of an orderly end.
void reset_at_close(int socket) {
    linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

// Whether a whole message is there. One without a length or chunks ends with its head: requests
// only, as both of our servers say how long their answers are.
bool is_complete(const std::string& bytes) {
    std::size_t head = bytes.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    std::string lower = bytes.substr(0, head);
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (lower.find("\r\ntransfer-encoding: chunked") != std::string::npos) {
        return bytes.ends_with("\r\n0\r\n\r\n");
    }
    std::size_t field = lower.find("\r\ncontent-length:");
    if (field == std::string::npos) return true;
    return bytes.size() >= head + 4 + std::strtoull(lower.c_str() + field + 17, nullptr, 10);
}

std::string answer(int status, const std::string& head, const std::string& body) {
    return "HTTP/1.1 " + std::to_string(status) + " Whatever\r\n" + head +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace

std::string network_fault_name(NetworkFault::Kind kind) {
    switch (kind) {
        case NetworkFault::Kind::none: return "none";
        case NetworkFault::Kind::latency: return "latency";
        case NetworkFault::Kind::cut: return "cut";
        case NetworkFault::Kind::swallow: return "swallow";
        case NetworkFault::Kind::trickle: return "trickle";
        case NetworkFault::Kind::garbage: return "garbage";
        case NetworkFault::Kind::redirect: return "redirect";
        case NetworkFault::Kind::html: return "html";
        case NetworkFault::Kind::duplicate: return "duplicate";
        case NetworkFault::Kind::hold: break;
    }
    return "hold";
}

Result<std::unique_ptr<FailingProxy>> FailingProxy::create() {
    std::unique_ptr<FailingProxy> proxy(new FailingProxy());
    proxy->port_ = free_port();
    proxy->listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(proxy->listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address = loopback(proxy->port_);
    if (bind(proxy->listener_, plain(address), sizeof address) != 0 ||
        listen(proxy->listener_, SOMAXCONN) != 0) {
        return fail(Errc::io_error, std::string("proxy: ") + std::strerror(errno));
    }
    proxy->acceptor_ = std::thread([raw = proxy.get()] { raw->accept_all(); });
    return proxy;
}

FailingProxy::~FailingProxy() {
    stopping_ = true;
    if (acceptor_.joinable()) acceptor_.join();
    for (Session& session : sessions_) session.thread.join();
    close_if_open(listener_);
}

void FailingProxy::set(NetworkFault fault) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
    ++changes_;
}

NetworkFault FailingProxy::take_fault(const std::string& request) {
    std::lock_guard lock(mutex_);
    bool meant = fault_.kind != NetworkFault::Kind::none && fault_.strikes != 0 &&
                 request.find(fault_.only_with) != std::string::npos;
    if (!meant) return {};
    if (fault_.strikes > 0) --fault_.strikes;
    ++struck_;
    return fault_;
}

void FailingProxy::accept_all() {
    while (!stopping_) {
        pollfd wait{.fd = listener_, .events = POLLIN, .revents = 0};
        if (poll(&wait, 1, static_cast<int>(kLook.count())) <= 0) continue;
        int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        send_at_once(client);
        for (auto session = sessions_.begin(); session != sessions_.end();) {
            if (!session->done) {
                ++session;
                continue;
            }
            session->thread.join();
            session = sessions_.erase(session);
        }
        Session& session = sessions_.emplace_back();
        session.thread = std::thread([this, client, &session] {
            serve(client);
            session.done = true;
        });
    }
}

void FailingProxy::serve(int client) {
    int upstream = -1;
    while (!stopping_) {
        std::string request = read_message(client);
        if (request.empty() || !forward(client, upstream, request)) break;
    }
    close_if_open(upstream);
    close_if_open(client);
}

bool FailingProxy::forward(int client, int& upstream, const std::string& request) {
    NetworkFault fault = take_fault(request);
    if (fault.kind != NetworkFault::Kind::none) return spoil(client, upstream, request, fault);
    // A target that is away looks like one: the connection ends without an answer.
    return exchange(
        upstream, request, [&](const std::string& piece) { return write_all(client, piece); });
}

bool FailingProxy::spoil(int client,
                         int& upstream,
                         const std::string& request,
                         const NetworkFault& fault) {
    switch (fault.kind) {
        case NetworkFault::Kind::latency:
        case NetworkFault::Kind::trickle:
        case NetworkFault::Kind::duplicate:
        case NetworkFault::Kind::hold: return delay(client, upstream, request, fault);
        default: break;
    }
    // Its first piece proves that the target has the request.
    bool reached = false;
    if (fault.delivered) {
        std::ignore = exchange(upstream, request, [&](const std::string& /*piece*/) {
            reached = true;
            return false;
        });
        close_if_open(upstream);
        if (!reached) return false;
    }
    return lie(client, fault);
}

// The answer is the right one, but late, in pieces, or not the only one.
bool FailingProxy::delay(int client,
                         int& upstream,
                         const std::string& request,
                         const NetworkFault& fault) {
    using Kind = NetworkFault::Kind;
    if (fault.kind == Kind::latency && !rest(fault.delay)) return false;
    int second = fault.kind == Kind::duplicate ? connect_target() : -1;
    if (second >= 0) write_all(second, request);
    bool first_piece = true;
    bool done = exchange(upstream, request, [&](const std::string& piece) {
        bool waits = fault.kind == Kind::latency || fault.kind == Kind::hold;
        if (std::exchange(first_piece, false) && waits &&
            !rest(fault.delay, fault.kind == Kind::hold)) {
            return false;
        }
        return fault.kind == Kind::trickle ? trickle(client, piece, fault.delay)
                                           : write_all(client, piece);
    });
    if (second >= 0) {
        std::ignore = relay(second, [](const std::string& /*piece*/) { return true; });
    }
    close_if_open(second);
    return done;
}

bool FailingProxy::trickle(int client, const std::string& bytes, milliseconds pause) const {
    for (std::size_t at = 0; at < bytes.size(); at += kTrickle) {
        if (!write_all(client, bytes.substr(at, kTrickle)) || !rest(pause)) return false;
    }
    return true;
}

bool FailingProxy::lie(int client, const NetworkFault& fault) const {
    switch (fault.kind) {
        case NetworkFault::Kind::cut: reset_at_close(client); return false;
        case NetworkFault::Kind::garbage:
            write_all(client, std::string("\x16\x03\x01\x00\xa5 not HTTP\0\xff", 16));
            return false;
        case NetworkFault::Kind::redirect:
            return write_all(client, answer(307, "Location: " + fault.location + "\r\n", ""));
        case NetworkFault::Kind::html:
            return write_all(client,
                             answer(fault.status,
                                    "Content-Type: text/html\r\n",
                                    "<!doctype html><title>Welcome</title><p>Please log in."));
        default: stay_silent(client); return false;
    }
}

// Passes every piece on as it comes. True when the whole message came and was taken.
bool FailingProxy::relay(int socket, const Sink& sink) const {
    std::string all;
    std::string piece;
    while (!stopping_) {
        pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
        if (poll(&wait, 1, static_cast<int>(kLook.count())) == 0) continue;
        piece.resize(kReadSize);
        ssize_t count = recv(socket, piece.data(), piece.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        piece.resize(static_cast<std::size_t>(count));
        all += piece;
        if (!sink(piece)) return false;
        if (is_complete(all)) return true;
    }
    return false;
}

std::string FailingProxy::read_message(int socket) const {
    std::string all;
    bool whole = relay(socket, [&](const std::string& piece) {
        all += piece;
        return true;
    });
    return whole ? all : "";
}

// An old connection may have been closed by the target: then a new one is tried, once.
bool FailingProxy::exchange(int& upstream, const std::string& request, const Sink& sink) const {
    bool reused = upstream >= 0;
    if (!reused) upstream = connect_target();
    if (upstream < 0) return false;
    bool anything = false;
    bool done = write_all(upstream, request) && relay(upstream, [&](const std::string& piece) {
                    anything = true;
                    return sink(piece);
                });
    if (done) return true;
    close_if_open(upstream);
    return reused && !anything && !stopping_ && exchange(upstream, request, sink);
}

int FailingProxy::connect_target() const {
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(target_);
    if (connect(made, plain(address), sizeof address) != 0) {
        close(made);
        return -1;
    }
    send_at_once(made);
    return made;
}

bool FailingProxy::write_all(int socket, const std::string& bytes) const {
    std::size_t at = 0;
    while (at < bytes.size() && !stopping_) {
        ssize_t count = send(socket, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        at += static_cast<std::size_t>(count);
    }
    return at == bytes.size();
}

bool FailingProxy::rest(milliseconds time, bool wakes) const {
    auto end = std::chrono::steady_clock::now() + time;
    std::uint64_t changes = changes_;
    while (std::chrono::steady_clock::now() < end) {
        if (stopping_) return false;
        if (wakes && changes != changes_) return true;
        auto left =
            std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
        std::this_thread::sleep_for(std::clamp(left, milliseconds(1), milliseconds(5)));
    }
    return !stopping_;
}

// Until the peer gives up.
void FailingProxy::stay_silent(int socket) const {
    while (!stopping_) {
        pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
        if (poll(&wait, 1, static_cast<int>(kLook.count())) <= 0) continue;
        std::array<char, 256> ignored{};
        if (recv(socket, ignored.data(), ignored.size(), 0) <= 0) return;
    }
}

}  // namespace twofold::integration
