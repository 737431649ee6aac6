#include "participant/work/value.h"

#include "base/base64.h"
#include "protocol/json_reader.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace twofold::participant::work {

namespace {

namespace json = boost::json;
using base::Result;

struct TypeName {
    ParamType type;
    std::string_view name;
    std::string_view example;
};
constexpr std::array kTypes = std::to_array<TypeName>({
    {ParamType::integer, "integer", "a whole number of 64 bits"},
    {ParamType::number, "number", "a number, or decimal text such as \"12.50\""},
    {ParamType::text, "text", "text"},
    {ParamType::boolean, "boolean", "true or false"},
    {ParamType::bytes, "bytes", "{\"base64\": …}"},
    {ParamType::json, "json", "a JSON value"},
    {ParamType::timestamp, "timestamp", "text such as \"2026-01-31T12:34:56Z\""},
});

const TypeName& entry_of(ParamType type) { return kTypes.at(static_cast<std::size_t>(type)); }

base::Error wrong(const std::string& path, const std::string& what) {
    return base::fail(base::Errc::invalid_argument, path + ": " + what);
}

Result<Value> parse_bytes(const json::value& value, const std::string& path) {
    protocol::ObjectReader in(value, path);
    std::string text = in.text("base64");
    TWOFOLD_TRY(in.finish());
    std::optional<base::Bytes> bytes = base::base64_decode(text, base::Base64Alphabet::standard);
    if (!bytes.has_value()) return wrong(path + ".base64", "must be base64 with padding");
    return Value{std::move(*bytes)};
}

template <class Number>
std::optional<Number> whole_text(std::string_view text) {
    Number number{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// -12, 12.50, 1e-3. The parser of doubles alone would take "inf" and "nan", too.
bool is_decimal(std::string_view text) {
    return text.find_first_not_of("+-.0123456789eE") == std::string_view::npos &&
           whole_text<double>(text).has_value();
}

// Reads `count` digits as a number between the two; moves on behind them.
bool take_field(std::string_view& text, std::size_t count, int lowest, int highest) {
    if (text.size() < count) return false;
    std::optional<int> number = whole_text<int>(text.substr(0, count));
    bool is_plain = text.find_first_not_of("0123456789") >= count;
    text.remove_prefix(count);
    return is_plain && number.has_value() && *number >= lowest && *number <= highest;
}

bool take_one_of(std::string_view& text, std::string_view characters) {
    if (text.empty() || characters.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}

bool is_offset(std::string_view text) {
    if (text.empty() || text == "Z" || text == "z") return true;
    return take_one_of(text, "+-") && take_field(text, 2, 0, 15) && take_one_of(text, ":") &&
           take_field(text, 2, 0, 59) && text.empty();
}

// The form, not the calendar: the database knows how long a month is.
bool is_timestamp(std::string_view text) {
    bool has_fields =
        take_field(text, 4, 0, 9999) && take_one_of(text, "-") && take_field(text, 2, 1, 12) &&
        take_one_of(text, "-") && take_field(text, 2, 1, 31) && take_one_of(text, "Tt ") &&
        take_field(text, 2, 0, 23) && take_one_of(text, ":") && take_field(text, 2, 0, 59) &&
        take_one_of(text, ":") && take_field(text, 2, 0, 60);
    if (!has_fields) return false;
    if (take_one_of(text, ".")) {
        std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
        if (digits == 0) return false;
        text.remove_prefix(digits);
    }
    return is_offset(text);
}

// Nothing when the value is not of this type.
std::optional<Value> take_number(const json::value& value) {
    if (const std::int64_t* whole = value.if_int64()) return Value{*whole};
    if (const std::uint64_t* large = value.if_uint64()) return Value{*large};
    if (const double* real = value.if_double()) return Value{*real};
    const json::string* text = value.if_string();
    if (text == nullptr || !is_decimal(*text)) return std::nullopt;
    return Value{Decimal{std::string(*text)}};
}

std::optional<Value> take_integer(const json::value& value) {
    if (const std::int64_t* whole = value.if_int64()) return Value{*whole};
    const json::string* text = value.if_string();
    if (text == nullptr) return std::nullopt;
    std::optional<std::int64_t> whole = whole_text<std::int64_t>(*text);
    return whole.has_value() ? std::optional<Value>(*whole) : std::nullopt;
}

std::optional<Value> take(const json::value& value, ParamType type) {
    switch (type) {
        case ParamType::integer: return take_integer(value);
        case ParamType::number: return take_number(value);
        case ParamType::boolean:
            return value.is_bool() ? std::optional<Value>(value.get_bool()) : std::nullopt;
        case ParamType::json: return Value{json::serialize(value)};
        case ParamType::text:
        case ParamType::timestamp: {
            const json::string* text = value.if_string();
            if (text == nullptr) return std::nullopt;
            if (type == ParamType::timestamp && !is_timestamp(*text)) return std::nullopt;
            return Value{std::string(*text)};
        }
        case ParamType::bytes: break;
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(ParamType type) { return entry_of(type).name; }

std::optional<DeclaredType> parse_declared_type(std::string_view text) {
    DeclaredType declared;
    declared.nullable = text.ends_with('?');
    if (declared.nullable) text.remove_suffix(1);
    for (const TypeName& known : kTypes) {
        declared.type = known.type;
        if (known.name == text) return declared;
    }
    return std::nullopt;
}

Result<Value> parse_value(const json::value& value, const std::string& path) {
    switch (value.kind()) {
        case json::kind::null: return Value{};
        case json::kind::bool_: return Value{value.get_bool()};
        case json::kind::int64: return Value{value.get_int64()};
        case json::kind::uint64: return Value{value.get_uint64()};
        case json::kind::double_: return Value{value.get_double()};
        case json::kind::string: return Value{std::string(value.get_string())};
        case json::kind::object: return parse_bytes(value, path);
        case json::kind::array: break;
    }
    return wrong(path,
                 "must be null, a number, text, true, false or {\"base64\": …}, not an array");
}

Result<Value> parse_value(const json::value& value,
                          const std::string& path,
                          DeclaredType declared) {
    if (value.is_null() && declared.nullable) return Value{};
    if (declared.type == ParamType::bytes && value.is_object()) return parse_bytes(value, path);
    std::optional<Value> taken;
    if (!value.is_null()) taken = take(value, declared.type);
    if (taken.has_value()) return std::move(*taken);
    const TypeName& type = entry_of(declared.type);
    return wrong(path,
                 "must be " + std::string(type.name) + " (" + std::string(type.example) + ")" +
                     (declared.nullable ? " or null" : "") + ", found " +
                     std::string(protocol::json_kind_name(value)));
}

}  // namespace twofold::participant::work
