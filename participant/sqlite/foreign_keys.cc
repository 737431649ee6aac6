#include "participant/sqlite/foreign_keys.h"

#include <algorithm>

namespace twofold::participant::sqlite {

namespace {

// The values of the named columns in an image; nothing when a column is not stored (a generated
// one).
std::optional<Row> pick(const RedoTable& table,
                        const Row& image,
                        const std::vector<std::string>& columns) {
    Row values;
    for (const std::string& name : columns) {
        auto found = std::ranges::find(table.columns, name);
        if (found == table.columns.end()) return std::nullopt;
        auto index = static_cast<std::size_t>(found - table.columns.begin());
        values.push_back(image[index + (table.has_rowid ? 1U : 0U)]);
    }
    return values;
}

void probe_parents(const ForeignKey& key,
                   const RedoTable& table,
                   const Images& before,
                   std::vector<ForeignKeyProbe>& probes) {
    std::set<base::Bytes> kept;
    for (const Row& image : table.rows) {
        if (auto values = pick(table, image, key.parent_columns)) kept.insert(row_bytes(*values));
    }
    for (const Row& image : before.rows) {
        auto values = pick(table, image, key.parent_columns);
        if (!values || kept.contains(row_bytes(*values))) continue;
        if (std::ranges::any_of(*values, &Value::is_null)) continue;
        probes.push_back({&key, key.child_columns, *values});
    }
}

// A child of the key with the given values whose parent does not exist. The parent's column stands
// on the left, so that its collation decides, as in SQLite's own check.
std::string probe_sql(const ForeignKeyProbe& probe) {
    std::string sql = "SELECT 1 FROM main." + quoted(probe.key->child) + " AS c WHERE ";
    for (const std::string& column : probe.columns) sql += "c." + quoted(column) + " = ? AND ";
    for (const std::string& column : probe.key->child_columns) {
        sql += "c." + quoted(column) + " IS NOT NULL AND ";
    }
    sql += "NOT EXISTS (SELECT 1 FROM main." + quoted(probe.key->parent) + " AS p WHERE ";
    for (std::size_t i = 0; i < probe.key->child_columns.size(); ++i) {
        sql += (i == 0 ? "" : " AND ") + std::string("p.") + quoted(probe.key->parent_columns[i]) +
               " = +c." + quoted(probe.key->child_columns[i]);
    }
    return sql + ") LIMIT 1";
}

}  // namespace

std::vector<ForeignKeyProbe> make_probes(const Schema& schema,
                                         const Redo& redo,
                                         const std::vector<Images>& before) {
    std::vector<ForeignKeyProbe> probes;
    for (const ForeignKey& key : schema.foreign_keys) {
        // A key that names no existing parent cannot be checked; SQLite refuses such writes itself.
        if (key.parent_columns.size() != key.child_columns.size()) continue;
        if (schema.find(key.parent) == nullptr) continue;
        for (std::size_t i = 0; i < redo.tables.size(); ++i) {
            const RedoTable& table = redo.tables[i];
            if (table.name == key.child) {
                for (const TouchedKey& touched : table.keys) {
                    probes.push_back({&key, table.key_columns, touched.key});
                }
            }
            if (table.name == key.parent) probe_parents(key, table, before[i], probes);
        }
    }
    return probes;
}

base::Result<std::set<std::size_t>> orphans(Connection& connection,
                                            const std::vector<ForeignKeyProbe>& probes) {
    std::set<std::size_t> found;
    for (std::size_t i = 0; i < probes.size(); ++i) {
        TWOFOLD_TRY(Statement statement, connection.prepare(probe_sql(probes[i])));
        statement.bind_row(1, probes[i].values);
        TWOFOLD_TRY(bool row, statement.step());
        if (row) found.insert(i);
    }
    return found;
}

}  // namespace twofold::participant::sqlite
