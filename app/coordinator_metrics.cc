#include "app/coordinator_metrics.h"

#include "app/server_metrics.h"
#include "app/version.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

namespace twofold::app {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

const Histogram::BucketBoundaries kSeconds{
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0};
const Histogram::BucketBoundaries kForceSeconds{
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0};

double seconds(std::chrono::nanoseconds took) {
    return std::chrono::duration<double>(took).count();
}

Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

Family<Gauge>& gauges(Registry& registry, const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

Family<Histogram>& histograms(Registry& registry, const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

// Counters that somebody else counts are shown by the difference to what was shown before.
void raise_to(Counter& counter, double value) {
    if (value > counter.Value()) counter.Increment(value - counter.Value());
}

}  // namespace

struct CoordinatorMetrics::Impl {
    Registry registry;
    Counter& started = counters(registry,
                                "twofold_transactions_started_total",
                                "Transactions accepted since the start of the process")
                           .Add({});
    Family<Counter>& finished = counters(
        registry, "twofold_transactions_finished_total", "Transactions that reached an outcome");
    Family<Gauge>& active = gauges(registry,
                                   "twofold_transactions_active",
                                   "Transactions in memory that have not finished, by state");
    Histogram& duration =
        histograms(registry, "twofold_transaction_duration_seconds", "From acceptance to outcome")
            .Add({}, kSeconds);
    Family<Counter>& requests = counters(registry,
                                         "twofold_participant_requests_total",
                                         "Items answered by participants, or left unanswered");
    Family<Gauge>& up =
        gauges(registry, "twofold_participant_up", "1 when the participant answers");
    Family<Histogram>& phases = histograms(registry,
                                           "twofold_phase_duration_seconds",
                                           "prepare: from acceptance to the proposed commit; "
                                           "decide: until that is durable; apply: until every "
                                           "participant has acknowledged it");
    Family<Gauge>& in_doubt = gauges(registry,
                                     "twofold_indoubt_transactions",
                                     "Committed, not acknowledged by this participant");
    Gauge& in_doubt_oldest = gauges(registry,
                                    "twofold_indoubt_oldest_age_seconds",
                                    "Of the oldest commit that somebody has not acknowledged, "
                                    "since it was decided or found by this start; 0: none")
                                 .Add({});
    Gauge& leader = gauges(registry,
                           "twofold_leader",
                           "1 when this coordinator may decide, 0 when another has replaced it")
                        .Add({});
    Histogram& force_duration = histograms(registry,
                                           "twofold_wal_fsync_duration_seconds",
                                           "Writing and forcing one batch of the log")
                                    .Add({}, kForceSeconds);
    Counter& forces = counters(registry,
                               "twofold_wal_forces_total",
                               "Forced writes of the log that a transaction waited for")
                          .Add({});
    Counter& idle_forces = counters(registry,
                                    "twofold_wal_idle_forces_total",
                                    "Forced writes of an idle log, which nobody waited for")
                               .Add({});
    Gauge& wal_bytes =
        gauges(registry, "twofold_wal_bytes", "Log written since the newest checkpoint began")
            .Add({});
    Counter& wal_failures = counters(registry,
                                     "twofold_wal_append_failures_total",
                                     "Batches that found the disk full and were tried again")
                                .Add({});
    Counter& segments_in_force =
        counters(registry,
                 "twofold_wal_segments_made_in_force_total",
                 "Segments that a force had to make because none was ready")
            .Add({});
    Counter& checkpoints =
        counters(registry, "twofold_wal_checkpoints_total", "Checkpoints written").Add({});
    Gauge& recovery_duration = gauges(registry,
                                      "twofold_recovery_duration_seconds",
                                      "Reading and re-persisting the log at the start")
                                   .Add({});
    Family<Counter>& recovered = counters(registry,
                                          "twofold_recovery_transactions_total",
                                          "Transactions that the start found unfinished");
    Family<Counter>& alarms =
        counters(registry, "twofold_alarms_total", "Situations that a person must look at");
    Gauge& work_bytes =
        gauges(registry,
               "twofold_work_bytes",
               "Work, labels and results of transactions that have not finished; at work_size_max "
               "new work is refused")
            .Add({});
    Gauge& results_bytes = gauges(registry,
                                  "twofold_results_bytes",
                                  "Results of finished transactions that are remembered")
                               .Add({});
    Counter& results_dropped =
        counters(registry,
                 "twofold_results_dropped_total",
                 "Transactions whose results went before their report, for results_size_max")
            .Add({});
    std::map<std::string, Gauge*> in_doubt_at;
    ServerMetrics server{registry};
    Gauge& epoch =
        gauges(registry, "twofold_epoch", "Starts of this coordinator on this log").Add({});
};

CoordinatorMetrics::CoordinatorMetrics() : impl_(std::make_unique<Impl>()) {
    gauges(impl_->registry, "twofold_build_info", "The version as a label")
        .Add({{"version", std::string(kVersion)}, {"role", "coordinator"}})
        .Set(1);
    for (const char* action : {"commit", "abort"}) impl_->recovered.Add({{"action", action}});
    for (const char* outcome : {"committed", "aborted"}) {
        impl_->finished.Add({{"outcome", outcome}});
    }
    for (const char* phase : {"prepare", "decide", "apply"}) {
        impl_->phases.Add({{"phase", phase}}, kSeconds);
    }
}

CoordinatorMetrics::~CoordinatorMetrics() = default;

void CoordinatorMetrics::transaction_started() { impl_->started.Increment(); }

void CoordinatorMetrics::transaction_finished(std::string_view outcome,
                                              std::chrono::nanoseconds took) {
    impl_->finished.Add({{"outcome", std::string(outcome)}}).Increment();
    if (took.count() > 0) impl_->duration.Observe(seconds(took));
}

void CoordinatorMetrics::phase_took(std::string_view phase, std::chrono::nanoseconds took) {
    impl_->phases.Add({{"phase", std::string(phase)}}, kSeconds).Observe(seconds(took));
}

void CoordinatorMetrics::item_answered(const std::string& participant,
                                       std::string_view operation,
                                       std::string_view result) {
    impl_->requests
        .Add({{"participant", participant},
              {"operation", std::string(operation)},
              {"result", std::string(result)}})
        .Increment();
}

void CoordinatorMetrics::participant_up(const std::string& participant, bool up) {
    impl_->up.Add({{"participant", participant}}).Set(up ? 1 : 0);
}

void CoordinatorMetrics::alarm(std::string_view code) {
    impl_->alarms.Add({{"code", std::string(code)}}).Increment();
}

void CoordinatorMetrics::log_forced(std::chrono::nanoseconds took) {
    impl_->force_duration.Observe(seconds(took));
}

void CoordinatorMetrics::recovered(std::string_view action, std::uint64_t count) {
    impl_->recovered.Add({{"action", std::string(action)}}).Increment(static_cast<double>(count));
}

void CoordinatorMetrics::recovery_took(std::chrono::nanoseconds took) {
    impl_->recovery_duration.Set(seconds(took));
}

void CoordinatorMetrics::show(const coordinator::Driver& driver) {
    const coordinator::Machine& machine = driver.machine();
    coordinator::Machine::Counts counts = machine.counts();
    auto active = counts.active - counts.in_doubt - counts.waiting;
    impl_->active.Add({{"state", "active"}}).Set(static_cast<double>(active));
    impl_->active.Add({{"state", "waiting"}}).Set(static_cast<double>(counts.waiting));
    impl_->active.Add({{"state", "in_doubt"}}).Set(static_cast<double>(counts.in_doubt));
    impl_->work_bytes.Set(static_cast<double>(counts.work_bytes));
    impl_->results_bytes.Set(static_cast<double>(counts.results_bytes));
    raise_to(impl_->results_dropped, static_cast<double>(counts.results_dropped));
    coordinator::InDoubt in_doubt = driver.in_doubt();
    for (auto& [participant, shown] : impl_->in_doubt_at) shown->Set(0);
    for (const auto& [participant, count] : in_doubt.at) {
        Gauge*& shown = impl_->in_doubt_at[participant];
        if (shown == nullptr) shown = &impl_->in_doubt.Add({{"participant", participant}});
        shown->Set(static_cast<double>(count));
    }
    impl_->in_doubt_oldest.Set(seconds(in_doubt.oldest));
    impl_->leader.Set(machine.stopped() ? 0 : 1);
    impl_->epoch.Set(machine.epoch());
}

std::string CoordinatorMetrics::text(const coordinator::Driver& driver,
                                     const LogFigures& log,
                                     const http::ServerStats& server) {
    show(driver);
    impl_->server.show(server);
    impl_->wal_bytes.Set(static_cast<double>(log.live_bytes));
    raise_to(impl_->forces, static_cast<double>(log.forces));
    raise_to(impl_->idle_forces, static_cast<double>(log.idle_forces));
    raise_to(impl_->wal_failures, static_cast<double>(log.disk_full));
    raise_to(impl_->segments_in_force, static_cast<double>(log.writer.segments_made_in_force));
    raise_to(impl_->checkpoints, static_cast<double>(log.writer.checkpoints));
    return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace twofold::app
