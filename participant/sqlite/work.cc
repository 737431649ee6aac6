#include "participant/sqlite/work.h"

#include "base/base64.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <charconv>
#include <cmath>

namespace twofold::participant::sqlite {

namespace {

namespace json = boost::json;

constexpr std::int64_t kSafeInteger = 1LL << 53;

// SQLite has two kinds of numbers: what fits into 64 bits stays exact, all else is a double.
Value number_of(const std::string& decimal) {
    const char* begin = decimal.data();
    const char* end = decimal.data() + decimal.size();
    std::int64_t whole = 0;
    auto [stop, error] = std::from_chars(begin, end, whole);
    if (error == std::errc() && stop == end) return Value{whole};
    double real = 0;
    std::from_chars(begin, end, real);
    return Value{real};
}

struct Converter {
    base::Result<Value> operator()(std::monostate) const { return Value{}; }
    base::Result<Value> operator()(bool value) const { return Value{std::int64_t{value ? 1 : 0}}; }
    base::Result<Value> operator()(std::int64_t value) const { return Value{value}; }
    base::Result<Value> operator()(double value) const { return Value{value}; }
    base::Result<Value> operator()(const work::Decimal& value) const {
        return number_of(value.text);
    }
    base::Result<Value> operator()(std::string&& value) const { return Value{std::move(value)}; }
    base::Result<Value> operator()(base::Bytes&& value) const { return Value{std::move(value)}; }
    base::Result<Value> operator()(std::uint64_t /*value*/) const {
        return base::fail(base::Errc::invalid_argument,
                          "the number does not fit into 64 bits; give it as text");
    }
};

// Text in a database need not be UTF-8, but JSON must be.
bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        auto first = static_cast<unsigned char>(text[i]);
        std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
        if (length == 0 || i + length > text.size()) return false;
        std::uint32_t code = length == 1 ? first : first & (0x7fU >> length);
        for (std::size_t k = 1; k < length; ++k) {
            auto next = static_cast<unsigned char>(text[i + k]);
            if ((next & 0xc0U) != 0x80U) return false;
            code = code << 6U | (next & 0x3fU);
        }
        bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
        if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
        i += length;
    }
    return true;
}

json::value blob_to_json(base::ByteSpan bytes) {
    return json::object{{"base64", base::base64_encode(bytes, base::Base64Alphabet::standard)}};
}

}  // namespace

ParsedWork parse_work(const protocol::JsonText& text, const StoreOptions& options) {
    work::WorkRules rules{
        options.statements, work::kSqliteSql, options.raw_sql, options.limits.statements_max};
    return work::bind_work<Value>(work::parse_work(text, rules), [](work::Value&& value) {
        return std::visit(Converter(), std::move(value));
    });
}

json::value to_json(const Value& value) {
    if (const std::int64_t* integer = value.integer()) {
        if (*integer >= -kSafeInteger && *integer <= kSafeInteger) return *integer;
        return json::value(std::to_string(*integer));
    }
    if (const double* real = std::get_if<double>(&value.data)) {
        if (std::isfinite(*real)) return *real;
        return json::value(*real < 0 ? "-Infinity" : "Infinity");
    }
    if (const std::string* text = value.text()) {
        return is_utf8(*text) ? json::value(*text) : blob_to_json(base::as_bytes(*text));
    }
    if (const base::Bytes* blob = value.blob()) return blob_to_json(*blob);
    return nullptr;
}

}  // namespace twofold::participant::sqlite
