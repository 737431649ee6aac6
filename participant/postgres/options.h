// What a PostgreSQL resource is configured with, and what it counts.
#pragma once

#include "participant/work/catalog.h"
#include "protocol/messages.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

struct Limits {
    std::size_t statements_max = 1'000;  // per branch
    std::size_t rows_max = 1'000;        // returned rows, all statements of a branch together
    std::size_t result_bytes_max = 900U << 10U;  // of their JSON; a line of an answer has 1 MiB
    std::uint32_t slots_max = 0;  // prepared branches at a time; 0 = max_prepared_transactions
    // Defaults of BranchOptions.
    std::chrono::milliseconds statement_timeout{30'000};
    std::chrono::milliseconds lock_timeout{5'000};
    // A branch whose request carries no deadline is ended after this.
    std::chrono::milliseconds branch{60'000};
    // A PREPARE or COMMIT that waits for a synchronous standby for longer is given up: the server's
    // own timeouts do not fire there.
    std::chrono::milliseconds standby_wait{5'000};
    std::chrono::milliseconds finish{30'000};   // one try of COMMIT PREPARED or ROLLBACK PREPARED
    std::chrono::milliseconds connect{10'000};  // opening a session
    std::chrono::milliseconds admin{15'000};    // one administrative exchange
    std::chrono::milliseconds session_end{30'000};  // until a terminated session is gone
    std::size_t prune_rows = 1'000;                 // witness rows looked at in one step
    std::chrono::milliseconds prune_pause{100};     // between two steps
    std::chrono::milliseconds prune_rest{10'000};   // after the last row, until the first again
    // One-phase commits are found by their idempotency key for at least this long. Coordinators
    // that remember keys for longer do keyed work in two phases.
    std::chrono::milliseconds key_retention = protocol::kParticipantKeyRetention;
};

struct PostgresOptions {
    std::string dsn;                   // a libpq connection string or URI; direct, no pooler
    std::size_t work_connections = 8;  // opened when needed
    // Interactive branches at a time: each keeps a session from its first call to its end. Opened
    // when needed.
    std::size_t interactive_connections = 16;
    // Opened before work is accepted. Each has one COMMIT PREPARED at a time, that is one forced
    // write; the server groups those of several sessions.
    std::size_t finish_connections = 8;
    bool raw_sql = false;  // {"sql": …} is allowed; named statements always are
    work::Catalog statements;
    // A witness row in every branch that writes; one-phase branches always have one.
    bool witness = false;
    bool allow_superuser = false;
    // For branches that do not say.
    protocol::Isolation isolation = protocol::Isolation::read_committed;
    // "on" or "remote_apply".
    std::string synchronous_commit = "on";
    // The participant that must be in this database; a database of another is refused. Absent: any.
    std::optional<protocol::ParticipantUuid> uuid;
    Limits limits;
    // Called once, when a newer sidecar of this participant has taken the database over or the
    // database is not the one that start() saw: this process must end.
    std::function<void(const std::string& text)> on_fenced;
};

struct Counters {
    std::uint64_t connections_opened = 0;
    std::uint64_t connections_lost = 0;
    std::uint64_t round_trips = 0;  // messages that were sent and waited for, cleaning included
    std::uint64_t statements = 0;   // statements in them
    std::uint64_t prepares = 0;
    std::uint64_t read_only = 0;
    std::uint64_t refused = 0;
    std::uint64_t unknown = 0;
    std::uint64_t commits = 0;
    std::uint64_t rollbacks = 0;
    std::uint64_t one_phase_commits = 0;
    std::uint64_t rolled_back_after_prepare = 0;  // a missed expectation, an unreplicated PREPARE
    std::uint64_t sessions_ended = 0;             // backends terminated
    std::uint64_t not_replicated = 0;             // finished locally without a standby's receipt
    std::uint64_t proofs_asked = 0;               // commits of gids that were gone
    std::uint64_t hazards = 0;
    std::uint64_t witnesses_pruned = 0;
};

}  // namespace twofold::participant::postgres
