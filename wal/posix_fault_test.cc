// The adapter to the operating system when that fails: full disks of three real kinds, and errors
// that no test can order from a disk, through an interposed seam: this program defines pwrite,
// pread, fdatasync and fsync itself, passes them on to the kernel, and fails where a test says so.
#undef _FORTIFY_SOURCE  // it makes pread an inline function, which cannot be defined here

#include "wal/posix_file.h"
#include "wal/test_log.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>

namespace {

enum class SystemCall : std::uint8_t { pwrite, pread, fdatasync, fsync };

// What a call does instead of its work: fails with this errno, or moves only so many bytes.
struct Instead {
    int error = 0;
    std::optional<std::size_t> at_most;
};

std::function<std::optional<Instead>(SystemCall)> fault;  // empty: nothing fails

// True when the call has failed; errno is set.
bool fails(SystemCall call, std::size_t* size) {
    if (!fault) return false;
    std::optional<Instead> instead = fault(call);
    if (!instead) return false;
    if (instead->at_most && size != nullptr) *size = std::min(*size, *instead->at_most);
    errno = instead->error;
    return instead->error != 0;
}

}  // namespace

// ---- the seam
// ---------------------------------------------------------------------------------------

extern "C" ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
    if (fails(SystemCall::pwrite, &size)) return -1;
    return ::syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}

extern "C" ssize_t pread(int descriptor, void* bytes, size_t size, off_t offset) {
    if (fails(SystemCall::pread, &size)) return -1;
    return ::syscall(SYS_pread64, descriptor, bytes, size, offset);
}

extern "C" int fdatasync(int descriptor) {
    if (fails(SystemCall::fdatasync, nullptr)) return -1;
    return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

extern "C" int fsync(int descriptor) {
    if (fails(SystemCall::fsync, nullptr)) return -1;
    return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

namespace twofold::wal {
namespace {

using testing::HasSubstr;

class PosixFault : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "/twofold-wal-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root_ = std::filesystem::canonical(pattern).string();
    }
    void TearDown() override {
        fault = nullptr;
        std::filesystem::remove_all(root_);
    }
    std::unique_ptr<PosixDirectory> directory_at(const std::string& path) {
        auto opened = PosixDirectory::open(path, {.create = true, .read_only = false});
        EXPECT_TRUE(opened.has_value()) << opened.error().text();
        return opened.has_value() ? std::move(opened).value() : nullptr;
    }
    std::unique_ptr<PosixDirectory> directory() { return directory_at(root_ + "/log"); }

    std::string root_;
};

// Every n-th call of a kind from now on.
auto every(SystemCall kind, int n, Instead instead) {
    return [kind, n, instead, calls = 0](SystemCall call) mutable -> std::optional<Instead> {
        if (call != kind || ++calls % n != 0) return std::nullopt;
        return instead;
    };
}

// ---- what is no failure
// -----------------------------------------------------------------------------

TEST_F(PosixFault, short_and_interrupted_calls_are_gone_on_with) {
    auto posix = directory();
    TestLog log(*posix);
    int interrupted = 0;
    fault = [&interrupted, calls = 0](SystemCall call) mutable -> std::optional<Instead> {
        if (call != SystemCall::pwrite && call != SystemCall::pread) return std::nullopt;
        if (++calls % 3 == 0) {
            ++interrupted;
            return Instead{.error = EINTR, .at_most = {}};
        }
        return Instead{.error = 0, .at_most = 1000};
    };
    ASSERT_TRUE(log.open()) << log.error;
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(log.add(700)) << log.error;
    ASSERT_TRUE(log.checkpoint() && log.add()) << log.error;
    EXPECT_EQ(read_back(*posix).records, log.acknowledged) << "read in pieces";
    fault = nullptr;
    EXPECT_EQ(read_back(*posix).records, log.acknowledged) << "read whole";
    EXPECT_GT(interrupted, 100) << "the seam is not in the way of the calls";
}

// ---- errors
// ---------------------------------------------------------------------------------------------

struct Failure {
    SystemCall call;
    int error;
    const char* words;  // that the message must have
};

TEST_F(PosixFault, a_failed_write_or_force_is_named_and_final) {
    for (const Failure& failure : {Failure{SystemCall::pwrite, EIO, "cannot write"},
                                   Failure{SystemCall::pwrite, EROFS, "mounted read-only"},
                                   Failure{SystemCall::fdatasync, EIO, "cannot force"},
                                   Failure{SystemCall::fdatasync, ENOSPC, "cannot force"},
                                   // Repeating it could report success for pages that were lost.
                                   Failure{SystemCall::fdatasync, EINTR, "cannot force"}}) {
        SCOPED_TRACE(std::string(failure.words) + ", " + std::strerror(failure.error));
        auto posix = directory();
        TestLog log(*posix);
        ASSERT_TRUE(log.open() && log.add()) << log.error;
        int tried = 0;
        fault = [&](SystemCall call) -> std::optional<Instead> {
            if (call != failure.call) return std::nullopt;
            ++tried;
            return Instead{.error = failure.error, .at_most = {}};
        };
        EXPECT_FALSE(log.add());
        EXPECT_THAT(log.error, HasSubstr(failure.words));
        EXPECT_THAT(log.error, HasSubstr(std::strerror(failure.error)));
        EXPECT_THAT(log.error, HasSubstr("/log/")) << "which file?";
        EXPECT_EQ(tried, 1) << "it was tried again";
        fault = nullptr;
        EXPECT_TRUE(log.writer().poisoned());
        EXPECT_FALSE(log.force()) << "a writer that failed must stay failed";
        Records acknowledged = log.acknowledged;
        log.die();
        ASSERT_TRUE(log.open()) << log.error;
        EXPECT_TRUE(is_prefix(acknowledged, log.attempted)) << "something acknowledged was lost";
    }
}

TEST_F(PosixFault, a_write_without_progress_ends) {
    auto posix = directory();
    TestLog log(*posix);
    ASSERT_TRUE(log.open());
    fault = every(SystemCall::pwrite, 1, {.error = 0, .at_most = 0});
    EXPECT_FALSE(log.add());
    EXPECT_THAT(log.error, HasSubstr("no progress"));
}

TEST_F(PosixFault, a_failed_force_of_the_directory_poisons) {
    auto posix = directory();
    TestLog log(*posix);
    ASSERT_TRUE(log.open() && log.add()) << log.error;
    fault = every(SystemCall::fsync, 1, {.error = EIO, .at_most = {}});
    EXPECT_FALSE(log.checkpoint());
    EXPECT_THAT(log.error, HasSubstr("force the directory"));
    EXPECT_TRUE(log.writer().poisoned());
}

TEST_F(PosixFault, a_failed_read_is_no_torn_tail) {
    auto posix = directory();
    TestLog log(*posix);
    ASSERT_TRUE(log.open() && log.add() && log.add()) << log.error;
    log.die();
    for (int n = 1; n < 6; ++n) {
        fault = every(SystemCall::pread, n, {.error = EIO, .at_most = {}});
        ReadBack back = read_back(*posix);
        ASSERT_FALSE(back.summary.has_value()) << "read " << n << " failed, and nobody noticed";
        EXPECT_EQ(back.summary.error().code, Errc::io_error) << back.summary.error().text();
    }
}

// ---- no space: the log stops to admit work, says so, and goes on when there is some
// -----------------------------------------------------------------

void expect_full_and_then_free(Directory& directory,
                               WriterOptions options,
                               const std::function<void()>& make_space) {
    TestLog log(directory, options);
    ASSERT_TRUE(log.open()) << log.error;
    int admitted = 0;
    for (; log.writer().has_room_for_new_work() && admitted < 1000; ++admitted) {
        ASSERT_TRUE(log.add(3000) && log.maintain()) << log.error;
    }
    ASSERT_FALSE(log.writer().has_room_for_new_work()) << "the disk did not become full";
    EXPECT_TRUE(log.add(10)) << "the reserve is for work that was admitted: " << log.error;
    while (log.add(3000)) {
    }
    EXPECT_THAT(log.error, HasSubstr("disk_full"));
    EXPECT_FALSE(log.writer().poisoned());
    EXPECT_EQ(read_back(directory).records, log.acknowledged);
    const auto names = directory.list();
    ASSERT_TRUE(names.has_value());
    for (const std::string& name : names.value()) {
        EXPECT_NE(parse_name(name).kind, FileKind::unfinished_spare)
            << name << " holds space that is missing elsewhere";
    }
    make_space();
    ASSERT_TRUE(log.force()) << "what was refused is still pending: " << log.error;
    ASSERT_TRUE(log.writer().refill_reserve().has_value());
    EXPECT_TRUE(log.writer().has_room_for_new_work());
    EXPECT_EQ(read_back(directory).records, log.attempted);
}

TEST_F(PosixFault, no_space_ahead_of_need_harms_nothing) {
    for (int error : {ENOSPC, EDQUOT, EFBIG}) {
        SCOPED_TRACE(std::strerror(error));
        auto posix = directory_at(root_ + "/log-" + std::to_string(error));
        TestLog log(*posix);
        ASSERT_TRUE(log.open() && log.add()) << log.error;
        int refused = 0;
        fault = [&](SystemCall call) -> std::optional<Instead> {
            if (call != SystemCall::pwrite) return std::nullopt;
            ++refused;
            return Instead{.error = error, .at_most = {}};
        };
        EXPECT_TRUE(log.maintain()) << log.error;
        EXPECT_EQ(refused, 1) << "the next spare was not begun";
        fault = nullptr;
        EXPECT_FALSE(log.writer().poisoned());
        EXPECT_TRUE(log.add(5000) && log.add(5000)) << log.error;
        EXPECT_EQ(read_back(*posix).records, log.acknowledged);
    }
}

// A file system of 160 KiB in a mount namespace of our own.
TEST_F(PosixFault, a_file_system_that_is_really_full) {
    bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                   ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                   ::mount("twofold", root_.c_str(), "tmpfs", 0, "size=160k,mode=0700") == 0;
    if (!mounted) {
        GTEST_SKIP() << "a small tmpfs cannot be mounted here: " << std::strerror(errno);
    }
    auto posix = directory();
    WriterOptions options = small_options();
    options.reserve_segments = 2;
    expect_full_and_then_free(*posix, options, [this] {
        ASSERT_EQ(::mount("none", root_.c_str(), nullptr, MS_REMOUNT, "size=10m"), 0)
            << std::strerror(errno);
    });
    posix = nullptr;
    EXPECT_EQ(::umount2(root_.c_str(), MNT_DETACH), 0);
}

// The limit of a file's size (ulimit -f): EFBIG, and a signal that kills who does not ignore it.
TEST_F(PosixFault, a_limit_of_file_sizes_is_a_full_disk) {
    auto* before = ::signal(SIGXFSZ, SIG_IGN);
    rlimit normal{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &normal), 0);
    constexpr rlim_t kLimit = 1U << 20U;
    auto posix = directory();
    WriterOptions options = small_options();
    options.segment_size_bytes = 2 * kLimit;
    TestLog log(*posix, options);
    rlimit low = normal;
    low.rlim_cur = kLimit;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
    EXPECT_FALSE(log.open());
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &normal), 0);
    EXPECT_THAT(log.error, HasSubstr("disk_full"));
    EXPECT_THAT(log.error, HasSubstr("ulimit -f"));
    ASSERT_TRUE(log.open() && log.add()) << log.error;
    EXPECT_EQ(read_back(*posix).records, log.acknowledged);
    ::signal(SIGXFSZ, before);
}

}  // namespace
}  // namespace twofold::wal
