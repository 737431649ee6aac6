#include "participant/sqlite/database_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

namespace twofold::participant::sqlite {

namespace {

using base::Errc;

base::Error os_failure(Errc code, const std::string& what) {
    return base::fail(code, what + ": " + std::strerror(errno));
}

base::Result<std::string> resolve(const std::string& path) {
    // SQLite may be built to read such names as URIs, with options in them.
    if (path.empty() || path.starts_with("file:") || path.starts_with(":")) {
        return base::fail(Errc::invalid_argument,
                          "database path \"" + path + "\": must be the path of a file");
    }
    std::size_t slash = path.rfind('/');
    std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name.empty()) return base::fail(Errc::invalid_argument, path + ": is a folder");
    std::unique_ptr<char, decltype(&std::free)> real(realpath(folder.c_str(), nullptr), &std::free);
    if (real == nullptr) return os_failure(Errc::not_found, "folder " + folder);
    return std::string(real.get()) + "/" + name;
}

base::Result<void> check_file_system(const std::string& path) {
    struct statfs info {};
    if (statfs(path.c_str(), &info) != 0) return os_failure(Errc::io_error, path);
    std::string_view name = network_file_system(static_cast<long>(info.f_type));
    if (name.empty()) return base::ok();
    return base::fail(Errc::precondition_failed,
                      path + ": is on a network file system (" + std::string(name) +
                          "), where SQLite's locks and shared memory do not work; move it to a "
                          "local disk");
}

base::Result<void> create_file(const std::string& path, bool shared) {
    mode_t mode = shared ? 0660 : 0600;
    int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file < 0) return os_failure(Errc::permission_denied, "creating " + path);
    close(file);
    // The name must survive a power failure, or the whole file would be gone with its records.
    std::string folder = path.substr(0, path.rfind('/') + 1);
    int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool forced = directory >= 0 && fsync(directory) == 0;
    int error = errno;
    if (directory >= 0) close(directory);
    errno = error;
    return forced ? base::Result<void>(base::ok())
                  : os_failure(Errc::io_error, "forcing " + folder);
}

base::Result<void> check_file(const std::string& path, bool shared) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return os_failure(Errc::io_error, path);
    if (S_ISLNK(info.st_mode)) {
        return base::fail(Errc::precondition_failed,
                          path + ": is a symbolic link; give the path of the file itself");
    }
    if (!S_ISREG(info.st_mode)) {
        return base::fail(Errc::precondition_failed, path + ": is not a regular file");
    }
    if (info.st_nlink != 1) {
        return base::fail(Errc::precondition_failed,
                          path + ": has " + std::to_string(info.st_nlink) +
                              " names (hard links); SQLite finds its log by name, so there must "
                              "be only one");
    }
    if (shared) return base::ok();
    if (info.st_uid != geteuid()) {
        return base::fail(Errc::permission_denied,
                          path + ": belongs to another user; change its owner or set shared: true");
    }
    if ((info.st_mode & 0077U) != 0) {
        return base::fail(Errc::permission_denied,
                          path +
                              ": other users may access it; run \"chmod 600\" on it, or set "
                              "shared: true if they are meant to");
    }
    return base::ok();
}

// So that who is refused can be told whom to look for. Nobody relies on it: the lock is the flock.
void write_holder(int file) {
    std::string text = std::to_string(getpid()) + "\n";
    bool written = ftruncate(file, 0) == 0 &&
                   pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
    static_cast<void>(written);
}

// " (process 123)", or "" when nobody has written it.
std::string holder_of(int file) {
    std::array<char, 16> text{};
    ssize_t size = pread(file, text.data(), text.size(), 0);
    std::string_view number(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    number = number.substr(0, number.find('\n'));
    bool is_number =
        !number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos;
    return is_number ? " (process " + std::string(number) + ")" : "";
}

base::Result<int> take_lock(const std::string& path) {
    std::string name = path + "-twofold";
    int file = open(name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return os_failure(Errc::permission_denied, "opening " + name);
    if (flock(file, LOCK_EX | LOCK_NB) == 0) {
        write_holder(file);
        return file;
    }
    bool held = errno == EWOULDBLOCK;
    base::Error error = os_failure(Errc::io_error, "locking " + name);
    std::string holder = holder_of(file);
    close(file);
    if (!held) return error;
    return base::fail(Errc::locked,
                      path + ": another participant process" + holder + " has it open");
}

}  // namespace

std::string_view network_file_system(long magic) {
    struct Known {
        long magic;
        std::string_view name;
    };
    static constexpr Known kKnown[] = {
        {0x6969, "nfs"},
        {0x517b, "smb"},
        {0xff534d42L, "cifs"},
        {0xfe534d42L, "smb2"},
        {0x01021997, "9p"},
        {0x00c36400, "ceph"},
        {0x5346414f, "afs"},
        {0x6b414653, "afs"},
        {0x73757245, "coda"},
        {0x0bd00bd0, "lustre"},
        {0x01161970, "gfs2"},
        {0x7461636f, "ocfs2"},
        {0x47504653, "gpfs"},
        {0x013111a8, "ibrix"},
        {0x564c, "ncp"},
    };
    for (const Known& known : kKnown) {
        if (known.magic == magic) return known.name;
    }
    return {};
}

base::Result<DatabaseFile> DatabaseFile::claim(const Options& options) {
    DatabaseFile file;
    TWOFOLD_TRY(file.path_, resolve(options.path));
    std::string folder = file.path_.substr(0, file.path_.rfind('/') + 1);
    TWOFOLD_TRY(check_file_system(folder));
    TWOFOLD_TRY(file.lock_, take_lock(file.path_));
    struct stat info {};
    if (lstat(file.path_.c_str(), &info) != 0) {
        if (errno != ENOENT) return os_failure(Errc::permission_denied, file.path_);
        if (!options.create) {
            return base::fail(Errc::not_found,
                              file.path_ + ": does not exist; create it or set create: true");
        }
        TWOFOLD_TRY(create_file(file.path_, options.shared));
    }
    TWOFOLD_TRY(check_file(file.path_, options.shared));
    TWOFOLD_TRY(check_file_system(file.path_));
    return file;
}

DatabaseFile::DatabaseFile(DatabaseFile&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      file_(other.file_),
      wal_(other.wal_),
      shared_memory_(other.shared_memory_) {}

DatabaseFile::~DatabaseFile() {
    if (lock_ >= 0) close(lock_);
}

base::Result<DatabaseFile::Inode> DatabaseFile::inode_of(const std::string& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return os_failure(Errc::precondition_failed, path);
    if (info.st_nlink != 1) {
        return base::fail(Errc::precondition_failed, path + ": has more than one name now");
    }
    return Inode{info.st_dev, info.st_ino};
}

base::Result<void> DatabaseFile::remember() {
    TWOFOLD_TRY(file_, inode_of(path_));
    TWOFOLD_TRY(wal_, inode_of(path_ + "-wal"));
    TWOFOLD_TRY(shared_memory_, inode_of(path_ + "-shm"));
    return base::ok();
}

base::Result<void> DatabaseFile::check() const {
    TWOFOLD_TRY(Inode file, inode_of(path_));
    TWOFOLD_TRY(Inode wal, inode_of(path_ + "-wal"));
    TWOFOLD_TRY(Inode shared_memory, inode_of(path_ + "-shm"));
    if (file == file_ && wal == wal_ && shared_memory == shared_memory_) return base::ok();
    std::string_view suffix = file != file_ ? "" : wal != wal_ ? "-wal" : "-shm";
    return base::fail(Errc::precondition_failed,
                      path_ + std::string(suffix) +
                          ": is not the file that was opened; it was replaced while in use");
}

}  // namespace twofold::participant::sqlite
