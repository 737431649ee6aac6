#include "integration/crash_databases.h"

#include <atomic>
#include <map>

namespace twofold::integration {

namespace {

using base::Result;

// A killed sidecar's sessions may still be there, and hold locks.
constexpr const char* kEmpty =
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid();"
    "DROP SCHEMA IF EXISTS twofold CASCADE;"
    "DROP TABLE IF EXISTS accounts;"
    "DROP TABLE IF EXISTS ledger;"
    "DROP TABLE IF EXISTS children;"
    "DROP TABLE IF EXISTS parents";

}  // namespace

Result<std::unique_ptr<CrashDatabases>> CrashDatabases::create() {
    std::unique_ptr<CrashDatabases> made(new CrashDatabases());
    for (int number = 0; number < 2; ++number) {
        TWOFOLD_TRY(auto server, PostgresServer::create({.settings = {{"autovacuum", "off"}}}));
        made->servers_.push_back(std::move(server));
    }
    return made;
}

Result<std::vector<std::string>> CrashDatabases::pair_for(std::size_t worker, bool fresh) {
    static std::atomic<int> generation{0};
    thread_local std::string name;
    bool is_new = fresh || name.empty();
    if (is_new) {
        name = "crash" + std::to_string(worker) + "_" + std::to_string(++generation);
    }
    std::vector<std::string> pair;
    for (auto& server : servers_) {
        if (is_new) {
            TWOFOLD_TRY(std::string dsn, server->create_database(name));
            pair.push_back(std::move(dsn));
            continue;
        }
        TWOFOLD_TRY(server->query(name, kEmpty));
        pair.push_back(server->dsn(name));
    }
    return pair;
}

}  // namespace twofold::integration
