// A network between two processes that fails as networks, load balancers and captive portals do:
// it forwards HTTP messages from its own port to a target, and does something wrong to those that a
// fault is for. It knows where a message ends and nothing else of what it forwards.
//
// Thread: any. Connections have a thread each; faults may be changed while they run.
#pragma once

#include "base/result.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace twofold::integration {

struct NetworkFault {
    enum class Kind : std::uint8_t {
        none,
        latency,    // `delay` before the request and before the answer
        cut,        // reset instead of an answer
        swallow,    // silence instead of an answer; the connection stays open
        trickle,    // the answer comes in `delay` for each 16 bytes
        garbage,    // bytes that are no HTTP
        redirect,   // 307 to `location`
        html,       // a web page with `status`
        duplicate,  // the request arrives twice, on two connections at once; one answer comes back
        hold,       // the answer is held up for `delay`, or until the fault is changed
    };
    Kind kind = Kind::none;
    // Whether the target has received the request of which the answer is spoilt.
    bool delivered = true;
    std::chrono::milliseconds delay{0};
    int status = 200;
    std::string location;
    std::string only_with;  // strikes only requests that contain this text
    int strikes = -1;       // how many; -1: as long as it is set
};

[[nodiscard]] std::string network_fault_name(NetworkFault::Kind kind);

class FailingProxy {
public:
    // Listens on a loopback port; port() tells which.
    [[nodiscard]] static base::Result<std::unique_ptr<FailingProxy>> create();
    ~FailingProxy();
    FailingProxy(const FailingProxy&) = delete;
    FailingProxy& operator=(const FailingProxy&) = delete;

    void set_target(std::uint16_t port) { target_ = port; }
    // Counts for the next request. Answers that are held are let go; silent connections stay
    // silent.
    void set(NetworkFault fault);
    void heal() { set({}); }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::uint64_t struck() const { return struck_; }

private:
    struct Session {
        std::thread thread;
        std::atomic<bool> done{false};
    };

    FailingProxy() = default;
    void accept_all();
    void serve(int client);
    // False: the connection is over.
    bool forward(int client, int& upstream, const std::string& request);
    bool spoil(int client, int& upstream, const std::string& request, const NetworkFault& fault);
    bool delay(int client, int& upstream, const std::string& request, const NetworkFault& fault);
    bool lie(int client, const NetworkFault& fault) const;
    bool trickle(int client, const std::string& bytes, std::chrono::milliseconds pause) const;
    [[nodiscard]] NetworkFault take_fault(const std::string& request);
    // The whole message; empty when the connection ended before.
    [[nodiscard]] std::string read_message(int socket) const;
    // Takes a piece of a message; false: no more.
    using Sink = std::function<bool(const std::string&)>;
    bool relay(int socket, const Sink& sink) const;
    bool exchange(int& upstream, const std::string& request, const Sink& sink) const;
    [[nodiscard]] int connect_target() const;
    bool write_all(int socket, const std::string& bytes) const;
    // False when we are being stopped. Ends early when the fault is changed and `wakes`.
    bool rest(std::chrono::milliseconds time, bool wakes = false) const;
    void stay_silent(int socket) const;

    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<std::uint16_t> target_{0};
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> struck_{0};
    std::atomic<std::uint64_t> changes_{0};
    std::mutex mutex_;  // fault_
    NetworkFault fault_;
    std::thread acceptor_;
    std::list<Session> sessions_;  // the acceptor's
};

}  // namespace twofold::integration
