// A database seen from outside, without the participant in front of it: what tests and the demo
// audit the books with. Each query is its own connection's autocommit statement.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace twofold::integration {

// Values as text; NULL is "".
using Rows = std::vector<std::vector<std::string>>;

enum class DatabaseKind : std::uint8_t { sqlite, postgres };

class Database {
public:
    Database() = default;
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    virtual ~Database() = default;

    [[nodiscard]] virtual DatabaseKind kind() const = 0;
    // Runs one or more statements; the rows of the last one.
    [[nodiscard]] virtual base::Result<Rows> query(const std::string& sql) = 0;
    // Runs `sql`, which opens a transaction, on a connection that stays open as long as the result
    // lives: how tests hold locks against the participant.
    [[nodiscard]] virtual base::Result<std::shared_ptr<void>> hold(const std::string& sql) = 0;
    // Branches that are prepared and not finished.
    [[nodiscard]] virtual base::Result<std::int64_t> prepared_count() = 0;
    // Their transactions.
    [[nodiscard]] virtual base::Result<std::set<std::string>> prepared_transactions() = 0;

    // The first value as a number.
    [[nodiscard]] base::Result<std::int64_t> number(const std::string& sql);
    // The first column.
    [[nodiscard]] base::Result<std::set<std::string>> texts(const std::string& sql);
};

// Connects for each query, so that restarts of the server do not matter.
[[nodiscard]] std::unique_ptr<Database> open_postgres(std::string dsn);
[[nodiscard]] std::unique_ptr<Database> open_sqlite(std::string path);

// ---- a bank: accounts 1..n, and a ledger with one row for each transfer that touched this
// database --

// CHECK (balance >= 0) makes an overdraft an error of the database.
[[nodiscard]] base::Result<void> create_bank(Database& database, int accounts, int balance);
[[nodiscard]] base::Result<std::int64_t> bank_sum(Database& database);
[[nodiscard]] base::Result<std::int64_t> account_balance(Database& database, int account);
// The references of all transfers that are in the books.
[[nodiscard]] base::Result<std::set<std::string>> bank_transfers(Database& database);

}  // namespace twofold::integration
