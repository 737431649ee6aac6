#include "participant/sqlite/value.h"

#include "base/base64.h"

#include <bit>
#include <charconv>
#include <cmath>

namespace twofold::participant::sqlite {

namespace {

enum class Tag : std::uint8_t { null = 0, integer = 1, real = 2, text = 3, blob = 4 };

std::string real_literal(double value) {
    if (std::isinf(value)) return value < 0 ? "-9e999" : "9e999";
    char buffer[40];
    auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value);
    std::string text(buffer, error == std::errc() ? end : buffer);
    // Without a point or an exponent SQLite would read an integer.
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return text;
}

std::string doubled(std::string_view text, char quote) {
    std::string out(1, quote);
    for (char c : text) {
        if (c == quote) out += quote;
        out += c;
    }
    return out + quote;
}

}  // namespace

void encode_value(base::ByteWriter& out, const Value& value) {
    out.u8(static_cast<std::uint8_t>(value.data.index()));
    if (const std::int64_t* integer = value.integer()) {
        out.u64(static_cast<std::uint64_t>(*integer));
    } else if (const double* real = std::get_if<double>(&value.data)) {
        out.u64(std::bit_cast<std::uint64_t>(*real));
    } else if (const std::string* text = value.text()) {
        out.string(*text);
    } else if (const base::Bytes* blob = value.blob()) {
        out.u32(static_cast<std::uint32_t>(blob->size()));
        out.raw(*blob);
    }
}

Value decode_value(base::ByteReader& in) {
    switch (static_cast<Tag>(in.u8())) {
        case Tag::null: return {};
        case Tag::integer: return {static_cast<std::int64_t>(in.u64())};
        case Tag::real: {
            auto real = std::bit_cast<double>(in.u64());
            if (std::isnan(real)) in.fail();  // SQLite has no such value: it would become NULL
            return {real};
        }
        case Tag::text: return {in.string()};
        case Tag::blob: {
            base::ByteSpan taken = in.raw(in.u32());
            return {base::Bytes(taken.begin(), taken.end())};
        }
    }
    in.fail();
    return {};
}

void encode_row(base::ByteWriter& out, const Row& row) {
    out.u32(static_cast<std::uint32_t>(row.size()));
    for (const Value& value : row) encode_value(out, value);
}

Row decode_row(base::ByteReader& in) {
    std::uint32_t count = in.u32();
    Row row;
    // Every value has at least its type byte, so a damaged count ends here.
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) row.push_back(decode_value(in));
    return row;
}

base::Bytes row_bytes(const Row& row) {
    base::Bytes bytes;
    base::ByteWriter out(bytes);
    encode_row(out, row);
    return bytes;
}

std::string sql_literal(const Value& value) {
    if (const std::int64_t* integer = value.integer()) return std::to_string(*integer);
    if (const double* real = std::get_if<double>(&value.data)) return real_literal(*real);
    if (const base::Bytes* blob = value.blob()) return "X'" + base::hex_encode(*blob) + "'";
    if (const std::string* text = value.text()) {
        if (text->find('\0') == std::string::npos) return doubled(*text, '\'');
        return "CAST(X'" + base::hex_encode(base::as_bytes(*text)) + "' AS TEXT)";
    }
    return "NULL";
}

std::string quoted(std::string_view name) { return doubled(name, '"'); }

}  // namespace twofold::participant::sqlite
