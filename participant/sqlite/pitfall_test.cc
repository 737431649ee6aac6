// The corners of SQLite, one test each: either the branch ends exactly as if it had run directly,
// or it is refused with a reason. Random schemas are in random_test.cc.
#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::WorkResult;
using protocol::WorkStatus;
using ::testing::HasSubstr;
namespace reason = protocol::reason;

class PitfallTest : public ::testing::Test {
protected:
    PitfallTest() : path_(folder_.file("a.db")) {}

    void open(const std::string& script) {
        make_database(path_, script);
        make_database(folder_.file("direct.db"), script);
        store_ = open_store(path_);
    }

    // Prepares, reopens, commits, and compares with the same SQL run directly.
    void expect_same(const std::vector<std::string>& statements) {
        ++sequence_;
        prepare(*store_, sequence_, statements);
        store_.reset();
        store_ = open_store(path_);
        commit(*store_, sequence_);
        Plain direct(folder_.file("direct.db"));
        direct.exec("PRAGMA foreign_keys = ON");
        direct.exec("BEGIN");
        for (const std::string& sql : statements) direct.exec(sql);
        direct.exec("COMMIT");
        EXPECT_EQ(Plain(path_).dump(), direct.dump());
        EXPECT_EQ(query("PRAGMA integrity_check"), direct.query("PRAGMA integrity_check"));
    }

    void expect_not_recordable(const std::vector<std::string>& statements, const std::string& why) {
        std::string before = Plain(path_).dump();
        WorkResult result = store_->execute_prepare(sql_work(++sequence_, statements));
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, reason::kNotRecordable);
        EXPECT_THAT(result.reason.message, HasSubstr(why));
        EXPECT_EQ(Plain(path_).dump(), before);
    }

    std::string query(const std::string& sql) { return Plain(path_).query(sql); }

    TempFolder folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
    std::uint64_t sequence_ = 0;
};

TEST_F(PitfallTest, NonDeterministicSqlIsRunOnce) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY, r, at)");
    auto work = sql_work(1, {"INSERT INTO t VALUES (1, random(), julianday('now')) RETURNING r"});
    WorkResult result = store_->execute_prepare(work);
    ASSERT_EQ(result.status, WorkStatus::prepared);
    commit(*store_, 1);
    EXPECT_THAT(*result.results, HasSubstr(query("SELECT r FROM t")));
}

TEST_F(PitfallTest, TriggersRunOnceAtPrepare) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE log (id INTEGER PRIMARY KEY, v);"
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log (v) VALUES (new.v); END;"
        "CREATE TRIGGER b BEFORE UPDATE ON t BEGIN INSERT INTO log (v) VALUES (old.v); END;");
    expect_same({"INSERT INTO t VALUES (1, 'x'), (2, 'y')", "UPDATE t SET v = v || '!'"});
    EXPECT_EQ(query("SELECT count(*) FROM log"), "4");
}

TEST_F(PitfallTest, TableWithoutKey) {
    open("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    expect_not_recordable({"UPDATE t SET a = 2"}, "no declared PRIMARY KEY");
    expect_not_recordable({"DELETE FROM t"}, "no declared PRIMARY KEY");
    // Nothing touched: nothing to record.
    EXPECT_EQ(store_->execute_prepare(sql_work(9, {"UPDATE t SET a = 2 WHERE a = 5"})).status,
              WorkStatus::read_only);
    EXPECT_EQ(store_->one_phase(sql_work(10, {"UPDATE t SET a = 2"})).status,
              WorkStatus::committed);
}

TEST_F(PitfallTest, KeylessTableBehindATrigger) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE log (v);"
        "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END;");
    expect_not_recordable({"INSERT INTO t VALUES (1)"}, "table log");
}

TEST_F(PitfallTest, NullInAKey) {
    open("CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1), ('a', 2)");
    expect_not_recordable({"INSERT INTO t VALUES (NULL, 3)"}, "NULL in its primary key");
    expect_not_recordable({"UPDATE t SET v = 3"}, "NULL in its primary key");
    expect_not_recordable({"UPDATE t SET k = NULL WHERE k = 'a'"}, "NULL in its primary key");
    expect_same({"UPDATE t SET v = 3 WHERE k = 'a'"});
}

TEST_F(PitfallTest, KeysMove) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')");
    expect_same({"UPDATE t SET id = id + 10"});
    expect_same({"UPDATE t SET id = -id", "UPDATE t SET id = id + 25 WHERE v = 'a'"});
}

TEST_F(PitfallTest, UniqueValuesSwap) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES (1,'a'),(2,'b')");
    expect_same({"UPDATE t SET u = 'tmp' WHERE id = 1",
                 "UPDATE t SET u = 'a' WHERE id = 2",
                 "UPDATE t SET u = 'b' WHERE id = 1"});
}

TEST_F(PitfallTest, ReplaceDeletesOtherRows) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE);"
        "INSERT INTO t VALUES (1,1,1),(2,2,2),(3,3,3);"
        "CREATE TABLE w (k TEXT PRIMARY KEY, a UNIQUE ON CONFLICT REPLACE) WITHOUT ROWID;"
        "INSERT INTO w VALUES ('x', 1), ('y', 2)");
    expect_same({"INSERT OR REPLACE INTO t VALUES (1, 2, 3)"});
    expect_same({"UPDATE OR REPLACE t SET a = 2", "INSERT INTO w VALUES ('z', 1)"});
    expect_same({"INSERT INTO w VALUES ('q', 2)"});
}

TEST_F(PitfallTest, DeleteWithoutWhere) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    expect_same({"DELETE FROM t"});
    expect_same({"INSERT INTO t VALUES (2), (7)"});
}

TEST_F(PitfallTest, WholeTableCopy) {
    open(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, v); CREATE TABLE b (id INTEGER PRIMARY KEY, v);"
        "CREATE TABLE c (k PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE d (k PRIMARY KEY, v) WITHOUT"
        " ROWID; INSERT INTO a VALUES (1, 'x'), (2, 'y'); INSERT INTO c SELECT * FROM a");
    expect_same({"INSERT INTO b SELECT * FROM a", "INSERT INTO d SELECT * FROM c"});
}

TEST_F(PitfallTest, GeneratedColumns) {
    open(
        "CREATE TABLE t (g1 AS (v * 2), k TEXT NOT NULL PRIMARY KEY, g2 AS (v + 1) STORED, v "
        "INTEGER);"
        "CREATE TABLE w (g AS (v), k, l, v, PRIMARY KEY (l, k)) WITHOUT ROWID;"
        "CREATE TABLE i (g AS (v), k INTEGER PRIMARY KEY, v);"
        "CREATE UNIQUE INDEX t_g1 ON t (g1);");
    expect_same({"INSERT INTO t VALUES ('a', 1), ('b', 2)",
                 "INSERT INTO w VALUES (1, 2, 3), (1, 3, 4)",
                 "INSERT INTO i VALUES (5, 6)"});
    expect_same({"UPDATE t SET v = v + 5, k = k || k",
                 "UPDATE w SET k = k + 10, l = l + 9",
                 "UPDATE w SET v = 77 WHERE k = 11 AND l = 11",
                 "UPDATE i SET v = 8, k = 6"});
    expect_same({"DELETE FROM t WHERE g1 = 12", "DELETE FROM w WHERE g = 77", "DELETE FROM i"});
}

TEST_F(PitfallTest, StrictTables) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY, r REAL, b BLOB) STRICT");
    expect_same(
        {"INSERT INTO t VALUES (1, '1', 1, x'00'), (2, 1.0, 2.5, x''), (3, 1, -0.0, NULL)"});
    expect_same({"UPDATE t SET a = typeof(a) WHERE id > 1"});
}

TEST_F(PitfallTest, Autoincrement) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v);"
        "INSERT INTO t (v) VALUES (1), (2); DELETE FROM t WHERE id = 2");
    expect_same({"INSERT INTO t (v) VALUES (3)", "DELETE FROM t WHERE v = 3"});
    expect_same({"UPDATE t SET id = 100"});
    EXPECT_EQ(query("SELECT seq FROM sqlite_sequence"), "3");
    expect_same({"INSERT INTO t (v) VALUES (4)"});
}

TEST_F(PitfallTest, RowidsOfTablesWithOtherKeysStay) {
    open(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES ('a',1),('b',2),('c',3);"
        "DELETE FROM t WHERE k = 'b'; CREATE TABLE hidden (k TEXT PRIMARY KEY, rowid, _rowid_, "
        "oid)");
    expect_same({"UPDATE t SET v = v + 1", "INSERT INTO hidden VALUES ('x', 1, 2, 3)"});
    EXPECT_EQ(query("SELECT rowid, k FROM t"), "1|'a'\n3|'c'");
    expect_same({"UPDATE hidden SET rowid = 5, k = 'y'"});
}

TEST_F(PitfallTest, KeysThatCompareWithoutCase) {
    open(
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v);"
        "INSERT INTO t VALUES ('Ann', 1), ('bob', 2)");
    expect_same({"UPDATE t SET k = 'ANN' WHERE k = 'ann'"});
    EXPECT_EQ(query("SELECT k FROM t ORDER BY k"), "'ANN'\n'bob'");
    expect_same({"DELETE FROM t WHERE k = 'ANN'", "INSERT INTO t VALUES ('aNN', 3)"});
}

TEST_F(PitfallTest, NumbersThatAreEqualButNotTheSame) {
    open(
        "CREATE TABLE t (k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES (1, 'a'), ('1', "
        "'b')");
    expect_same({"UPDATE t SET k = 1.0 WHERE k = 1"});
    expect_same({"UPDATE t SET k = 2.5, v = 'c' WHERE k = '1'"});
}

TEST_F(PitfallTest, ForeignKeyActions) {
    open(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE "
        "CASCADE);"
        "CREATE TABLE g (id INTEGER PRIMARY KEY, c REFERENCES c ON DELETE SET NULL);"
        "INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (10, 1), (20, 2);"
        "INSERT INTO g VALUES (100, 10), (200, 20)");
    expect_same({"UPDATE p SET id = 3 WHERE id = 2"});
    expect_same({"DELETE FROM p WHERE id = 1"});
    EXPECT_EQ(query("SELECT * FROM g ORDER BY id"), "100|NULL\n200|20");
    // Touching a parent row must not cascade again when it is put back.
    expect_same({"INSERT INTO p VALUES (4)", "UPDATE c SET p = 4"});
}

TEST_F(PitfallTest, DeferredForeignKeys) {
    open(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p DEFERRABLE INITIALLY DEFERRED);");
    expect_same({"INSERT INTO c VALUES (1, 7)", "INSERT INTO p VALUES (7)"});
    for (bool one_phase : {false, true}) {
        auto work = sql_work(50 + (one_phase ? 1U : 0U), {"DELETE FROM p"});
        WorkResult result = one_phase ? store_->one_phase(work) : store_->execute_prepare(work);
        EXPECT_EQ(result.reason.code, reason::kConstraint);
        EXPECT_EQ(result.reason.sqlstate, "SQLITE_CONSTRAINT_FOREIGNKEY");
    }
}

TEST_F(PitfallTest, OrphansFromBeforeDoNotStopABranch) {
    open(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p, v); INSERT INTO c VALUES (1, 99, "
        "0)");
    expect_same({"UPDATE c SET v = 1"});
}

TEST_F(PitfallTest, ViewsWithInsteadOfTriggers) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1);"
        "CREATE VIEW w AS SELECT * FROM t; CREATE TRIGGER wi INSTEAD OF INSERT ON w BEGIN"
        " INSERT INTO t VALUES (new.id, new.v); END;");
    expect_same({"INSERT INTO w VALUES (2, 2)"});
}

TEST_F(PitfallTest, ConflictClausesOfTheTableDoNotActTwice) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u UNIQUE ON CONFLICT IGNORE,"
        " n NOT NULL ON CONFLICT REPLACE DEFAULT 5); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)");
    expect_same({"INSERT INTO t VALUES (1, 9, NULL)", "INSERT INTO t VALUES (7, 2, 2)"});
}

TEST_F(PitfallTest, StrangeNamesAndContents) {
    open("CREATE TABLE \"a \"\"b' [c]\" (\"k \"\"1\" INTEGER PRIMARY KEY, \"select\", \"\" TEXT);");
    expect_same({"INSERT INTO \"a \"\"b' [c]\" VALUES (1, 'x''y', char(0)||'z'), (2, '', x'')",
                 "INSERT INTO \"a \"\"b' [c]\" VALUES (9223372036854775807, 9e999, CAST(x'ff61' AS "
                 "TEXT))"});
    expect_same({"DELETE FROM \"a \"\"b' [c]\" WHERE \"k \"\"1\" > 1"});
}

TEST_F(PitfallTest, Utf16Database) {
    open(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (k TEXT PRIMARY KEY, v);"
        "INSERT INTO t VALUES ('grün', '€😀')");
    expect_same({"UPDATE t SET v = v || 'ß', k = 'rot'", "INSERT INTO t VALUES ('😀', 1)"});
}

TEST_F(PitfallTest, CheckConstraintsThatOldRowsDoNotMeet) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v CHECK (v > 0), w);"
        "PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (1, -5, 0)");
    expect_same({"UPDATE t SET w = 1"});
}

// A row that SQLite keeps but would not take again: only the rehearsal can notice.
TEST_F(PitfallTest, RehearsalCatchesWhatCannotBeAppliedAgain) {
    open(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w); INSERT INTO t VALUES (1, NULL, 0), (2, 2, "
        "0);"
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY, v NOT NULL, w)'"
        " WHERE name = 't'; PRAGMA writable_schema = RESET;");
    expect_not_recordable({"UPDATE t SET w = 1"}, "cannot be applied again: NOT NULL");
    expect_same({"UPDATE t SET w = 1 WHERE id = 2"});
    EXPECT_EQ(store_->one_phase(sql_work(90, {"UPDATE t SET w = 1"})).status,
              WorkStatus::committed);
}

TEST_F(PitfallTest, InsertedAndDeletedAgainStillCountsAsWritten) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    expect_same({"INSERT INTO t VALUES (1)", "DELETE FROM t"});
}

TEST_F(PitfallTest, RollbackClauseInsideABranchLeavesNothing) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    WorkResult result = store_->execute_prepare(sql_work(
        1, {"INSERT INTO t VALUES (2)", "INSERT OR ROLLBACK INTO t VALUES (1)", "DELETE FROM t"}));
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(query("SELECT * FROM t"), "1");
    expect_same({"INSERT INTO t VALUES (3)"});
}

TEST_F(PitfallTest, ManyRowsAndBigValues) {
    open("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    expect_same(
        {"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 5000)"
         " INSERT INTO t SELECT i, zeroblob(200) FROM c",
         "INSERT INTO t VALUES (0, zeroblob(3000000))"});
    expect_same({"UPDATE t SET v = id", "DELETE FROM t WHERE id % 2"});
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
