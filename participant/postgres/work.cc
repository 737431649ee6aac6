#include "participant/postgres/work.h"

#include "base/base64.h"
#include "participant/postgres/admission.h"
#include "protocol/json_reader.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace twofold::participant::postgres {

namespace {

namespace json = boost::json;
namespace reason = protocol::reason;
using base::Result;
using protocol::ObjectReader;

constexpr std::size_t kJsonDepthMax = 16;
constexpr double kSafeInteger = 9007199254740992.0;  // 2^53
constexpr std::uint32_t kByteaType = 17;

base::Error wrong(const std::string& path, const std::string& what) {
    return base::fail(base::Errc::invalid_argument, path + ": " + what);
}

Result<Param> parse_bytes(const json::value& value, const std::string& path) {
    ObjectReader in(value, path);
    std::string text = in.text("base64");
    TWOFOLD_TRY(in.finish());
    std::optional<base::Bytes> bytes = base::base64_decode(text, base::Base64Alphabet::standard);
    if (!bytes.has_value()) return wrong(path + ".base64", "must be base64 with padding");
    return Param{"\\x" + base::hex_encode(*bytes), kByteaType};
}

Result<Param> parse_double(double number, const std::string& path) {
    // The parser has rounded such a number already: 12345678901234567890 would arrive changed.
    if (std::fabs(number) >= kSafeInteger && number == std::floor(number)) {
        return wrong(path, "the number is too large to be exact in JSON; give it as text");
    }
    std::array<char, 32> text{};
    auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), number);
    return Param{std::string(text.data(), end)};
}

Result<Param> parse_param(const json::value& value, const std::string& path) {
    switch (value.kind()) {
        case json::kind::null: return Param{};
        case json::kind::bool_: return Param{value.get_bool() ? "true" : "false"};
        case json::kind::int64: return Param{std::to_string(value.get_int64())};
        case json::kind::uint64: return Param{std::to_string(value.get_uint64())};
        case json::kind::double_: return parse_double(value.get_double(), path);
        case json::kind::string: {
            std::string text(value.get_string());
            // libpq takes C strings: what follows a zero would be lost without a word.
            if (text.find('\0') != std::string::npos) {
                return wrong(path, "PostgreSQL's text has no zero characters");
            }
            return Param{std::move(text)};
        }
        case json::kind::object: return parse_bytes(value, path);
        case json::kind::array: break;
    }
    return wrong(path,
                 "must be null, a number, text, true, false or {\"base64\": …}, not an array");
}

Result<void> parse_positional(const json::array& array,
                              const std::string& path,
                              WorkStatement& statement) {
    for (const json::value& element : array) {
        std::string element_path = path + "[" + std::to_string(statement.params.size()) + "]";
        TWOFOLD_TRY(Param param, parse_param(element, element_path));
        statement.params.push_back(std::move(param));
    }
    return base::ok();
}

Result<void> parse_by_name(const json::object& object,
                           const std::string& path,
                           const NamedStatement* named,
                           WorkStatement& statement) {
    if (named == nullptr) {
        return wrong(path, "must be an array: the parameters of SQL text are $1, $2, …");
    }
    for (const json::key_value_pair& member : object) {
        if (std::ranges::find(named->params, std::string(member.key())) == named->params.end()) {
            return wrong(path, "it has no parameter called " + std::string(member.key()));
        }
    }
    for (const std::string& name : named->params) {
        const json::value* value = object.if_contains(name);
        if (value == nullptr) return wrong(path, "no value was given for its parameter " + name);
        TWOFOLD_TRY(Param param, parse_param(*value, path + "." + name));
        statement.params.push_back(std::move(param));
    }
    return base::ok();
}

Result<void> parse_params(const json::value& value,
                          const std::string& path,
                          const NamedStatement* named,
                          WorkStatement& statement) {
    if (const json::array* array = value.if_array()) {
        return parse_positional(*array, path, statement);
    }
    if (const json::object* object = value.if_object()) {
        return parse_by_name(*object, path, named, statement);
    }
    return wrong(path, "must be an array or an object");
}

Result<void> parse_expect(const json::value& value,
                          const std::string& path,
                          WorkStatement& statement) {
    ObjectReader in(value, path);
    statement.expect_rows = in.integer<std::uint32_t>("rows");
    return in.finish();
}

// Which SQL it is. `code` tells a refusal that is not about the form.
Result<const NamedStatement*> take_sql(ObjectReader& in,
                                       const std::string& path,
                                       const PostgresOptions& options,
                                       WorkStatement& statement,
                                       std::string_view& code) {
    if (in.has("sql") == in.has("statement")) {
        return wrong(path, "must have either \"sql\" or \"statement\"");
    }
    if (in.has("sql")) {
        statement.sql = in.text("sql");
        if (options.raw_sql) return nullptr;
        code = reason::kNotAllowed;
        return wrong(in.path_of("sql"),
                     "SQL text is not allowed here; call a statement of the participant's "
                     "configuration by its name, or set raw_sql there");
    }
    statement.name = in.text("statement");
    if (in.failed()) return nullptr;
    auto found = options.statements.find(statement.name);
    if (found == options.statements.end()) {
        return wrong(
            in.path_of("statement"),
            "\"" + statement.name + "\" is not a statement of the participant's configuration");
    }
    statement.sql = found->second.sql;
    statement.expect_rows = found->second.expect_rows;
    return &found->second;
}

Result<void> admit(const WorkStatement& statement,
                   const std::string& path,
                   std::string_view& code) {
    if (statement.sql.find('\0') != std::string::npos) {
        return wrong(path, "the SQL text has a zero byte in it");
    }
    std::optional<std::string> refusal = refusal_of(statement.sql);
    if (!refusal.has_value()) return base::ok();
    code = reason::kNotAllowed;
    return wrong(path, *refusal);
}

Result<WorkStatement> parse_statement(const json::value& value,
                                      const std::string& path,
                                      const PostgresOptions& options,
                                      std::string_view& code) {
    WorkStatement statement;
    ObjectReader in(value, path);
    if (in.failed()) {
        TWOFOLD_TRY(in.finish());
    }
    TWOFOLD_TRY(const NamedStatement* named, take_sql(in, path, options, statement, code));
    if (const json::value* params = in.optional("params")) {
        TWOFOLD_TRY(parse_params(*params, path + ".params", named, statement));
    }
    if (const json::value* expect = in.optional("expect")) {
        TWOFOLD_TRY(parse_expect(*expect, path + ".expect", statement));
    }
    TWOFOLD_TRY(in.finish());
    TWOFOLD_TRY(admit(statement, path, code));
    return statement;
}

ParsedWork refuse(std::string_view code, std::string text, std::int32_t index) {
    ParsedWork work;
    work.refusal = {std::string(code), std::move(text), index, {}};
    return work;
}

}  // namespace

ParsedWork parse_work(std::string_view text, const PostgresOptions& options) {
    Result<json::value> document = protocol::parse_json(text, kJsonDepthMax);
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
        Result<WorkStatement> statement =
            parse_statement(element, "work[" + std::to_string(index) + "]", options, code);
        if (!statement.has_value()) {
            return refuse(code, statement.error().context, static_cast<std::int32_t>(index));
        }
        work.statements.push_back(std::move(statement.value()));
    }
    return work;
}

}  // namespace twofold::participant::postgres
