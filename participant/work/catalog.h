// The statements that a participant's configuration offers by name, checked when they are read: a
// mistake in one of them is found at the start, not by the first client.
//
//   debit:
//     sql: "UPDATE account SET balance = balance - :amount WHERE id = :id"
//     params: {id: integer, amount: integer}
//     expect_rows: 1
//
// :name is a parameter wherever it is code: not inside of literals, quoted names and comments, and
// `::` is a cast. (A PostgreSQL array slice needs a space: a[1 : n].)
#pragma once

#include "base/result.h"
#include "participant/work/sql_text.h"
#include "participant/work/value.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::participant::work {

// As written in the configuration.
struct StatementText {
    std::string sql;
    std::vector<std::pair<std::string, std::string>> params;  // name, declared type
    std::optional<std::uint64_t> expect_rows;                 // when the caller does not say
};

struct Parameter {
    std::string name;
    DeclaredType declared;
};

struct NamedStatement {
    std::string sql;                // with the database's own numbered placeholders
    std::vector<Parameter> params;  // number 1, 2, …
    std::optional<std::uint64_t> expect_rows;
};

using Catalog = std::map<std::string, NamedStatement, std::less<>>;

[[nodiscard]] std::vector<std::string> names_of(const std::vector<Parameter>& params);

// Refused: no statement or several, one that may not run in a branch, a parameter without a type or
// without use, a placeholder of another form. The error names the part: "sql: …", "params.id: …".
[[nodiscard]] base::Result<NamedStatement> compile(const StatementText& text,
                                                   const SqlDialect& dialect);

// SQL with :name placeholders as SQL with numbered ones. `names` has the names in the order of
// their numbers.
struct NumberedSql {
    std::string sql;
    std::vector<std::string> names;
    bool has_positional = false;  // it also has placeholders of the database's own form
    std::size_t statements = 0;   // separated by semicolons
    std::string_view unclosed;    // the quote or comment that is not closed; points into the input
};
[[nodiscard]] NumberedSql number_parameters(std::string_view sql,
                                            std::vector<std::string> names,
                                            const SqlDialect& dialect);

}  // namespace twofold::participant::work
