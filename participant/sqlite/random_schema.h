// Random schemas and random SQL for them, from a seed. The domain of values is tiny on purpose, so
// that conflicts, cascades and replacements happen all the time.
#pragma once

#include "base/rng.h"

#include <string>
#include <vector>

namespace twofold::participant::sqlite::test {

struct RandomTable {
    std::string name;
    std::vector<std::string> columns;  // that may be written
    std::size_t key_columns = 1;       // the first ones
};

struct RandomSchema {
    std::string script;
    std::vector<RandomTable> tables;
};

[[nodiscard]] RandomSchema random_schema(base::SeededRng& rng);
[[nodiscard]] std::string random_statement(base::SeededRng& rng, const RandomSchema& schema);

}  // namespace twofold::participant::sqlite::test
