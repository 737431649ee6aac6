// A real PostgreSQL server of our own: a fresh cluster in a temporary directory, reachable on a
// Unix socket and on a loopback port, run as an unprivileged user when we are root. It dies with
// us, and no process that it did not start is ever signalled.
//
// initdb runs once per machine and version; every server starts from a copy of its result with a
// system identifier of its own, because two databases of equal identity are the same database.
//
// Thread: as Process.
#pragma once

#include "base/result.h"
#include "integration/process.h"
#include "integration/temp_dir.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace twofold::integration {

struct PostgresServerOptions {
    // Lines of postgresql.conf on top of: max_prepared_transactions = 64, fsync = on.
    std::map<std::string, std::string> settings;
};

class PostgresServer {
public:
    // On return the server accepts connections, and the role "app" (no superuser) exists.
    [[nodiscard]] static base::Result<std::unique_ptr<PostgresServer>> create(
        const PostgresServerOptions& options = {});
    ~PostgresServer();  // kills the server and removes its files
    PostgresServer(const PostgresServer&) = delete;
    PostgresServer& operator=(const PostgresServer&) = delete;

    // Starts it again after stop() or kill().
    [[nodiscard]] base::Result<void> start();
    // An orderly shutdown that ends all sessions.
    void stop();
    // SIGKILL to the server and its own children, at once: as a crash of the machine, except that
    // what was written but not forced survives.
    void kill();
    // Settings that count from the next start.
    void set(const std::string& name, const std::string& value) { settings_[name] = value; }

    // Creates a database that belongs to the role, and returns its dsn for that role.
    [[nodiscard]] base::Result<std::string> create_database(const std::string& name,
                                                            const std::string& owner = "app");
    [[nodiscard]] std::string dsn(const std::string& database,
                                  const std::string& role = "app") const;
    // The same over TCP.
    [[nodiscard]] std::string tcp_dsn(const std::string& database,
                                      const std::string& role = "app") const;

    // Runs one or more statements on a connection of its own (by default as the superuser); the
    // rows of the last one as text, NULL as "".
    using TextRows = std::vector<std::vector<std::string>>;
    [[nodiscard]] base::Result<TextRows> query(const std::string& database,
                                               const std::string& sql,
                                               const std::string& role = "postgres") const;
    // The first value of the first row; "" when there is none or the query failed.
    [[nodiscard]] std::string value(const std::string& database,
                                    const std::string& sql,
                                    const std::string& role = "postgres") const;

    [[nodiscard]] bool running() { return process_.running(); }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] const std::string& directory() const { return dir_.path(); }
    [[nodiscard]] std::string log_tail(std::size_t lines) const {
        return process_.output_tail(lines);
    }

private:
    PostgresServer() = default;
    base::Result<void> wait_ready(std::chrono::milliseconds limit);
    void write_settings() const;

    TempDir dir_;
    std::string bin_;
    std::uint16_t port_ = 0;
    std::map<std::string, std::string> settings_;
    Process process_;
};

// One or more statements on a connection of its own to any server; the rows of the last one.
[[nodiscard]] base::Result<PostgresServer::TextRows> run_query(const std::string& dsn,
                                                               const std::string& sql);

// The conninfo, or URI, with some of its members replaced. Empty: it is none.
[[nodiscard]] std::string conninfo_with(const std::string& given,
                                        const std::map<std::string, std::string>& replaced);

// True when the programs of a PostgreSQL server are installed.
[[nodiscard]] bool postgres_is_installed();

}  // namespace twofold::integration
