// The JSON of a branch's work as statements, and the rows that they return as JSON.
//
//   [{"sql": "UPDATE …", "params": [1, "a"], "expect": {"rows": 1}},
//    {"statement": "debit", "params": {"account": 7, "amount": "12.50"}}]
//
// Parameters are sent as text and the server infers their types: null, true, false, numbers, text
// and {"base64": "…"} for bytea. Back: bool, integers up to 2^53 and floats are JSON values; bytea
// is {"base64": …}; everything else (larger integers, numeric, timestamps, json) is text.
#pragma once

#include "participant/postgres/connection.h"
#include "participant/postgres/options.h"
#include "protocol/messages.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::participant::postgres {

struct WorkStatement {
    std::string sql;
    std::string name;  // of a named statement; for messages
    std::vector<Param> params;
    std::optional<std::uint64_t> expect_rows;
};

struct ParsedWork {
    std::vector<WorkStatement> statements;
    protocol::Reason refusal;  // when not empty, nothing else counts
};

// Also refuses raw SQL where it is not allowed, and statements that may not run in a branch.
[[nodiscard]] ParsedWork parse_work(std::string_view json, const PostgresOptions& options);

// The number in a command tag ("UPDATE 3"), or 0.
[[nodiscard]] std::uint64_t rows_in_tag(std::string_view tag);

// What a statement's `expect` is compared with: rows returned by a query, else rows changed.
[[nodiscard]] std::uint64_t rows_of(const StatementResult& result);

// [{"rows_affected": n, "columns": […], "rows": [[…]]}, …]
[[nodiscard]] std::string results_json(std::span<const StatementResult> results);

// The JSON text of one value of a column of this type (oid).
void append_cell(std::string& out, const Cell& cell, std::uint32_t type);

}  // namespace twofold::participant::postgres
