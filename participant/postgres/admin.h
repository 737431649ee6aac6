// What is asked of the database beside branches: ending backends, listing prepared transactions.
// Thread: the loop's.
#pragma once

#include "participant/postgres/pool.h"
#include "protocol/branch_work.h"

#include <functional>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

using DoneCallback = std::function<void(base::Result<void>)>;

// Terminates a backend and calls back when it has gone from pg_stat_activity: from then on it
// cannot prepare or commit anything. One that went by itself is a success. Errors: timed_out,
// unavailable.
void end_backend(Context& context, Pool& admin, const Backend& backend, DoneCallback done);

// The statement that lists our prepared transactions, and what its result says. Gids of others are
// left out; those of ours that another role owns are marked.
[[nodiscard]] Statement listing_statement();
[[nodiscard]] std::vector<protocol::PreparedBranch> read_listing(const Context& context,
                                                                 const StatementResult& result);

// "t" when there are any: what is written through them commits apart from a one-phase branch.
[[nodiscard]] Statement foreign_servers_statement();

// A gid as an SQL literal. Gids have a fixed alphabet; anything else is an empty string, which no
// prepared transaction has.
[[nodiscard]] std::string quoted_gid(const std::string& gid);

}  // namespace twofold::participant::postgres
