#include "wal/posix_file.h"

#include "base/crash_point.h"
#include "wal/core/segment_name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace twofold::wal {

namespace {

class Descriptor {
public:
    explicit Descriptor(int value) : value_(value) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        // Nothing is learnt from close(): what matters was forced before.
        if (value_ >= 0) static_cast<void>(::close(value_));
    }
    [[nodiscard]] int get() const { return value_; }
    int release() { return std::exchange(value_, -1); }

private:
    int value_;
};

Errc errc_of(int error) {
    switch (error) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG: return Errc::disk_full;
        case ENOENT: return Errc::not_found;
        case EEXIST: return Errc::already_exists;
        case EACCES:
        case EPERM: return Errc::permission_denied;
        case ELOOP:
        case ENOTDIR: return Errc::precondition_failed;
        default: return Errc::io_error;
    }
}

// `subject` is the path, `doing` what was tried. Call it before errno can change.
base::Error os_error(const std::string& subject, std::string_view doing) {
    int error = errno;
    std::string text = subject + ": cannot " + std::string(doing) + ": " + std::strerror(error);
    if (error == EROFS)
        text += "; the file system is mounted read-only or became so after an error";
    if (error == EFBIG) text += "; raise the limit of file sizes (ulimit -f)";
    if (error == ELOOP) text += "; symbolic links are not followed here";
    return base::fail(errc_of(error), std::move(text));
}

// True, with errno set, when a test wants the next call to fail.
bool is_fault_due() {
    int error = TWOFOLD_IO_ERROR();
    if (error != 0) errno = error;
    return error != 0;
}

template <class Call>
auto retry_interrupted(Call call) {
    auto result = call();
    while (result == -1 && errno == EINTR) result = call();
    return result;
}

class PosixFile : public File {
public:
    PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

    Result<void> write_at(std::uint64_t offset, ByteSpan bytes) override {
        while (!bytes.empty()) {
            ssize_t count = retry_interrupted([&]() -> ssize_t {
                if (is_fault_due()) return -1;
                return ::pwrite(descriptor_.get(),
                                bytes.data(),
                                TWOFOLD_IO_SIZE(bytes.size()),
                                static_cast<off_t>(offset));
            });
            if (count < 0) return os_error(path_, "write");
            if (count == 0)
                return base::fail(Errc::io_error, path_ + ": the write made no progress");
            bytes = bytes.subspan(static_cast<std::size_t>(count));
            offset += static_cast<std::uint64_t>(count);
        }
        return base::ok();
    }

    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
        std::size_t total = 0;
        while (total < out.size()) {
            ssize_t count = retry_interrupted([&] {
                return ::pread(descriptor_.get(),
                               out.data() + total,
                               out.size() - total,
                               static_cast<off_t>(offset + total));
            });
            if (count < 0) return os_error(path_, "read");
            if (count == 0) break;
            total += static_cast<std::size_t>(count);
        }
        return total;
    }

    // Not repeated on EINTR: a second call could report success for pages that the first one lost.
    Result<void> force() override {
        if (is_fault_due() || ::fdatasync(descriptor_.get()) != 0)
            return os_error(path_, "force (fdatasync)");
        return base::ok();
    }

    Result<std::uint64_t> size() override {
        struct stat status {};
        if (::fstat(descriptor_.get(), &status) != 0) return os_error(path_, "read the size");
        return static_cast<std::uint64_t>(status.st_size);
    }

    Result<void> truncate(std::uint64_t size) override {
        int result = retry_interrupted(
            [&] { return ::ftruncate(descriptor_.get(), static_cast<off_t>(size)); });
        if (result != 0) return os_error(path_, "truncate");
        return base::ok();
    }

private:
    Descriptor descriptor_;
    std::string path_;
};

class PosixLock : public Lock {
public:
    explicit PosixLock(int descriptor) : descriptor_(descriptor) {}

private:
    Descriptor descriptor_;  // closing it releases the lock
};

std::string read_holder(int descriptor) {
    std::string text(32, '\0');
    ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    text.erase(std::ranges::find_if_not(text, [](char c) { return c >= '0' && c <= '9'; }),
               text.end());
    return text.empty() ? "unknown" : text;
}

Result<void> check_directory(int descriptor, const std::string& path) {
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) return os_error(path, "read its owner and mode");
    if (status.st_uid != ::geteuid()) {
        return base::fail(Errc::permission_denied,
                          path + ": the directory belongs to user " +
                              std::to_string(status.st_uid) + ", this process runs as " +
                              std::to_string(::geteuid()) + "; change its owner with chown");
    }
    if ((status.st_mode & 077U) != 0) {
        return base::fail(Errc::permission_denied,
                          path + ": the directory is open to other users; run: chmod 0700 " + path);
    }
    struct statfs filesystem {};
    if (::fstatfs(descriptor, &filesystem) != 0) return os_error(path, "read its file system type");
    std::string_view network =
        network_filesystem_name(static_cast<unsigned long>(filesystem.f_type));
    if (!network.empty()) {
        return base::fail(
            Errc::precondition_failed,
            path + ": the directory is on a network file system (" + std::string(network) +
                "), where locks and forced writes cannot be relied on; use a local disk");
    }
    return base::ok();
}

std::string parent_of(const std::string& path) {
    std::size_t end = path.find_last_not_of('/');
    std::size_t slash = path.rfind('/', end);
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

// A directory whose name is not durable could vanish with everything in it.
Result<void> create_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0) {
        if (errno == EEXIST) return base::ok();
        return os_error(path, "create the directory");
    }
    std::string parent = parent_of(path);
    Descriptor descriptor(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.get() < 0) return os_error(parent, "open the directory");
    if (::fsync(descriptor.get()) != 0) return os_error(parent, "force the directory");
    return base::ok();
}

}  // namespace

std::string_view network_filesystem_name(unsigned long type) {
    switch (type & 0xffffffffUL) {
        case 0x6969UL: return "NFS";
        case 0x517bUL: return "SMB";
        case 0xfe534d42UL: return "SMB2";
        case 0xff534d42UL: return "CIFS";
        case 0x01021997UL: return "9P";
        case 0x5346414fUL: return "AFS";
        default: return {};
    }
}

Result<std::unique_ptr<PosixDirectory>> PosixDirectory::open(const std::string& path,
                                                             Options options) {
    if (options.create) {
        TWOFOLD_TRY(create_directory(path));
    }
    // A trailing slash would make the kernel follow a symbolic link.
    std::string trimmed = path;
    while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
    struct stat status {};
    if (::lstat(trimmed.c_str(), &status) != 0) return os_error(trimmed, "open the directory");
    if (!S_ISDIR(status.st_mode)) {
        return base::fail(
            Errc::precondition_failed,
            trimmed + (S_ISLNK(status.st_mode) ? ": is a symbolic link; name the directory itself"
                                               : ": is not a directory"));
    }
    // O_NOFOLLOW again: the name may have changed since lstat.
    Descriptor descriptor(::open(trimmed.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (descriptor.get() < 0) return os_error(trimmed, "open the directory");
    TWOFOLD_TRY(check_directory(descriptor.get(), trimmed));
    return std::unique_ptr<PosixDirectory>(
        new PosixDirectory(descriptor.release(), trimmed, options.read_only));
}

PosixDirectory::~PosixDirectory() { static_cast<void>(::close(descriptor_)); }

Result<std::unique_ptr<File>> PosixDirectory::open_file(std::string_view name,
                                                        int flags,
                                                        const char* doing) {
    std::string path = path_ + "/" + std::string(name);
    int value = retry_interrupted([&] {
        if (is_fault_due()) return -1;
        return ::openat(descriptor_,
                        std::string(name).c_str(),
                        flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                        0600);
    });
    Descriptor descriptor(value);
    if (value < 0) return os_error(path, doing);
    struct stat status {};
    if (::fstat(value, &status) != 0) return os_error(path, "read its type");
    if (!S_ISREG(status.st_mode)) {
        return base::fail(Errc::precondition_failed, path + ": is not a regular file");
    }
    if (status.st_uid != ::geteuid()) {
        return base::fail(Errc::permission_denied, path + ": belongs to another user");
    }
    return std::unique_ptr<File>(
        std::make_unique<PosixFile>(descriptor.release(), std::move(path)));
}

Result<std::unique_ptr<File>> PosixDirectory::open(std::string_view name) {
    return open_file(name, read_only_ ? O_RDONLY : O_RDWR, "open");
}

Result<std::unique_ptr<File>> PosixDirectory::create(std::string_view name) {
    return open_file(name, O_RDWR | O_CREAT | O_EXCL, "create");
}

Result<std::vector<std::string>> PosixDirectory::list() {
    // A descriptor of its own: reading entries moves the position, which dup would share.
    int value = ::openat(descriptor_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (value < 0) return os_error(path_, "list");
    DIR* stream = ::fdopendir(value);
    if (stream == nullptr) {
        auto error = os_error(path_, "list");
        static_cast<void>(::close(value));
        return error;
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
        std::string_view name(&entry->d_name[0]);
        if (name != "." && name != "..") names.emplace_back(name);
        errno = 0;
    }
    bool failed = errno != 0;
    base::Error error = os_error(path_, "list");
    static_cast<void>(::closedir(stream));
    if (failed) return error;
    std::ranges::sort(names);
    return names;
}

Result<bool> PosixDirectory::exists(std::string_view name) {
    struct stat status {};
    if (::fstatat(descriptor_, std::string(name).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
        return true;
    }
    if (errno == ENOENT) return false;
    return os_error(path_ + "/" + std::string(name), "look up");
}

Result<void> PosixDirectory::rename(std::string_view from, std::string_view to) {
    std::string from_name(from);
    std::string to_name(to);
    int result = -1;
    if (!is_fault_due()) {
        result = ::renameat2(
            descriptor_, from_name.c_str(), descriptor_, to_name.c_str(), RENAME_NOREPLACE);
    }
    // Some file systems lack the flag. We hold the directory's lock, so looking first is enough.
    if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
        TWOFOLD_TRY(bool taken, exists(to));
        if (taken) {
            return base::fail(Errc::already_exists, path_ + "/" + to_name + ": the name is taken");
        }
        result = ::renameat(descriptor_, from_name.c_str(), descriptor_, to_name.c_str());
    }
    if (result != 0) return os_error(path_ + "/" + from_name, "rename to " + to_name);
    return base::ok();
}

Result<void> PosixDirectory::remove(std::string_view name) {
    if (is_fault_due() || ::unlinkat(descriptor_, std::string(name).c_str(), 0) != 0) {
        return os_error(path_ + "/" + std::string(name), "remove");
    }
    return base::ok();
}

Result<void> PosixDirectory::force() {
    if (is_fault_due() || ::fsync(descriptor_) != 0) {
        return os_error(path_, "force the directory (fsync)");
    }
    return base::ok();
}

// flock belongs to the open file description, so a second open in the same process is refused too.
// It is released when the last descriptor closes: close-on-exec keeps it from leaking into programs
// that we start, and a process that forks without exec would share it.
Result<std::unique_ptr<Lock>> PosixDirectory::lock() {
    std::string path = path_ + "/" + std::string(kLockName);
    int value = ::openat(descriptor_,
                         std::string(kLockName).c_str(),
                         O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                         0600);
    Descriptor descriptor(value);
    if (value < 0) return os_error(path, "open the lock file");
    if (retry_interrupted([&] { return ::flock(value, LOCK_EX | LOCK_NB); }) != 0) {
        if (errno != EWOULDBLOCK) return os_error(path, "lock");
        return base::fail(Errc::locked,
                          path_ + ": the log is in use by process " + read_holder(value) +
                              "; stop that process, or give this one its own directory");
    }
    std::string pid = std::to_string(::getpid()) + "\n";
    PosixFile holder(::fcntl(value, F_DUPFD_CLOEXEC, 0), path);
    TWOFOLD_TRY(holder.truncate(0));
    TWOFOLD_TRY(holder.write_at(0, base::as_bytes(pid)));
    return std::unique_ptr<Lock>(std::make_unique<PosixLock>(descriptor.release()));
}

}  // namespace twofold::wal
