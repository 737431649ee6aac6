// Whether applying the images would leave a row without its parent. PRAGMA foreign_key_check would
// read whole tables at every prepare; this asks only about rows that the branch touched and about
// children of parent keys that it took away.
#pragma once

#include "participant/sqlite/images.h"

#include <set>

namespace twofold::participant::sqlite {

// A question about rows of the child table: those with these values, do they have their parents? It
// is asked before and after the images are applied, because a file may have orphans already.
struct ForeignKeyProbe {
    const ForeignKey* key = nullptr;
    // Of the child: its primary key, or the columns that refer to a parent that went away.
    std::vector<std::string> columns;
    Row values;
};

// before[i]: the images of redo.tables[i] before the branch.
[[nodiscard]] std::vector<ForeignKeyProbe> make_probes(const Schema& schema,
                                                       const Redo& redo,
                                                       const std::vector<Images>& before);

// Indices of the probes that find a child without its parent now.
[[nodiscard]] base::Result<std::set<std::size_t>> orphans(
    Connection& connection, const std::vector<ForeignKeyProbe>& probes);

}  // namespace twofold::participant::sqlite
