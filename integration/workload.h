// Clients for long runs: they move money between any two of the databases, append numbers to lists
// that lie in several of them, and remember in few bytes what they were told. They go on while
// processes die and come back. Some requests have an idempotency key and are repeated until there
// is an answer; now and then a client asks again for an answer that it had before.
//
// Every request has a number that nobody else has: the reference of the transfer, or the value that
// is appended. What the books say at the end is compared with these by integration/books_check.h.
//
// Thread: the owner's; the clients see only their own state.
#pragma once

#include "integration/cluster.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace twofold::integration {

inline constexpr int kLists = 4000;

enum class Verdict : std::uint8_t { unknown, committed, aborted };

// The end of a list that a transaction has read: how long it was and what its last value was.
struct ListRead {
    std::uint32_t database = 0;
    int list = 0;
    std::uint32_t count = 0;
    std::uint64_t last = 0;
};

// One request and what its client was told.
struct Deed {
    std::uint64_t number = 0;
    bool append = false;
    // Of an append: databases (one bit each) and list. Of a transfer: from, to, amount.
    std::uint32_t databases = 0;
    int list = 0;
    std::uint32_t from = 0;
    std::uint32_t to = 0;
    int amount = 0;
    std::string id;  // empty: no answer named one
    Verdict told = Verdict::unknown;
    std::vector<ListRead> reads;
};

struct WorkloadOptions {
    int clients = 4;
    int append_percent = 50;
    int keyed_percent = 20;
    std::uint32_t deadline_ms = 2000;
    std::uint64_t seed = 1;
};

// The table of lists, empty, beside the bank of a database.
[[nodiscard]] base::Result<void> create_lists(Database& database);

class Workload {
public:
    // Begins at once. The cluster must outlive the clients.
    Workload(const Cluster& cluster, WorkloadOptions options);
    ~Workload();  // stops
    Workload(const Workload&) = delete;
    Workload& operator=(const Workload&) = delete;

    // Waits for the answers under way, then gives everything that was done.
    [[nodiscard]] std::vector<Deed> stop();

    // What no client may see: an answer that was taken back, a status that is not documented for
    // such a request.
    [[nodiscard]] std::vector<std::string> complaints() const;
    [[nodiscard]] std::uint64_t committed() const { return committed_; }
    [[nodiscard]] std::uint64_t aborted() const { return aborted_; }
    [[nodiscard]] std::uint64_t unanswered() const { return unanswered_; }

private:
    struct Client;
    void run(Client& client);
    Deed invent(Client& client);
    [[nodiscard]] std::string body_of(const Deed& deed, Client& client) const;
    [[nodiscard]] std::string append_branch(const Deed& deed, std::size_t index, int read) const;
    void perform(Client& client, Deed& deed);
    // True when there is an answer, or nothing more to wait for.
    bool take_answer(Deed& deed, const RestReply& reply, bool keyed);
    void take_reads(Deed& deed, const RestReply& reply) const;
    void ask_again(Client& client);
    void complain(std::string text);

    const Cluster& cluster_;
    WorkloadOptions options_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> next_number_{1};
    std::atomic<std::uint64_t> committed_{0};
    std::atomic<std::uint64_t> aborted_{0};
    std::atomic<std::uint64_t> unanswered_{0};
    mutable std::mutex complaints_mutex_;
    std::vector<std::string> complaints_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::vector<std::thread> threads_;
};

}  // namespace twofold::integration
