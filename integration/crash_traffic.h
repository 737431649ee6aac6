// The clients of a cell of the crash matrix. Each does one transaction after the other, of every
// kind that its path has, while processes die and come back, and remembers what it was told.
// Thread: the owner's; each client has a thread and connections of its own.
#pragma once

#include "integration/cluster.h"
#include "integration/crash_cells.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace twofold::integration {

enum class Heard : std::uint8_t { unknown, committed, aborted };

// One transaction, as its client sees it.
struct Deed {
    std::string reference;  // the idempotency key, too, of a one-shot transaction
    std::size_t from = 0;
    std::size_t to = 1;  // the same as `from`: a transaction of one branch
    std::string body;    // of a one-shot transaction, to ask again with
    std::string id;      // empty: nobody has told it
    Heard heard = Heard::unknown;
    std::string last_words;  // the answer that `heard` is read from
};

// Two tables whose constraint is looked at when a branch is prepared: what breaks it is a late no.
[[nodiscard]] base::Result<void> create_family(Database& database);

// What an answer says about the outcome.
[[nodiscard]] Heard heard_in(const RestReply& reply);

class CrashTraffic {
public:
    // Begins at once. The cluster must outlive it.
    CrashTraffic(const Cluster& cluster, TrafficPath path, int clients);
    ~CrashTraffic();
    CrashTraffic(const CrashTraffic&) = delete;
    CrashTraffic& operator=(const CrashTraffic&) = delete;

    // Waits for the answers under way.
    void stop();
    // After stop().
    [[nodiscard]] std::vector<Deed> take_deeds();
    [[nodiscard]] int committed() const { return committed_; }

private:
    class Client;
    const Cluster& cluster_;
    std::atomic<bool> stopping_{false};
    std::atomic<int> committed_{0};
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<std::thread> threads_;
};

}  // namespace twofold::integration
