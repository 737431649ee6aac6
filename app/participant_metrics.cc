#include "app/participant_metrics.h"

#include "app/server_metrics.h"
#include "app/version.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace twofold::app {

struct ParticipantMetrics::Impl {
    prometheus::Registry registry;
    prometheus::Family<prometheus::Counter>& items =
        prometheus::BuildCounter()
            .Name("twofold_participant_items_total")
            .Help("Items answered, by operation and status")
            .Register(registry);
    prometheus::Family<prometheus::Counter>& alarms =
        prometheus::BuildCounter()
            .Name("twofold_alarms_total")
            .Help("Situations that a person must look at")
            .Register(registry);
    prometheus::Family<prometheus::Gauge>& branches =
        prometheus::BuildGauge()
            .Name("twofold_participant_branches")
            .Help("Branches that are not finished, by state")
            .Register(registry);
    prometheus::Gauge& oldest_prepared =
        prometheus::BuildGauge()
            .Name("twofold_participant_oldest_prepared_age_seconds")
            .Help("Of the branch that has been prepared longest, as of the last listing; 0: none")
            .Register(registry)
            .Add({});
    prometheus::Gauge& slots_used =
        prometheus::BuildGauge()
            .Name("twofold_participant_prepared_slots_used")
            .Help("Slots for prepared branches that are taken, by running work too")
            .Register(registry)
            .Add({});
    prometheus::Gauge& slots = prometheus::BuildGauge()
                                   .Name("twofold_participant_prepared_slots")
                                   .Help("Slots for prepared branches that there are")
                                   .Register(registry)
                                   .Add({});
    prometheus::Family<prometheus::Counter>& database =
        prometheus::BuildCounter()
            .Name("twofold_participant_database_total")
            .Help("What the database was asked to do")
            .Register(registry);
    ServerMetrics server{registry};
};

ParticipantMetrics::ParticipantMetrics(const std::string& name) : impl_(std::make_unique<Impl>()) {
    prometheus::BuildGauge()
        .Name("twofold_build_info")
        .Help("The version as a label")
        .Register(impl_->registry)
        .Add({{"version", std::string(kVersion)}, {"role", "participant"}, {"participant", name}})
        .Set(1);
}

ParticipantMetrics::~ParticipantMetrics() = default;

void ParticipantMetrics::item_answered(std::string_view operation, std::string_view status) {
    impl_->items.Add({{"operation", std::string(operation)}, {"status", std::string(status)}})
        .Increment();
}

void ParticipantMetrics::alarm(std::string_view code) {
    impl_->alarms.Add({{"code", std::string(code)}}).Increment();
}

std::string ParticipantMetrics::text(const participant::Driver& driver,
                                     const std::map<std::string, std::uint64_t>& database,
                                     const http::ServerStats& server) {
    impl_->server.show(server);
    participant::Machine::Counts counts = driver.machine().counts();
    std::chrono::duration<double> oldest = driver.oldest_prepared_age();
    impl_->oldest_prepared.Set(oldest.count());
    impl_->slots_used.Set(static_cast<double>(counts.slots_used));
    impl_->slots.Set(driver.info().slots);
    auto show = [this](const char* state, std::size_t value) {
        impl_->branches.Add({{"state", state}}).Set(static_cast<double>(value));
    };
    show("waiting", counts.waiting);
    show("running", counts.running);
    show("prepared", counts.prepared);
    show("finishing", counts.finishing);
    show("parked", counts.parked);
    for (const auto& [what, value] : database) {
        prometheus::Counter& counter = impl_->database.Add({{"event", what}});
        auto target = static_cast<double>(value);
        if (target > counter.Value()) counter.Increment(target - counter.Value());
    }
    return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace twofold::app
