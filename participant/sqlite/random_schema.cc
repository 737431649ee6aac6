#include "participant/sqlite/random_schema.h"

#include <span>

namespace twofold::participant::sqlite::test {

namespace {

using base::SeededRng;

std::string pick(SeededRng& rng, std::initializer_list<const char*> choices) {
    return choices.begin()[rng.below(choices.size())];
}

std::string value(SeededRng& rng) {
    switch (rng.below(8)) {
        case 0: return "NULL";
        case 1: return pick(rng, {"'a'", "'A'", "'b'", "''", "'1'"});
        case 2: return pick(rng, {"1.0", "2.5", "-0.0"});
        case 3: return pick(rng, {"x''", "x'00ff'", "x'61'"});
        default: return std::to_string(rng.below(6));
    }
}

std::string key_value(SeededRng& rng) {
    return rng.below(4) == 0 ? pick(rng, {"'a'", "'A'", "'b'"}) : std::to_string(rng.below(7));
}

std::string action(SeededRng& rng) {
    return pick(rng, {"CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"});
}

// The key columns and what ends the table's definition.
struct Key {
    std::string columns;
    std::string constraint;
    std::string options;
    std::size_t count = 1;
    bool integer = false;
};

Key random_key(SeededRng& rng) {
    switch (rng.below(8)) {
        case 0: return {"k INTEGER PRIMARY KEY", "", "", 1, true};
        case 1: return {"k INTEGER PRIMARY KEY AUTOINCREMENT", "", "", 1, true};
        case 2: return {"k TEXT NOT NULL PRIMARY KEY", "", "", 1, false};
        case 3: return {"k TEXT NOT NULL COLLATE NOCASE PRIMARY KEY", "", "", 1, false};
        case 4:
            return {"k NOT NULL, l NOT NULL", ", PRIMARY KEY (l, k)", " WITHOUT ROWID", 2, false};
        case 5: return {"k NOT NULL, l TEXT NOT NULL", ", PRIMARY KEY (k, l DESC)", "", 2, false};
        case 6: return {"k INT NOT NULL PRIMARY KEY", "", "", 1, false};
        default: return {"k PRIMARY KEY", "", " WITHOUT ROWID", 1, false};
    }
}

std::string unique_clause(SeededRng& rng) {
    return " UNIQUE" + pick(rng, {"", "", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE"});
}

std::string trigger(SeededRng& rng, const RandomTable& table, int number) {
    std::string event = pick(rng, {"INSERT", "UPDATE", "DELETE"});
    std::string row = event == "DELETE" ? "old" : "new";
    std::string body = pick(rng,
                            {"INSERT INTO audit (what) VALUES (ROW.k);",
                             "UPDATE audit SET what = ROW.u WHERE id = 1;",
                             "INSERT OR REPLACE INTO audit VALUES (2, ROW.v);",
                             "DELETE FROM audit WHERE what = ROW.k;"});
    for (std::size_t at = 0; (at = body.find("ROW", at)) != std::string::npos;) {
        body.replace(at, 3, row);
    }
    return "CREATE TRIGGER tr" + std::to_string(number) + pick(rng, {" BEFORE ", " AFTER "}) +
           event + " ON " + table.name + " BEGIN " + body + " END;\n";
}

std::string where(SeededRng& rng) {
    switch (rng.below(5)) {
        case 0: return "";
        case 1: return " WHERE v > " + std::to_string(rng.below(4));
        case 2: return " WHERE u = " + value(rng);
        default: return " WHERE k = " + key_value(rng);
    }
}

std::string conflict(SeededRng& rng) {
    return pick(rng,
                {"",
                 "",
                 "",
                 "OR REPLACE ",
                 "OR REPLACE ",
                 "OR IGNORE ",
                 "OR ABORT ",
                 "OR FAIL ",
                 "OR ROLLBACK "});
}

std::string joined(std::span<const std::string> names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

std::string insert(SeededRng& rng, const RandomTable& table) {
    std::string rows;
    std::uint64_t count = 1 + rng.below(3);
    for (std::uint64_t i = 0; i < count; ++i) {
        rows += i == 0 ? "(" : ", (";
        for (std::size_t c = 0; c < table.columns.size(); ++c) {
            std::string cell = c < table.key_columns ? key_value(rng) : value(rng);
            rows += (c == 0 ? "" : ", ") + cell;
        }
        rows += ")";
    }
    return "INTO " + table.name + " (" + joined(table.columns) + ") VALUES " + rows;
}

std::string update(SeededRng& rng, const RandomTable& table) {
    std::string set = pick(rng,
                           {"u = -u",
                            "u = u + 1",
                            "v = v + 1",
                            "v = u, u = v",
                            "k = k + 1",
                            "k = 5 - k",
                            "k = upper(k)",
                            "u = CASE u WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE u END",
                            "p = k",
                            "p = NULL"});
    if (rng.below(3) == 0) set = "k = " + key_value(rng) + ", v = " + value(rng);
    return "UPDATE " + conflict(rng) + table.name + " SET " + set + where(rng);
}

}  // namespace

RandomSchema random_schema(SeededRng& rng) {
    RandomSchema schema;
    schema.script = "CREATE TABLE audit (id INTEGER PRIMARY KEY" +
                    pick(rng, {"", " AUTOINCREMENT"}) + ", what);\n";
    std::uint64_t count = 1 + rng.below(3);
    for (std::uint64_t i = 0; i < count; ++i) {
        Key key = random_key(rng);
        RandomTable table;
        table.name = "t" + std::to_string(i);
        table.columns = {"k"};
        if (key.count == 2) table.columns.emplace_back("l");
        table.key_columns = key.count;
        std::string generated =
            pick(rng, {"", "", "g AS (v || 'x'), ", "g AS (v || 'x') STORED, "});
        std::string columns = generated + key.columns + ", u" +
                              pick(rng, {"", " INTEGER", " TEXT"}) +
                              (rng.below(2) == 0 ? unique_clause(rng) : "") + ", v" +
                              pick(rng, {"", " REAL", " CHECK (v IS NOT 3)", " DEFAULT 4"}) +
                              ", p" + pick(rng, {" DEFAULT 1", ""});
        for (const char* name : {"u", "v", "p"}) table.columns.emplace_back(name);
        // A parent must have a key of one column.
        std::uint64_t parent = rng.below(i + 1);
        bool single = parent == i ? key.count == 1 : schema.tables[parent].key_columns == 1;
        if (single && rng.below(2) == 0) {
            columns += " REFERENCES t" + std::to_string(parent) + " ON DELETE " + action(rng) +
                       " ON UPDATE " + action(rng) +
                       pick(rng, {"", " DEFERRABLE INITIALLY DEFERRED"});
        }
        schema.script += "CREATE TABLE " + table.name + " (" + columns + key.constraint + ")" +
                         key.options + ";\n";
        if (rng.below(4) == 0) {
            schema.script += "CREATE UNIQUE INDEX " + table.name + "_part ON " + table.name +
                             " (v) WHERE u > 1;\n";
        }
        if (rng.below(4) == 0) {
            schema.script += "CREATE UNIQUE INDEX " + table.name + "_expr ON " + table.name +
                             " (lower(u), p);\n";
        }
        schema.tables.push_back(std::move(table));
    }
    std::uint64_t triggers = rng.below(4);
    for (std::uint64_t i = 0; i < triggers; ++i) {
        schema.script +=
            trigger(rng, schema.tables[rng.below(schema.tables.size())], static_cast<int>(i));
    }
    return schema;
}

std::string random_statement(SeededRng& rng, const RandomSchema& schema) {
    const RandomTable& table = schema.tables[rng.below(schema.tables.size())];
    switch (rng.below(10)) {
        case 0: return "DELETE FROM " + table.name + where(rng);
        case 1: return "SELECT * FROM " + table.name + where(rng);
        case 2:
        case 3:
        case 4: return update(rng, table);
        case 5:
            return "INSERT " + insert(rng, table) + " ON CONFLICT DO UPDATE SET v = " + value(rng) +
                   ", p = NULL";
        case 6:
            return "INSERT " + conflict(rng) + "INTO " + table.name + " (" + joined(table.columns) +
                   ") SELECT " + joined(table.columns) + " FROM " +
                   schema.tables[rng.below(schema.tables.size())].name;
        case 7: return "INSERT OR REPLACE INTO audit (what) VALUES (" + value(rng) + ")";
        default: return "INSERT " + conflict(rng) + insert(rng, table);
    }
}

}  // namespace twofold::participant::sqlite::test
