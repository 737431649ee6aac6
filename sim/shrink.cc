#include "sim/shrink.h"

#include "sim/run.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

namespace twofold::sim {

namespace {

using Change = std::function<void(Options&)>;

void add_faults(std::vector<Change>& changes) {
    using Flag = bool NemesisOptions::*;
    for (Flag flag : {&NemesisOptions::kill_coordinator,
                      &NemesisOptions::power_loss,
                      &NemesisOptions::kill_participant,
                      &NemesisOptions::crash_database,
                      &NemesisOptions::pause,
                      &NemesisOptions::partition,
                      &NemesisOptions::one_way_partition,
                      &NemesisOptions::zombie,
                      &NemesisOptions::disk_full,
                      &NemesisOptions::heuristics,
                      &NemesisOptions::swap_databases,
                      &NemesisOptions::foreign_server,
                      &NemesisOptions::restore_database,
                      &NemesisOptions::restore_log,
                      &NemesisOptions::one_away,
                      &NemesisOptions::restore_twice,
                      &NemesisOptions::flip_bit,
                      &NemesisOptions::forge}) {
        changes.emplace_back([flag](Options& options) { options.nemesis.*flag = false; });
    }
}

void add_chances(std::vector<Change>& changes) {
    using Load = std::uint32_t WorkloadOptions::*;
    for (Load chance : {&WorkloadOptions::interactive,
                        &WorkloadOptions::one_phase,
                        &WorkloadOptions::read_only,
                        &WorkloadOptions::without_key,
                        &WorkloadOptions::wait_decided,
                        &WorkloadOptions::client_aborts,
                        &WorkloadOptions::idle_client,
                        &WorkloadOptions::leaving_client,
                        &WorkloadOptions::empty,
                        &WorkloadOptions::made_up_id}) {
        changes.emplace_back([chance](Options& options) { options.workload.*chance = 0; });
    }
    using Database = std::uint32_t DatabaseOptions::*;
    for (Database chance : {&DatabaseOptions::connection_lost,
                            &DatabaseOptions::definite_refusal,
                            &DatabaseOptions::slow_work,
                            &DatabaseOptions::listing_fails,
                            &DatabaseOptions::cancel_fails,
                            &DatabaseOptions::late_prepare}) {
        changes.emplace_back([chance](Options& options) { options.database.*chance = 0; });
    }
    using Net = std::uint32_t NetOptions::*;
    for (Net chance : {&NetOptions::slow, &NetOptions::loss, &NetOptions::duplicate}) {
        changes.emplace_back([chance](Options& options) { options.net.*chance = 0; });
    }
    changes.emplace_back([](Options& options) { options.disk.io_error_per_force = 0; });
    changes.emplace_back([](Options& options) { options.disk.power_cut_per_call = 0; });
    changes.emplace_back([](Options& options) { options.replies_after_failure = 0; });
    changes.emplace_back([](Options& options) { options.reuse = 0; });
    changes.emplace_back([](Options& options) { options.database.late_pause = 0; });
    changes.emplace_back([](Options& options) { options.database.exclusive = false; });
    changes.emplace_back([](Options& options) { options.foreign_coordinator = false; });
    changes.emplace_back([](Options& options) { options.clock_rate = ms(1); });
}

// In this order: what makes most of a run goes first.
std::vector<Change> all_changes() {
    std::vector<Change> changes;
    changes.emplace_back([](Options& options) { options.workload.transactions /= 2; });
    changes.emplace_back([](Options& options) { options.workload.transactions -= 1; });
    changes.emplace_back([](Options& options) { options.workload.participants -= 1; });
    changes.emplace_back([](Options& options) { options.faults_until /= 2; });
    add_faults(changes);
    add_chances(changes);
    return changes;
}

bool may_run(const Options& options) {
    return options.workload.transactions > 0 && options.workload.participants > 0 &&
           options.faults_until > ms(50);
}

class Shrinking {
public:
    Shrinking(std::uint64_t seed, const Sabotage& sabotage) : seed_(seed), sabotage_(sabotage) {}

    std::optional<Shrunk> go() {
        best_.options = options_from_seed(seed_);
        RunReport first = run_once(best_.options);
        if (!first.violation.has_value()) return std::nullopt;
        checker_ = first.violation->checker;
        best_.events_before = best_.events = first.events;
        bool is_shorter = true;
        while (is_shorter) {
            is_shorter = false;
            for (const Change& change : all_changes())
                is_shorter = try_change(change) || is_shorter;
        }
        (void)run(best_.options, sabotage_, [this](const std::string& line) {
            best_.transcript += line + "\n";
        });
        return std::move(best_);
    }

private:
    RunReport run_once(const Options& options) {
        ++best_.runs;
        return run(options, sabotage_, {});
    }

    // A change shifts all that the run draws: a few other draws are tried with it.
    bool try_change(const Change& change) {
        constexpr std::uint64_t kDraws = 12;
        for (std::uint64_t draw = 0; draw < kDraws; ++draw) {
            Options options = best_.options;
            change(options);
            if (!may_run(options)) return false;
            options.seed = seed_ + draw * 1'000'003;
            RunReport report = run_once(options);
            bool fails = report.violation.has_value() && report.violation->checker == checker_;
            if (!fails || report.events >= best_.events) continue;
            best_.options = options;
            best_.events = report.events;
            return true;
        }
        return false;
    }

    std::uint64_t seed_;
    const Sabotage& sabotage_;
    std::string checker_;
    Shrunk best_;
};

}  // namespace

std::optional<Shrunk> shrink(std::uint64_t seed, const Sabotage& sabotage) {
    return Shrinking(seed, sabotage).go();
}

}  // namespace twofold::sim
