// The JSON of a branch's work as statements: the same for all databases.
//
//   [{"sql": "UPDATE …", "params": [1, "a"], "expect": {"rows": 1}},
//    {"statement": "debit", "params": {"account": 7, "amount": "12.50"}}]
//
// SQL text has the database's own placeholders and a list of values, or :name and an object. Named
// statements have an object, and their values the declared types.
#pragma once

#include "participant/work/catalog.h"
#include "protocol/messages.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::participant::work {

struct Statement {
    std::string sql;            // with the database's own placeholders
    std::vector<Value> params;  // number 1, 2, …
    std::optional<std::uint64_t> expect_rows;
};

// What remains when a database's adapter has made its own parameters of the values.
template <class Param>
struct BoundStatement {
    std::string sql;
    std::vector<Param> params;
    std::optional<std::uint64_t> expect_rows;
};
template <class Param>
struct BoundWork {
    std::vector<BoundStatement<Param>> statements;
    protocol::Reason refusal;  // when not empty, nothing else counts
};

struct ParsedWork {
    std::vector<Statement> statements;
    protocol::Reason refusal;  // when not empty, nothing else counts
};

struct WorkRules {
    const Catalog& catalog;
    const SqlDialect& dialect;
    bool raw_sql = false;  // {"sql": …} is allowed; named statements always are
    std::size_t statements_max = 1'000;
};

// Also refuses statements that may not run in a branch, by their first keyword. Whether it is one
// statement only, the database tells. Absent work has no statements.
[[nodiscard]] ParsedWork parse_work(const protocol::JsonText& json, const WorkRules& rules);

// convert(Value) -> base::Result<Param>; its errors need no path.
template <class Param, class Convert>
[[nodiscard]] BoundWork<Param> bind_work(ParsedWork parsed, Convert convert) {
    BoundWork<Param> bound{{}, std::move(parsed.refusal)};
    for (Statement& statement : parsed.statements) {
        auto index = static_cast<std::int32_t>(bound.statements.size());
        BoundStatement<Param>& out = bound.statements.emplace_back();
        for (Value& value : statement.params) {
            base::Result<Param> param = convert(std::move(value));
            if (!param.has_value()) {
                std::string path = "work[" + std::to_string(index) + "].params, value " +
                                   std::to_string(out.params.size() + 1) + ": ";
                bound.refusal = {std::string(protocol::reason::kBadRequest),
                                 path + param.error().context,
                                 index,
                                 {}};
                return bound;
            }
            out.params.push_back(std::move(param.value()));
        }
        out.sql = std::move(statement.sql);
        out.expect_rows = statement.expect_rows;
    }
    return bound;
}

}  // namespace twofold::participant::work
