#include "participant/work/sql_text.h"

#include <algorithm>
#include <array>

namespace twofold::participant::work {

namespace {

constexpr std::array kPostgresAdmitted = std::to_array<std::string_view>(
    {"select", "insert", "update", "delete", "merge", "with", "values", "table"});
constexpr std::array kSqliteAdmitted = std::to_array<std::string_view>(
    {"select", "insert", "update", "delete", "replace", "with", "values"});
constexpr std::array kTransactionControl = std::to_array<std::string_view>(
    {"begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"});

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Of an unquoted name. Bytes above 0x7f are letters of other alphabets.
bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

std::size_t name_length(std::string_view text) {
    std::size_t length = 0;
    while (length < text.size() && is_name_part(text[length])) ++length;
    return length;
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string upper(std::string_view word) {
    std::string text(word);
    std::ranges::transform(text, text.begin(), to_upper);
    return text;
}

std::string lower(std::string_view word) {
    std::string text(word);
    std::ranges::transform(text, text.begin(), to_lower);
    return text;
}

// The next word, or "" when something else comes.
std::string next_word(SqlTokens& tokens, bool skip_openings) {
    for (;;) {
        Token token = tokens.next();
        bool is_opening = skip_openings && token.text == "(";
        if (token.kind == TokenKind::blank || is_opening) continue;
        return token.kind == TokenKind::word ? lower(token.text) : "";
    }
}

std::string list_of(const SqlDialect& dialect) {
    std::string text;
    for (std::string_view word : dialect.admitted) text += upper(word) + ", ";
    text.resize(text.size() - 2);
    return text;
}

}  // namespace

const SqlDialect kPostgresSql{.placeholder = '$',
                              .line_ends = "\r\n",
                              .nested_comments = true,
                              .dollar_quotes = true,
                              .escape_strings = true,
                              .admitted = kPostgresAdmitted};
const SqlDialect kSqliteSql{.placeholder = '?',
                            .line_ends = "\n",
                            .bracket_names = true,
                            .sigil_parameters = true,
                            .admitted = kSqliteAdmitted};

Token SqlTokens::take(TokenKind kind, std::size_t length) {
    Token token{kind, sql_.substr(at_, length)};
    at_ += token.text.size();
    return token;
}

// From `start` characters behind the beginning up to and with `closing`. A doubled quote closes
// and opens again: two literals side by side are the same to all who ask here.
Token SqlTokens::take_until(TokenKind kind, std::size_t start, std::string_view closing) {
    std::size_t found = sql_.find(closing, at_ + start);
    if (found != std::string_view::npos) return take(kind, found + closing.size() - at_);
    Token token = take(kind, sql_.size() - at_);
    token.closed = false;
    return token;
}

Token SqlTokens::take_block_comment() {
    if (!dialect_.nested_comments) return take_until(TokenKind::blank, 2, "*/");
    std::size_t depth = 0;
    for (std::size_t i = at_; i + 1 < sql_.size(); ++i) {
        std::string_view pair = sql_.substr(i, 2);
        if (pair == "/*") {
            ++depth;
            ++i;
        } else if (pair == "*/") {
            ++i;
            if (--depth == 0) return take(TokenKind::blank, i + 1 - at_);
        }
    }
    Token token = take(TokenKind::blank, sql_.size() - at_);
    token.closed = false;
    return token;
}

Token SqlTokens::take_string() {
    return escapes_go_on_ ? take_escape_string(1) : take_until(TokenKind::literal, 1, "'");
}

Token SqlTokens::take_escape_string(std::size_t start) {
    escapes_go_on_ = true;
    for (std::size_t i = at_ + start; i < sql_.size(); ++i) {
        if (sql_[i] == '\\') {
            ++i;
        } else if (sql_[i] == '\'') {
            return take(TokenKind::literal, i + 1 - at_);
        }
    }
    Token token = take(TokenKind::literal, sql_.size() - at_);
    token.closed = false;
    return token;
}

Token SqlTokens::take_word() {
    bool is_escape = dialect_.escape_strings && to_lower(at(at_)) == 'e' && at(at_ + 1) == '\'';
    if (is_escape) return take_escape_string(2);
    std::size_t length = name_length(sql_.substr(at_));
    // A dollar sign inside of a name belongs to it: a$b$c quotes nothing.
    while (at(at_ + length) == '$') length += 1 + name_length(sql_.substr(at_ + length + 1));
    return take(TokenKind::word, length);
}

Token SqlTokens::take_colon() {
    char after = at(at_ + 1);
    if (after == ':' || after == '=') return take(TokenKind::symbol, 2);
    if (!is_name_start(after)) return take(TokenKind::symbol, 1);
    return take(TokenKind::named, 1 + name_length(sql_.substr(at_ + 1)));
}

std::optional<Token> SqlTokens::take_dollar() {
    std::size_t length = name_length(sql_.substr(at_ + 1));
    if (is_digit(at(at_ + 1))) return take(TokenKind::positional, 1 + length);
    if (!dialect_.dollar_quotes || at(at_ + 1 + length) != '$') return std::nullopt;
    return take_until(TokenKind::literal, length + 2, sql_.substr(at_, length + 2));
}

std::optional<Token> SqlTokens::take_sigil() {
    bool is_sigil = at(at_) == '?' || at(at_) == '@' || at(at_) == '$';
    if (!dialect_.sigil_parameters || !is_sigil) return std::nullopt;
    return take(TokenKind::positional, 1 + name_length(sql_.substr(at_ + 1)));
}

Token SqlTokens::next() {
    if (at_ >= sql_.size()) return {};
    char c = sql_[at_];
    std::string_view rest = sql_.substr(at_);
    if (is_space(c)) {
        auto other = std::ranges::find_if_not(rest, is_space);
        return take(TokenKind::blank, static_cast<std::size_t>(other - rest.begin()));
    }
    if (rest.starts_with("--")) {
        return take(TokenKind::blank,
                    std::min(rest.find_first_of(dialect_.line_ends), rest.size()));
    }
    if (rest.starts_with("/*")) return take_block_comment();
    if (c == '\'') return take_string();
    escapes_go_on_ = false;
    if (c == '"') return take_until(TokenKind::quoted_name, 1, "\"");
    if (dialect_.bracket_names && c == '`') return take_until(TokenKind::quoted_name, 1, "`");
    if (dialect_.bracket_names && c == '[') return take_until(TokenKind::quoted_name, 1, "]");
    if (is_name_part(c)) return take_word();
    if (c == ':') return take_colon();
    if (c == ';') return take(TokenKind::semicolon, 1);
    if (c == '$') {
        if (std::optional<Token> token = take_dollar()) return *token;
    }
    if (std::optional<Token> token = take_sigil()) return *token;
    return take(TokenKind::symbol, 1);
}

std::string first_keyword(std::string_view sql, const SqlDialect& dialect) {
    SqlTokens tokens(sql, dialect);
    return next_word(tokens, true);
}

std::optional<std::string> refusal_of(std::string_view sql, const SqlDialect& dialect) {
    SqlTokens tokens(sql, dialect);
    std::string word = next_word(tokens, true);
    if (std::ranges::find(dialect.admitted, word) != dialect.admitted.end()) return std::nullopt;
    // The one SET that belongs to the work itself.
    bool has_constraints = &dialect == &kPostgresSql;
    if (has_constraints && word == "set" && next_word(tokens, false) == "constraints") {
        return std::nullopt;
    }
    if (word.empty()) return "there is no SQL statement in it";
    if (std::ranges::find(kTransactionControl, word) != kTransactionControl.end()) {
        return upper(word) + " is not allowed in a branch: the coordinator ends the transaction";
    }
    return upper(word) + " is not allowed in a branch; only " + list_of(dialect) +
           (has_constraints ? " and SET CONSTRAINTS are" : " are");
}

}  // namespace twofold::participant::work
