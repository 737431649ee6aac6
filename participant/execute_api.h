// POST /v1/transactions/{id}/execute: an application's work in an interactive transaction. Reads
// requests, writes answers, and does what the desk (execute_desk.h) wants done.
// Thread: the loop's. The driver must outlive the router.
#pragma once

#include "http/router.h"
#include "participant/driver.h"
#include "participant/execute_desk.h"

#include <string_view>

namespace twofold::participant {

void add_execute_route(http::Router& router, Driver& driver);

// The body as a call without its ids. {"work": [statements], "sequence"?: n, "isolation"?,
// "lock_timeout_ms"?, "statement_timeout_ms"?}
[[nodiscard]] base::Result<ExecuteCall> parse_execute_body(std::string_view text);

[[nodiscard]] http::Response execute_response(const protocol::TxnId& txn, const CallAnswer& answer);

}  // namespace twofold::participant
