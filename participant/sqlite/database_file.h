// The file behind the store as the operating system sees it: may it be used at all, and is it still
// the file that was opened? SQLite itself would go on happily with a file that was renamed away or
// a log that was deleted, and the changes would be lost with them.
//
// The file is never opened here after SQLite has it: closing any descriptor of it would drop
// SQLite's POSIX locks. Everything is asked by path.
#pragma once

#include "base/result.h"

#include <sys/types.h>

#include <string>
#include <string_view>

namespace twofold::participant::sqlite {

class DatabaseFile {
public:
    struct Options {
        std::string path;
        bool create = false;
        bool shared = false;
    };
    // Checks path, kind, owner, mode, links and file system; creates the file when told; takes the
    // lock that keeps a second participant process away.
    [[nodiscard]] static base::Result<DatabaseFile> claim(const Options& options);

    ~DatabaseFile();
    DatabaseFile(DatabaseFile&& other) noexcept;
    DatabaseFile& operator=(DatabaseFile&&) = delete;
    DatabaseFile(const DatabaseFile&) = delete;
    DatabaseFile& operator=(const DatabaseFile&) = delete;

    // Absolute, without links in the folders.
    [[nodiscard]] const std::string& path() const { return path_; }

    // Remembers which files are in use: call when SQLite has opened them.
    [[nodiscard]] base::Result<void> remember();
    // The same files are still there under the same names.
    [[nodiscard]] base::Result<void> check() const;

private:
    struct Inode {
        dev_t device = 0;
        ino_t number = 0;
        friend bool operator==(const Inode&, const Inode&) = default;
    };

    DatabaseFile() = default;
    [[nodiscard]] static base::Result<Inode> inode_of(const std::string& path);

    std::string path_;
    int lock_ = -1;
    Inode file_;
    Inode wal_;
    Inode shared_memory_;
};

// The name of a file system on which SQLite must not be used, by its magic number; empty = usable.
[[nodiscard]] std::string_view network_file_system(long magic);

}  // namespace twofold::participant::sqlite
