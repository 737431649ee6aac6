#include "app/resources.h"

#include "participant/sqlite_resource.h"

#include <utility>

namespace twofold::app {

namespace {

MadeResource make_sqlite(async::EventLoop& loop, const ParticipantConfig& config) {
    participant::sqlite::StoreOptions options;
    options.path = config.sqlite->path;
    options.create = config.sqlite->create;
    options.shared = config.sqlite->shared;
    options.raw_sql = config.raw_sql;
    options.limits.statement_timeout = config.statement_timeout;
    options.limits.lock_timeout = config.lock_timeout;
    auto resource = std::make_unique<participant::SqliteResource>(loop, std::move(options));
    MadeResource made;
    made.counters = [raw = resource.get()] {
        const participant::sqlite::StoreCounters& counters = raw->counters();
        return std::map<std::string, std::uint64_t>{
            {"forces", counters.forces},
            {"prepares", counters.prepares},
            {"commits", counters.commits},
            {"rollbacks", counters.rollbacks},
            {"one_phase_commits", counters.one_phase_commits},
            {"read_only", counters.read_only},
            {"refused", counters.refused},
            {"broken_promises", counters.broken_promises}};
    };
    made.port = std::move(resource);
    return made;
}

}  // namespace

MadeResource make_resource(async::EventLoop& loop, const ParticipantConfig& config) {
    return make_sqlite(loop, config);
}

}  // namespace twofold::app
