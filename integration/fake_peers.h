// Peers that tests play themselves: a coordinator that drives a sidecar by hand, one item at a
// time, and a server that answers whatever the test wants.
#pragma once

#include "async/event_loop.h"
#include "http/server.h"
#include "integration/rest_client.h"
#include "protocol/messages.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace twofold::integration {

// A coordinator of an incarnation that nobody else has. It keeps no promises.
class FakeCoordinator {
public:
    explicit FakeCoordinator(RestClient& participant);

    // Asks who the participant is; false when it does not say.
    [[nodiscard]] bool look();
    [[nodiscard]] const protocol::ParticipantInfo& info() const { return info_; }
    [[nodiscard]] protocol::SenderStamp& stamp() { return stamp_; }

    // A branch of a new transaction.
    [[nodiscard]] protocol::BranchKey new_branch();
    [[nodiscard]] protocol::Item execute_prepare(const protocol::BranchKey& key,
                                                 const std::string& work_json) const;
    [[nodiscard]] protocol::Item finish(const protocol::BranchKey& key, protocol::ItemOp op) const;
    // The answers to one batch of one item; status unknown and the reason "no answer" without one.
    [[nodiscard]] protocol::ItemResult send(const protocol::Item& item);

private:
    RestClient& participant_;
    protocol::ParticipantInfo info_;
    protocol::SenderStamp stamp_;
    protocol::Sequence sequence_ = 0;
};

// An HTTP server with a loop and a thread of its own.
class FakeServer {
public:
    // `respond` is called on the server's thread. Port 0: any. Check port() for success.
    explicit FakeServer(std::function<http::Response(const http::Request&)> respond,
                        std::uint16_t port = 0);
    ~FakeServer();
    FakeServer(const FakeServer&) = delete;
    FakeServer& operator=(const FakeServer&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }

private:
    async::EventLoop loop_;
    std::unique_ptr<http::Server> server_;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

}  // namespace twofold::integration
