// SQL text cut into tokens, far enough to tell what is code from what is inside of literals, quoted
// names and comments. It knows no grammar. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace twofold::participant::work {

// What differs between the databases.
struct SqlDialect {
    char placeholder = '?';                      // a number follows: ?1, $1
    std::string_view line_ends;                  // what ends a comment that began with --
    bool nested_comments = false;                // /* /* */ */
    bool dollar_quotes = false;                  // $tag$ … $tag$
    bool escape_strings = false;                 // E'it\'s'
    bool bracket_names = false;                  // [name] and `name`
    bool sigil_parameters = false;               // ?, ?1, @name and $name are parameters, too
    std::span<const std::string_view> admitted;  // first keywords that may begin a statement
};
extern const SqlDialect kPostgresSql;
extern const SqlDialect kSqliteSql;

enum class TokenKind : std::uint8_t {
    blank,        // white space or a comment
    literal,      // '…', E'…', $tag$…$tag$
    quoted_name,  // "…", `…`, […]
    word,         // keyword, name or number
    named,        // :name
    positional,   // $1, and in SQLite ?, ?1, @name, $name
    semicolon,
    symbol,  // anything else; `::` and `:=` are one
    end,
};

struct Token {
    TokenKind kind = TokenKind::end;
    std::string_view text;  // part of what was given
    bool closed = true;     // false: the literal, name or comment goes on to the end of the text
};

class SqlTokens {
public:
    // Both must outlive this.
    SqlTokens(std::string_view sql, const SqlDialect& dialect) : sql_(sql), dialect_(dialect) {}

    // `end` for ever at the end.
    [[nodiscard]] Token next();

private:
    [[nodiscard]] char at(std::size_t position) const {
        return position < sql_.size() ? sql_[position] : '\0';
    }
    Token take(TokenKind kind, std::size_t length);
    Token take_until(TokenKind kind, std::size_t start, std::string_view closing);
    Token take_block_comment();
    Token take_string();
    Token take_escape_string(std::size_t start);
    Token take_word();
    Token take_colon();
    // Nothing when the sigil begins none.
    std::optional<Token> take_dollar();
    std::optional<Token> take_sigil();

    std::string_view sql_;
    const SqlDialect& dialect_;
    std::size_t at_ = 0;
    bool escapes_go_on_ = false;  // a literal on the next line continues an E'…'
};

// The first keyword in lower case, after blanks and opening parentheses; "" when something
// else comes first.
[[nodiscard]] std::string first_keyword(std::string_view sql, const SqlDialect& dialect);

// Whether a statement with this text may run inside of a branch, decided from its first keyword
// before anything is sent. A check afterwards would be too late: COMMIT AND CHAIN leaves a
// transaction open, so that nobody would notice that the branch's work was committed behind the
// coordinator's back. It is no sandbox: a SELECT can call any function that the role may call.
//
// Nothing when it is admitted; otherwise why not, as a sentence for its author.
[[nodiscard]] std::optional<std::string> refusal_of(std::string_view sql,
                                                    const SqlDialect& dialect);

}  // namespace twofold::participant::work
