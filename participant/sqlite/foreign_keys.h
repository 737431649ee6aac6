// Whether applying the images would leave a row without its parent. PRAGMA foreign_key_check would
// read whole tables at every prepare; this asks only about rows that the branch touched and about
// children of parent keys that it took away.
#pragma once

#include "participant/sqlite/images.h"

#include <set>

namespace twofold::participant::sqlite {

// Parent keys that were there before the branch, by foreign key and table: collected before the
// images are applied, asked about before and after.
struct ForeignKeyProbe {
    const ForeignKey* key = nullptr;
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
