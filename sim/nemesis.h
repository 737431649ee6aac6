// Hurts the world now and then, in the ways that the options allow, until it is stopped. Everything
// that it breaks it mends again after a while; heal() of the cluster mends the rest.
#pragma once

#include "sim/cluster.h"

#include <functional>
#include <vector>

namespace twofold::sim {

class Nemesis {
public:
    explicit Nemesis(Cluster& cluster);

    void start();
    void stop() { stopped_ = true; }

private:
    void strike_later();
    void kill_participant();
    void crash_database();
    void pause();
    void cut(bool both_ways);
    void fill_disk();
    void operator_acts();
    void swap_databases();
    void restore_database();
    void restore_database(std::uint32_t index, std::uint32_t waits);
    void restore_log();
    void copy_log(std::uint32_t waits);
    void put_copy_back(std::uint32_t waits);
    void add_foreign_server();
    void flip_bit();
    void forge();
    void deliver(const protocol::BatchRequest& batch, const protocol::Item& item);
    [[nodiscard]] std::uint32_t some_participant();
    Time outage();

    Cluster& cluster_;
    World& world_;
    std::vector<std::function<void()>> faults_;
    bool stopped_ = false;
    bool copies_log_ = false;
};

}  // namespace twofold::sim
