// The ports through which the log reaches a disk. wal/posix_file.h is the real one,
// wal/memory_file.h one that forgets what was not forced. Nothing else in wal/ does I/O.
//
// All calls are synchronous; an object belongs to one thread at a time. Every call may fail, and
// after a failed force nothing is known about what the medium holds.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::wal {

using base::Bytes;
using base::ByteSpan;
using base::Errc;
using base::Result;

// An open regular file. Closing it (the destructor) makes nothing durable.
class File {
public:
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    virtual ~File() = default;

    // Writes all bytes or fails; extends the file when needed. Not durable before force().
    // Errc::disk_full when there is no space: part of the bytes may have been written.
    virtual Result<void> write_at(std::uint64_t offset, ByteSpan bytes) = 0;

    // Reads up to out.size() bytes; fewer only at the end of the file. Returns the number read.
    virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) = 0;

    // On success everything written to this file before, and its size, is on stable storage
    // (fdatasync). Its name is not: that is Directory::force(). Never retry after a failure: the
    // kernel may have marked the lost pages clean.
    virtual Result<void> force() = 0;

    virtual Result<std::uint64_t> size() = 0;

    // Not durable before force().
    virtual Result<void> truncate(std::uint64_t size) = 0;
};

// Holds the lock of a directory until it is destroyed.
class Lock {
public:
    Lock() = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    virtual ~Lock() = default;
};

// One directory with plain files; names have no slashes. Creating, renaming and removing is not
// durable before force(), and before that any subset of them may survive a power loss.
class Directory {
public:
    Directory() = default;
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    virtual ~Directory() = default;

    // Opens an existing file for reading and writing; Errc::not_found when absent.
    virtual Result<std::unique_ptr<File>> open(std::string_view name) = 0;
    // Creates an empty file; Errc::already_exists when the name is taken.
    virtual Result<std::unique_ptr<File>> create(std::string_view name) = 0;
    // All names except "." and "..", sorted.
    virtual Result<std::vector<std::string>> list() = 0;
    virtual Result<bool> exists(std::string_view name) = 0;
    // Never replaces: Errc::already_exists when `to` is taken.
    virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
    virtual Result<void> remove(std::string_view name) = 0;
    // On success every create, rename and remove before it is on stable storage.
    virtual Result<void> force() = 0;
    // Takes the exclusive lock of this directory or fails at once with Errc::locked, naming the
    // holder. Take it before reading anything.
    virtual Result<std::unique_ptr<Lock>> lock() = 0;
    // The path, for messages.
    [[nodiscard]] virtual std::string path() const = 0;
};

}  // namespace twofold::wal
