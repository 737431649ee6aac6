// Our tables in the database.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace twofold::participant::postgres {

inline constexpr std::size_t kTableCount = 4;

// How many of our tables there are, with all of their columns, and whether the schema is.
inline constexpr std::string_view kFindTables =
    "SELECT count(*), EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'twofold') "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = 'twofold' "
    "AND c.relname IN ('meta', 'session', 'witness', 'sender') AND c.relkind = 'r' "
    "AND (c.relname <> 'sender' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a "
    "WHERE a.attrelid = c.oid AND a.attname = 'position' AND NOT a.attisdropped))";

// Needs the right to create schemas even when it exists.
inline constexpr std::string_view kCreateSchema = "CREATE SCHEMA IF NOT EXISTS twofold";

// One statement each; they leave alone what is there.
[[nodiscard]] std::span<const std::string_view> table_definitions();

// What somebody with more rights must run so that the role can.
[[nodiscard]] std::string rights_for(std::string_view role);

}  // namespace twofold::participant::postgres
