// The numbers of one run. Every seed draws its own: which faults are on, how often, how large
// everything is. A run that always had all faults would hide bugs that need a calm stretch.
#pragma once

#include "sim/world.h"

#include <cstdint>
#include <string>

namespace twofold::sim {

// Chances are in parts per thousand, times in microseconds.
struct NetOptions {
    Time delay_min = us(100);
    Time delay_max = ms(2);
    std::uint32_t slow = 0;  // chance that a message takes up to slow_max
    Time slow_max = 0;       // up to hours
    std::uint32_t loss = 0;
    std::uint32_t duplicate = 0;
};

struct DatabaseOptions {
    Time latency_min = us(200);
    Time latency_max = ms(5);
    std::uint32_t connection_lost = 0;   // per call: the answer is lost, the work goes on
    std::uint32_t definite_refusal = 0;  // a statement fails for a reason of its own
    std::uint32_t slow_work = 0;         // chance that work takes up to slow_work_max
    Time slow_work_max = 0;
    std::uint32_t listing_fails = 0;
    std::uint32_t cancel_fails = 0;
    std::uint32_t late_prepare = 500;  // a dead sidecar's session goes on until it is ended
    Time late_pause = 0;               // and stands still for up to this long before it prepares
    Time lock_timeout = ms(300);
    std::uint32_t slots = 16;
    bool exclusive = false;
    bool witness = false;
    bool tombstones = false;  // the abort of an unknown branch forbids it durably
};

struct DiskOptions {
    Time force_min = us(100);
    Time force_max = ms(3);
    std::uint32_t io_error_per_force = 0;  // parts per ten thousand
    std::uint32_t power_cut_per_call = 0;  // parts per ten thousand
    std::uint32_t survives = 500;          // chance that an unforced sector or name survives
    std::uint64_t segment_size_bytes = 16ULL * 1024;
    std::uint64_t checkpoint_after_bytes = 64ULL * 1024;
};

// How often the world is hurt, while it is.
struct NemesisOptions {
    Time interval = ms(400);  // mean time between faults; 0: none
    bool kill_coordinator = false;
    bool power_loss = false;
    bool kill_participant = false;
    bool crash_database = false;
    bool pause = false;
    bool partition = false;
    bool one_way_partition = false;
    bool zombie = false;
    bool disk_full = false;
    bool heuristics = false;
    bool swap_databases = false;  // an address leads to another participant's database for a while
    bool foreign_server = false;  // a database stops doing one-phase work for a while
    bool restore_database = false;  // a database goes back to an older state of itself
    bool restore_log = false;       // the coordinator's log goes back; it ends the faults
    bool one_away = false;          // a participant is away then, until the log was accepted
    bool restore_twice = false;     // the same copy comes back when it was accepted
    bool flip_bit = false;          // of the log of a coordinator that has died
    bool forge = false;             // messages about branches that have ended, or never were
    Time outage_max = ms(800);
};

struct WorkloadOptions {
    std::uint32_t participants = 2;
    std::uint32_t transactions = 20;
    std::uint32_t accounts = 6;  // per participant
    Time spread = seconds(5);    // transactions begin within this time
    std::uint32_t interactive = 150;
    std::uint32_t one_phase = 150;
    std::uint32_t read_only = 150;  // a branch that only reads
    std::uint32_t without_key = 100;
    std::uint32_t wait_decided = 200;
    std::uint32_t client_aborts = 100;
    std::uint32_t idle_client = 50;
    std::uint32_t leaving_client = 0;  // goes away when it has sent its commit
    std::uint32_t empty = 0;           // an interactive transaction without branches
    std::uint32_t made_up_id = 0;      // asked for by a client that is done
    Time deadline = seconds(2);
    Time client_patience = ms(800);
};

struct Options {
    std::uint64_t seed = 0;
    NetOptions net;
    DatabaseOptions database;
    DiskOptions disk;
    NemesisOptions nemesis;
    WorkloadOptions workload;
    // Of every second participant: how many microseconds its timers take for a millisecond.
    Time clock_rate = ms(1);
    std::size_t transactions_max = 100'000;  // in flight at the coordinator
    std::uint64_t outcomes_max = 8'000'000;
    std::size_t outcome_words_per_file = 8'192;
    Time outcome_retention = seconds(std::uint64_t{7} * 24 * 3600);
    Time horizon_rest = seconds(600);
    std::size_t reports_max = 10'000;
    Time key_lifetime = seconds(3'600);  // a multiple of 4 ms
    // A client that is done uses its key again, later: sooner than its lifetime, or after it.
    std::uint32_t reuse = 0;
    bool foreign_coordinator = false;  // participants ask another one, too, which cannot tell
    Time retry_max = seconds(1);
    Time in_doubt_age = seconds(1);
    Time inquiry_interval = seconds(1);
    Time info_interval = seconds(2);
    Time call_timeout = seconds(1);
    std::uint32_t replies_after_failure = 0;  // a late answer still reaches the machine
    Time faults_until = seconds(6);           // the safety phase
    Time settle_within = seconds(60);         // of the liveness phase

    [[nodiscard]] std::string text() const;
};

[[nodiscard]] Options options_from_seed(std::uint64_t seed);

}  // namespace twofold::sim
