#include "app/resources.h"

#include "participant/postgres_resource.h"
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

MadeResource make_postgres(async::EventLoop& loop,
                           const ParticipantConfig& config,
                           std::function<void(const std::string&)> on_fenced) {
    participant::postgres::PostgresOptions options;
    options.dsn = config.postgres->dsn;
    options.work_connections = config.postgres->work_connections;
    options.finish_connections = config.postgres->finish_connections;
    options.raw_sql = config.raw_sql;
    options.witness = config.postgres->witness;
    options.allow_superuser = config.postgres->allow_superuser;
    options.limits.statement_timeout = config.statement_timeout;
    options.limits.lock_timeout = config.lock_timeout;
    options.on_fenced = std::move(on_fenced);
    auto resource = std::make_unique<participant::PostgresResource>(loop, std::move(options));
    MadeResource made;
    made.counters = [raw = resource.get()] {
        const participant::postgres::Counters& counters = raw->counters();
        return std::map<std::string, std::uint64_t>{
            {"connections_opened", counters.connections_opened},
            {"connections_lost", counters.connections_lost},
            {"round_trips", counters.round_trips},
            {"prepares", counters.prepares},
            {"commits", counters.commits},
            {"rollbacks", counters.rollbacks},
            {"one_phase_commits", counters.one_phase_commits},
            {"read_only", counters.read_only},
            {"refused", counters.refused},
            {"unknown", counters.unknown},
            {"sessions_ended", counters.sessions_ended},
            {"not_replicated", counters.not_replicated},
            {"proofs_asked", counters.proofs_asked},
            {"hazards", counters.hazards}};
    };
    made.port = std::move(resource);
    return made;
}

}  // namespace

MadeResource make_resource(async::EventLoop& loop,
                           const ParticipantConfig& config,
                           std::function<void(const std::string&)> on_fenced) {
    return config.sqlite ? make_sqlite(loop, config)
                         : make_postgres(loop, config, std::move(on_fenced));
}

}  // namespace twofold::app
