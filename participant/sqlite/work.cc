#include "participant/sqlite/work.h"

#include "base/base64.h"
#include "protocol/json_reader.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cmath>

namespace twofold::participant::sqlite {

namespace {

namespace json = boost::json;
namespace reason = protocol::reason;
using protocol::ObjectReader;

constexpr std::size_t kJsonDepthMax = 16;
constexpr std::int64_t kSafeInteger = 1LL << 53;

base::Error wrong(const std::string& path, const std::string& what) {
    return base::fail(base::Errc::invalid_argument, path + ": " + what);
}

base::Result<Value> parse_blob(const json::value& value, const std::string& path) {
    ObjectReader in(value, path);
    std::string text = in.text("base64");
    TWOFOLD_TRY(in.finish());
    std::optional<base::Bytes> bytes = base::base64_decode(text, base::Base64Alphabet::standard);
    if (!bytes.has_value()) return wrong(path + ".base64", "must be base64 with padding");
    return Value{std::move(*bytes)};
}

base::Result<Value> parse_value(const json::value& value, const std::string& path) {
    switch (value.kind()) {
        case json::kind::null: return Value{};
        case json::kind::bool_: return Value{std::int64_t{value.get_bool() ? 1 : 0}};
        case json::kind::int64: return Value{value.get_int64()};
        case json::kind::double_: return Value{value.get_double()};
        case json::kind::string: return Value{std::string(value.get_string())};
        case json::kind::object: return parse_blob(value, path);
        case json::kind::uint64:
            return wrong(path, "the number does not fit into 64 bits; give it as text");
        case json::kind::array: break;
    }
    return wrong(path,
                 "must be null, a number, text, true, false or {\"base64\": …}, not an array");
}

base::Result<void> parse_params(const json::value& value,
                                const std::string& path,
                                WorkStatement& statement) {
    if (const json::array* array = value.if_array()) {
        PositionalParams params;
        for (const json::value& element : *array) {
            std::string element_path = path + "[" + std::to_string(params.size()) + "]";
            TWOFOLD_TRY(Value param, parse_value(element, element_path));
            params.push_back(std::move(param));
        }
        statement.params = std::move(params);
        return base::ok();
    }
    const json::object* object = value.if_object();
    if (object == nullptr) return wrong(path, "must be an array or an object");
    NamedParams params;
    for (const json::key_value_pair& member : *object) {
        std::string name = member.key();
        TWOFOLD_TRY(Value param, parse_value(member.value(), path + "." + name));
        params.emplace_back(std::move(name), std::move(param));
    }
    statement.params = std::move(params);
    return base::ok();
}

base::Result<void> parse_expect(const json::value& value,
                                const std::string& path,
                                WorkStatement& statement) {
    ObjectReader in(value, path);
    statement.expect_rows = in.integer<std::uint32_t>("rows");
    return in.finish();
}

// Which SQL it is. `code` tells a refusal that is not about the form.
base::Result<void> take_sql(ObjectReader& in,
                            const std::string& path,
                            const StoreOptions& options,
                            WorkStatement& statement,
                            std::string_view& code) {
    if (in.has("sql") == in.has("statement")) {
        return wrong(path, "must have either \"sql\" or \"statement\"");
    }
    if (in.has("sql")) {
        statement.sql = in.text("sql");
        if (options.raw_sql) return base::ok();
        code = reason::kNotAllowed;
        return wrong(in.path_of("sql"),
                     "SQL text is not allowed here; call a statement of the participant's "
                     "configuration by its name, or set raw_sql there");
    }
    statement.name = in.text("statement");
    if (in.failed()) return base::ok();
    auto found = options.statements.find(statement.name);
    if (found == options.statements.end()) {
        return wrong(
            in.path_of("statement"),
            "\"" + statement.name + "\" is not a statement of the participant's configuration");
    }
    statement.sql = found->second.sql;
    statement.expect_rows = found->second.expect_rows;
    return base::ok();
}

base::Result<WorkStatement> parse_statement(const json::value& value,
                                            const std::string& path,
                                            const StoreOptions& options,
                                            std::string_view& code) {
    WorkStatement statement;
    ObjectReader in(value, path);
    if (in.failed()) {
        TWOFOLD_TRY(in.finish());
    }
    TWOFOLD_TRY(take_sql(in, path, options, statement, code));
    if (const json::value* params = in.optional("params")) {
        TWOFOLD_TRY(parse_params(*params, path + ".params", statement));
    }
    if (const json::value* expect = in.optional("expect")) {
        TWOFOLD_TRY(parse_expect(*expect, path + ".expect", statement));
    }
    TWOFOLD_TRY(in.finish());
    return statement;
}

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

ParsedWork refuse(std::string_view code, std::string text, std::int32_t index) {
    ParsedWork work;
    work.refusal = {std::string(code), std::move(text), index, {}};
    return work;
}

}  // namespace

ParsedWork parse_work(std::string_view text, const StoreOptions& options) {
    base::Result<json::value> document = protocol::parse_json(text, kJsonDepthMax);
    if (!document.has_value()) {
        return refuse(reason::kBadRequest, "work: " + document.error().context, -1);
    }
    const json::array* array = document.value().if_array();
    if (array == nullptr) {
        return refuse(reason::kBadRequest, "work: must be an array of statements", -1);
    }
    if (array->size() > options.limits.statements_max) {
        return refuse(reason::kBadRequest,
                      "work: at most " + std::to_string(options.limits.statements_max) +
                          " statements are allowed",
                      -1);
    }
    ParsedWork work;
    for (const json::value& element : *array) {
        std::size_t index = work.statements.size();
        std::string_view code = reason::kBadRequest;
        base::Result<WorkStatement> statement =
            parse_statement(element, "work[" + std::to_string(index) + "]", options, code);
        if (!statement.has_value()) {
            return refuse(code, statement.error().context, static_cast<std::int32_t>(index));
        }
        work.statements.push_back(std::move(statement.value()));
    }
    return work;
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
