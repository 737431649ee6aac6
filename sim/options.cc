#include "sim/options.h"

#include <sstream>

namespace twofold::sim {

namespace {

using base::SeededRng;

void draw_net(SeededRng& rng, NetOptions& net) {
    net.delay_min = us(rng.between(20, 300));
    net.delay_max = net.delay_min + us(rng.between(100, 5'000));
    if (rng.chance_per_mille(500)) {
        net.slow = static_cast<std::uint32_t>(rng.between(5, 80));
        net.slow_max = rng.chance_per_mille(300) ? seconds(rng.between(60, std::uint64_t{4} * 3600))
                                                 : ms(rng.between(50, 5'000));
    }
    if (rng.chance_per_mille(400)) net.loss = static_cast<std::uint32_t>(rng.between(1, 60));
    if (rng.chance_per_mille(400)) net.duplicate = static_cast<std::uint32_t>(rng.between(1, 80));
}

void draw_database(SeededRng& rng, DatabaseOptions& database) {
    database.latency_max = us(rng.between(500, 8'000));
    if (rng.chance_per_mille(300)) {
        database.connection_lost = static_cast<std::uint32_t>(rng.between(2, 40));
    }
    database.definite_refusal = static_cast<std::uint32_t>(rng.between(0, 30));
    if (rng.chance_per_mille(300)) {
        database.listing_fails = static_cast<std::uint32_t>(rng.between(50, 500));
    }
    if (rng.chance_per_mille(300)) {
        database.cancel_fails = static_cast<std::uint32_t>(rng.between(50, 500));
    }
    database.late_prepare = static_cast<std::uint32_t>(rng.between(0, 1000));
    database.lock_timeout = ms(rng.between(20, 500));
    database.slots = static_cast<std::uint32_t>(rng.between(1, 12));
    database.exclusive = rng.chance_per_mille(300);
    database.witness = rng.chance_per_mille(500);
    database.tombstones = rng.chance_per_mille(400);
}

void draw_disk(SeededRng& rng, DiskOptions& disk) {
    disk.force_max = us(rng.between(200, 8'000));
    if (rng.chance_per_mille(250)) {
        disk.io_error_per_force = static_cast<std::uint32_t>(rng.between(5, 150));
    }
    if (rng.chance_per_mille(400)) {
        disk.power_cut_per_call = static_cast<std::uint32_t>(rng.between(5, 120));
    }
    disk.survives = static_cast<std::uint32_t>(rng.between(0, 1000));
    disk.segment_size_bytes = 8'192ULL << rng.below(4);
    disk.checkpoint_after_bytes = disk.segment_size_bytes * rng.between(1, 6);
}

void draw_nemesis(SeededRng& rng, NemesisOptions& nemesis) {
    auto maybe = [&](std::uint32_t per_mille) { return rng.chance_per_mille(per_mille); };
    nemesis.interval = ms(rng.between(50, 1'200));
    nemesis.kill_coordinator = maybe(500);
    nemesis.power_loss = maybe(400);
    nemesis.kill_participant = maybe(500);
    nemesis.crash_database = maybe(350);
    nemesis.pause = maybe(300);
    nemesis.partition = maybe(300);
    nemesis.one_way_partition = maybe(250);
    nemesis.zombie = maybe(250);
    nemesis.disk_full = maybe(150);
    nemesis.heuristics = maybe(60);
    nemesis.swap_databases = maybe(120);
    nemesis.restore_database = maybe(60);
    nemesis.outage_max = ms(rng.between(20, 2'500));
}

void draw_workload(SeededRng& rng, WorkloadOptions& load) {
    load.participants = static_cast<std::uint32_t>(rng.between(1, 4));
    load.transactions =
        static_cast<std::uint32_t>(rng.between(5, rng.chance_per_mille(200) ? 60 : 20));
    load.accounts = static_cast<std::uint32_t>(rng.between(2, 12));
    load.spread = ms(rng.between(50, 3'000));
    load.interactive =
        static_cast<std::uint32_t>(rng.chance_per_mille(500) ? rng.between(0, 500) : 0);
    load.one_phase = static_cast<std::uint32_t>(rng.between(0, 300));
    load.read_only = static_cast<std::uint32_t>(rng.between(0, 400));
    load.deadline = ms(rng.between(200, 4'000));
    load.client_patience = ms(rng.between(50, 1'500));
}

// A log that was restored is recognised by what participants have heard and not forgotten: no other
// fault may make them forget, or nobody could.
void only_what_remembers(NemesisOptions& nemesis) {
    nemesis.kill_participant = false;
    nemesis.crash_database = false;
    nemesis.restore_database = false;
    nemesis.swap_databases = false;
    nemesis.heuristics = false;
    nemesis.zombie = false;
}

// Keys that are over within a run, and are used again. Checks know for how long a key counts from
// when its outcome was told; nothing may make that moment differ much from the coordinator's.
void draw_keys(SeededRng& rng, Options& options) {
    options.key_lifetime = ms(rng.between(50, 400)) * 4;
    options.reuse = static_cast<std::uint32_t>(rng.between(300, 1000));
    // What fails once and not the next time, at participants that keep the commit to themselves,
    // and starts that know only what was forced.
    options.database.definite_refusal = static_cast<std::uint32_t>(rng.between(50, 400));
    options.workload.one_phase = static_cast<std::uint32_t>(rng.between(0, 1000));
    options.nemesis.power_loss = true;
    options.nemesis.interval = ms(rng.between(50, 600));
    options.disk.force_min = std::min(options.disk.force_min, us(100));
    options.disk.force_max = std::min(options.disk.force_max, ms(8));
    options.nemesis.pause = false;
    options.nemesis.disk_full = false;
    options.nemesis.zombie = false;
    options.nemesis.restore_database = false;
    options.nemesis.restore_log = false;
}

// Rare, one by one: each is enough to keep a run busy.
void draw_oddities(SeededRng& rng, Options& options) {
    NemesisOptions& nemesis = options.nemesis;
    auto maybe = [&](std::uint32_t per_mille) { return rng.chance_per_mille(per_mille); };
    // A log that went back is recognised by what was heard last: nothing may end before that.
    nemesis.flip_bit = maybe(100) && !nemesis.restore_log;
    nemesis.forge = maybe(100) && !nemesis.restore_log && !nemesis.restore_database;
    if (maybe(150)) options.transactions_max = rng.between(1, 6);
    WorkloadOptions& load = options.workload;
    load.leaving_client = static_cast<std::uint32_t>(maybe(200) ? rng.between(10, 200) : 0);
    load.empty = static_cast<std::uint32_t>(maybe(200) ? rng.between(20, 200) : 0);
    load.made_up_id = static_cast<std::uint32_t>(maybe(200) ? rng.between(20, 300) : 0);
    // How long a key counts is checked by the world's clock.
    bool counts_time = options.key_lifetime < seconds(3'600);
    if (maybe(200) && !counts_time) options.clock_rate = us(rng.between(500, 2'000));
}

}  // namespace

Options options_from_seed(std::uint64_t seed) {
    // A stream of its own, so that a new option does not change what the run itself draws.
    SeededRng rng(seed * 0x9e3779b97f4a7c15ULL + 1);
    Options options;
    options.seed = seed;
    draw_net(rng, options.net);
    draw_database(rng, options.database);
    draw_disk(rng, options.disk);
    draw_nemesis(rng, options.nemesis);
    draw_workload(rng, options.workload);
    if (rng.chance_per_mille(200)) options.outcomes_max = rng.between(4, 40);
    options.retry_max = ms(rng.between(100, 2'000));
    options.inquiry_interval = ms(rng.between(20, 400) << rng.below(4));
    options.in_doubt_age = ms(rng.between(5, 200) << rng.below(4));
    options.foreign_coordinator = rng.chance_per_mille(150);
    options.info_interval = ms(rng.between(300, 3'000));
    options.call_timeout = ms(rng.between(50, 2'000));
    if (rng.chance_per_mille(300)) options.replies_after_failure = 500;
    if (rng.chance_per_mille(400)) options.database.late_pause = ms(rng.between(20, 3'000));
    // A backup that comes back matters most when what it holds has been forgotten meanwhile.
    if (options.nemesis.restore_database && rng.chance_per_mille(500)) {
        options.outcomes_max = rng.between(1, 6);
    }
    options.faults_until = options.workload.spread + ms(rng.between(100, 2'000));
    options.nemesis.restore_log = rng.chance_per_mille(60);
    if (options.nemesis.restore_log) only_what_remembers(options.nemesis);
    if (rng.chance_per_mille(300)) {
        options.database.slow_work = static_cast<std::uint32_t>(rng.between(10, 300));
        options.database.slow_work_max = ms(rng.between(100, 2'500));
    }
    options.nemesis.foreign_server = rng.chance_per_mille(120);
    // All ids of a start are in one word or two: there is a file for every commit, or for every
    // start.
    if (rng.chance_per_mille(600)) options.outcome_words_per_file = rng.between(1, 3);
    if (rng.chance_per_mille(300)) {
        options.outcome_retention = ms(rng.between(64, 6'400));
        // A participant has asked by then: the faults are over, and it has been there for long.
        options.horizon_rest = seconds(30);
    }
    options.nemesis.one_away = rng.chance_per_mille(400);
    options.nemesis.restore_twice = rng.chance_per_mille(300);
    if (rng.chance_per_mille(200)) {
        // Reports go, and clients lose their patience, before what they wait for is durable.
        options.reports_max = rng.between(1, 6);
        options.disk.force_min = ms(rng.between(1, 50));
        options.disk.force_max = options.disk.force_min + ms(rng.between(1, 150));
        options.workload.client_patience = ms(rng.between(50, 200));
        options.database.definite_refusal = static_cast<std::uint32_t>(rng.between(0, 300));
    }
    if (rng.chance_per_mille(250)) draw_keys(rng, options);
    draw_oddities(rng, options);
    return options;
}

std::string Options::text() const {
    std::ostringstream out;
    out << "seed=" << seed << " participants=" << workload.participants
        << " transactions=" << workload.transactions << " segment=" << disk.segment_size_bytes
        << "\n  net: delay=" << net.delay_min << ".." << net.delay_max << "us slow=" << net.slow
        << "/1000 up to " << net.slow_max / 1000 << "ms loss=" << net.loss
        << "/1000 duplicate=" << net.duplicate << "/1000"
        << "\n  disk: power_cut=" << disk.power_cut_per_call
        << "/10000 io_error=" << disk.io_error_per_force << "/10000 survives=" << disk.survives
        << "/1000"
        << "\n  database: slots=" << database.slots << " exclusive=" << database.exclusive
        << " witness=" << database.witness << " tombstones=" << database.tombstones
        << " late_prepare=" << database.late_prepare
        << "/1000 late_pause=" << database.late_pause / 1000
        << "ms connection_lost=" << database.connection_lost << "/1000 slow=" << database.slow_work
        << "/1000 up to " << database.slow_work_max / 1000 << "ms"
        << "\n  faults every " << nemesis.interval / 1000 << "ms until " << faults_until / 1000
        << "ms:" << (nemesis.kill_coordinator ? " kill-coordinator" : "")
        << (nemesis.power_loss ? " power-loss" : "")
        << (nemesis.kill_participant ? " kill-participant" : "")
        << (nemesis.crash_database ? " crash-database" : "") << (nemesis.pause ? " pause" : "")
        << (nemesis.partition ? " partition" : "")
        << (nemesis.one_way_partition ? " one-way-partition" : "")
        << (nemesis.zombie ? " zombie" : "") << (nemesis.disk_full ? " disk-full" : "")
        << (nemesis.heuristics ? " heuristics" : "")
        << (nemesis.swap_databases ? " swap-databases" : "")
        << (nemesis.foreign_server ? " foreign-server" : "")
        << (nemesis.restore_database ? " restore-database" : "")
        << (nemesis.flip_bit ? " flip-bit" : "") << (nemesis.forge ? " forge" : "")
        << (nemesis.restore_log ? " restore-log" : "")
        << (nemesis.restore_log && nemesis.one_away ? " one-away" : "")
        << (nemesis.restore_log && nemesis.restore_twice ? " restore-twice" : "")
        << "\n  outcomes_max=" << outcomes_max << " words_per_file=" << outcome_words_per_file
        << " retention=" << outcome_retention / 1000 << "ms"
        << " deadline=" << workload.deadline / 1000
        << "ms patience=" << workload.client_patience / 1000 << "ms reports_max=" << reports_max
        << " key_lifetime=" << key_lifetime / 1000 << "ms reuse=" << reuse
        << "/1000 call_timeout=" << call_timeout / 1000 << "ms retry_max=" << retry_max / 1000
        << "ms\n  transactions_max=" << transactions_max << " clock_rate=" << clock_rate
        << "us clients: leaving=" << workload.leaving_client << "/1000 empty=" << workload.empty
        << "/1000 made_up_id=" << workload.made_up_id << "/1000";
    return out.str();
}

}  // namespace twofold::sim
