// What the store must know about the tables of a file: which columns are stored, which are the key,
// and why changes to a table cannot be recorded. Loaded as one snapshot for one schema version.
#pragma once

#include "base/keyed_hash.h"
#include "participant/sqlite/connection.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace twofold::participant::sqlite {

// Every object of ours begins with this; user statements may not touch such names.
inline constexpr std::string_view kOwnPrefix = "_tc_";
[[nodiscard]] bool is_own_name(std::string_view name);
[[nodiscard]] bool is_sqlite_name(std::string_view name);  // sqlite_…

struct Column {
    std::string name;
    int table_index = 0;    // position in the table
    int storage_index = 0;  // the same without virtual generated columns
};

struct Table {
    std::string name;
    // Why changes to it cannot be recorded; empty: they can.
    std::string not_recordable;
    bool is_virtual = false;
    bool without_rowid = false;
    bool rowid_is_key = false;  // the key is an INTEGER PRIMARY KEY
    // The name by which the rowid of a table with another key can be read and written; empty when
    // there is no such rowid or user columns hide all its names.
    std::string rowid_name;
    std::vector<Column> columns;   // stored ones: no generated columns
    std::vector<std::size_t> key;  // into columns, in the order of the primary key
};

struct ForeignKey {
    std::string child;
    std::vector<std::string> child_columns;
    std::string parent;
    std::vector<std::string> parent_columns;
};

struct Schema {
    std::int64_t version = 0;  // PRAGMA schema_version; VACUUM changes it too
    base::Hash256 fingerprint{};
    std::map<std::string, Table, std::less<>> tables;  // user tables, by name as declared
    std::vector<ForeignKey> foreign_keys;

    [[nodiscard]] const Table* find(std::string_view name) const;
};

// Hash over the text of every object except statistics (ANALYZE may run at any time).
[[nodiscard]] base::Result<base::Hash256> schema_fingerprint(Connection& connection);

// Call inside a transaction, so that everything is of one version.
[[nodiscard]] base::Result<std::shared_ptr<const Schema>> load_schema(Connection& connection);

}  // namespace twofold::participant::sqlite
