// Other programs with the same file: refused while a branch is prepared (even while no process of
// ours runs), free otherwise; and what happens when they break in all the same.
#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>
#include <sqlite3.h>
#include <sys/wait.h>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::FinishStatus;
using ::testing::HasSubstr;

class ForeignWriterTest : public ::testing::Test {
protected:
    ForeignWriterTest() : path_(folder_.file("a.db")) {
        make_database(path_,
                      "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, v);"
                      "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3);"
                      "CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
                      "INSERT INTO w VALUES ('x', 1);"
                      "CREATE TABLE keyless (a); INSERT INTO keyless VALUES (1);"
                      "CREATE VIEW tv AS SELECT id, v FROM t;"
                      "CREATE TRIGGER tvi INSTEAD OF UPDATE ON tv BEGIN"
                      " UPDATE t SET v = new.v WHERE id = new.id; END;");
        store_ = open_store(path_);
    }

    // The branch that is prepared touches only row 1 of t.
    void prepare_one() { prepare(*store_, 1, {"UPDATE t SET v = 100 WHERE id = 1"}); }

    // Reopens without the usual expectations.
    protocol::FinishResult commit_now() { return store_->commit(finish_of(1)); }

    TempFolder folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
};

const char* const kWrites[] = {
    "INSERT INTO t VALUES (9, 'z', 9)",
    "INSERT OR IGNORE INTO t VALUES (9, 'z', 9)",
    "INSERT OR REPLACE INTO t VALUES (1, 'q', 9)",
    "REPLACE INTO t VALUES (9, 'a', 9)",
    "INSERT OR ROLLBACK INTO t VALUES (9, 'z', 9)",
    "INSERT OR FAIL INTO t VALUES (9, 'z', 9)",
    "INSERT INTO t VALUES (1, 'z', 9) ON CONFLICT (id) DO UPDATE SET v = 0",
    "INSERT INTO t VALUES (1, 'z', 9) ON CONFLICT DO NOTHING",
    "INSERT INTO t SELECT id + 10, u || id, v FROM t",
    "UPDATE t SET v = 0 WHERE id = 1",
    "UPDATE OR IGNORE t SET v = 0",
    "UPDATE OR REPLACE t SET u = 'a' WHERE id = 2",
    "UPDATE t SET id = 50 WHERE id = 1",
    "UPDATE t SET v = 0 WHERE id = 2",
    "DELETE FROM t WHERE id = 1",
    "DELETE FROM t",
    "UPDATE tv SET v = 7 WHERE id = 1",
    "INSERT INTO w VALUES ('y', 1)",
    "REPLACE INTO w VALUES ('x', 2)",
    "UPDATE w SET k = 'z'",
    "DELETE FROM w",
    "INSERT INTO keyless VALUES (2)",
    "UPDATE keyless SET a = 3",
    "DELETE FROM keyless",
};

void expect_refused(const std::string& path) {
    Plain plain(path);
    std::string before = plain.dump();
    for (bool recursive : {false, true}) {
        plain.exec(recursive ? "PRAGMA recursive_triggers = ON"
                             : "PRAGMA recursive_triggers = OFF");
        for (const char* sql : kWrites) {
            EXPECT_EQ(plain.try_exec(sql), "row is locked by a prepared Twofold transaction")
                << sql;
        }
    }
    EXPECT_EQ(plain.dump(), before);
}

TEST_F(ForeignWriterTest, EveryWriteIsRefusedWhilePrepared) {
    prepare_one();
    expect_refused(path_);
    EXPECT_EQ(WEXITSTATUS(in_child([this] { expect_refused(path_); })), 0) << "in another process";
    commit(*store_, 1);
    EXPECT_EQ(Plain(path_).query("SELECT v FROM t WHERE id = 1"), "100");
}

TEST_F(ForeignWriterTest, GuardsHoldWhileNoProcessOfOursRuns) {
    prepare_one();
    store_.reset();
    expect_refused(path_);
    store_ = open_store(path_);
    commit(*store_, 1);
}

TEST_F(ForeignWriterTest, WritesAreFreeBeforeAndAfter) {
    Plain plain(path_);
    plain.exec("UPDATE t SET v = 0 WHERE id = 2");
    prepare_one();
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::aborted);
    for (const char* sql : kWrites) EXPECT_EQ(plain.try_exec("SAVEPOINT s"), "") << sql;
    plain.exec("ROLLBACK");
    for (const char* sql : kWrites) {
        plain.exec("BEGIN");
        std::string error = plain.try_exec(sql);
        EXPECT_THAT(error, ::testing::Not(HasSubstr("Twofold"))) << sql;
        static_cast<void>(plain.try_exec("ROLLBACK"));
    }
}

TEST_F(ForeignWriterTest, ReadersSeeOldValuesAndNeverWait) {
    prepare_one();
    Plain plain(path_);
    plain.exec("BEGIN");
    EXPECT_EQ(plain.query("SELECT v FROM t WHERE id = 1"), "1");
    commit(*store_, 1);
    EXPECT_EQ(plain.query("SELECT v FROM t WHERE id = 1"), "1") << "its snapshot";
    plain.exec("COMMIT");
    EXPECT_EQ(plain.query("SELECT v FROM t WHERE id = 1"), "100");
}

TEST_F(ForeignWriterTest, NewTablesGetGuardsBeforeTheNextBranch) {
    Plain plain(path_);
    plain.exec("CREATE TABLE fresh (id INTEGER PRIMARY KEY); ALTER TABLE w RENAME TO ww");
    prepare_one();
    EXPECT_THAT(plain.try_exec("INSERT INTO fresh VALUES (1)"), HasSubstr("locked"));
    EXPECT_THAT(plain.try_exec("DELETE FROM ww"), HasSubstr("locked"));
    commit(*store_, 1);
    EXPECT_EQ(plain.query("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%guard%'"), "12");
}

TEST_F(ForeignWriterTest, SchemaChangeWhilePreparedParksTheCommit) {
    const char* const changes[] = {
        "DROP TRIGGER _tc_guard_UPDATE_t",
        "ALTER TABLE t ADD COLUMN extra",
        "CREATE INDEX t_v ON t (v)",
        "CREATE TABLE other (a)",
    };
    for (const char* change : changes) {
        SCOPED_TRACE(change);
        TempFolder folder;
        std::string path = folder.file("b.db");
        make_database(path,
                      "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1)");
        auto store = open_store(path);
        prepare(*store, 1, {"UPDATE t SET v = 100 WHERE id = 1"});
        Plain(path).exec(change);
        auto parked = store->commit(finish_of(1));
        EXPECT_EQ(parked.status, FinishStatus::unknown);
        EXPECT_EQ(parked.reason.code, "broken_promise");
        EXPECT_THAT(parked.reason.message, HasSubstr("changed the schema"));
        EXPECT_EQ(store->counters().broken_promises, 1U);
        EXPECT_EQ(store->list().value().size(), 1U) << "nothing is lost";
        EXPECT_THAT(store->describe_changes(finish_of(1).gid).value(),
                    HasSubstr("VALUES (1, 100)"));
        // An abort needs no schema.
        EXPECT_EQ(store->rollback(finish_of(1)).status, FinishStatus::aborted);
        EXPECT_EQ(Plain(path).query("SELECT v FROM t"), "1");
    }
}

TEST_F(ForeignWriterTest, UndoingTheSchemaChangeHeals) {
    prepare_one();
    Plain plain(path_);
    plain.exec("CREATE TABLE other (a)");
    EXPECT_EQ(commit_now().status, FinishStatus::unknown);
    plain.exec("DROP TABLE other");
    commit(*store_, 1);
    EXPECT_EQ(plain.query("SELECT v FROM t WHERE id = 1"), "100");
}

TEST_F(ForeignWriterTest, StartWithAMissingGuardKeepsTheBranchParked) {
    prepare_one();
    store_.reset();
    Plain(path_).exec("DROP TRIGGER _tc_guard_DELETE_t");
    store_ = open_store(path_);
    EXPECT_EQ(commit_now().reason.code, "broken_promise");
}

TEST_F(ForeignWriterTest, ChangedRowsBehindTheGuardsParkTheCommit) {
    prepare_one();
    Plain plain(path_);
    std::string guard =
        plain.query("SELECT sql FROM sqlite_schema WHERE name = '_tc_guard_UPDATE_t'");
    plain.exec("DROP TRIGGER _tc_guard_UPDATE_t; UPDATE t SET v = 55 WHERE id = 1;" +
               guard.substr(1, guard.size() - 2));
    auto parked = commit_now();
    EXPECT_EQ(parked.status, FinishStatus::unknown);
    EXPECT_THAT(parked.reason.message, HasSubstr("in spite of the guard"));
    EXPECT_EQ(plain.query("SELECT v FROM t WHERE id = 1"), "55");
    EXPECT_EQ(store_->list().value().size(), 1U);
}

TEST_F(ForeignWriterTest, DamagedRecordIsNoticed) {
    prepare_one();
    Plain plain(path_);
    plain.exec("UPDATE _tc_prepared SET redo = substr(redo, 1, length(redo) - 1) || x'77'");
    EXPECT_THAT(commit_now().reason.message, HasSubstr("checksum"));
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::aborted);
}

TEST_F(ForeignWriterTest, AnalyzeAndVacuumAreHarmless) {
    Plain plain(path_);
    plain.exec(
        "CREATE TABLE named (k TEXT PRIMARY KEY, v);"
        "INSERT INTO named VALUES ('a', 1), ('b', 2), ('c', 3);"
        "DELETE FROM named WHERE k = 'a'");
    prepare(
        *store_, 1, {"UPDATE named SET v = 20 WHERE k = 'b'", "INSERT INTO named VALUES ('d', 4)"});
    plain.exec("ANALYZE");
    // VACUUM may renumber the rowids of `named`. This version of SQLite does not when a table has
    // an index, so it is done by hand, past the guards.
    sqlite3_db_config(plain.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    plain.exec("UPDATE named SET rowid = rowid - 1; VACUUM");
    commit(*store_, 1);
    EXPECT_EQ(plain.query("SELECT k, v FROM named ORDER BY k"), "'b'|20\n'c'|3\n'd'|4");
}

TEST_F(ForeignWriterTest, JournalModeCannotBeSwitchedUnderUs) {
    prepare_one();
    Plain plain(path_);
    EXPECT_EQ(plain.query("PRAGMA journal_mode = DELETE"), "");
    commit(*store_, 1);
    EXPECT_EQ(plain.query("PRAGMA journal_mode"), "'wal'");
    store_.reset();
    EXPECT_EQ(plain.query("PRAGMA journal_mode = DELETE"), "'delete'");
    store_ = open_store(path_);  // switches back
    EXPECT_EQ(Plain(path_).query("PRAGMA journal_mode"), "'wal'");
    prepare(*store_, 2, {"UPDATE t SET v = 0"});
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
