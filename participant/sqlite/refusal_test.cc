// What a branch may not do, and that it is told why in a sentence.
#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>

#include <thread>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::WorkResult;
using protocol::WorkStatus;
using ::testing::HasSubstr;
namespace reason = protocol::reason;

class RefusalTest : public ::testing::Test {
protected:
    RefusalTest() : path_(folder_.file("a.db")) {
        make_database(path_,
                      "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);"
                      "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE CHECK (v <> 13));"
                      "INSERT INTO t VALUES (1, 10), (2, 20);"
                      "CREATE TABLE child (id INTEGER PRIMARY KEY, t REFERENCES t DEFERRABLE"
                      " INITIALLY DEFERRED);"
                      "CREATE VIRTUAL TABLE words USING fts5(body);");
        start(options_for(path_));
        before_ = Plain(path_).dump();
    }
    ~RefusalTest() override { EXPECT_EQ(Plain(path_).dump(), before_); }

    void start(StoreOptions options) {
        store_.reset();
        store_ = open_store(std::move(options));
    }
    WorkResult run(const std::string& json) { return store_->execute_prepare(work_of(1, json)); }
    WorkResult run_sql(const std::string& sql) {
        return store_->execute_prepare(sql_work(1, {sql}));
    }

    void expect(const WorkResult& result, std::string_view code, const std::string& text) {
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, code);
        EXPECT_THAT(result.reason.message, HasSubstr(text));
    }

    TempFolder folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
    std::string before_;
};

TEST_F(RefusalTest, StatementsThatLeaveTheBranch) {
    struct Case {
        const char* sql;
        const char* text;
    };
    const Case cases[] = {
        {"BEGIN", "BEGIN is not allowed"},
        {"COMMIT", "COMMIT is not allowed"},
        {"/* a */ -- b\n rollback", "ROLLBACK is not allowed"},
        {"END", "END is not allowed"},
        {"SAVEPOINT a", "SAVEPOINT"},
        {"RELEASE a", "RELEASE"},
        {"ATTACH '/tmp/x.db' AS x", "ATTACH"},
        {"DETACH main", "DETACH"},
        {"PRAGMA synchronous = OFF", "PRAGMA is not allowed"},
        {"SELECT * FROM pragma_table_info('t')", "PRAGMA"},
        {"SELECT * FROM pragma_journal_mode", "PRAGMA"},
        {"VACUUM", "VACUUM is not allowed"},
        {"VACUUM INTO '/tmp/x.db'", "VACUUM is not allowed"},
        {"ANALYZE", "ANALYZE"},
        {"REINDEX", "REINDEX"},
        {"CREATE TEMP TABLE x (a)", "CREATE is not allowed"},
        {"DROP TRIGGER _tc_guard_INSERT_t", "DROP is not allowed"},
        {"ALTER TABLE t ADD COLUMN w", "ALTER is not allowed"},
        {"EXPLAIN SELECT 1", "EXPLAIN"},
        {"SELECT load_extension('x')", "load_extension() is not allowed"},
        {"DELETE FROM _tc_lock", "belongs to Twofold"},
        {"INSERT INTO _TC_DONE VALUES (1,2,3,4,5,6)", "belongs to Twofold"},
        {"SELECT redo FROM _tc_prepared", "belongs to Twofold"},
        {"UPDATE sqlite_schema SET sql = ''", "may not be modified"},
        {"DELETE FROM sqlite_master", "may not be modified"},
        {"DELETE FROM sqlite_sequence", "belongs to SQLite"},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(c.sql);
        for (bool one_phase : {false, true}) {
            WorkResult result =
                one_phase ? store_->one_phase(sql_work(1, {c.sql})) : run_sql(c.sql);
            EXPECT_EQ(result.status, WorkStatus::refused);
            EXPECT_THAT(result.reason.message, HasSubstr(c.text));
            EXPECT_EQ(result.reason.statement_index, 0);
            // A pragma behind a table is noticed only when it is read.
            EXPECT_EQ(result.executed, std::string_view(c.text) == "PRAGMA");
        }
    }
    EXPECT_FALSE(store_->must_exit());
}

TEST_F(RefusalTest, WorkMustBeWellFormed) {
    struct Case {
        const char* json;
        const char* text;
    };
    const Case cases[] = {
        {"", "work: "},
        {"{}", "must be an array"},
        {"[1]", "work[0]"},
        {R"([{"sql":"SELECT 1"},{"sgl":"SELECT 1"}])", "work[1]: must have either"},
        {R"([{"sql":"SELECT 1","statement":"a"}])", "either"},
        {R"([{"sql":"SELECT 1","extra":1}])", "extra"},
        {R"([{"sql":"SELECT 1","expect":{"row":1}}])", "work[0].expect"},
        {R"([{"sql":"SELECT 1","expect":{"rows":-1}}])", "work[0].expect.rows"},
        {R"([{"sql":"SELECT ?","params":[[1]]}])", "work[0].params[0]"},
        {R"([{"sql":"SELECT ?","params":[18446744073709551615]}])", "as text"},
        {R"([{"sql":"SELECT ?","params":[{"base64":"???"}]}])", "base64"},
        {R"([{"sql":"SELECT ?"}])", "has 1 parameters, but 0 values"},
        {R"([{"sql":"SELECT :a","params":{"b":1}}])", "no parameter called b"},
        {R"([{"sql":"SELECT :a, :b","params":{"b":1}}])", "no value was given for its parameter a"},
        {R"([{"sql":"SELECT 1; SELECT 2"}])", "only one SQL statement"},
        {R"([{"sql":"SELECT 1; garbage"}])", "only one SQL statement"},
        {R"([{"sql":"SELECT 1\u0000"}])", "zero byte"},
        {R"([{"statement":"nope"}])", "\"nope\" is not a statement"},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(c.json);
        expect(run(c.json), reason::kBadRequest, c.text);
    }
    EXPECT_EQ(run(R"([{"sql":"SELECT 1 ; ; -- end"}])").status, WorkStatus::read_only);
}

TEST_F(RefusalTest, NamedStatements) {
    StoreOptions options = options_for(path_);
    options.raw_sql = false;
    options.statements["set"] =
        work::compile(
            {"UPDATE t SET v = :v WHERE id = :id", {{"id", "integer"}, {"v", "integer"}}, 1},
            work::kSqliteSql)
            .value();
    start(std::move(options));
    WorkResult raw = run(R"([{"sql":"SELECT 1"}])");
    expect(raw, reason::kNotAllowed, "raw_sql");
    WorkResult missed = run(R"([{"statement":"set","params":{"v":1,"id":9}}])");
    expect(missed, reason::kExpectationMissed, "statement 1: expected 1 row, found 0");
    WorkResult yes = run(R"([{"statement":"set","params":{"v":1,"id":2}}])");
    EXPECT_EQ(yes.status, WorkStatus::prepared) << yes.reason.message;
}

TEST_F(RefusalTest, DeclaredTypesBecomeSqlitesOwn) {
    StoreOptions options = options_for(path_);
    options.statements["types"] =
        work::compile({"SELECT typeof(:i), :n, typeof(:m), :b, hex(:y), :j, typeof(:z)",
                       {{"i", "integer"},
                        {"n", "number"},
                        {"m", "number"},
                        {"b", "boolean"},
                        {"y", "bytes"},
                        {"j", "json"},
                        {"z", "text?"}},
                       {}},
                      work::kSqliteSql)
            .value();
    start(std::move(options));
    WorkResult result = run(R"([{"statement":"types","params":{"i":"7","n":"12.50","m":"12",
        "b":true,"y":{"base64":"AP8="},"j":{"a":[1]},"z":null}}])");
    ASSERT_EQ(result.status, WorkStatus::read_only) << result.reason.message;
    EXPECT_THAT(*result.results,
                HasSubstr(R"([["integer",1.25E1,"integer",1,"00FF","{\"a\":[1]}","null"]])"));
}

TEST_F(RefusalTest, MissedExpectation) {
    WorkResult result = run(R"([{"sql":"SELECT 1"},
        {"sql":"UPDATE t SET v = 1 WHERE id = 77","expect":{"rows":1}}])");
    expect(result, reason::kExpectationMissed, "statement 2: expected 1 row, found 0");
    EXPECT_EQ(result.reason.statement_index, 1);
    expect(run(R"([{"sql":"SELECT * FROM t","expect":{"rows":3}}])"),
           reason::kExpectationMissed,
           "expected 3 rows, found 2");
}

TEST_F(RefusalTest, FailingSqlNamesTheCode) {
    struct Case {
        const char* sql;
        std::string_view code;
        const char* sqlstate;
    };
    const Case cases[] = {
        {"UPDATE t SET v = 13", reason::kConstraint, "SQLITE_CONSTRAINT_CHECK"},
        {"INSERT INTO t VALUES (3, 10)", reason::kConstraint, "SQLITE_CONSTRAINT_UNIQUE"},
        {"INSERT INTO t VALUES (1, 11)", reason::kConstraint, "SQLITE_CONSTRAINT_PRIMARYKEY"},
        {"INSERT INTO child VALUES (1, 99)", reason::kConstraint, "SQLITE_CONSTRAINT_FOREIGNKEY"},
        {"SELECT * FROM nowhere", reason::kStatementFailed, "SQLITE_ERROR"},
        {"SELECT FROM", reason::kStatementFailed, "SQLITE_ERROR"},
        {"INSERT INTO t VALUES ('a', 1)", reason::kStatementFailed, "SQLITE_MISMATCH"},
        {"INSERT INTO t VALUES (5, zeroblob(100000000))",
         reason::kStatementFailed,
         "SQLITE_TOOBIG"},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(c.sql);
        WorkResult result = run_sql(c.sql);
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, c.code) << result.reason.message;
        EXPECT_EQ(result.reason.sqlstate, c.sqlstate) << result.reason.message;
    }
}

TEST_F(RefusalTest, LimitsOfResultsAndRecord) {
    StoreOptions options = options_for(path_);
    options.limits.rows_max = 10;
    options.limits.result_bytes_max = 10'000;
    options.limits.redo_bytes_max = 5'000;
    options.limits.statements_max = 3;
    start(std::move(options));
    const std::string count = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c LIMIT ";
    EXPECT_EQ(run_sql(count + "10) SELECT i FROM c").status, WorkStatus::read_only);
    expect(run_sql(count + "11) SELECT i FROM c"), reason::kNotAllowed, "more than 10 rows");
    expect(run_sql("SELECT zeroblob(20000)"), reason::kNotAllowed, "10000 bytes");
    // What they are on the wire counts.
    expect(run_sql("SELECT zeroblob(8000)"), reason::kNotAllowed, "10000 bytes");
    expect(run_sql("SELECT replace(hex(zeroblob(1000)), '0', char(1))"),
           reason::kNotAllowed,
           "10000 bytes");
    EXPECT_EQ(run_sql("SELECT zeroblob(7000)").status, WorkStatus::read_only);
    expect(run_sql("INSERT INTO t VALUES (9, zeroblob(6000))"), reason::kNotRecordable, "5000");
    expect(run_sql(count + "2000) INSERT INTO t SELECT i + 100, i + 100 FROM c"),
           reason::kNotRecordable,
           "5000");
    expect(store_->execute_prepare(sql_work(1, {"SELECT 1", "SELECT 1", "SELECT 1", "SELECT 1"})),
           reason::kBadRequest,
           "at most 3 statements");
}

TEST_F(RefusalTest, TimeLimits) {
    const std::string endless =
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c) SELECT count(*) FROM c";
    auto work = sql_work(1, {endless});
    work.options.statement_timeout_ms = 30;
    expect(store_->execute_prepare(work), reason::kStatementTimeout, "statement timeout");
    work.options.statement_timeout_ms = 0;
    work.deadline_ms = 30;
    expect(store_->execute_prepare(work), reason::kDeadline, "deadline");
    EXPECT_EQ(run_sql("SELECT 1").status, WorkStatus::read_only);
}

TEST_F(RefusalTest, InterruptEndsOnlyTheNamedBranch) {
    const std::string endless =
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c) SELECT count(*) FROM c";
    std::atomic<bool> done{false};
    std::thread interrupter([&] {
        while (!done) {
            store_->interrupt(key_of(2));
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    auto other = sql_work(1, {endless});
    other.options.statement_timeout_ms = 50;
    expect(store_->execute_prepare(other), reason::kStatementTimeout, "timeout");
    auto named = sql_work(2, {"SELECT 1", endless});
    named.deadline_ms = 20'000;
    expect(store_->execute_prepare(named), reason::kClientAbort, "cancelled");
    done = true;
    interrupter.join();
}

TEST_F(RefusalTest, AnotherProcessHoldsTheWriteLock) {
    Plain plain(path_);
    plain.exec("BEGIN IMMEDIATE");
    auto work = sql_work(1, {"DELETE FROM t"});
    work.options.lock_timeout_ms = 20;
    WorkResult result = store_->execute_prepare(work);
    expect(result, reason::kLockTimeout, "locked");
    EXPECT_EQ(result.reason.sqlstate, "SQLITE_BUSY");
    EXPECT_FALSE(result.executed);
    plain.exec("COMMIT");
    EXPECT_EQ(store_->execute_prepare(work).status, WorkStatus::prepared);
}

TEST_F(RefusalTest, VirtualTablesOnlyInOnePhase) {
    expect(run_sql("INSERT INTO words VALUES ('hello')"), reason::kNotRecordable, "virtual table");
    EXPECT_EQ(run_sql("SELECT * FROM words WHERE words MATCH 'a'").status, WorkStatus::read_only);
    expect(run_sql("DELETE FROM words_content"), reason::kStatementFailed, "words_content");
    WorkResult result = store_->one_phase(sql_work(2, {"INSERT INTO words VALUES ('hello')"}));
    EXPECT_EQ(result.status, WorkStatus::committed) << result.reason.message;
    EXPECT_TRUE(result.recorded);
    EXPECT_EQ(Plain(path_).query("SELECT body FROM words WHERE words MATCH 'hello'"), "'hello'");
    before_ = Plain(path_).dump();
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
