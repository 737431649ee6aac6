// Errors that COMMIT itself returns. The worst one: after a failed fsync the process sees the old
// data, and a restart can show the commit.
#include "participant/sqlite/error_class.h"
#include "participant/sqlite/fault_vfs.h"
#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <regex>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::FinishStatus;
using protocol::WorkStatus;
namespace reason = protocol::reason;

class CommitErrorTest : public ::testing::Test {
protected:
    CommitErrorTest() : path_(folder_.file("a.db")) {
        fault_plan() = {};
        make_database(path_,
                      "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1)");
        StoreOptions options = options_for(path_);
        options.vfs = fault_vfs();
        store_ = open_store(std::move(options));
    }
    ~CommitErrorTest() override { fault_plan() = {}; }

    // The files as an exit without closing leaves them: a close would tidy up with the wrong belief
    // of the faulty process.
    void restart() {
        std::string next = folder_.file("after.db");
        for (const char* suffix : {"", "-wal"}) {
            std::filesystem::copy_file(path_ + suffix, next + suffix);
        }
        fault_plan() = {};
        store_.reset();
        path_ = next;
        store_ = open_store(path_);
    }
    std::string value() { return Plain(path_).query("SELECT v FROM t"); }
    protocol::WorkResult prepare_change() {
        return store_->execute_prepare(sql_work(1, {"UPDATE t SET v = 2"}));
    }

    TempFolder folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
};

TEST_F(CommitErrorTest, FailedForceAtPrepareEndsTheProcess) {
    fault_plan().fail_log_sync = true;
    EXPECT_EQ(prepare_change().status, WorkStatus::unknown);
    EXPECT_TRUE(store_->must_exit());
    // Nothing that it says from now on may be believed, so it says nothing.
    EXPECT_EQ(store_->commit(finish_of(1)).status, FinishStatus::unknown);
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::unknown);
    EXPECT_FALSE(store_->list().has_value());
    EXPECT_NE(store_->execute_prepare(sql_work(2, {"SELECT 1"})).status, WorkStatus::prepared);
    restart();
    // It did reappear: the frames were in the file, only not forced. Asked, the coordinator aborts.
    EXPECT_EQ(store_->list().value().size(), 1U);
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::aborted);
    EXPECT_EQ(value(), "1");
}

TEST_F(CommitErrorTest, FailedForceAtCommitEndsTheProcess) {
    ASSERT_EQ(prepare_change().status, WorkStatus::prepared);
    fault_plan().fail_log_sync = true;
    EXPECT_EQ(store_->commit(finish_of(1)).status, FinishStatus::unknown);
    EXPECT_TRUE(store_->must_exit());
    restart();
    commit(*store_, 1);
    EXPECT_EQ(value(), "2");
}

TEST_F(CommitErrorTest, FailedForceOfOnePhaseIsSettledByTheWitness) {
    fault_plan().fail_log_sync = true;
    EXPECT_EQ(store_->one_phase(sql_work(1, {"UPDATE t SET v = 2"})).status, WorkStatus::unknown);
    EXPECT_TRUE(store_->must_exit());
    restart();
    bool committed = store_->settle_one_phase(key_of(1)).status == FinishStatus::committed;
    EXPECT_EQ(value(), committed ? "2" : "1");
}

TEST_F(CommitErrorTest, FailedWriteEndsTheProcess) {
    ASSERT_EQ(prepare_change().status, WorkStatus::prepared);
    fault_plan().fail_log_write_io = true;
    EXPECT_EQ(store_->commit(finish_of(1)).status, FinishStatus::unknown);
    EXPECT_TRUE(store_->must_exit());
    restart();
    commit(*store_, 1);
}

TEST_F(CommitErrorTest, FullDiskAtCommitKeepsTheBranch) {
    ASSERT_EQ(prepare_change().status, WorkStatus::prepared);
    fault_plan().fail_log_write = true;
    for (int i = 0; i < 3; ++i) {
        auto result = store_->commit(finish_of(1));
        EXPECT_EQ(result.status, FinishStatus::unknown);
        EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::unknown);
    }
    EXPECT_FALSE(store_->must_exit());
    EXPECT_EQ(store_->list().value().size(), 1U);
    EXPECT_EQ(value(), "1");
    fault_plan().fail_log_write = false;
    commit(*store_, 1);
    EXPECT_EQ(value(), "2");
}

TEST_F(CommitErrorTest, FullDiskAtPrepareIsNotAYes) {
    fault_plan().fail_log_write = true;
    EXPECT_EQ(prepare_change().status, WorkStatus::unknown);
    EXPECT_EQ(store_->one_phase(sql_work(2, {"UPDATE t SET v = 3"})).status, WorkStatus::unknown);
    EXPECT_FALSE(store_->must_exit());
    fault_plan().fail_log_write = false;
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::not_found);
    EXPECT_EQ(store_->settle_one_phase(key_of(2)).status, FinishStatus::aborted);
    EXPECT_EQ(value(), "1");
}

TEST_F(CommitErrorTest, ForcesAreWhatTheLogSees) {
    ASSERT_EQ(prepare_change().status, WorkStatus::prepared);
    commit(*store_, 1);
    int syncs = fault_plan().log_syncs;
    std::uint64_t forces = store_->counters().forces;
    for (std::uint64_t i = 2; i < 12; ++i) {
        prepare(*store_, i, {"UPDATE t SET v = v + 1"});
        commit(*store_, i);
        EXPECT_EQ(store_->execute_prepare(sql_work(100 + i, {"SELECT * FROM t"})).status,
                  WorkStatus::read_only);
    }
    EXPECT_EQ(store_->counters().forces - forces, 20U);
    EXPECT_EQ(fault_plan().log_syncs - syncs, 20);
}

TEST_F(CommitErrorTest, WriteInTheGapRepeatsTheWork) {
    fault_plan().on_write_unlock = [this] { Plain(path_).exec("UPDATE t SET v = 40"); };
    auto result = store_->execute_prepare(sql_work(1, {"UPDATE t SET v = v + 2 RETURNING v"}));
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(store_->counters().gap_repeats, 1U);
    EXPECT_THAT(*result.results, ::testing::HasSubstr("[[42]]"));
    commit(*store_, 1);
    EXPECT_EQ(value(), "42");
}

TEST_F(CommitErrorTest, AWriterThatNeverStopsIsALockTimeout) {
    std::function<void()> again = [this, &again] {
        Plain(path_).exec("UPDATE t SET v = v + 1");
        fault_plan().on_write_unlock = again;
    };
    fault_plan().on_write_unlock = again;
    auto result = prepare_change();
    fault_plan() = {};
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kLockTimeout);
}

TEST_F(CommitErrorTest, DdlInTheGapIsGuardedToo) {
    fault_plan().on_write_unlock = [this] { Plain(path_).exec("CREATE TABLE fresh (a)"); };
    ASSERT_EQ(prepare_change().status, WorkStatus::prepared);
    EXPECT_NE(Plain(path_).try_exec("INSERT INTO fresh VALUES (1)"), "");
    commit(*store_, 1);
}

TEST(ErrorClassTest, EveryCodeOfTheHeaderHasARow) {
    std::ifstream header(SQLITE_HEADER);
    ASSERT_TRUE(header.good()) << SQLITE_HEADER;
    std::regex define(
        R"(^#define (SQLITE_[A-Z_]+) +(\(SQLITE_[A-Z]+ \| ?\(\d+<<8\)\)|\d+ +/\* .*\*/))");
    std::regex other("^SQLITE_(OPEN|IOCAP|LOCK|SYNC|ACCESS|SHM|CHECKPOINT|OK)_.*");
    std::set<std::string> wanted;
    bool in_codes = false;
    for (std::string line; std::getline(header, line);) {
        if (line.starts_with("#define SQLITE_OK ")) in_codes = true;
        if (line.starts_with("#define SQLITE_OPEN_READONLY")) break;
        std::smatch found;
        if (in_codes && std::regex_search(line, found, define)) {
            std::string name = found[1];
            if (!std::regex_match(name, other) || name == "SQLITE_LOCKED") wanted.insert(name);
        }
    }
    wanted.insert("SQLITE_OK");
    EXPECT_GE(wanted.size(), 95U);
    std::set<std::string> present;
    for (const ErrorClass& row : error_classes()) present.insert(std::string(row.name));
    for (const std::string& name : wanted) EXPECT_TRUE(present.contains(name)) << name;
}

TEST(ErrorClassTest, OnlyAFewCodesAreDefiniteAtCommit) {
    for (const ErrorClass& row : error_classes()) {
        SCOPED_TRACE(row.name);
        int primary = row.code & 0xff;
        bool rolled_back = primary == SQLITE_BUSY || primary == SQLITE_LOCKED ||
                           primary == SQLITE_FULL || primary == SQLITE_INTERRUPT ||
                           primary == SQLITE_CONSTRAINT;
        bool success = row.before_commit == Consequence::success;
        EXPECT_EQ(row.at_commit == Consequence::must_exit, !rolled_back && !success);
        EXPECT_EQ(row.reason.empty(), success);
        if (primary == SQLITE_IOERR && row.code != SQLITE_IOERR_NOMEM) {
            EXPECT_EQ(row.before_commit, Consequence::must_exit);
        }
    }
    // Codes of a newer SQLite: as their family; of no family: never definite at COMMIT.
    EXPECT_EQ(error_class(SQLITE_BUSY | (77 << 8)).at_commit, Consequence::unknown);
    EXPECT_EQ(error_class(SQLITE_IOERR | (99 << 8)).before_commit, Consequence::must_exit);
    EXPECT_EQ(error_class(93).at_commit, Consequence::must_exit);
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
