// The network as a list of numbers: loss, duplication, delay (which reorders), partitions both ways
// and one way. A message is a closure over values; it is delivered to whoever listens at the
// address then, which may be a later life than the one it was meant for.
#pragma once

#include "sim/options.h"
#include "sim/world.h"

#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace twofold::sim {

// 0: the coordinator. 1…: participants. kClients: everybody else.
using Address = std::uint32_t;
inline constexpr Address kCoordinatorAddress = 0;
inline constexpr Address kClients = 1000;
// A coordinator of an older start that lives on elsewhere: cut off from nothing by being replaced.
inline constexpr Address kZombieAddress = 2000;

class Net {
public:
    Net(World& world, const NetOptions& options) : world_(world), options_(options) {}

    // `receiver`: the process for which the message is, or kWorld for "whoever listens".
    void send(Address from, Address to, ProcessId receiver, Action deliver);
    // Never duplicated: for requests that are not meant to be repeated.
    void send_once(Address from, Address to, ProcessId receiver, Action deliver);

    void cut(Address from, Address to) { cuts_.emplace(from, to); }
    void mend(Address from, Address to) { cuts_.erase({from, to}); }
    void mend_all() { cuts_.clear(); }
    [[nodiscard]] bool is_cut(Address from, Address to) const { return cuts_.contains({from, to}); }
    // No more losses, duplicates or new slow messages.
    void calm();
    // What is still under way after a long time arrives now.
    void deliver_stragglers();

    [[nodiscard]] std::uint64_t lost() const { return lost_; }

private:
    struct Straggler {
        ProcessId receiver;
        Action deliver;
        bool arrived = false;
    };

    void deliver_later(Address from, Address to, ProcessId receiver, Action deliver);
    Time delay();

    World& world_;
    NetOptions options_;
    std::set<std::pair<Address, Address>> cuts_;
    std::vector<std::shared_ptr<Straggler>> stragglers_;
    std::uint64_t lost_ = 0;
};

}  // namespace twofold::sim
