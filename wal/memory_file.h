// A disk in memory that forgets: File and Directory for tests and the simulator.
//
// Model. Reads see everything written (the page cache). Writes become durable with File::force(),
// names with Directory::force(). At crash() every write that was not forced survives or not, sector
// by sector (512 bytes), and every create, rename and remove that was not forced survives or not,
// as a callback decides; an operation on a name whose making was lost is lost too. The death of the
// process alone is no crash(): just open the files again.
//
// Deterministic: no clock, no randomness, ordered containers. One thread.
#pragma once

#include "wal/file.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace twofold::wal {

inline constexpr std::size_t kSectorSizeBytes = 512;

class MemoryDisk {
public:
    enum class Operation : std::uint8_t {
        open,
        create,
        list,
        rename,
        remove,
        force_directory,
        lock,
        read,
        write,
        force,
        size,
        truncate
    };
    enum class Fault : std::uint8_t {
        none,
        io_error,   // the operation fails and does nothing
        disk_full,  // the same with Errc::disk_full
        // Of a force, as Linux does it: it fails, and the system takes the pages for written all
        // the same. Reads see them, no later force writes them, and crash() decides about them.
        pages_lost,
        // Power is cut during this operation: it is recorded as not forced (crash() decides about
        // it), and it and every later one fails until crash() is called.
        power_cut,
    };
    // Called before each operation with the file's name and, for writes, offset and size.
    struct Call {
        Operation operation;
        std::string_view name;
        std::uint64_t offset;
        std::uint64_t size_bytes;
    };
    using Hook = std::function<Fault(const Call&)>;

    // What may survive: a sector of a write, or a change of the directory.
    struct Unforced {
        bool is_directory_change;
        std::string_view name;      // the file's name when it was written, or the name that changes
        std::uint64_t sequence;     // of the operation, in the order they were called
        std::uint64_t offset;       // of the sector in the file; 0 for a directory change
        bool is_lost_page = false;  // a failed force was to write it
    };
    using Survives = std::function<bool(const Unforced&)>;

    MemoryDisk();
    ~MemoryDisk();
    MemoryDisk(const MemoryDisk&) = delete;
    MemoryDisk& operator=(const MemoryDisk&) = delete;

    // Lives as long as the disk. Files that it opened stay usable until crash().
    [[nodiscard]] Directory& directory();

    void set_hook(Hook hook);
    // Total size of all files; a write beyond it fails with disk_full. 0: no limit.
    void set_capacity_bytes(std::uint64_t bytes);

    // Power is lost and comes back. Open files become unusable (every call fails), the lock is
    // free.
    void crash(const Survives& survives);
    void crash_losing_unforced() {
        crash([](const Unforced&) { return false; });
    }
    void crash_keeping_unforced() {
        crash([](const Unforced&) { return true; });
    }

    // Looking at and changing contents from outside, past hooks and forces, for corruption tests.
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] bool has(std::string_view name) const;
    [[nodiscard]] Bytes& content(std::string_view name);  // what reads see; crash() undoes changes
    void put(std::string_view name, Bytes content);       // durable at once
    void erase(std::string_view name);                    // durable at once
    // A deep copy of what a reader would see now, all of it durable.
    [[nodiscard]] std::unique_ptr<MemoryDisk> copy() const;

    // Reads see something that a failed force was to write.
    [[nodiscard]] bool has_lost_pages() const;

    [[nodiscard]] std::uint64_t operations() const;
    [[nodiscard]] std::uint64_t writes() const;
    [[nodiscard]] std::uint64_t forces() const;

    struct State;

private:
    std::shared_ptr<State> state_;
    std::unique_ptr<Directory> directory_;
};

}  // namespace twofold::wal
