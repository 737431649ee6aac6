#include "integration/postgres_pair.h"

#include "base/rng.h"
#include "integration/postgres_server.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace twofold::integration {

using base::Errc;
using base::fail;
using base::Result;

namespace {

constexpr const char* kVariables[] = {"TWOFOLD_TEST_PG_A", "TWOFOLD_TEST_PG_B"};
constexpr const char* kRole = "twofold_test";

}  // namespace

struct PostgresPair::Server {
    std::string given;  // conninfo of somebody else's server, as its superuser; empty: our own
    std::unique_ptr<PostgresServer> own;
    std::string password;                // of our role on a given one
    std::vector<std::string> databases;  // the newest last

    [[nodiscard]] Result<Rows> query(const std::string& database, const std::string& sql) const {
        if (given.empty()) return own->query(database, sql);
        return run_query(database.empty() ? given : conninfo_with(given, {{"dbname", database}}),
                         sql);
    }
    [[nodiscard]] Result<std::string> make_database();
    void drop_databases();
};

// The server may have roles and databases of others: only what has our own names is touched.
Result<std::string> PostgresPair::Server::make_database() {
    if (given.empty()) {
        databases.push_back("bank" + std::to_string(databases.size() + 1));
        return own->create_database(databases.back());
    }
    if (password.empty()) {
        password = std::to_string(base::random_number());
        TWOFOLD_TRY(query("",
                          std::string("DO $$BEGIN CREATE ROLE ") + kRole +
                              " LOGIN; EXCEPTION WHEN duplicate_object THEN END$$"));
        TWOFOLD_TRY(query("", std::string("ALTER ROLE ") + kRole + " PASSWORD '" + password + "'"));
    }
    std::string name = std::string(kRole) + "_" + std::to_string(base::random_number());
    TWOFOLD_TRY(query("", "CREATE DATABASE " + name + " OWNER " + kRole));
    databases.push_back(name);
    return conninfo_with(given, {{"dbname", name}, {"user", kRole}, {"password", password}});
}

void PostgresPair::Server::drop_databases() {
    if (given.empty()) return;
    for (const std::string& name : std::exchange(databases, {})) {
        auto left =
            query(name, "SELECT gid FROM pg_prepared_xacts WHERE database = '" + name + "'");
        for (const auto& row : left.has_value() ? left.value() : Rows{}) {
            static_cast<void>(query(name, "ROLLBACK PREPARED '" + row.at(0) + "'"));
        }
        auto dropped = query("", "DROP DATABASE " + name + " WITH (FORCE)");
        if (dropped.has_value()) continue;
        std::fprintf(stderr, "PostgreSQL: %s\n", dropped.error().text().c_str());
    }
}

PostgresPair::PostgresPair() {
    for (std::size_t i = 0; i < 2; ++i) {
        servers_[i] = std::make_unique<Server>();
        const char* given = std::getenv(kVariables[i]);
        if (given != nullptr) servers_[i]->given = given;
    }
}

PostgresPair::~PostgresPair() = default;

void PostgresPair::drop_databases() {
    for (auto& server : servers_) server->drop_databases();
}

namespace {

// Not in a destructor: when the process ends, libpq's own libraries have ended before.
class DropAtTheEnd : public ::testing::Environment {
    void TearDown() override { PostgresPair::instance().drop_databases(); }
};
const ::testing::Environment* const kDropAtTheEnd =
    ::testing::AddGlobalTestEnvironment(new DropAtTheEnd);

}  // namespace

PostgresPair& PostgresPair::instance() {
    static PostgresPair pair;
    return pair;
}

std::string PostgresPair::why_not_ours() const {
    for (std::size_t i = 0; i < 2; ++i) {
        if (servers_[i]->given.empty()) continue;
        return std::string("it reconfigures or kills a server, and that of ") + kVariables[i] +
               " is not ours";
    }
    return {};
}

PostgresPair::Server& PostgresPair::at(std::size_t server) {
    Server& chosen = *servers_[server];
    if (chosen.given.empty() && !chosen.own) {
        // Nothing may write by itself: forced writes are counted.
        PostgresServerOptions options{.settings = {{"autovacuum", "off"},
                                                   {"checkpoint_timeout", "1h"},
                                                   {"max_wal_size", "4GB"},
                                                   {"wal_writer_delay", "10s"},
                                                   {"bgwriter_lru_maxpages", "0"}}};
        auto created = PostgresServer::create(options);
        if (created.has_value()) {
            chosen.own = std::move(created.value());
        } else {
            std::fprintf(stderr, "PostgreSQL: %s\n", created.error().text().c_str());
        }
    }
    return chosen;
}

std::string PostgresPair::fresh_dsn(std::size_t server) {
    Server& chosen = at(server);
    if (chosen.given.empty() && !chosen.own) return "host=/nonexistent dbname=none";
    auto dsn = chosen.make_database();
    if (dsn.has_value()) return dsn.value();
    std::fprintf(stderr, "PostgreSQL: %s\n", dsn.error().text().c_str());
    return "host=/nonexistent dbname=none";
}

std::string PostgresPair::superuser_dsn(std::size_t server) {
    if (at(server).databases.empty()) static_cast<void>(fresh_dsn(server));
    const Server& chosen = at(server);
    if (chosen.databases.empty()) return "host=/nonexistent dbname=none";
    const std::string& newest = chosen.databases.back();
    return chosen.given.empty() ? chosen.own->dsn(newest, "postgres")
                                : conninfo_with(chosen.given, {{"dbname", newest}});
}

Result<Rows> PostgresPair::as_superuser(std::size_t server, const std::string& sql) {
    const Server& chosen = at(server);
    if (chosen.databases.empty()) return fail(Errc::not_found, "no database was made there");
    return chosen.query(chosen.databases.back(), sql);
}

void PostgresPair::kill(std::size_t server) {
    if (at(server).own) at(server).own->kill();
}

bool PostgresPair::start(std::size_t server) {
    if (!at(server).own) return false;
    auto started = at(server).own->start();
    if (!started.has_value()) std::fprintf(stderr, "%s\n", started.error().text().c_str());
    return started.has_value();
}

bool PostgresPair::restart_with(std::size_t server,
                                const std::string& setting,
                                const std::string& value) {
    if (!at(server).own) return false;
    at(server).own->stop();
    at(server).own->set(setting, value);
    return start(server);
}

}  // namespace twofold::integration
