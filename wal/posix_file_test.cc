// The adapter to the operating system, on a real directory.
#include "wal/posix_file.h"

#include "wal/test_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace twofold::wal {
namespace {

using testing::HasSubstr;

struct PosixTest : testing::Test {
    void SetUp() override {
        std::string pattern = testing::TempDir() + "/twofold-wal-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root = std::filesystem::canonical(pattern).string();
        path = root + "/log";
    }
    void TearDown() override { std::filesystem::remove_all(root); }
    std::unique_ptr<PosixDirectory> make() {
        auto opened = PosixDirectory::open(path, {.create = true, .read_only = false});
        EXPECT_TRUE(opened.has_value());
        return std::move(opened).value();
    }
    void expect_refused(const std::string& at, Errc code, const std::string& words) {
        auto opened = PosixDirectory::open(at, {});
        ASSERT_FALSE(opened.has_value());
        EXPECT_EQ(opened.error().code, code) << opened.error().text();
        EXPECT_THAT(opened.error().context, HasSubstr(words));
    }
    std::string root;
    std::string path;
};

TEST_F(PosixTest, creates_the_directory_for_its_owner_alone) {
    auto directory = make();
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0700U);
    EXPECT_TRUE(PosixDirectory::open(path + "/", {}).has_value());
}

TEST_F(PosixTest, refuses_a_directory_that_others_may_enter) {
    make();
    for (mode_t mode : {0701U, 0740U, 0755U, 0777U}) {
        ASSERT_EQ(::chmod(path.c_str(), mode), 0);
        expect_refused(path, Errc::permission_denied, "chmod 0700");
    }
}

TEST_F(PosixTest, refuses_symbolic_links_files_and_nothing) {
    make();
    ASSERT_EQ(::symlink(path.c_str(), (root + "/link").c_str()), 0);
    expect_refused(root + "/link", Errc::precondition_failed, "symbolic link");
    expect_refused(root + "/link/", Errc::precondition_failed, "symbolic link");
    std::ofstream(root + "/file") << "x";
    expect_refused(root + "/file", Errc::precondition_failed, "not a directory");
    expect_refused(root + "/absent", Errc::not_found, "absent");
}

TEST_F(PosixTest, refuses_a_directory_of_another_user) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs to be root to give a directory away";
    make();
    ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
    expect_refused(path, Errc::permission_denied, "belongs to user 12345");
}

TEST_F(PosixTest, names_network_file_systems) {
    EXPECT_EQ(network_filesystem_name(0x6969), "NFS");
    EXPECT_EQ(network_filesystem_name(0xff534d42), "CIFS");
    EXPECT_EQ(network_filesystem_name(0x01021997), "9P");
    EXPECT_EQ(network_filesystem_name(0xef53), "");      // ext4
    EXPECT_EQ(network_filesystem_name(0x794c7630), "");  // overlay
    EXPECT_EQ(network_filesystem_name(0x65735546), "");  // FUSE
}

TEST_F(PosixTest, files_do_what_the_port_says) {
    auto directory = make();
    auto file = directory->create("a").value();
    EXPECT_EQ(directory->create("a").error().code, Errc::already_exists);
    ASSERT_TRUE(file->write_at(3, base::as_bytes("hello")).has_value());
    ASSERT_TRUE(file->force().has_value());
    EXPECT_EQ(file->size().value(), 8U);
    Bytes out(10);
    EXPECT_EQ(file->read_at(4, out).value(), 4U);
    EXPECT_EQ(out[0], 'e');
    ASSERT_TRUE(file->truncate(4).has_value());
    EXPECT_EQ(file->size().value(), 4U);
    ASSERT_TRUE(directory->create("b").has_value());
    EXPECT_EQ(directory->rename("a", "b").error().code, Errc::already_exists);
    ASSERT_TRUE(directory->rename("a", "c").has_value());
    EXPECT_EQ(directory->list().value(), (std::vector<std::string>{"b", "c"}));
    ASSERT_TRUE(directory->remove("b").has_value());
    EXPECT_FALSE(directory->exists("b").value());
    EXPECT_EQ(directory->open("b").error().code, Errc::not_found);
    EXPECT_TRUE(directory->force().has_value());
}

TEST_F(PosixTest, files_that_are_links_or_pipes_are_refused) {
    auto directory = make();
    ASSERT_EQ(::symlink("/etc/passwd", (path + "/link").c_str()), 0);
    EXPECT_THAT(directory->open("link").error().context, HasSubstr("symbolic links"));
    ASSERT_EQ(::mkfifo((path + "/pipe").c_str(), 0600), 0);
    EXPECT_THAT(directory->open("pipe").error().context, HasSubstr("not a regular file"));
}

TEST_F(PosixTest, descriptors_are_closed_on_exec) {
    auto directory = make();
    auto lock = directory->lock();
    auto file = directory->create("a");
    int checked = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code ignored;
        std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
        if (!target.starts_with(path)) continue;
        int flags = ::fcntl(std::stoi(entry.path().filename().string()), F_GETFD);
        EXPECT_NE(flags & FD_CLOEXEC, 0) << target;
        ++checked;
    }
    EXPECT_GE(checked, 3);
}

TEST_F(PosixTest, the_lock_refuses_a_second_holder_and_names_the_first) {
    auto directory = make();
    auto lock = directory->lock();
    ASSERT_TRUE(lock.has_value());
    pid_t parent = ::getpid();
    pid_t child = ::fork();
    if (child == 0) {
        auto again = PosixDirectory::open(path, {});
        bool refused = false;
        if (again.has_value()) {
            auto second = again.value()->lock();
            refused = !second.has_value() && second.error().code == Errc::locked &&
                      second.error().context.find("process " + std::to_string(parent) + ";") !=
                          std::string::npos &&
                      second.error().context.find(path) != std::string::npos;
        }
        ::_exit(refused ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT_EQ(make()->lock().error().code, Errc::locked);  // in the same process too
    lock.value() = nullptr;
    EXPECT_TRUE(make()->lock().has_value());
}

TEST_F(PosixTest, the_lock_ends_with_its_holder) {
    auto directory = make();
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    pid_t child = ::fork();
    if (child == 0) {
        auto lock = make()->lock();
        static_cast<void>(::write(ready[1], lock.has_value() ? "y" : "n", 1));
        ::pause();
    }
    char answer = 0;
    ASSERT_EQ(::read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    EXPECT_THAT(directory->lock().error().context, HasSubstr("process " + std::to_string(child)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(directory->lock().has_value());
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST_F(PosixTest, a_whole_log_on_a_real_disk) {
    auto directory = make();
    auto lock = directory->lock();
    TestLog log(*directory);
    for (int restart = 0; restart < 3; ++restart) {
        ASSERT_TRUE(log.open()) << log.error;
        for (int i = 0; i < 10; ++i) ASSERT_TRUE(log.add(2000)) << log.error;
        ASSERT_TRUE(log.checkpoint()) << log.error;
        ASSERT_TRUE(log.add()) << log.error;
        if (restart == 1) {
            ASSERT_TRUE(log.close_clean());
        }
        log.die();
    }
    auto read_only = PosixDirectory::open(path, {.create = false, .read_only = true});
    ASSERT_TRUE(read_only.has_value());
    EXPECT_EQ(read_back(*read_only.value()).records, log.acknowledged);
    auto file = read_only.value()->open(kDurableMarkName);
    EXPECT_FALSE(file.value()->write_at(0, base::as_bytes("x")).has_value());
}

}  // namespace
}  // namespace twofold::wal
