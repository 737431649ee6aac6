// The redo part of a prepared record: for every table that the branch touched the keys to delete,
// with hashes of what must be there before, and the rows to insert. Values, not SQL: applying them
// twice from the same start gives the same, whatever random(), triggers or cascades did when the
// SQL ran.
//
// Bytes (little-endian; strings are length 4 + bytes; values and rows as in value.h):
//   version 1 | table count 4 | tables | sequence count 4 | sequences
//   table:    name | rowid name (empty = no rowid) | columns: count 4, names | key columns: count
//   4, names
//             | rows before 4 | keys: count 4, each row + present 1 + hash 16 when present
//             | rows: count 4, each a row
//   sequence: name | before: a value | after: a value      (NULL = no such entry)
#pragma once

#include "base/result.h"
#include "participant/sqlite/value.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::sqlite {

using ImageHash = std::array<std::uint8_t, 16>;

struct TouchedKey {
    Row key;
    std::optional<ImageHash> before;  // nothing: no such row before
};

struct RedoTable {
    std::string name;
    // The first value of every row is its rowid, kept although it is not the key, because programs
    // see it; `columns` does not name it.
    bool has_rowid = false;
    std::string rowid_name;  // rowid, _rowid_ or oid, whichever no column hides
    std::vector<std::string> columns;
    std::vector<std::string> key_columns;
    // Rows that the keys name before the branch. Can be fewer than keys: two spellings of a key in
    // a column that compares without case are one row.
    std::uint32_t rows_before = 0;
    std::vector<TouchedKey> keys;
    std::vector<Row> rows;
};

// An entry of sqlite_sequence, which AUTOINCREMENT moves without telling any hook.
struct RedoSequence {
    std::string table;
    Value before;
    Value after;
};

struct Redo {
    std::vector<RedoTable> tables;
    std::vector<RedoSequence> sequences;

    [[nodiscard]] bool empty() const { return tables.empty() && sequences.empty(); }
};

// Ignores the rowid of a table with another key: VACUUM may renumber it.
[[nodiscard]] ImageHash hash_image(const RedoTable& table, const Row& image);

[[nodiscard]] base::Bytes encode_redo(const Redo& redo);
[[nodiscard]] base::Result<Redo> decode_redo(base::ByteSpan bytes);

// "accounts: 2 keys, 1 row written", one per table; for people who look into the file.
[[nodiscard]] std::string summary_of(const Redo& redo);
// The changes as SQL, for applying by hand.
[[nodiscard]] std::string sql_of(const Redo& redo);

}  // namespace twofold::participant::sqlite
