#include "participant/sqlite/images.h"

#include <sqlite3.h>

namespace twofold::participant::sqlite {

namespace {

std::string where_key(const RedoTable& table) {
    std::string text;
    for (const std::string& column : table.key_columns) {
        text += (text.empty() ? " WHERE " : " AND ") + quoted(column) + " = ?";
    }
    return text;
}

std::string column_list(const RedoTable& table, bool with_rowid) {
    std::string text = with_rowid ? table.rowid_name : std::string();
    for (const std::string& column : table.columns) {
        if (!text.empty()) text += ", ";
        text += quoted(column);
    }
    return text;
}

base::Result<std::int64_t> delete_touched(Connection& connection, const RedoTable& table) {
    TWOFOLD_TRY(Statement statement,
                connection.prepare("DELETE FROM main." + quoted(table.name) + where_key(table)));
    std::int64_t deleted = 0;
    for (const TouchedKey& touched : table.keys) {
        statement.bind_row(1, touched.key);
        TWOFOLD_TRY(statement.run());
        deleted += sqlite3_changes64(connection.handle());
    }
    return deleted;
}

// OR ABORT overrides a conflict clause of the table: a UNIQUE ... ON CONFLICT REPLACE would delete
// a row that the branch never touched.
base::Result<void> insert_rows(Connection& connection, const RedoTable& table, bool keep_rowids) {
    bool with_rowid = table.has_rowid && keep_rowids;
    std::size_t skip = table.has_rowid && !keep_rowids ? 1 : 0;
    std::size_t count = table.columns.size() + (with_rowid ? 1U : 0U);
    std::string marks;
    for (std::size_t i = 0; i < count; ++i) marks += i == 0 ? "?" : ", ?";
    TWOFOLD_TRY(Statement statement,
                connection.prepare("INSERT OR ABORT INTO main." + quoted(table.name) + " (" +
                                   column_list(table, with_rowid) + ") VALUES (" + marks + ")"));
    for (const Row& row : table.rows) {
        for (std::size_t i = skip; i < row.size(); ++i) {
            statement.bind(static_cast<int>(i - skip) + 1, row[i]);
        }
        TWOFOLD_TRY(statement.run());
    }
    return base::ok();
}

base::Result<void> set_sequence(Connection& connection, const RedoSequence& sequence) {
    TWOFOLD_TRY(Statement update,
                connection.prepare("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1"));
    TWOFOLD_TRY(Statement insert,
                connection.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)"));
    TWOFOLD_TRY(Statement remove,
                connection.prepare("DELETE FROM sqlite_sequence WHERE name = ?1"));
    if (sequence.after.is_null()) {
        remove.bind(1, sequence.table);
        return remove.run();
    }
    update.bind(1, sequence.table);
    update.bind(2, sequence.after);
    TWOFOLD_TRY(update.run());
    if (sqlite3_changes64(connection.handle()) > 0) return base::ok();
    insert.bind(1, sequence.table);
    insert.bind(2, sequence.after);
    return insert.run();
}

base::Result<bool> sequences_are(Connection& connection,
                                 const Redo& redo,
                                 Value RedoSequence::*which) {
    if (redo.sequences.empty()) return true;
    TWOFOLD_TRY(std::optional<Sequences> read, read_sequences(connection));
    const Sequences present = read.value_or(Sequences());
    for (const RedoSequence& sequence : redo.sequences) {
        auto found = present.find(sequence.table);
        const Value& expected = sequence.*which;
        if ((found == present.end() ? Value() : found->second) != expected) return false;
    }
    return true;
}

}  // namespace

RedoTable empty_redo(const Table& table) {
    RedoTable redo;
    redo.name = table.name;
    redo.has_rowid = !table.rowid_name.empty();
    redo.rowid_name = table.rowid_name;
    for (const Column& column : table.columns) redo.columns.push_back(column.name);
    for (std::size_t i : table.key) redo.key_columns.push_back(table.columns[i].name);
    return redo;
}

base::Result<Images> read_images(Connection& connection, const RedoTable& table) {
    TWOFOLD_TRY(Statement statement,
                connection.prepare("SELECT " + column_list(table, table.has_rowid) + " FROM main." +
                                   quoted(table.name) + where_key(table)));
    Images images;
    std::map<base::Bytes, std::size_t> seen;
    for (const TouchedKey& touched : table.keys) {
        statement.bind_row(1, touched.key);
        TWOFOLD_TRY(bool found, statement.step());
        images.found.emplace_back();
        if (found) {
            Row row;
            for (int i = 0; i < statement.column_count(); ++i) row.push_back(statement.column(i));
            auto [entry, fresh] = seen.emplace(row_bytes(row), images.rows.size());
            images.found.back() = entry->second;
            if (fresh) images.rows.push_back(std::move(row));
        }
        statement.reset();
    }
    return images;
}

base::Result<std::optional<Sequences>> read_sequences(Connection& connection) {
    Sequences sequences;
    TWOFOLD_TRY(std::int64_t present,
                connection.query_integer("SELECT count(*) FROM main.sqlite_schema"
                                         " WHERE name = 'sqlite_sequence'"));
    if (present == 0) return std::optional<Sequences>();
    TWOFOLD_TRY(Statement statement, connection.prepare("SELECT name, seq FROM sqlite_sequence"));
    for (;;) {
        TWOFOLD_TRY(bool row, statement.step());
        if (!row) return std::optional<Sequences>(std::move(sequences));
        sequences.emplace(statement.text(0), statement.column(1));
    }
}

base::Result<bool> matches_before(Connection& connection, const Redo& redo) {
    for (const RedoTable& table : redo.tables) {
        TWOFOLD_TRY(Images present, read_images(connection, table));
        if (present.rows.size() != table.rows_before) return false;
        for (std::size_t i = 0; i < table.keys.size(); ++i) {
            std::optional<ImageHash> hash;
            if (present.found[i]) hash = hash_image(table, present.rows[*present.found[i]]);
            if (hash != table.keys[i].before) return false;
        }
    }
    return sequences_are(connection, redo, &RedoSequence::before);
}

base::Result<bool> matches_after(Connection& connection, const Redo& redo) {
    for (const RedoTable& table : redo.tables) {
        TWOFOLD_TRY(Images present, read_images(connection, table));
        if (present.rows != table.rows) return false;
    }
    return sequences_are(connection, redo, &RedoSequence::after);
}

base::Result<bool> apply_redo(Connection& connection, const Redo& redo, bool keep_rowids) {
    for (const RedoTable& table : redo.tables) {
        TWOFOLD_TRY(std::int64_t deleted, delete_touched(connection, table));
        if (deleted != table.rows_before) return false;
    }
    for (const RedoTable& table : redo.tables) {
        TWOFOLD_TRY(insert_rows(connection, table, keep_rowids));
    }
    for (const RedoSequence& sequence : redo.sequences) {
        TWOFOLD_TRY(set_sequence(connection, sequence));
    }
    return true;
}

}  // namespace twofold::participant::sqlite
