// Clients that transfer money as fast as they get answers, each on its own thread, and remember
// every answer. They go on while processes die and come back. Thread: the owner's; the clients see
// only their own state.
#pragma once

#include "integration/cluster.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace twofold::integration {

// What a client was told about one transfer.
struct Told {
    Transfer transfer;
    RestReply reply;
};

struct LoadOptions {
    int clients = 3;
    std::uint32_t deadline_ms = 2000;
    std::string prefix = "load";  // of the references
    int overdraft_every = 0;      // every n-th transfer asks for more than there is; 0: none
    std::chrono::milliseconds pause{0};
};

class TransferLoad {
public:
    // Begins at once. The cluster must outlive the load.
    TransferLoad(const Cluster& cluster, LoadOptions options);
    ~TransferLoad();  // stops
    TransferLoad(const TransferLoad&) = delete;
    TransferLoad& operator=(const TransferLoad&) = delete;

    // Waits for the answers under way, then gives everything that was told.
    [[nodiscard]] std::vector<Told> stop();

    [[nodiscard]] int committed() const { return committed_; }
    [[nodiscard]] int aborted() const { return aborted_; }
    [[nodiscard]] int unanswered() const { return unanswered_; }

private:
    void run(int client);
    void count(const RestReply& reply);

    const Cluster& cluster_;
    LoadOptions options_;
    std::atomic<bool> stopping_{false};
    std::atomic<int> committed_{0};
    std::atomic<int> aborted_{0};
    std::atomic<int> unanswered_{0};
    std::vector<std::vector<Told>> told_;  // one list per client
    std::vector<std::thread> threads_;
};

}  // namespace twofold::integration
