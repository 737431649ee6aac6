// What a program did to the files of one folder, call by call, and the states that the disk may be
// in when the power fails after any of the calls.
//
// Model. A write is durable when its file was forced, a name when the folder was. What was not
// forced survives or not: writes sector by sector (512 bytes), in the order of writing within one
// sector, because the page cache has the newest content of a sector and the disk at most that;
// creates, renames and removes one by one, each only when its name is still what it was. A file may
// have grown without the bytes, which are zeros then. The disk keeps what it said is forced.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::damage {

using Files = std::map<std::string, base::Bytes, std::less<>>;

inline constexpr std::uint64_t kSectorBytes = 512;

// Planted bugs: the calls are made but do nothing.
struct DiskSabotage {
    bool skip_force = false;
    bool skip_directory_force = false;
};

class DiskHistory {
public:
    using Inode = std::size_t;

    enum class Kind : std::uint8_t {
        create,
        write,
        truncate,
        force,
        rename,
        remove,
        force_directory,
        note,  // nothing for the disk: what had been promised by then
    };
    struct Call {
        Kind kind = Kind::note;
        Inode inode = 0;
        std::string name;
        std::string new_name;
        std::uint64_t offset = 0;  // of a write; the size of a truncate; the number of a note
        base::Bytes bytes;
    };

    // `initial` is durable.
    explicit DiskHistory(Files initial = {}, DiskSabotage sabotage = {});

    [[nodiscard]] bool has(std::string_view name) const { return names_.contains(name); }
    // The file that has the name now.
    [[nodiscard]] Inode find(std::string_view name) const;
    Inode create(std::string_view name);
    void write(Inode inode, std::uint64_t offset, base::ByteSpan bytes);
    void truncate(Inode inode, std::uint64_t size);
    void force(Inode inode);
    void rename(std::string_view from, std::string_view to);
    void remove(std::string_view name);
    void force_directory();
    void note(std::uint64_t number);

    [[nodiscard]] const Files& initial() const { return initial_; }
    [[nodiscard]] const std::vector<Call>& calls() const { return calls_; }

private:
    Files initial_;
    DiskSabotage sabotage_;
    std::map<std::string, Inode, std::less<>> names_;
    Inode inodes_ = 0;
    std::vector<Call> calls_;
};

// What survives of the calls that were not forced.
struct Survival {
    // A sector of a write, or a truncate (sector 0), by its place in pending().
    std::function<bool(std::size_t place, std::uint64_t sector)> data;
    std::function<bool(std::size_t place)> name;
    bool sizes = false;  // files have the size that they had, with zeros where bytes are missing
};

// Walks over a history.
class DiskWalk {
public:
    explicit DiskWalk(const DiskHistory& history);

    // Over the next call. False at the end.
    bool step();
    [[nodiscard]] std::size_t position() const { return next_; }
    // The number of the last note, 0 before the first.
    [[nodiscard]] std::uint64_t note() const { return note_; }
    // The calls that were not forced, in order.
    [[nodiscard]] const std::vector<const DiskHistory::Call*>& pending() const { return pending_; }
    [[nodiscard]] Files image(const Survival& survival) const;

private:
    using Call = DiskHistory::Call;
    using Names = std::map<std::string, DiskHistory::Inode, std::less<>>;

    void settle(const std::function<bool(const Call&)>& is_forced);
    [[nodiscard]] base::Bytes content(DiskHistory::Inode inode, const Survival& survival) const;

    const DiskHistory& history_;
    std::size_t next_ = 0;
    std::uint64_t note_ = 0;
    std::vector<base::Bytes> durable_;
    Names names_;
    std::vector<const Call*> pending_;
};

[[nodiscard]] bool changes_names(const DiskHistory::Call& call);

}  // namespace twofold::damage
