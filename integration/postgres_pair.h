// The PostgreSQL servers of the tests: two, each started when it is first needed and stopped with
// the test program, and a fresh database for every call. Or somebody else's: where
// TWOFOLD_TEST_PG_A or TWOFOLD_TEST_PG_B has the conninfo of a superuser, that server is used; the
// databases made there are dropped at the end of the test program, and nothing else is touched.
#pragma once

#include "base/result.h"
#include "integration/database.h"

#include <cstddef>
#include <memory>
#include <string>

namespace twofold::integration {

class PostgresPair {
public:
    [[nodiscard]] static PostgresPair& instance();

    // A new database; the dsn is that of an ordinary role which owns it. Empty when the server does
    // not start.
    [[nodiscard]] std::string fresh_dsn(std::size_t server);
    // The same newest database as the server's superuser.
    [[nodiscard]] std::string superuser_dsn(std::size_t server);
    [[nodiscard]] base::Result<Rows> as_superuser(std::size_t server, const std::string& sql);

    // Why tests that kill or reconfigure servers cannot run. Empty: they can.
    [[nodiscard]] std::string why_not_ours() const;

    // Those that were made on servers of others.
    void drop_databases();

    // Only servers of our own.
    void kill(std::size_t server);  // SIGKILL, as if the machine's power were cut
    [[nodiscard]] bool start(std::size_t server);
    // Restarts with a setting; prepared transactions must not be left when it lowers their number.
    [[nodiscard]] bool restart_with(std::size_t server,
                                    const std::string& setting,
                                    const std::string& value);

private:
    struct Server;
    PostgresPair();
    ~PostgresPair();
    Server& at(std::size_t server);

    std::unique_ptr<Server> servers_[2];
};

}  // namespace twofold::integration
