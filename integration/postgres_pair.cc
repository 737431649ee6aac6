#include "integration/postgres_pair.h"

#include "integration/postgres_server.h"

#include <cstdio>

namespace twofold::integration {

using base::Result;

struct PostgresPair::Server {
    std::unique_ptr<PostgresServer> server;
    int databases = 0;
    std::string newest;  // name of the newest database
};

PostgresPair::PostgresPair() {
    for (auto& server : servers_) server = std::make_unique<Server>();
}

PostgresPair::~PostgresPair() = default;

PostgresPair& PostgresPair::instance() {
    static PostgresPair pair;
    return pair;
}

PostgresPair::Server& PostgresPair::at(std::size_t server) {
    Server& chosen = *servers_[server];
    if (!chosen.server) {
        // Nothing may write by itself: forced writes are counted.
        PostgresServerOptions options{.settings = {{"autovacuum", "off"},
                                                   {"checkpoint_timeout", "1h"},
                                                   {"max_wal_size", "4GB"},
                                                   {"wal_writer_delay", "10s"},
                                                   {"bgwriter_lru_maxpages", "0"}}};
        auto created = PostgresServer::create(options);
        if (created.has_value()) {
            chosen.server = std::move(created.value());
        } else {
            std::fprintf(stderr, "PostgreSQL: %s\n", created.error().text().c_str());
        }
    }
    return chosen;
}

std::string PostgresPair::fresh_dsn(std::size_t server) {
    Server& chosen = at(server);
    if (!chosen.server) return "host=/nonexistent dbname=none";
    chosen.newest = "bank" + std::to_string(++chosen.databases);
    auto dsn = chosen.server->create_database(chosen.newest);
    if (dsn.has_value()) return dsn.value();
    std::fprintf(stderr, "PostgreSQL: %s\n", dsn.error().text().c_str());
    return "host=/nonexistent dbname=none";
}

std::string PostgresPair::superuser_dsn(std::size_t server) {
    if (at(server).newest.empty()) static_cast<void>(fresh_dsn(server));
    return at(server).server->dsn(at(server).newest, "postgres");
}

Result<Rows> PostgresPair::as_superuser(std::size_t server, const std::string& sql) {
    return at(server).server->query(at(server).newest, sql);
}

void PostgresPair::kill(std::size_t server) { at(server).server->kill(); }

bool PostgresPair::start(std::size_t server) {
    auto started = at(server).server->start();
    if (!started.has_value()) std::fprintf(stderr, "%s\n", started.error().text().c_str());
    return started.has_value();
}

bool PostgresPair::restart_with(std::size_t server,
                                const std::string& setting,
                                const std::string& value) {
    at(server).server->stop();
    at(server).server->set(setting, value);
    return start(server);
}

}  // namespace twofold::integration
