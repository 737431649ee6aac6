// The value of one parameter, as JSON gives it and before a database's adapter takes it.
//
// Without a declared type: null, true, false, numbers, text, and {"base64": "…"} for bytes. With
// one, the value must fit it:
//
//   integer    a JSON integer or decimal text, 64 bits
//   number     a JSON number or decimal text ("12.50"), which stays exact where the database can
//   text       text
//   boolean    true, false
//   bytes      {"base64": "…"}
//   json       any JSON value
//   timestamp  text "2026-01-31T12:34:56.789Z": date, T or space, time; fraction and offset may be
//              left out
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <boost/json/fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace twofold::participant::work {

enum class ParamType : std::uint8_t { integer, number, text, boolean, bytes, json, timestamp };

[[nodiscard]] std::string_view to_string(ParamType type);

struct DeclaredType {
    ParamType type = ParamType::text;
    bool nullable = false;
};

// "integer", or "integer?" when null is allowed.
[[nodiscard]] std::optional<DeclaredType> parse_declared_type(std::string_view text);

// A decimal number as text, because a double would change it.
struct Decimal {
    std::string text;
    friend bool operator==(const Decimal&, const Decimal&) = default;
};

// monostate is null. uint64_t only beyond int64_t.
using Value = std::variant<std::monostate,
                           bool,
                           std::int64_t,
                           std::uint64_t,
                           double,
                           Decimal,
                           std::string,
                           base::Bytes>;

// Errors begin with `path`.
[[nodiscard]] base::Result<Value> parse_value(const boost::json::value& json,
                                              const std::string& path);
[[nodiscard]] base::Result<Value> parse_value(const boost::json::value& json,
                                              const std::string& path,
                                              DeclaredType declared);

}  // namespace twofold::participant::work
