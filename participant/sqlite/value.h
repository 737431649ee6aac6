// One SQLite value, and its bytes: in keys of maps, in the prepared record and under hashes. Two
// values are equal when type and content are: 1 and 1.0 differ, as they do to typeof().
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace twofold::participant::sqlite {

struct Null {
    friend bool operator==(const Null&, const Null&) = default;
};

struct Value {
    std::variant<Null, std::int64_t, double, std::string, base::Bytes> data;

    [[nodiscard]] bool is_null() const { return data.index() == 0; }
    [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data); }
    [[nodiscard]] const std::string* text() const { return std::get_if<std::string>(&data); }
    [[nodiscard]] const base::Bytes* blob() const { return std::get_if<base::Bytes>(&data); }
    friend bool operator==(const Value&, const Value&) = default;
};

using Row = std::vector<Value>;

// Bytes of a value: type 1 | content (integer and real: 8; text and blob: length 4, bytes).
void encode_value(base::ByteWriter& out, const Value& value);
[[nodiscard]] Value decode_value(base::ByteReader& in);  // unknown type: in.fail()

// A count 4, then the values.
void encode_row(base::ByteWriter& out, const Row& row);
[[nodiscard]] Row decode_row(base::ByteReader& in);
[[nodiscard]] base::Bytes row_bytes(const Row& row);

// As SQL text: 'it''s', X'00ff', 1.5e0, NULL.
[[nodiscard]] std::string sql_literal(const Value& value);
// "name" with quotes doubled.
[[nodiscard]] std::string quoted(std::string_view name);

}  // namespace twofold::participant::sqlite
