// Rows as JSON; see work.h.
#include "base/base64.h"
#include "base/log.h"
#include "participant/postgres/work.h"

#include <charconv>
#include <cstdlib>

namespace twofold::participant::postgres {

namespace {

// Object ids of the built-in types; they are the same in every database.
constexpr std::uint32_t kBool = 16;
constexpr std::uint32_t kBytea = 17;
constexpr std::uint32_t kInt8 = 20;
constexpr std::uint32_t kInt2 = 21;
constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kOid = 26;
constexpr std::uint32_t kFloat4 = 700;
constexpr std::uint32_t kFloat8 = 701;

constexpr std::int64_t kSafeInteger = 1LL << 53U;

// The two text forms of bytea: "\x0aff", and "escape" with octal numbers and doubled backslashes.
base::Bytes decode_bytea(std::string_view text) {
    if (text.starts_with("\\x")) return base::hex_decode(text.substr(2)).value_or(base::Bytes{});
    base::Bytes bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 >= text.size()) {
            bytes.push_back(static_cast<std::uint8_t>(text[i]));
        } else if (text[i + 1] == '\\' || i + 3 >= text.size()) {
            bytes.push_back('\\');
            ++i;
        } else {
            int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
            bytes.push_back(static_cast<std::uint8_t>(value));
            i += 3;
        }
    }
    return bytes;
}

bool is_safe_integer(const std::string& text) {
    std::int64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value >= -kSafeInteger &&
           value <= kSafeInteger;
}

// NaN and the infinities have no JSON number.
bool is_finite_text(const std::string& text) {
    return text.find_first_of("nNiI") == std::string::npos && !text.empty();
}

void append_result(std::string& out, const StatementResult& result) {
    bool query = !result.columns.empty();
    bool changes = !result.tag.starts_with("SELECT");
    out += "{\"rows_affected\":" + std::to_string(changes ? rows_in_tag(result.tag) : 0);
    out += ",\"columns\":[";
    for (std::size_t i = 0; query && i < result.columns.size(); ++i) {
        if (i > 0) out += ',';
        base::append_json_string(out, result.columns[i].name);
    }
    out += "],\"rows\":[";
    for (std::size_t row = 0; row < result.rows.size(); ++row) {
        out += row > 0 ? ",[" : "[";
        for (std::size_t i = 0; i < result.rows[row].size(); ++i) {
            if (i > 0) out += ',';
            append_cell(out, result.rows[row][i], result.columns[i].type);
        }
        out += ']';
    }
    out += "]}";
}

}  // namespace

std::uint64_t rows_in_tag(std::string_view tag) {
    std::size_t space = tag.rfind(' ');
    if (space == std::string_view::npos) return 0;
    std::uint64_t count = 0;
    std::from_chars(tag.data() + space + 1, tag.data() + tag.size(), count);
    return count;
}

std::uint64_t rows_of(const StatementResult& result) {
    bool query = result.tag.starts_with("SELECT");
    return query && !result.truncated ? result.rows.size() : rows_in_tag(result.tag);
}

void append_cell(std::string& out, const Cell& cell, std::uint32_t type) {
    if (!cell.has_value()) {
        out += "null";
        return;
    }
    switch (type) {
        case kBool: out += *cell == "t" ? "true" : "false"; return;
        case kInt2:
        case kInt4:
        case kOid:
        case kInt8:
            if (!is_safe_integer(*cell)) break;
            out += *cell;
            return;
        case kFloat4:
        case kFloat8:
            if (!is_finite_text(*cell)) break;
            out += *cell;
            return;
        case kBytea:
            out += "{\"base64\":\"" +
                   base::base64_encode(decode_bytea(*cell), base::Base64Alphabet::standard) + "\"}";
            return;
        default: break;
    }
    base::append_json_string(out, *cell);
}

std::string results_json(std::span<const StatementResult> results) {
    std::string out = "[";
    for (std::size_t i = 0; i < results.size(); ++i) {
        if (i > 0) out += ',';
        append_result(out, results[i]);
    }
    out += ']';
    return out;
}

}  // namespace twofold::participant::postgres
