// The redo part of a prepared record: bytes that decode are the only bytes of what they mean, and
// the two ways in which it reaches a database give the same data: the images that a commit applies,
// and the SQL text that an operator is given.
#include "base/assert.h"
#include "fuzz/targets.h"
#include "participant/sqlite/connection.h"
#include "participant/sqlite/images.h"
#include "participant/sqlite/redo.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <variant>

namespace twofold::fuzz {

namespace {

namespace sqlite = participant::sqlite;

constexpr std::array kTables = std::to_array<const char*>({"account", "pair", "entry"});
constexpr const char* kSchema =
    "CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER, note);"
    "CREATE TABLE pair (a INTEGER, b, v REAL, PRIMARY KEY (a, b)) WITHOUT ROWID;"
    "CREATE TABLE entry (n INTEGER PRIMARY KEY AUTOINCREMENT, what BLOB);"
    "INSERT INTO account VALUES ('a', 1, NULL), ('b', 2, x'00ff'), ('c', -3, 'it''s');"
    "INSERT INTO pair VALUES (1, 'x', 0.5), (1, 2, 1.5);"
    "INSERT INTO entry (what) VALUES ('one'), ('two')";

// A database in memory that always comes back to what it was.
class Database {
public:
    Database() {
        auto opened = sqlite::Connection::open(":memory:", "memdb", errors_);
        TWOFOLD_ASSERT(opened.has_value(), "no database in memory");
        connection_ = std::move(opened).value();
        TWOFOLD_ASSERT(run(kSchema), "no tables");
        TWOFOLD_ASSERT(run("PRAGMA foreign_keys = OFF"), "no settings");
    }
    bool run(const std::string& sql) {
        return sqlite3_exec(connection_->handle(), sql.c_str(), nullptr, nullptr, nullptr) ==
               SQLITE_OK;
    }
    sqlite::Connection& connection() { return *connection_; }

    // Every row without its rowid, which the SQL text does not keep.
    std::string dump() {
        std::string out;
        for (const char* table : kTables) {
            auto statement =
                connection_->prepare(std::string("SELECT * FROM ") + table + " ORDER BY 1, 2");
            TWOFOLD_ASSERT(statement.has_value(), "the table is gone");
            append_rows(statement.value(), out);
        }
        return out;
    }

private:
    // SQLite does not read the last digits of very small and very large numbers as they are meant.
    static std::string text_of(const sqlite::Value& value) {
        const double* real = std::get_if<double>(&value.data);
        if (real == nullptr) return sqlite::sql_literal(value);
        std::array<char, 40> text{};
        std::snprintf(text.data(), text.size(), "r%.12g", *real);
        return text.data();
    }
    static void append_rows(sqlite::Statement& statement, std::string& out) {
        for (auto row = statement.step(); row.has_value() && row.value(); row = statement.step()) {
            for (int i = 0; i < statement.column_count(); ++i) {
                out += text_of(statement.column(i)) + '|';
            }
            out += '\n';
        }
    }

    sqlite::ErrorState errors_;
    std::unique_ptr<sqlite::Connection> connection_;
};

std::string table_name(const sqlite::RedoTable& table) {
    std::string name = table.name;
    std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return name;
}

// Records are made for user tables only; SQLite's own are not in the comparison.
bool is_about_users(const sqlite::Redo& redo) {
    return std::ranges::all_of(redo.tables, [](const sqlite::RedoTable& table) {
        return std::ranges::find(kTables, table_name(table)) != kTables.end();
    });
}

void check_apply(const sqlite::Redo& redo) {
    static Database database;
    TWOFOLD_ASSERT(database.run("BEGIN"), "no transaction");
    static_cast<void>(sqlite::matches_before(database.connection(), redo));
    auto applied = sqlite::apply_redo(database.connection(), redo, false);
    bool is_applied = applied.has_value() && applied.value();
    std::string by_images = is_applied ? database.dump() : std::string();
    if (is_applied) {
        TWOFOLD_ASSERT(sqlite::matches_after(database.connection(), redo).has_value(),
                       "what was applied cannot be looked at");
    }
    TWOFOLD_ASSERT(database.run("ROLLBACK"), "the transaction is gone");
    if (is_applied && is_about_users(redo)) {
        TWOFOLD_ASSERT(database.run("BEGIN"), "no transaction");
        TWOFOLD_ASSERT(database.run(sqlite::sql_of(redo)), "SQLite does not take our SQL text");
        TWOFOLD_ASSERT(database.dump() == by_images, "images and SQL text differ");
        TWOFOLD_ASSERT(database.run("ROLLBACK"), "the transaction is gone");
    }
    database.connection().forget_statements();
}

// Changes that single bytes hardly ever make: a row or a key that lacks its last value.
void check_widths(const sqlite::Redo& redo) {
    for (std::size_t i = 0; i < redo.tables.size(); ++i) {
        sqlite::Redo shorter = redo;
        sqlite::RedoTable& table = shorter.tables[i];
        if (table.rows.empty() || table.rows.back().empty()) continue;
        table.rows.back().pop_back();
        TWOFOLD_ASSERT(!sqlite::decode_redo(sqlite::encode_redo(shorter)).has_value(),
                       "a row of another width is taken");
    }
    for (std::size_t i = 0; i < redo.tables.size(); ++i) {
        sqlite::Redo longer = redo;
        sqlite::RedoTable& table = longer.tables[i];
        if (table.keys.empty()) continue;
        table.keys.back().key.emplace_back();
        TWOFOLD_ASSERT(!sqlite::decode_redo(sqlite::encode_redo(longer)).has_value(),
                       "a key of another width is taken");
    }
}

}  // namespace

void sqlite_redo(base::ByteSpan input) {
    auto redo = sqlite::decode_redo(input);
    if (!redo.has_value()) {
        bool known = redo.error().code == base::Errc::corrupt ||
                     redo.error().code == base::Errc::unsupported_version;
        TWOFOLD_ASSERT(known, "a refusal of another kind");
        return;
    }
    base::Bytes encoded = sqlite::encode_redo(redo.value());
    TWOFOLD_ASSERT(std::ranges::equal(encoded, input), "two encodings of one record");
    static_cast<void>(sqlite::summary_of(redo.value()));
    static_cast<void>(sqlite::sql_of(redo.value()));
    check_widths(redo.value());
    for (const sqlite::RedoTable& table : redo.value().tables) {
        for (const sqlite::Row& row : table.rows) static_cast<void>(hash_image(table, row));
    }
    check_apply(redo.value());
}

}  // namespace twofold::fuzz
