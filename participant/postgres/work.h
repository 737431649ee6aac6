// A branch's work with values as libpq sends them, and the rows that statements return as JSON.
//
// Parameters are sent as text and the server infers their types, except of bytea. Back: bool,
// integers up to 2^53 and floats are JSON values; bytea is {"base64": …}; everything else (larger
// integers, numeric, timestamps, json) is text.
#pragma once

#include "participant/postgres/connection.h"
#include "participant/postgres/options.h"
#include "participant/work/work.h"

#include <span>
#include <string>
#include <string_view>

namespace twofold::participant::postgres {

using WorkStatement = work::BoundStatement<Param>;
using ParsedWork = work::BoundWork<Param>;

[[nodiscard]] ParsedWork parse_work(const protocol::JsonText& json, const PostgresOptions& options);

// The number in a command tag ("UPDATE 3"), or 0.
[[nodiscard]] std::uint64_t rows_in_tag(std::string_view tag);

// What a statement's `expect` is compared with: rows returned by a query, else rows changed.
[[nodiscard]] std::uint64_t rows_of(const StatementResult& result);

// [{"rows_affected": n, "columns": […], "rows": [[…]]}, …]
[[nodiscard]] std::string results_json(std::span<const StatementResult> results);

// The JSON text of one value of a column of this type (oid).
void append_cell(std::string& out, const Cell& cell, std::uint32_t type);

}  // namespace twofold::participant::postgres
