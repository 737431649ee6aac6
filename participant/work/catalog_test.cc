#include "participant/work/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace twofold::participant::work {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string compiled(const StatementText& text, const SqlDialect& dialect) {
    auto statement = compile(text, dialect);
    return statement.has_value() ? statement.value().sql : statement.error().context;
}

TEST(Catalog, NamesBecomeEachDatabasesNumbers) {
    StatementText debit{
        "UPDATE account SET balance = balance - :amount::bigint "
        "WHERE id = :id AND balance >= :amount -- :none\n AND name <> ':id'",
        {{"id", "integer"}, {"amount", "integer"}},
        1};
    EXPECT_EQ(compiled(debit, kPostgresSql),
              "UPDATE account SET balance = balance - $2::bigint "
              "WHERE id = $1 AND balance >= $2 -- :none\n AND name <> ':id'");
    EXPECT_THAT(compiled(debit, kSqliteSql), HasSubstr("WHERE id = ?1 AND balance >= ?2"));
    auto statement = compile(debit, kSqliteSql).value();
    EXPECT_EQ(statement.params[1].name, "amount");
    EXPECT_EQ(statement.expect_rows, 1U);
    EXPECT_EQ(compiled({"SELECT 1", {}, {}}, kSqliteSql), "SELECT 1");
}

TEST(Catalog, MistakesAreFoundWhenItIsRead) {
    struct Case {
        StatementText text;
        const char* error;
    };
    const Case cases[] = {
        {{"", {}, {}}, "sql: must be exactly one statement, found 0"},
        {{" -- nothing\n;;", {}, {}}, "sql: must be exactly one statement, found 0"},
        {{"SELECT 1; SELECT 2", {}, {}}, "sql: must be exactly one statement, found 2"},
        {{"DELETE FROM a; COMMIT", {}, {}}, "exactly one statement"},
        {{"COMMIT", {}, {}}, "sql: COMMIT is not allowed"},
        {{"CREATE TABLE a (b)", {}, {}}, "sql: CREATE is not allowed"},
        {{"SELECT 'open", {}, {}}, "sql: what begins here is not closed: 'open"},
        {{"SELECT :a", {}, {}}, "sql: it has a parameter :a that params does not declare"},
        {{"SELECT :a, :c", {{"a", "text"}}, {}}, "sql: it has a parameter :c"},
        {{"SELECT 1", {{"a", "text"}}, {}}, "params.a: the statement does not use it"},
        {{"SELECT ':a'", {{"a", "text"}}, {}}, "params.a: the statement does not use it"},
        {{"SELECT :a", {{"a", "int"}}, {}}, "params.a: \"int\" must be integer, number"},
        {{"SELECT :a", {{"a", "text??"}}, {}}, "params.a: \"text??\" must be"},
        {{"SELECT :a", {{"a", "text"}, {"a", "text"}}, {}}, "params.a: is there twice"},
        {{"SELECT :a", {{"a b", "text"}}, {}}, "params.a b: a name has letters"},
        {{"SELECT :a", {{"1a", "text"}}, {}}, "params.1a: a name has letters"},
        {{"SELECT :a", {{"", "text"}}, {}}, "a name has letters"},
        {{"SELECT :a + $1", {{"a", "integer"}}, {}}, "sql: its parameters are written :name"},
        {{std::string("SELECT 1\0", 9), {}, {}}, "sql: has a zero byte"},
    };
    for (const Case& c : cases) {
        EXPECT_THAT(compiled(c.text, kPostgresSql), HasSubstr(c.error)) << c.text.sql;
        EXPECT_THAT(compiled(c.text, kSqliteSql), HasSubstr(c.error)) << c.text.sql;
    }
    EXPECT_THAT(compiled({"SELECT :a, ?", {{"a", "text"}}, {}}, kSqliteSql),
                HasSubstr("written :name"));
    // An operator, not a parameter.
    EXPECT_EQ(compiled({"SELECT :a ? 'key'", {{"a", "json"}}, {}}, kPostgresSql),
              "SELECT $1 ? 'key'");
    EXPECT_EQ(compiled({"SELECT 1 ;; -- end", {}, {}}, kSqliteSql), "SELECT 1 ;; -- end");
}

TEST(Catalog, NamesWithoutADeclaration) {
    NumberedSql numbered = number_parameters("SELECT :b, :a, :b", {}, kPostgresSql);
    EXPECT_EQ(numbered.sql, "SELECT $1, $2, $1");
    EXPECT_THAT(numbered.names, ElementsAre("b", "a"));
}

}  // namespace
}  // namespace twofold::participant::work
