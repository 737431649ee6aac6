// Which files are refused, and what is noticed while one is open.
#include "participant/sqlite/database_file.h"

#include "participant/sqlite/fault_vfs.h"
#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace twofold::participant::sqlite::test {
namespace {

using base::Errc;
using protocol::FinishStatus;
using protocol::WorkStatus;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
namespace reason = protocol::reason;

class DatabaseFileTest : public ::testing::Test {
protected:
    DatabaseFileTest() : path_(folder_.file("a.db")) {
        make_database(path_, "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    }

    void expect_refused(const StoreOptions& options, Errc code, const std::string& text) {
        auto store = Store::open(options);
        ASSERT_FALSE(store.has_value());
        EXPECT_EQ(store.error().code, code) << store.error().text();
        EXPECT_THAT(store.error().context, HasSubstr(text));
    }

    // Everything stops, and nothing definite is said.
    void expect_stopped(Store& store) {
        EXPECT_EQ(store.commit(finish_of(1)).status, FinishStatus::unknown);
        EXPECT_TRUE(store.must_exit());
        auto work = store.execute_prepare(sql_work(2, {"DELETE FROM t"}));
        EXPECT_EQ(work.status, WorkStatus::refused);
        EXPECT_EQ(work.reason.code, reason::kIdentityMismatch);
        EXPECT_FALSE(store.list().has_value());
    }

    TempFolder folder_;
    std::string path_;
};

TEST_F(DatabaseFileTest, NamesThatAreNotPaths) {
    for (const char* path : {"", "file:a.db", "file:/x?vfs=unix-none", ":memory:"}) {
        expect_refused(options_for(path), Errc::invalid_argument, "must be the path of a file");
    }
    expect_refused(options_for("/nonexistent-folder/a.db"), Errc::not_found, "nonexistent-folder");
    StoreOptions options = options_for(folder_.file("none.db"));
    options.create = false;
    expect_refused(options, Errc::not_found, "create: true");
}

TEST_F(DatabaseFileTest, LinksAndFolders) {
    fs::create_symlink(path_, folder_.file("soft.db"));
    expect_refused(
        options_for(folder_.file("soft.db")), Errc::precondition_failed, "symbolic link");
    fs::create_hard_link(path_, folder_.file("hard.db"));
    expect_refused(options_for(path_), Errc::precondition_failed, "2 names");
    fs::create_directory(folder_.file("folder.db"));
    expect_refused(
        options_for(folder_.file("folder.db")), Errc::precondition_failed, "not a regular file");
}

TEST_F(DatabaseFileTest, LinkedFoldersAreFine) {
    fs::create_directory(folder_.file("real"));
    fs::create_directory_symlink(folder_.file("real"), folder_.file("linked"));
    auto store = open_store(folder_.file("linked/b.db"));
    EXPECT_TRUE(fs::exists(folder_.file("real/b.db")));
}

TEST_F(DatabaseFileTest, OwnedFilesArePrivate) {
    auto mode = [](const std::string& path) {
        struct stat info {};
        EXPECT_EQ(stat(path.c_str(), &info), 0);
        return info.st_mode & 0777U;
    };
    chmod(path_.c_str(), 0644);
    expect_refused(options_for(path_), Errc::permission_denied, "chmod 600");
    StoreOptions shared = options_for(path_);
    shared.shared = true;
    EXPECT_NE(open_store(shared), nullptr);
    auto store = open_store(folder_.file("new.db"));
    EXPECT_EQ(mode(folder_.file("new.db")), 0600U);
    EXPECT_EQ(mode(folder_.file("new.db-wal")), 0600U);
}

TEST_F(DatabaseFileTest, OnlyOneProcess) {
    auto store = open_store(path_);
    expect_refused(
        options_for(path_),
        Errc::locked,
        "another participant process (process " + std::to_string(getpid()) + ") has it open");
}

TEST_F(DatabaseFileTest, NotADatabase) {
    fs::resize_file(path_, 0);
    EXPECT_NE(open_store(path_), nullptr) << "an empty file is an empty database";
    std::string other = folder_.file("b.db");
    make_database(other, "");
    FILE* file = std::fopen(other.c_str(), "w");
    for (int i = 0; i < 1000; ++i) std::fputs("this is no database\n", file);
    std::fclose(file);
    expect_refused(options_for(other), Errc::corrupt, "SQLITE_NOTADB");
}

TEST_F(DatabaseFileTest, NewerFormatIsRefused) {
    open_store(path_).reset();
    Plain(path_).exec("UPDATE _tc_meta SET value = 2 WHERE name = 'format'");
    expect_refused(options_for(path_), Errc::unsupported_version, "format 2");
}

TEST_F(DatabaseFileTest, ReplacedFileStops) {
    auto store = open_store(path_);
    prepare(*store, 1, {"DELETE FROM t"});
    fs::copy_file(path_, folder_.file("copy.db"));
    fs::rename(folder_.file("copy.db"), path_);
    expect_stopped(*store);
}

TEST_F(DatabaseFileTest, MovedFileStops) {
    auto store = open_store(path_);
    prepare(*store, 1, {"DELETE FROM t"});
    fs::rename(path_, folder_.file("moved.db"));
    expect_stopped(*store);
}

TEST_F(DatabaseFileTest, DeletedLogStops) {
    for (const char* suffix : {"-wal", "-shm"}) {
        SCOPED_TRACE(suffix);
        std::string path = folder_.file(std::string("b.db") + suffix);
        make_database(path, "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
        auto store = open_store(path);
        prepare(*store, 1, {"DELETE FROM t"});
        fs::remove(path + suffix);
        expect_stopped(*store);
    }
}

TEST_F(DatabaseFileTest, SecondNameStops) {
    auto store = open_store(path_);
    prepare(*store, 1, {"DELETE FROM t"});
    fs::create_hard_link(path_, folder_.file("hard.db"));
    expect_stopped(*store);
}

TEST_F(DatabaseFileTest, OtherIdentityStops) {
    auto store = open_store(path_);
    prepare(*store, 1, {"DELETE FROM t"});
    Plain(path_).exec("UPDATE _tc_meta SET value = 'other' WHERE name = 'database_uuid'");
    expect_stopped(*store);
}

TEST_F(DatabaseFileTest, GoingBackStops) {
    auto store = open_store(path_);
    prepare(*store, 1, {"DELETE FROM t"});
    Plain(path_).exec("UPDATE _tc_meta SET value = 0 WHERE name = 'counter'");
    expect_stopped(*store);
}

// With a VFS there is no lock between processes: then the epoch alone keeps the older one out.
TEST_F(DatabaseFileTest, OlderEpochStops) {
    StoreOptions options = options_for(path_);
    options.vfs = fault_vfs();
    auto older = open_store(options);
    prepare(*older, 1, {"DELETE FROM t"});
    auto newer = open_store(options);
    expect_stopped(*older);
    EXPECT_EQ(newer->rollback(finish_of(1)).status, FinishStatus::aborted);
    EXPECT_EQ(newer->execute_prepare(sql_work(3, {"DELETE FROM t"})).status, WorkStatus::prepared);
}

TEST_F(DatabaseFileTest, IdentityIsTheFilesOwn) {
    auto first = Store::open(options_for(path_)).value()->start().value();
    StoreOptions other = options_for(folder_.file("b.db"));
    other.uuid_if_new.reset();
    auto second = Store::open(other).value()->start().value();
    EXPECT_NE(first.identity, second.identity);
    other.uuid_if_new = test_uuid();
    EXPECT_EQ(Store::open(other).value()->start().value().identity, second.identity);
}

TEST(NetworkFileSystemTest, KnownOnesAreRefused) {
    EXPECT_EQ(network_file_system(0x6969), "nfs");
    EXPECT_EQ(network_file_system(0xff534d42L), "cifs");
    EXPECT_EQ(network_file_system(0xef53), "") << "ext4";
    EXPECT_EQ(network_file_system(0x01021994), "") << "tmpfs";
    EXPECT_EQ(network_file_system(0x794c7630), "") << "overlayfs";
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
