// Everything of one run: the world, the network, the disk, the databases, the nodes, the checkers.
#pragma once

#include "coordinator/core/machine.h"
#include "participant/core/machine.h"
#include "sim/checkers.h"
#include "sim/disk.h"
#include "sim/model_database.h"
#include "sim/net.h"
#include "sim/options.h"
#include "sim/work.h"
#include "sim/world.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace twofold::sim {

class CoordinatorNode;
class ParticipantNode;

// Deliberate bugs of one run, to see that a checker notices.
struct Sabotage {
    coordinator::Sabotage coordinator;
    participant::Sabotage participant;
    // Of the shells and below.
    bool log_skips_force = false;            // the file's force does nothing
    bool log_skips_directory_force = false;  // the directory's force does nothing
    bool reply_before_force = false;         // the machine is told "durable" too early
    bool ignore_failed_force = false;        // an I/O error of a force is taken for success
    bool stale_checkpoint = false;           // a checkpoint describes an older state
    bool recovery_loses_newest_commit = false;
    bool start_without_fencing = false;     // a new sidecar leaves old sessions alone
    bool stale_low_water = false;           // marks are taken too high
    bool cut_off_reply_as_success = false;  // an unanswered commit counts as committed
};

class Cluster {
public:
    Cluster(const Options& options, const Sabotage& sabotage, bool tracing);
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    Options options;
    Sabotage sabotage;
    World world;
    Net net;
    Disk disk;
    WorkTable work;
    std::vector<std::unique_ptr<ModelDatabase>> databases;
    std::vector<std::unique_ptr<ParticipantNode>> participants;
    Checkers checkers;

    // Who answers at the coordinator's address now, or nobody.
    [[nodiscard]] CoordinatorNode* coordinator() const { return coordinator_; }
    [[nodiscard]] const std::vector<std::unique_ptr<CoordinatorNode>>& lives() const {
        return lives_;
    }

    void start();
    void start_coordinator();
    // Kills the process; with `power` also what was not forced is lost.
    void kill_coordinator(bool power);
    void coordinator_died(bool power);
    void make_zombie();
    // Puts the disk's copy of the log in its place, starts a coordinator on it, and ends all
    // faults. With `one_away` a participant cannot be reached until come_back(), if another one has
    // heard at least as much as it has: otherwise nobody who is there could know.
    void restore_log(bool one_away = false);
    void come_back();
    // The same copy once more, in place of what has become of it.
    void restore_log_again();
    // Restarts two sidecars, each in front of what was the other's database.
    void swap_databases(std::uint32_t first, std::uint32_t second);
    // Ends all zombies and starts what is down; no fault comes from the world any more.
    void heal();

    // Whom a client reaches: mostly the one at the address, sometimes a zombie.
    [[nodiscard]] CoordinatorNode* any_coordinator();
    void on_alarm(const std::string& code, const protocol::TxnId& txn);
    [[nodiscard]] const std::map<std::string, std::uint32_t>& alarms() const { return alarms_; }

    [[nodiscard]] std::uint64_t crashes() const { return crashes_; }
    void count_crash() { ++crashes_; }
    [[nodiscard]] bool healed() const { return healed_; }
    // How long a millisecond of this process's timers takes, in microseconds.
    [[nodiscard]] Time clock_rate(Address process) const;
    [[nodiscard]] static Address address_of(std::uint32_t participant) { return participant + 1; }

    // Bytes for keys, incarnations and nonces: by seed, not from the kernel.
    void random_bytes(std::span<std::uint8_t> out);

private:
    std::vector<std::unique_ptr<CoordinatorNode>> lives_;
    CoordinatorNode* coordinator_ = nullptr;
    bool restart_planned_ = false;
    bool healed_ = false;
    std::optional<Address> away_;
    std::uint64_t crashes_ = 0;
    std::map<std::string, std::uint32_t> alarms_;
};

}  // namespace twofold::sim
