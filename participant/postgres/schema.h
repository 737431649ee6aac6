// Our tables in the database.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace twofold::participant::postgres {

inline constexpr std::size_t kTableCount = 5;

// How many of our tables there are, with all of their columns, and whether the schema is.
inline constexpr std::string_view kFindTables =
    "SELECT count(*), EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'twofold') "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = 'twofold' "
    "AND c.relname IN ('meta', 'session', 'witness', 'sender', 'resolved') AND c.relkind = 'r' "
    "AND (c.relname <> 'sender' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a "
    "WHERE a.attrelid = c.oid AND a.attname = 'position' AND NOT a.attisdropped))";

// Their oids, as an SQL array.
inline constexpr std::string_view kOwnTables =
    "SELECT pg_catalog.array_agg(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = 'twofold' AND c.relkind = 'r'";

// Who holds locks on our tables: backend or gid, what it is called, whether it is a session of this
// participant (a database has one). Reads none of our tables: they may be locked against readers.
inline constexpr std::string_view kLockHolders =
    "SELECT DISTINCT l.pid, p.gid, a.application_name, "
    "COALESCE(a.application_name ~ '^twofold [0-9a-f-]{36} [0-9]+$', false) "
    "FROM pg_catalog.pg_locks l "
    "LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid "
    "LEFT JOIN pg_catalog.pg_locks t ON l.pid IS NULL AND t.pid IS NULL "
    "AND t.locktype = 'transactionid' AND t.virtualtransaction = l.virtualtransaction "
    "LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = t.transactionid "
    "WHERE l.granted AND l.mode NOT IN ('AccessShareLock', 'SIReadLock') "
    "AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() "
    "AND l.database = (SELECT oid FROM pg_catalog.pg_database "
    "WHERE datname = pg_catalog.current_database()) "
    "AND l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = 'twofold')";

// Needs the right to create schemas even when it exists.
inline constexpr std::string_view kCreateSchema = "CREATE SCHEMA IF NOT EXISTS twofold";

// One statement each; they leave alone what is there.
[[nodiscard]] std::span<const std::string_view> table_definitions();

// What somebody with more rights must run so that the role can.
[[nodiscard]] std::string rights_for(std::string_view role);

}  // namespace twofold::participant::postgres
