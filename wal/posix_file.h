// File and Directory on a POSIX file system: the only code of the log that calls the operating
// system. Descriptors are close-on-exec, symbolic links are never followed, names are resolved
// against the directory's descriptor, so that renaming a parent directory cannot redirect writes.
#pragma once

#include "wal/file.h"

#include <memory>
#include <string>
#include <string_view>

namespace twofold::wal {

class PosixDirectory : public Directory {
public:
    struct Options {
        bool create = false;     // make it with mode 0700 when it is missing
        bool read_only = false;  // for inspection: open() gives files that cannot be written
    };

    // Refused (precondition_failed, permission_denied): a symbolic link, not a directory, owned by
    // another user, open to group or others, on a network file system.
    [[nodiscard]] static Result<std::unique_ptr<PosixDirectory>> open(const std::string& path,
                                                                      Options options);
    ~PosixDirectory() override;

    Result<std::unique_ptr<File>> open(std::string_view name) override;
    Result<std::unique_ptr<File>> create(std::string_view name) override;
    Result<std::vector<std::string>> list() override;
    Result<bool> exists(std::string_view name) override;
    Result<void> rename(std::string_view from, std::string_view to) override;
    Result<void> remove(std::string_view name) override;
    Result<void> force() override;
    Result<std::unique_ptr<Lock>> lock() override;
    [[nodiscard]] std::string path() const override { return path_; }

private:
    PosixDirectory(int descriptor, std::string path, bool read_only)
        : descriptor_(descriptor), path_(std::move(path)), read_only_(read_only) {}
    Result<std::unique_ptr<File>> open_file(std::string_view name, int flags, const char* doing);

    int descriptor_;
    std::string path_;
    bool read_only_;
};

// The name of a network file system by its statfs type, empty for any other. flock and fdatasync on
// these do not mean what the log needs.
[[nodiscard]] std::string_view network_filesystem_name(unsigned long type);

}  // namespace twofold::wal
