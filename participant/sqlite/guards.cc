#include "participant/sqlite/guards.h"

#include <map>

namespace twofold::participant::sqlite {

namespace {

using SqlByName = std::map<std::string, std::string, std::less<>>;

// BEFORE, so that INSERT OR REPLACE is refused before it deletes the rows that it replaces: delete
// triggers do not fire for those. RAISE(ABORT) is not weakened by OR IGNORE.
SqlByName wanted_guards(const Schema& schema) {
    SqlByName wanted;
    for (const auto& [name, table] : schema.tables) {
        // Triggers on virtual tables do not exist; their shadow tables are written by the module,
        // and a trigger there would depend on how a module works inside.
        if (table.is_virtual || table.not_recordable == "it belongs to a virtual table") continue;
        for (const char* action : {"INSERT", "UPDATE", "DELETE"}) {
            std::string guard = std::string(kOwnPrefix) + "guard_" + action + "_" + name;
            wanted[guard] = "CREATE TRIGGER " + quoted(guard) + " BEFORE " + action + " ON " +
                            quoted(name) + " WHEN EXISTS (SELECT 1 FROM _tc_lock) BEGIN SELECT" +
                            " RAISE(ABORT, '" + std::string(kLockedMessage) + "'); END";
        }
    }
    return wanted;
}

base::Result<SqlByName> present_guards(Connection& connection) {
    SqlByName present;
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger'"
                                   " AND name LIKE '\\_tc\\_guard\\_%' ESCAPE '\\'"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return present;
        present[statement.text(0)] = statement.text(1);
    }
}

}  // namespace

base::Result<bool> install_guards(Connection& connection, const Schema& schema) {
    SqlByName wanted = wanted_guards(schema);
    TWOFOLD_TRY(SqlByName present, present_guards(connection));
    bool changed = false;
    for (const auto& [name, sql] : present) {
        auto same = wanted.find(name);
        if (same != wanted.end() && same->second == sql) continue;
        TWOFOLD_TRY(connection.exec("DROP TRIGGER " + quoted(name)));
        changed = true;
    }
    for (const auto& [name, sql] : wanted) {
        auto same = present.find(name);
        if (same != present.end() && same->second == sql) continue;
        TWOFOLD_TRY(connection.exec(sql));
        changed = true;
    }
    return changed;
}

}  // namespace twofold::participant::sqlite
