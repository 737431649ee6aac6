#include "participant/work/catalog.h"

#include <algorithm>

namespace twofold::participant::work {

namespace {

using base::Result;

base::Error wrong(const std::string& path, const std::string& what) {
    return base::fail(base::Errc::invalid_argument, path + ": " + what);
}

// Letters, digits and underscores: what :name can name.
bool is_parameter_name(std::string_view name) {
    SqlDialect plain{.line_ends = "\n"};
    std::string text = ":" + std::string(name);
    SqlTokens tokens(text, plain);
    Token token = tokens.next();
    return token.kind == TokenKind::named && token.text.size() == text.size();
}

Result<std::vector<Parameter>> read_parameters(const StatementText& text) {
    std::vector<Parameter> params;
    for (const auto& [name, type] : text.params) {
        std::string path = "params." + name;
        if (!is_parameter_name(name)) {
            return wrong(path, "a name has letters, digits and _, and begins with no digit");
        }
        if (std::ranges::find(params, name, &Parameter::name) != params.end()) {
            return wrong(path, "is there twice");
        }
        std::optional<DeclaredType> declared = parse_declared_type(type);
        if (!declared.has_value()) {
            return wrong(path,
                         "\"" + type +
                             "\" must be integer, number, text, boolean, bytes, json or timestamp, "
                             "with ? behind it when null is allowed");
        }
        params.push_back({name, *declared});
    }
    return params;
}

Result<void> check(const NumberedSql& numbered, const std::vector<Parameter>& params) {
    if (!numbered.unclosed.empty()) {
        return wrong("sql", "what begins here is not closed: " + std::string(numbered.unclosed));
    }
    if (numbered.statements != 1) {
        return wrong("sql",
                     "must be exactly one statement, found " + std::to_string(numbered.statements));
    }
    if (numbered.has_positional) {
        return wrong("sql", "its parameters are written :name, not ?, $1 or the like");
    }
    if (numbered.names.size() == params.size()) return base::ok();
    return wrong("sql",
                 "it has a parameter :" + numbered.names[params.size()] +
                     " that params does not declare with its type");
}

bool is_used(std::string_view sql, std::string_view name, const SqlDialect& dialect) {
    SqlTokens tokens(sql, dialect);
    for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
        if (token.kind == TokenKind::named && token.text.substr(1) == name) return true;
    }
    return false;
}

}  // namespace

NumberedSql number_parameters(std::string_view sql,
                              std::vector<std::string> names,
                              const SqlDialect& dialect) {
    NumberedSql out;
    out.names = std::move(names);
    bool in_statement = false;
    SqlTokens tokens(sql, dialect);
    for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
        if (!token.closed) out.unclosed = token.text;
        if (token.kind == TokenKind::positional) out.has_positional = true;
        bool is_code = token.kind != TokenKind::blank && token.kind != TokenKind::semicolon;
        if (is_code && !std::exchange(in_statement, true)) ++out.statements;
        if (token.kind == TokenKind::semicolon) in_statement = false;
        if (token.kind != TokenKind::named) {
            out.sql += token.text;
            continue;
        }
        std::string name(token.text.substr(1));
        auto found = std::ranges::find(out.names, name);
        out.sql += dialect.placeholder + std::to_string(found - out.names.begin() + 1);
        if (found == out.names.end()) out.names.push_back(std::move(name));
    }
    return out;
}

std::vector<std::string> names_of(const std::vector<Parameter>& params) {
    std::vector<std::string> names(params.size());
    std::ranges::transform(params, names.begin(), &Parameter::name);
    return names;
}

Result<NamedStatement> compile(const StatementText& text, const SqlDialect& dialect) {
    NamedStatement statement;
    TWOFOLD_TRY(statement.params, read_parameters(text));
    if (text.sql.find('\0') != std::string::npos) return wrong("sql", "has a zero byte in it");
    NumberedSql numbered = number_parameters(text.sql, names_of(statement.params), dialect);
    TWOFOLD_TRY(check(numbered, statement.params));
    for (const Parameter& parameter : statement.params) {
        if (!is_used(text.sql, parameter.name, dialect)) {
            return wrong("params." + parameter.name, "the statement does not use it");
        }
    }
    if (std::optional<std::string> refusal = refusal_of(text.sql, dialect)) {
        return wrong("sql", *refusal);
    }
    statement.sql = std::move(numbered.sql);
    statement.expect_rows = text.expect_rows;
    return statement;
}

}  // namespace twofold::participant::work
