// The coordinator's disk: the log's File and Directory ports over the disk in memory that forgets,
// with faults by seed, and an observer that knows which records are durable. A record counts as
// durable when its bytes were forced, its file's name was forced, and, in a checkpoint, the
// checkpoint is complete. The observer parses what was written; it does not ask the writer.
#pragma once

#include "protocol/records.h"
#include "sim/options.h"
#include "sim/world.h"
#include "wal/file.h"
#include "wal/memory_file.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::sim {

class Disk {
public:
    Disk(World& world, const DiskOptions& options);
    ~Disk();
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;

    [[nodiscard]] wal::Directory& directory();

    // The rest of the checkpoint that it was writing never comes.
    void process_died();

    // Called for every record that became durable, again with every checkpoint that repeats it.
    void on_durable(std::function<void(const protocol::Record&)> sink);

    // Power is lost: what was not forced survives or not, sector by sector, by seed.
    void crash();

    // Somebody copies the files of the log, and later puts the copy in their place. Nobody may have
    // them open then.
    void take_copy();
    [[nodiscard]] bool has_copy() const { return copy_ != nullptr; }
    void restore_copy();

    void set_faults(bool on) { faults_ = on; }
    void set_full(bool on) { full_ = on; }
    // True once when an operation failed because the power was cut in it.
    [[nodiscard]] bool take_power_cut();

    // Changes one bit of the log, if it has a segment. False: it has none.
    bool flip_bit();
    // Undoes that; false: there was none. Or it turned out to be where nothing is read any more.
    bool mend_flip();
    void keep_flip() { flip_.reset(); }
    // A failed force was to write something that reads show.
    [[nodiscard]] bool shows_unwritten_pages() const { return memory_.has_lost_pages(); }

    // Deliberate bugs.
    void skip_force(bool on);
    void skip_directory_force(bool on);

    [[nodiscard]] std::uint64_t segment_files() const;
    [[nodiscard]] wal::MemoryDisk& memory() { return memory_; }

    struct Observer;

private:
    struct Flip {
        std::string name;
        std::uint64_t offset = 0;
        std::uint8_t bit = 0;
    };

    wal::MemoryDisk::Fault fault(const wal::MemoryDisk::Call& call);

    World& world_;
    DiskOptions options_;
    wal::MemoryDisk memory_;
    std::shared_ptr<Observer> observer_;
    std::unique_ptr<wal::Directory> directory_;
    std::unique_ptr<wal::MemoryDisk> copy_;
    std::optional<Flip> flip_;
    bool faults_ = true;
    bool full_ = false;
    bool power_was_cut_ = false;
};

}  // namespace twofold::sim
