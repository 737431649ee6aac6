#include "participant/work/work.h"

#include "protocol/json_reader.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <algorithm>

namespace twofold::participant::work {

namespace {

namespace json = boost::json;
namespace reason = protocol::reason;
using base::Result;
using protocol::ObjectReader;

constexpr std::size_t kJsonDepthMax = 16;

base::Error wrong(const std::string& path, const std::string& what) {
    return base::fail(base::Errc::invalid_argument, path + ": " + what);
}

Result<std::vector<Value>> parse_list(const json::array& array, const std::string& path) {
    std::vector<Value> values;
    for (const json::value& element : array) {
        std::string element_path = path + "[" + std::to_string(values.size()) + "]";
        TWOFOLD_TRY(Value value, parse_value(element, element_path));
        values.push_back(std::move(value));
    }
    return values;
}

// One value for every name, and none besides them.
Result<void> check_names(const json::object& object,
                         const std::string& path,
                         const std::vector<std::string>& names) {
    for (const json::key_value_pair& member : object) {
        std::string name(member.key());
        if (std::ranges::find(names, name) == names.end()) {
            return wrong(path, "it has no parameter called " + name);
        }
    }
    for (const std::string& name : names) {
        if (!object.contains(name)) {
            return wrong(path, "no value was given for its parameter " + name);
        }
    }
    return base::ok();
}

// One statement of the list, on its way from JSON.
class Reader {
public:
    Reader(const json::value& value, std::string path, const WorkRules& rules)
        : in_(value, path), path_(std::move(path)), rules_(rules) {}

    Result<Statement> read() {
        if (in_.failed()) {
            TWOFOLD_TRY(in_.finish());
        }
        if (in_.has("sql") == in_.has("statement")) {
            return wrong(path_, "must have either \"sql\" or \"statement\"");
        }
        const json::value* params = in_.optional("params");
        if (in_.has("sql")) {
            TWOFOLD_TRY(read_raw(params));
        } else {
            TWOFOLD_TRY(read_named(params));
        }
        if (const json::value* expect = in_.optional("expect")) {
            ObjectReader expected(*expect, path_ + ".expect");
            statement_.expect_rows = expected.integer<std::uint32_t>("rows");
            TWOFOLD_TRY(expected.finish());
        }
        TWOFOLD_TRY(in_.finish());
        return std::move(statement_);
    }

    // What kind of refusal an error of read() is.
    [[nodiscard]] std::string_view code() const { return code_; }

private:
    Result<void> read_raw(const json::value* params) {
        statement_.sql = in_.text("sql");
        if (in_.failed()) return in_.finish();
        if (!rules_.raw_sql) {
            code_ = reason::kNotAllowed;
            return wrong(in_.path_of("sql"),
                         "SQL text is not allowed here; call a statement of the participant's "
                         "configuration by its name, or set raw_sql there");
        }
        if (statement_.sql.find('\0') != std::string::npos) {
            return wrong(path_, "the SQL text has a zero byte in it");
        }
        if (std::optional<std::string> refusal = refusal_of(statement_.sql, rules_.dialect)) {
            code_ = reason::kNotAllowed;
            return wrong(path_, *refusal);
        }
        if (params == nullptr) return base::ok();
        if (const json::array* array = params->if_array()) {
            TWOFOLD_TRY(statement_.params, parse_list(*array, params_path()));
            return base::ok();
        }
        const json::object* object = params->if_object();
        if (object == nullptr) return wrong(params_path(), "must be an array or an object");
        return read_raw_by_name(*object);
    }

    Result<void> read_raw_by_name(const json::object& object) {
        NumberedSql numbered = number_parameters(statement_.sql, {}, rules_.dialect);
        if (numbered.has_positional) {
            return wrong(params_path(),
                         "must be an array, because the SQL text has parameters without a name");
        }
        TWOFOLD_TRY(check_names(object, params_path(), numbered.names));
        for (const std::string& name : numbered.names) {
            TWOFOLD_TRY(Value value, parse_value(object.at(name), params_path() + "." + name));
            statement_.params.push_back(std::move(value));
        }
        statement_.sql = std::move(numbered.sql);
        return base::ok();
    }

    Result<void> read_named(const json::value* params) {
        std::string name = in_.text("statement");
        if (in_.failed()) return in_.finish();
        auto found = rules_.catalog.find(name);
        if (found == rules_.catalog.end()) {
            return wrong(in_.path_of("statement"),
                         "\"" + name + "\" is not a statement of the participant's configuration");
        }
        const NamedStatement& named = found->second;
        const json::object none;
        const json::object* object = params == nullptr ? &none : params->if_object();
        if (object == nullptr) {
            return wrong(params_path(),
                         "must be an object: the parameters of \"" + name + "\" have names");
        }
        TWOFOLD_TRY(check_names(*object, params_path(), names_of(named.params)));
        for (const Parameter& parameter : named.params) {
            TWOFOLD_TRY(Value value,
                        parse_value(object->at(parameter.name),
                                    params_path() + "." + parameter.name,
                                    parameter.declared));
            statement_.params.push_back(std::move(value));
        }
        statement_.sql = named.sql;
        statement_.expect_rows = named.expect_rows;
        return base::ok();
    }

    [[nodiscard]] std::string params_path() const { return path_ + ".params"; }

    ObjectReader in_;
    std::string path_;
    const WorkRules& rules_;
    Statement statement_;
    std::string_view code_ = reason::kBadRequest;
};

ParsedWork refused_work(std::string_view code, std::string text, std::int32_t index) {
    ParsedWork work;
    work.refusal = {std::string(code), std::move(text), index, {}};
    return work;
}

}  // namespace

ParsedWork parse_work(const protocol::JsonText& text, const WorkRules& rules) {
    if (text == nullptr) return {};
    Result<json::value> document = protocol::parse_json(*text, kJsonDepthMax);
    if (!document.has_value()) {
        return refused_work(reason::kBadRequest, "work: " + document.error().context, -1);
    }
    const json::array* array = document.value().if_array();
    if (array == nullptr) {
        return refused_work(reason::kBadRequest, "work: must be an array of statements", -1);
    }
    if (array->size() > rules.statements_max) {
        return refused_work(
            reason::kBadRequest,
            "work: at most " + std::to_string(rules.statements_max) + " statements are allowed",
            -1);
    }
    ParsedWork work;
    for (const json::value& element : *array) {
        std::size_t index = work.statements.size();
        Reader reader(element, "work[" + std::to_string(index) + "]", rules);
        Result<Statement> statement = reader.read();
        if (!statement.has_value()) {
            return refused_work(
                reader.code(), statement.error().context, static_cast<std::int32_t>(index));
        }
        work.statements.push_back(std::move(statement.value()));
    }
    return work;
}

}  // namespace twofold::participant::work
