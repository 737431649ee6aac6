#include "integration/demo_databases.h"

#include "integration/postgres_server.h"
#include "integration/process.h"

#include <utility>

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;

class SqliteFiles final : public DemoDatabases {
public:
    std::string kind() const override { return "SQLite (a file each)"; }
    std::vector<ParticipantSpec> participants() const override {
        return {{.name = "orders"}, {.name = "stock"}};
    }
    std::vector<AuditedDatabase> audited(const Cluster& cluster) const override {
        std::vector<AuditedDatabase> out;
        out.reserve(2);
        for (std::size_t index : {0U, 1U}) {
            out.push_back({.name = cluster.spec(index).name,
                           .command = {"sqlite3", "-readonly", cluster.sqlite_path(index)},
                           .prepared_sql = "SELECT count(*) FROM _tc_prepared"});
        }
        return out;
    }
};

class PostgresServers final : public DemoDatabases {
public:
    [[nodiscard]] Result<void> start() {
        for (const char* name : {"orders", "stock"}) {
            TWOFOLD_TRY(std::unique_ptr<PostgresServer> server, PostgresServer::create());
            TWOFOLD_TRY(std::string dsn, server->create_database(name));
            participants_.push_back({.name = name, .postgres_dsn = std::move(dsn)});
            servers_.push_back(std::move(server));
        }
        return base::ok();
    }

    std::string kind() const override { return "PostgreSQL (a server each)"; }
    std::vector<ParticipantSpec> participants() const override { return participants_; }
    std::vector<AuditedDatabase> audited(const Cluster& /*cluster*/) const override {
        std::vector<AuditedDatabase> out;
        out.reserve(participants_.size());
        for (const ParticipantSpec& participant : participants_) {
            out.push_back({.name = participant.name,
                           .command = {"psql", participant.postgres_dsn, "-XAtc"},
                           .prepared_sql = "SELECT count(*) FROM pg_prepared_xacts"});
        }
        return out;
    }

private:
    std::vector<std::unique_ptr<PostgresServer>> servers_;
    std::vector<ParticipantSpec> participants_;
};

}  // namespace

Result<std::unique_ptr<DemoDatabases>> demo_sqlite() {
    auto version = run_program("sqlite3", {"--version"});
    if (!version.has_value() || !version.value().status.exited_with(0)) {
        return fail(Errc::not_found,
                    "the program sqlite3, which audits the books from outside, is missing; on "
                    "Debian: apt-get install sqlite3");
    }
    return std::make_unique<SqliteFiles>();
}

Result<std::unique_ptr<DemoDatabases>> demo_postgres() {
    auto psql = run_program("psql", {"--version"});
    bool has_psql = psql.has_value() && psql.value().status.exited_with(0);
    if (!has_psql || !postgres_is_installed()) {
        return fail(Errc::not_found,
                    "the programs of PostgreSQL are missing; on Debian: apt-get install "
                    "postgresql-15");
    }
    auto servers = std::make_unique<PostgresServers>();
    TWOFOLD_TRY(servers->start());
    return std::unique_ptr<DemoDatabases>(std::move(servers));
}

}  // namespace twofold::integration
