#include "participant/sqlite/schema.h"

#include <algorithm>
#include <cctype>

namespace twofold::participant::sqlite {

namespace {

bool same_name(std::string_view a, std::string_view b) {
    return std::ranges::equal(
        a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool begins_with(std::string_view name, std::string_view prefix) {
    return name.size() >= prefix.size() && same_name(name.substr(0, prefix.size()), prefix);
}

struct DeclaredColumn {
    std::string name;
    std::string type;
    int key_position = 0;  // from 1; 0 = not in the primary key
    int hidden = 0;  // 0 normal, 1 of a virtual table, 2 generated virtual, 3 generated stored
};

base::Result<std::vector<DeclaredColumn>> declared_columns(Connection& connection,
                                                           const std::string& table) {
    std::vector<DeclaredColumn> columns;
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1)"));
    statement.bind(1, table);
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return columns;
        columns.push_back({statement.text(0),
                           statement.text(1),
                           static_cast<int>(statement.integer(2)),
                           static_cast<int>(statement.integer(3))});
    }
}

// An INTEGER PRIMARY KEY is the rowid itself, so it has no index of its own. The one exception of
// the same look, "INTEGER PRIMARY KEY DESC", has one.
base::Result<bool> has_key_index(Connection& connection, const std::string& table) {
    TWOFOLD_TRY(
        Statement statement,
        connection.prepare("SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk' LIMIT 1"));
    statement.bind(1, table);
    return statement.step();
}

std::string free_rowid_name(const std::vector<DeclaredColumn>& columns) {
    for (const char* name : {"_rowid_", "rowid", "oid"}) {
        bool hidden_by_column = std::ranges::any_of(
            columns, [&](const DeclaredColumn& column) { return same_name(column.name, name); });
        if (!hidden_by_column) return name;
    }
    return {};
}

void take_columns(Table& table, const std::vector<DeclaredColumn>& declared) {
    int storage = 0;
    std::vector<std::pair<int, std::size_t>> key;
    for (std::size_t i = 0; i < declared.size(); ++i) {
        const DeclaredColumn& column = declared[i];
        if (column.hidden == 0) {
            if (column.key_position > 0)
                key.emplace_back(column.key_position, table.columns.size());
            table.columns.push_back({column.name, static_cast<int>(i), storage});
        }
        if (column.hidden != 2) ++storage;
    }
    std::ranges::sort(key);
    for (const auto& [position, index] : key) table.key.push_back(index);
}

base::Result<Table> load_table(Connection& connection,
                               std::string name,
                               std::string_view type,
                               bool without_rowid) {
    Table table;
    table.name = std::move(name);
    table.without_rowid = without_rowid;
    table.is_virtual = type == "virtual";
    if (type != "table") {
        table.not_recordable =
            type == "virtual" ? "it is a virtual table" : "it belongs to a virtual table";
        return table;
    }
    TWOFOLD_TRY(std::vector<DeclaredColumn> declared, declared_columns(connection, table.name));
    take_columns(table, declared);
    if (table.key.empty()) {
        table.not_recordable = "it has no declared PRIMARY KEY";
        return table;
    }
    if (without_rowid) return table;
    TWOFOLD_TRY(bool key_index, has_key_index(connection, table.name));
    table.rowid_is_key = !key_index;
    if (!table.rowid_is_key) table.rowid_name = free_rowid_name(declared);
    return table;
}

base::Result<void> load_tables(Connection& connection, Schema& schema) {
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT name, type, wr FROM pragma_table_list"
                                   " WHERE schema = 'main' AND type <> 'view'"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return base::ok();
        std::string name = statement.text(0);
        if (is_own_name(name) || is_sqlite_name(name)) continue;
        TWOFOLD_TRY(Table table,
                    load_table(connection, name, statement.text(1), statement.integer(2) != 0));
        schema.tables.emplace(name, std::move(table));
    }
}

base::Result<void> load_foreign_keys(Connection& connection, Schema& schema) {
    for (const auto& [name, table] : schema.tables) {
        if (!table.not_recordable.empty()) continue;
        TWOFOLD_TRY(Statement statement,
                    connection.prepare("SELECT id, \"table\", \"from\", \"to\""
                                       " FROM pragma_foreign_key_list(?1) ORDER BY id, seq"));
        statement.bind(1, name);
        std::int64_t last = -1;
        for (;;) {
            TWOFOLD_TRY(bool row, statement.step());
            if (!row) break;
            if (statement.integer(0) != last) {
                last = statement.integer(0);
                schema.foreign_keys.push_back({name, {}, statement.text(1), {}});
            }
            ForeignKey& key = schema.foreign_keys.back();
            key.child_columns.push_back(statement.text(2));
            std::string to = statement.text(3);
            if (!to.empty()) key.parent_columns.push_back(std::move(to));
        }
    }
    // REFERENCES parent, without columns, means its primary key; names are not case-sensitive.
    for (ForeignKey& key : schema.foreign_keys) {
        for (const auto& [name, table] : schema.tables) {
            if (!same_name(name, key.parent)) continue;
            key.parent = name;
            if (!key.parent_columns.empty()) continue;
            for (std::size_t i : table.key) key.parent_columns.push_back(table.columns[i].name);
        }
    }
    return base::ok();
}

}  // namespace

bool is_own_name(std::string_view name) { return begins_with(name, kOwnPrefix); }

bool is_sqlite_name(std::string_view name) { return begins_with(name, "sqlite_"); }

const Table* Schema::find(std::string_view name) const {
    auto found = tables.find(name);
    return found == tables.end() ? nullptr : &found->second;
}

base::Result<base::Hash256> schema_fingerprint(Connection& connection) {
    base::Bytes text;
    base::ByteWriter out(text);
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema"
                                   " WHERE tbl_name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"
                                   " ORDER BY type, name"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return base::sha256(text);
        for (int i = 0; i < 4; ++i) encode_value(out, statement.column(i));
    }
}

base::Result<std::shared_ptr<const Schema>> load_schema(Connection& connection) {
    auto schema = std::make_shared<Schema>();
    TWOFOLD_TRY(schema->version, connection.query_integer("PRAGMA schema_version"));
    TWOFOLD_TRY(schema->fingerprint, schema_fingerprint(connection));
    TWOFOLD_TRY(load_tables(connection, *schema));
    TWOFOLD_TRY(load_foreign_keys(connection, *schema));
    return std::shared_ptr<const Schema>(std::move(schema));
}

}  // namespace twofold::participant::sqlite
