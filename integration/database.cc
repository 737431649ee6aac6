#include "integration/database.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cstdlib>
#include <utility>

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;

struct ConnectionClose {
    void operator()(PGconn* connection) const { PQfinish(connection); }
    void operator()(PGresult* result) const { PQclear(result); }
    void operator()(sqlite3* database) const { sqlite3_close(database); }
};
template <class Handle>
using Owned = std::unique_ptr<Handle, ConnectionClose>;

class Postgres final : public Database {
public:
    explicit Postgres(std::string dsn) : dsn_(std::move(dsn)) {}

    DatabaseKind kind() const override { return DatabaseKind::postgres; }

    Result<Rows> query(const std::string& sql) override {
        Owned<PGconn> connection;
        return run(sql, connection);
    }

    Result<std::shared_ptr<void>> hold(const std::string& sql) override {
        Owned<PGconn> connection;
        TWOFOLD_TRY(run(sql, connection));
        return std::shared_ptr<void>(std::shared_ptr<PGconn>(std::move(connection)));
    }

    Result<std::int64_t> prepared_count() override {
        return number("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()");
    }

    Result<std::set<std::string>> prepared_transactions() override {
        return texts(
            "SELECT split_part(gid, '_', 2) FROM pg_prepared_xacts"
            " WHERE database = current_database()");
    }

private:
    Result<Rows> run(const std::string& sql, Owned<PGconn>& connection) {
        connection.reset(PQconnectdb((dsn_ + " connect_timeout=5").c_str()));
        if (PQstatus(connection.get()) != CONNECTION_OK) {
            return fail(Errc::unavailable, PQerrorMessage(connection.get()));
        }
        Owned<PGresult> result(PQexec(connection.get(), sql.c_str()));
        ExecStatusType status = PQresultStatus(result.get());
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            return fail(Errc::io_error, PQresultErrorMessage(result.get()));
        }
        Rows rows;
        for (int row = 0; row < PQntuples(result.get()); ++row) {
            auto& values = rows.emplace_back();
            for (int column = 0; column < PQnfields(result.get()); ++column) {
                values.emplace_back(PQgetvalue(result.get(), row, column));
            }
        }
        return rows;
    }

    std::string dsn_;
};

class Sqlite final : public Database {
public:
    explicit Sqlite(std::string path) : path_(std::move(path)) {}

    DatabaseKind kind() const override { return DatabaseKind::sqlite; }

    Result<Rows> query(const std::string& sql) override {
        Owned<sqlite3> connection;
        return run(sql, connection);
    }

    Result<std::shared_ptr<void>> hold(const std::string& sql) override {
        Owned<sqlite3> connection;
        TWOFOLD_TRY(run(sql, connection));
        return std::shared_ptr<void>(std::shared_ptr<sqlite3>(std::move(connection)));
    }

    Result<std::int64_t> prepared_count() override {
        TWOFOLD_TRY(std::int64_t tables,
                    number("SELECT count(*) FROM sqlite_master WHERE name = '_tc_prepared'"));
        if (tables == 0) return 0;
        return number("SELECT count(*) FROM _tc_prepared");
    }

    Result<std::set<std::string>> prepared_transactions() override {
        return texts("SELECT txn FROM _tc_prepared");
    }

private:
    Result<Rows> run(const std::string& sql, Owned<sqlite3>& connection) {
        sqlite3* raw = nullptr;
        int opened = sqlite3_open_v2(
            path_.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
        connection.reset(raw);
        if (opened != SQLITE_OK) return fail(Errc::unavailable, sqlite3_errmsg(raw));
        sqlite3_busy_timeout(raw, 10'000);
        Rows rows;
        char* message = nullptr;
        int done = sqlite3_exec(raw, sql.c_str(), &Sqlite::take_row, &rows, &message);
        std::string error = message != nullptr ? message : "";
        sqlite3_free(message);
        if (done != SQLITE_OK) return fail(Errc::io_error, path_ + ": " + error);
        return rows;
    }

    static int take_row(void* context, int columns, char** values, char** /*names*/) {
        auto& row = static_cast<Rows*>(context)->emplace_back();
        for (int column = 0; column < columns; ++column) {
            row.emplace_back(values[column] != nullptr ? values[column] : "");
        }
        return 0;
    }

    std::string path_;
};

}  // namespace

Result<std::int64_t> Database::number(const std::string& sql) {
    TWOFOLD_TRY(Rows rows, query(sql));
    if (rows.empty() || rows[0].empty()) return fail(Errc::not_found, sql + ": no row");
    return std::strtoll(rows[0][0].c_str(), nullptr, 10);
}

Result<std::set<std::string>> Database::texts(const std::string& sql) {
    TWOFOLD_TRY(Rows rows, query(sql));
    std::set<std::string> found;
    for (auto& row : rows) found.insert(std::move(row[0]));
    return found;
}

std::unique_ptr<Database> open_postgres(std::string dsn) {
    return std::make_unique<Postgres>(std::move(dsn));
}

std::unique_ptr<Database> open_sqlite(std::string path) {
    return std::make_unique<Sqlite>(std::move(path));
}

Result<void> create_bank(Database& database, int accounts, int balance) {
    std::string rows;
    for (int account = 1; account <= accounts; ++account) {
        rows += (account > 1 ? ",(" : "(") + std::to_string(account) + "," +
                std::to_string(balance) + ")";
    }
    bool is_sqlite = database.kind() == DatabaseKind::sqlite;
    std::string head = is_sqlite ? "PRAGMA journal_mode=WAL;" : "";
    auto created = database.query(
        head +
        "CREATE TABLE accounts (id INTEGER NOT NULL PRIMARY KEY,"
        " balance INTEGER NOT NULL CHECK (balance >= 0));"
        "CREATE TABLE ledger (ref VARCHAR(80) NOT NULL PRIMARY KEY, amount INTEGER NOT NULL);"
        "INSERT INTO accounts VALUES " +
        rows);
    if (!created.has_value()) return created.error();
    return base::ok();
}

Result<std::int64_t> bank_sum(Database& database) {
    return database.number("SELECT coalesce(sum(balance), 0) FROM accounts");
}

Result<std::int64_t> account_balance(Database& database, int account) {
    return database.number("SELECT balance FROM accounts WHERE id = " + std::to_string(account));
}

Result<std::set<std::string>> bank_transfers(Database& database) {
    return database.texts("SELECT ref FROM ledger");
}

}  // namespace twofold::integration
