#include "participant/work/work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace twofold::participant::work {
namespace {

using testing::HasSubstr;
namespace reason = protocol::reason;

class WorkTest : public testing::Test {
protected:
    void declare(const std::string& name, const StatementText& text) {
        catalog_[name] = compile(text, kPostgresSql).value();
    }

    ParsedWork parse(const std::string& json) {
        WorkRules rules{catalog_, kPostgresSql, raw_sql_, 3};
        return parse_work(std::make_shared<const std::string>(json), rules);
    }

    void expect_refused(const std::string& json, std::string_view code, const std::string& text) {
        SCOPED_TRACE(json);
        ParsedWork work = parse(json);
        EXPECT_EQ(work.refusal.code, code);
        EXPECT_THAT(work.refusal.message, HasSubstr(text));
    }

    // The only value of the only statement.
    Value value_of(const std::string& json) {
        ParsedWork work = parse(json);
        EXPECT_EQ(work.refusal.message, "") << json;
        if (work.statements.size() != 1 || work.statements[0].params.size() != 1) return {};
        return work.statements[0].params[0];
    }

    Value typed(const std::string& type, const std::string& value) {
        declare("one", {"SELECT :v", {{"v", type}}, {}});
        return value_of(R"([{"statement":"one","params":{"v":)" + value + "}}]");
    }

    void expect_wrong(const std::string& type, const std::string& value, const std::string& text) {
        declare("one", {"SELECT :v", {{"v", type}}, {}});
        expect_refused(R"([{"statement":"one","params":{"v":)" + value + "}}]",
                       reason::kBadRequest,
                       "work[0].params.v: must be " + text);
    }

    Catalog catalog_;
    bool raw_sql_ = true;
};

TEST_F(WorkTest, ValuesHaveTheirDeclaredTypes) {
    EXPECT_EQ(typed("integer", "-5"), Value(std::int64_t{-5}));
    EXPECT_EQ(typed("integer", "\"9223372036854775807\""), Value(std::int64_t{INT64_MAX}));
    EXPECT_EQ(typed("number", "1.5"), Value(1.5));
    EXPECT_EQ(typed("number", "7"), Value(std::int64_t{7}));
    EXPECT_EQ(typed("number", "\"12.50\""), Value(Decimal{"12.50"}));
    EXPECT_EQ(typed("number", "\"-1e-3\""), Value(Decimal{"-1e-3"}));
    EXPECT_EQ(typed("text", "\"a\""), Value(std::string("a")));
    EXPECT_EQ(typed("boolean", "true"), Value(true));
    EXPECT_EQ(typed("bytes", R"({"base64":"AP8="})"), Value(base::Bytes{0, 255}));
    EXPECT_EQ(typed("json", R"({"a":[1,null]})"), Value(std::string(R"({"a":[1,null]})")));
    EXPECT_EQ(typed("json", "\"a\""), Value(std::string("\"a\"")));
    for (const char* time : {"\"2026-01-31T12:34:56Z\"",
                             "\"2026-01-31 12:34:56\"",
                             "\"2026-01-31t12:34:56.123456789+05:30\""}) {
        EXPECT_TRUE(std::holds_alternative<std::string>(typed("timestamp", time))) << time;
    }
    for (const char* type : {"integer?", "number?", "text?", "boolean?", "bytes?", "json?"}) {
        EXPECT_EQ(typed(type, "null"), Value()) << type;
    }
}

TEST_F(WorkTest, ValuesOfAnotherTypeAreRefused) {
    expect_wrong("integer", "1.5", "integer (a whole number of 64 bits), found a number with");
    expect_wrong("integer", "\"1.5\"", "integer");
    expect_wrong("integer", "\"\"", "integer");
    expect_wrong("integer", "18446744073709551615", "integer");
    expect_wrong("integer", "\"9223372036854775808\"", "integer");
    expect_wrong("integer", "true", "integer");
    expect_wrong("integer", "null", "integer (a whole number of 64 bits), found null");
    expect_wrong("integer?", "\"a\"", "integer (a whole number of 64 bits) or null, found a str");
    expect_wrong("number", "\"nan\"", "number");
    expect_wrong("number", "\"1,5\"", "number");
    expect_wrong("number", "\"0x10\"", "number");
    expect_wrong("number", "\"-\"", "number");
    expect_wrong("number", "\"+-1\"", "number");
    expect_wrong("text", "1", "text (text), found an integer");
    expect_wrong("text", R"({"base64":"AA=="})", "text");
    expect_wrong("boolean", "1", "boolean");
    expect_wrong("bytes", "\"AA==\"", "bytes");
    expect_wrong("json", "null", "json");
    for (const char* time : {"\"2026-01-31\"",
                             "\"2026-13-01T00:00:00Z\"",
                             "\"2026-01-31T24:00:00\"",
                             "\"2026-01-31T12:34:56.Z\"",
                             "\"2026-01-31T12:34:56 UTC\"",
                             "\"+026-01-31T12:34:56\"",
                             "\"now\"",
                             "\"\"",
                             "0"}) {
        expect_wrong("timestamp", time, "timestamp");
    }
    declare("one", {"SELECT :v", {{"v", "bytes"}}, {}});
    expect_refused(R"([{"statement":"one","params":{"v":{"base64":"?"}}}])",
                   reason::kBadRequest,
                   "work[0].params.v.base64: must be base64");
}

TEST_F(WorkTest, NamedStatements) {
    declare("debit",
            {"UPDATE a SET b = b - :amount WHERE id = :id",
             {{"id", "integer"}, {"amount", "integer"}},
             1});
    ParsedWork work = parse(R"([{"statement":"debit","params":{"amount":30,"id":2}}])");
    ASSERT_EQ(work.statements.size(), 1U);
    EXPECT_EQ(work.statements[0].sql, "UPDATE a SET b = b - $2 WHERE id = $1");
    EXPECT_EQ(work.statements[0].params[0], Value(std::int64_t{2}));
    EXPECT_EQ(work.statements[0].params[1], Value(std::int64_t{30}));
    EXPECT_EQ(work.statements[0].expect_rows, 1U);
    work = parse(R"([{"statement":"debit","params":{"amount":3,"id":2},"expect":{"rows":0}}])");
    EXPECT_EQ(work.statements.at(0).expect_rows, 0U);

    struct Case {
        const char* json;
        const char* text;
    };
    const Case cases[] = {
        {R"([{"statement":"credit"}])",
         "work[0].statement: \"credit\" is not a statement of the participant's configuration"},
        {R"([{"statement":"debit"}])", "no value was given for its parameter id"},
        {R"([{"statement":"debit","params":{"id":1}}])",
         "work[0].params: no value was given for its parameter amount"},
        {R"([{"statement":"debit","params":{"id":1,"amount":1,"x":1}}])",
         "work[0].params: it has no parameter called x"},
        {R"([{"statement":"debit","params":[1,2]}])", "must be an object: the parameters of"},
        {R"([{"statement":7}])", "work[0].statement"},
        {R"([{"statement":"debit","sql":"SELECT 1"}])", "either"},
    };
    for (const Case& c : cases) expect_refused(c.json, reason::kBadRequest, c.text);
}

TEST_F(WorkTest, RawSql) {
    ParsedWork work = parse(R"([{"sql":"SELECT $1, $2","params":[null,"x"]}])");
    ASSERT_EQ(work.statements.size(), 1U);
    EXPECT_EQ(work.statements[0].params[1], Value(std::string("x")));
    work = parse(R"([{"sql":"SELECT :b, ':a', :a, :b","params":{"a":1,"b":2}}])");
    ASSERT_EQ(work.statements.size(), 1U) << work.refusal.message;
    EXPECT_EQ(work.statements[0].sql, "SELECT $1, ':a', $2, $1");
    EXPECT_EQ(work.statements[0].params[0], Value(std::int64_t{2}));
    expect_refused(
        R"([{"sql":"SELECT :a","params":{"b":1}}])", reason::kBadRequest, "no parameter called b");
    expect_refused(
        R"([{"sql":"SELECT $1, :a","params":{"a":1}}])", reason::kBadRequest, "must be an array");
    expect_refused(
        R"([{"sql":"SELECT 1","params":1}])", reason::kBadRequest, "must be an array or");
    expect_refused(
        R"([{"sql":"COMMIT AND CHAIN"}])", reason::kNotAllowed, "work[0]: COMMIT is not");
    raw_sql_ = false;
    expect_refused(R"([{"sql":"SELECT 1"}])", reason::kNotAllowed, "set raw_sql there");
}

TEST_F(WorkTest, TheListItself) {
    expect_refused("[", reason::kBadRequest, "work: ");
    expect_refused("{}", reason::kBadRequest, "must be an array");
    expect_refused("[1]", reason::kBadRequest, "work[0]");
    expect_refused("[{},{},{},{}]", reason::kBadRequest, "at most 3 statements");
    EXPECT_TRUE(parse("[]").refusal.empty());
    EXPECT_TRUE(parse_work(nullptr, {catalog_, kPostgresSql}).refusal.empty());
}

TEST_F(WorkTest, AnAdapterRefusesAValue) {
    ParsedWork parsed = parse(R"([{"sql":"SELECT 1"},{"sql":"SELECT $1, $2","params":[1,"x"]}])");
    auto bound = bind_work<int>(std::move(parsed), [](const Value& value) -> base::Result<int> {
        if (std::holds_alternative<std::string>(value)) {
            return base::fail(base::Errc::invalid_argument, "no text here");
        }
        return 1;
    });
    EXPECT_EQ(bound.refusal.message, "work[1].params, value 2: no text here");
    EXPECT_EQ(bound.refusal.statement_index, 1);
}

}  // namespace
}  // namespace twofold::participant::work
