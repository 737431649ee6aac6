#include "app/resources.h"

#include "participant/postgres_resource.h"
#include "participant/sqlite_resource.h"

#include <utility>

namespace twofold::app {

namespace {

template <class Counters>
struct NamedCounter {
    const char* name;
    std::uint64_t Counters::*member;
};

using participant::sqlite::StoreCounters;
constexpr NamedCounter<StoreCounters> kSqliteCounters[] = {
    {"forces", &StoreCounters::forces},
    {"prepares", &StoreCounters::prepares},
    {"commits", &StoreCounters::commits},
    {"rollbacks", &StoreCounters::rollbacks},
    {"one_phase_commits", &StoreCounters::one_phase_commits},
    {"read_only", &StoreCounters::read_only},
    {"refused", &StoreCounters::refused},
    {"broken_promises", &StoreCounters::broken_promises},
};

using PostgresCounters = participant::postgres::Counters;
constexpr NamedCounter<PostgresCounters> kPostgresCounters[] = {
    {"connections_opened", &PostgresCounters::connections_opened},
    {"connections_lost", &PostgresCounters::connections_lost},
    {"round_trips", &PostgresCounters::round_trips},
    {"prepares", &PostgresCounters::prepares},
    {"commits", &PostgresCounters::commits},
    {"rollbacks", &PostgresCounters::rollbacks},
    {"one_phase_commits", &PostgresCounters::one_phase_commits},
    {"read_only", &PostgresCounters::read_only},
    {"refused", &PostgresCounters::refused},
    {"unknown", &PostgresCounters::unknown},
    {"sessions_ended", &PostgresCounters::sessions_ended},
    {"not_replicated", &PostgresCounters::not_replicated},
    {"proofs_asked", &PostgresCounters::proofs_asked},
    {"hazards", &PostgresCounters::hazards},
};

// What all adapters are configured with in the same words.
template <class Options>
void set_common(const ParticipantConfig& config, Options& options) {
    options.raw_sql = config.raw_sql;
    options.statements = config.statements;
    options.limits.statement_timeout = config.statement_timeout;
    options.limits.lock_timeout = config.lock_timeout;
}

template <class Resource, class Counters, std::size_t Count>
MadeResource made(std::unique_ptr<Resource> resource,
                  const NamedCounter<Counters> (&names)[Count]) {
    MadeResource out;
    out.counters = [raw = resource.get(), &names] {
        std::map<std::string, std::uint64_t> values;
        for (const auto& [name, member] : names) values[name] = raw->counters().*member;
        return values;
    };
    out.port = std::move(resource);
    return out;
}

MadeResource make_sqlite(async::EventLoop& loop, const ParticipantConfig& config) {
    participant::sqlite::StoreOptions options;
    set_common(config, options);
    options.path = config.sqlite->path;
    options.create = config.sqlite->create;
    options.shared = config.sqlite->shared;
    return made(std::make_unique<participant::SqliteResource>(loop, std::move(options)),
                kSqliteCounters);
}

MadeResource make_postgres(async::EventLoop& loop,
                           const ParticipantConfig& config,
                           std::function<void(const std::string&)> on_fenced) {
    participant::postgres::PostgresOptions options;
    set_common(config, options);
    options.dsn = config.postgres->dsn;
    options.work_connections = config.postgres->work_connections;
    options.interactive_connections = config.postgres->interactive_connections;
    options.finish_connections = config.postgres->finish_connections;
    options.witness = config.postgres->witness;
    options.allow_superuser = config.postgres->allow_superuser;
    options.on_fenced = std::move(on_fenced);
    return made(std::make_unique<participant::PostgresResource>(loop, std::move(options)),
                kPostgresCounters);
}

}  // namespace

MadeResource make_resource(async::EventLoop& loop,
                           const ParticipantConfig& config,
                           std::function<void(const std::string&)> on_fenced) {
    return config.sqlite ? make_sqlite(loop, config)
                         : make_postgres(loop, config, std::move(on_fenced));
}

}  // namespace twofold::app
