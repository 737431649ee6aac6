#include "participant/work/sql_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace twofold::participant::work {
namespace {

using testing::HasSubstr;

// Every token but blanks, each with the first letter of its kind.
std::string kinds(std::string_view sql, const SqlDialect& dialect) {
    constexpr std::string_view kLetters = "blqwnpsye";
    std::string out;
    SqlTokens tokens(sql, dialect);
    for (Token token = tokens.next(); token.kind != TokenKind::end; token = tokens.next()) {
        if (token.kind == TokenKind::blank) continue;
        if (!out.empty()) out += ' ';
        out += kLetters.at(static_cast<std::size_t>(token.kind));
        out += '<' + std::string(token.text) + (token.closed ? ">" : "");
    }
    return out;
}

TEST(SqlText, WhatIsCodeInBothDialects) {
    struct Case {
        const char* sql;
        const char* expected;
    };
    const Case cases[] = {
        {"a = :b", "w<a> y<=> n<:b>"},
        {"':b' \":b\" :b_1", "l<':b'> q<\":b\"> n<:b_1>"},
        {"'it''s :b'", "l<'it'> l<'s :b'>"},
        {"-- :b\n:c", "n<:c>"},
        {"/* :b */:c", "n<:c>"},
        {"a::b :: c", "w<a> y<::> w<b> y<::> w<c>"},
        {":a::int", "n<:a> y<::> w<int>"},
        {"f(a := :a)", "w<f> y<(> w<a> y<:=> n<:a> y<)>"},
        {"'open", "l<'open"},
        {"/* open", ""},
        {"", ""},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(kinds(c.sql, kPostgresSql), c.expected);
        EXPECT_EQ(kinds(c.sql, kSqliteSql), c.expected);
    }
}

TEST(SqlText, WhatOnlyPostgresKnows) {
    struct Case {
        const char* sql;
        const char* expected;
    };
    const Case cases[] = {
        {"/* a /* :b */ :c */:d", "n<:d>"},
        {"$$ :b $$ :c", "l<$$ :b $$> n<:c>"},
        {"$x$ $$ :b $x$:c", "l<$x$ $$ :b $x$> n<:c>"},
        {"$x$ open $$", "l<$x$ open $$"},
        {"a$b$ :c $b$", "w<a$b$> n<:c> l<$b$"},
        {"$1 + $23", "p<$1> y<+> p<$23>"},
        {R"(E'it\'s :b' :c)", R"(l<E'it\'s :b'> n<:c>)"},
        {"E'a'\n '\\' :b' :c", "l<E'a'> l<'\\' :b'> n<:c>"},
        {R"(E'a' + '\' :c)", R"(l<E'a'> y<+> l<'\'> n<:c>)"},
        {"x[1 : n]", "w<x> y<[> w<1> y<:> w<n> y<]>"},
        {"a ? b @> c", "w<a> y<?> w<b> y<@> y<>> w<c>"},
        {"-- a\r:b", "n<:b>"},
    };
    for (const Case& c : cases) EXPECT_EQ(kinds(c.sql, kPostgresSql), c.expected);
}

TEST(SqlText, WhatOnlySqliteKnows) {
    struct Case {
        const char* sql;
        const char* expected;
    };
    const Case cases[] = {
        {"/* a /* :b */ :c", "n<:c>"},
        {"[:b] `:b` :c", "q<[:b]> q<`:b`> n<:c>"},
        {"? ?1 @a $b", "p<?> p<?1> p<@a> p<$b>"},
        {R"(E'it\' :c)", R"(w<E> l<'it\'> n<:c>)"},
        // Here a carriage return does not end a comment.
        {"-- a\r:b\n:c", "n<:c>"},
    };
    for (const Case& c : cases) EXPECT_EQ(kinds(c.sql, kSqliteSql), c.expected);
}

// ---- admission
// -----------------------------------------------------------------------------------

TEST(Admission, TheFirstKeywordDecides) {
    for (const char* sql : {"SELECT 1",
                            "select 1",
                            "\t\n insert into a values (1)",
                            "(SELECT 1) UNION SELECT 2",
                            "-- note\nUPDATE a SET b = 1",
                            "/* a /* b */ c */ DELETE FROM a",
                            "WITH x AS (SELECT 1) SELECT 1",
                            "MERGE INTO a USING b ON true WHEN MATCHED THEN DO NOTHING",
                            "VALUES (1)",
                            "TABLE a",
                            "SET CONSTRAINTS ALL DEFERRED",
                            "set /* x */ constraints a immediate",
                            "SELECT/**/1",
                            "--a\r--b\nSELECT 1",
                            "( ( /* */ SELECT 1 ) )"}) {
        EXPECT_EQ(refusal_of(sql, kPostgresSql), std::nullopt) << sql;
    }
    for (const char* sql : {"COMMIT",
                            "COMMIT AND CHAIN",
                            "/* SELECT */ COMMIT",
                            "-- SELECT\nCOMMIT",
                            "(COMMIT",
                            "SELECTX 1",
                            "PREPARE TRANSACTION 'a'",
                            "ROLLBACK TO a",
                            "RELEASE a",
                            "SET ROLE a",
                            "SET a = 1",
                            "SET",
                            "SET LOCAL CONSTRAINTS",
                            "RESET ALL",
                            "SHOW a",
                            "COPY a FROM STDIN",
                            "EXECUTE a",
                            "DECLARE a CURSOR",
                            "FETCH a",
                            "LOCK a",
                            "TRUNCATE a",
                            "GRANT a TO b",
                            "ALTER SYSTEM SET a = 1",
                            "CHECKPOINT",
                            "/* open",
                            "--",
                            "",
                            "   ",
                            ";SELECT 1",
                            "\"select\"",
                            "$$SELECT$$",
                            "\xef\xbb\xbfSELECT 1",
                            "1"}) {
        EXPECT_NE(refusal_of(sql, kPostgresSql), std::nullopt) << sql;
    }
    EXPECT_THAT(*refusal_of("commit and chain", kPostgresSql), HasSubstr("COMMIT is not allowed"));
}

TEST(Admission, SqliteHasItsOwnList) {
    for (const char* sql : {"REPLACE INTO a VALUES (1)", "select 1", "-- a\r\n SELECT 1"}) {
        EXPECT_EQ(refusal_of(sql, kSqliteSql), std::nullopt) << sql;
    }
    for (const char* sql : {"MERGE INTO a USING b",
                            "TABLE a",
                            "SET CONSTRAINTS ALL DEFERRED",
                            "PRAGMA synchronous = OFF",
                            "ATTACH 'x' AS y",
                            "EXPLAIN SELECT 1",
                            // The comment goes on to the line feed: VACUUM would run.
                            "-- a\rSELECT 1\nVACUUM"}) {
        EXPECT_NE(refusal_of(sql, kSqliteSql), std::nullopt) << sql;
    }
    EXPECT_THAT(*refusal_of("VACUUM", kSqliteSql),
                HasSubstr("VACUUM is not allowed in a branch; only SELECT, INSERT"));
}

}  // namespace
}  // namespace twofold::participant::work
