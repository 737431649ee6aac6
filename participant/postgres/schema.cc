#include "participant/postgres/schema.h"

#include <array>

namespace twofold::participant::postgres {

namespace {

constexpr std::array kDefinitions = std::to_array<std::string_view>({
    // One row: which participant this database belongs to, and how often it was started.
    "CREATE TABLE IF NOT EXISTS twofold.meta ("
    "singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), "
    "uuid uuid NOT NULL, epoch bigint NOT NULL, version int NOT NULL)",
    // Backends of ours. Unlogged: no session survives what empties it.
    "CREATE UNLOGGED TABLE IF NOT EXISTS twofold.session ("
    "pid int PRIMARY KEY, started_us bigint NOT NULL, epoch bigint NOT NULL)",
    // Outcomes that committed with their branch; 'aborted' is a tombstone that keeps a one-phase
    // branch from committing later.
    "CREATE TABLE IF NOT EXISTS twofold.witness ("
    "gid text PRIMARY KEY, key_hash text UNIQUE, fingerprint text, "
    "outcome text NOT NULL CHECK (outcome IN ('committed', 'aborted')), "
    "at timestamptz NOT NULL DEFAULT pg_catalog.now())",
    // The newest start of each coordinator's log that was accepted, and how far that log has been.
    "CREATE TABLE IF NOT EXISTS twofold.sender ("
    "incarnation text PRIMARY KEY, epoch bigint NOT NULL)",
    // Databases of the first version have them not.
    "ALTER TABLE twofold.sender ADD COLUMN IF NOT EXISTS nonce bigint NOT NULL DEFAULT 0, "
    "ADD COLUMN IF NOT EXISTS position bigint NOT NULL DEFAULT 0",
    // What persons have decided about branches of lost coordinators; kept for ever. Written before
    // the branch is finished, `applied` after it.
    "CREATE TABLE IF NOT EXISTS twofold.resolved ("
    "gid text PRIMARY KEY, outcome text NOT NULL CHECK (outcome IN ('committed', 'aborted')), "
    "applied boolean NOT NULL DEFAULT false, reason text NOT NULL, "
    "at timestamptz NOT NULL DEFAULT pg_catalog.now())",
});

// An SQL identifier in quotes.
std::string identifier(std::string_view name) {
    std::string quoted = "\"";
    for (char c : name) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted + "\"";
}

}  // namespace

std::span<const std::string_view> table_definitions() { return kDefinitions; }

std::string rights_for(std::string_view role) {
    std::string name = identifier(role);
    return std::string(kCreateSchema) + "; ALTER SCHEMA twofold OWNER TO " + name +
           "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA twofold TO " + name +
           ";";
}

}  // namespace twofold::participant::postgres
