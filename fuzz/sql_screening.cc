// SQL text. The tokens are the text, whole and in its order; what may run in a branch begins with
// an admitted keyword; and SQLite itself, asked what the text would do, agrees: no transaction
// control, no other kind of statement, one statement where we counted one.
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "participant/work/catalog.h"
#include "participant/work/sql_text.h"

#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <string>

namespace twofold::fuzz {

namespace {

namespace work = participant::work;

struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// Set while a statement is prepared: it would do what no branch may.
bool is_forbidden = false;

int on_action(void*, int action, const char*, const char*, const char*, const char*) {
    switch (action) {
        case SQLITE_READ:
        case SQLITE_SELECT:
        case SQLITE_INSERT:
        case SQLITE_UPDATE:
        case SQLITE_DELETE:
        case SQLITE_FUNCTION:
        case SQLITE_RECURSIVE: break;
        default: is_forbidden = true;
    }
    return SQLITE_OK;
}

sqlite3* database() {
    static const std::unique_ptr<sqlite3, Close> connection = [] {
        sqlite3* opened = nullptr;
        TWOFOLD_ASSERT(sqlite3_open(":memory:", &opened) == SQLITE_OK, "no database in memory");
        sqlite3_exec(opened,
                     "CREATE TABLE account (id, balance); CREATE TABLE a (b, c);"
                     "CREATE TABLE t (k PRIMARY KEY, v)",
                     nullptr,
                     nullptr,
                     nullptr);
        sqlite3_set_authorizer(opened, on_action, nullptr);
        return std::unique_ptr<sqlite3, Close>(opened);
    }();
    return connection.get();
}

struct Prepared {
    std::unique_ptr<sqlite3_stmt, Close> statement;  // null: SQLite does not take it
    std::string_view tail;
};

Prepared prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const char* tail = nullptr;
    is_forbidden = false;
    int code = sqlite3_prepare_v3(
        database(), sql.data(), static_cast<int>(sql.size()), 0, &statement, &tail);
    Prepared prepared{std::unique_ptr<sqlite3_stmt, Close>(statement), {}};
    if (code != SQLITE_OK) prepared.statement.reset();
    if (tail != nullptr) prepared.tail = sql.substr(static_cast<std::size_t>(tail - sql.data()));
    return prepared;
}

void check_tokens(std::string_view sql, const work::SqlDialect& dialect) {
    work::SqlTokens tokens(sql, dialect);
    std::size_t at = 0;
    for (work::Token token = tokens.next(); token.kind != work::TokenKind::end;
         token = tokens.next()) {
        TWOFOLD_ASSERT(!token.text.empty() && token.text.data() == sql.data() + at,
                       "a token out of its place");
        at += token.text.size();
        TWOFOLD_ASSERT(token.closed || at == sql.size(), "open, and yet something follows");
    }
    TWOFOLD_ASSERT(at == sql.size(), "the tokens are not the text");
}

bool is_admitted(std::string_view sql, const work::SqlDialect& dialect) {
    bool admitted = !work::refusal_of(sql, dialect).has_value();
    std::string keyword = work::first_keyword(sql, dialect);
    bool is_known =
        std::ranges::find(dialect.admitted, keyword) != dialect.admitted.end() || keyword == "set";
    TWOFOLD_ASSERT(!admitted || is_known, "admitted without an admitted keyword");
    // A comment in front, and letters of the other case, change nothing.
    std::string same = "/**/" + std::string(sql);
    std::ranges::transform(same, same.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    TWOFOLD_ASSERT(admitted == !work::refusal_of(same, dialect).has_value(),
                   "the same statement is judged in two ways");
    return admitted;
}

void check_with_sqlite(std::string_view sql) {
    Prepared prepared = prepare(sql);
    if (prepared.statement == nullptr) return;
    TWOFOLD_ASSERT(!is_forbidden && sqlite3_stmt_isexplain(prepared.statement.get()) == 0,
                   "SQLite would do what no branch may");
}

bool has_code(std::string_view sql) {
    work::SqlTokens tokens(sql, work::kSqliteSql);
    for (work::Token token = tokens.next(); token.kind != work::TokenKind::end;
         token = tokens.next()) {
        if (token.kind != work::TokenKind::blank && token.kind != work::TokenKind::semicolon) {
            return true;
        }
    }
    return false;
}

// As a statement of the configuration, all of its parameters declared.
void check_compiled(const std::string& sql, const work::SqlDialect& dialect) {
    work::NumberedSql numbered = work::number_parameters(sql, {}, dialect);
    work::StatementText text{sql, {}, {}};
    for (const std::string& name : numbered.names) text.params.emplace_back(name, "text?");
    auto compiled = work::compile(text, dialect);
    if (!compiled.has_value()) return;
    TWOFOLD_ASSERT(is_admitted(sql, dialect) && numbered.statements == 1,
                   "compiled although it may not run");
    TWOFOLD_ASSERT(compiled.value().params.size() == numbered.names.size(), "other parameters");
    if (&dialect != &work::kSqliteSql) return;
    Prepared prepared = prepare(compiled.value().sql);
    if (prepared.statement == nullptr) return;
    TWOFOLD_ASSERT(!has_code(prepared.tail), "SQLite sees a second statement");
    auto parameters = sqlite3_bind_parameter_count(prepared.statement.get());
    TWOFOLD_ASSERT(static_cast<std::size_t>(parameters) == compiled.value().params.size(),
                   "SQLite counts other parameters");
}

}  // namespace

void sql_screening(base::ByteSpan input) {
    std::string sql(as_text(input));
    for (const work::SqlDialect* dialect : {&work::kPostgresSql, &work::kSqliteSql}) {
        check_tokens(sql, *dialect);
        bool admitted = is_admitted(sql, *dialect);
        if (admitted && dialect == &work::kSqliteSql) check_with_sqlite(sql);
        check_compiled(sql, *dialect);
    }
}

}  // namespace twofold::fuzz
