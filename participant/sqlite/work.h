// The JSON of a branch's work as plain values, and values as JSON.
//
//   [{"sql": "UPDATE …", "params": [1, "a"], "expect": {"rows": 1}},
//    {"statement": "debit", "params": {"account": 7, "amount": "12.50"}}]
//
// JSON values: null, number, text; true and false become 1 and 0; {"base64": "…"} is a blob. Back:
// the same, and integers beyond 2^53 as text, because JavaScript and many others would change them.
#pragma once

#include "participant/sqlite/store.h"
#include "participant/sqlite/value.h"

#include <boost/json/fwd.hpp>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace twofold::participant::sqlite {

using PositionalParams = std::vector<Value>;
using NamedParams = std::vector<std::pair<std::string, Value>>;

struct WorkStatement {
    std::string sql;
    std::string name;  // of a named statement; for messages
    std::variant<PositionalParams, NamedParams> params;
    std::optional<std::uint64_t> expect_rows;
};

struct ParsedWork {
    std::vector<WorkStatement> statements;
    protocol::Reason refusal;  // when not empty, nothing else counts
};

[[nodiscard]] ParsedWork parse_work(std::string_view json, const StoreOptions& options);

[[nodiscard]] boost::json::value to_json(const Value& value);

}  // namespace twofold::participant::sqlite
