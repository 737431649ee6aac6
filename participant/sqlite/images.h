// Reading and applying row images: what the work connection left behind, what was there before, and
// the one way in which a prepared branch reaches the data.
#pragma once

#include "participant/sqlite/connection.h"
#include "participant/sqlite/redo.h"
#include "participant/sqlite/schema.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::sqlite {

// Table and key columns of the redo of this table, without keys and rows.
[[nodiscard]] RedoTable empty_redo(const Table& table);

// The rows that the keys name, each once, in the order of first naming. found[i] is the index of
// the row of key i, or none.
struct Images {
    std::vector<Row> rows;
    std::vector<std::optional<std::size_t>> found;
};
[[nodiscard]] base::Result<Images> read_images(Connection& connection, const RedoTable& table);

// The entries of sqlite_sequence by table; nothing when the file has no such table.
using Sequences = std::map<std::string, Value>;
[[nodiscard]] base::Result<std::optional<Sequences>> read_sequences(Connection& connection);

// True when rows and sequences are as the record says they were before the branch.
[[nodiscard]] base::Result<bool> matches_before(Connection& connection, const Redo& redo);
// True when rows and sequences are as the branch left them.
[[nodiscard]] base::Result<bool> matches_after(Connection& connection, const Redo& redo);

// Deletes all touched rows, inserts all final ones and sets the sequences. The connection must have
// foreign keys and triggers off. keep_rowids: give rows their rowids again. False: the number of
// rows was not as recorded; roll back.
[[nodiscard]] base::Result<bool> apply_redo(Connection& connection,
                                            const Redo& redo,
                                            bool keep_rowids);

}  // namespace twofold::participant::sqlite
