// Keeps pre-written segments ready, so that an append never has to allocate space: a force into
// pre-written space needs no metadata, and a full disk is met here, not there. Internal to wal/.
//
// A spare is written with zeros under a .tmp name, forced, and renamed to .ready, in one go or in
// steps. Obsolete segments
// are renamed to .ready too; the directory is forced before their content may change, or else a
// lost rename would leave a segment's name on another segment's bytes.
#pragma once

#include "wal/file.h"
#include "wal/writer.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::wal {

class SegmentPool {
public:
    struct Spare {
        std::string name;
        bool recycled = true;  // may hold former content
        std::unique_ptr<File> file;
    };

    // All three outlive the pool.
    SegmentPool(Directory& directory, const WriterOptions& options, WriterCounters& counters)
        : directory_(directory), options_(options), counters_(counters) {}

    // Takes over what a former process left: good spares are used, everything else of them removed.
    Result<void> adopt();

    [[nodiscard]] std::uint64_t available() const { return spares_.size(); }
    // Makes spares until there are `count`. disk_full: fewer could be made; those stay.
    Result<void> ensure(std::uint64_t count);
    // Goes on with one spare, or begins it: writes and forces at most `bytes_max` of it (at least
    // one block). After any failure what there was of it is removed.
    Result<void> make_step(std::uint64_t bytes_max);
    // One spare, made now when there is none. It keeps its name until the caller renames it.
    Result<Spare> take();
    // Renames obsolete segments to spares, as far as they are wanted, removes the others, and
    // forces the directory. After a crash in between some of them still exist: the reader ignores
    // them.
    Result<void> recycle(const std::vector<std::string>& segments);

private:
    // Written up to here; it becomes a spare when it is complete.
    struct Unfinished {
        std::uint64_t number = 0;
        std::unique_ptr<File> file;
        std::uint64_t written_bytes = 0;
    };

    Result<void> begin_one();
    Result<void> write_zeros(std::uint64_t bytes_max);
    Result<void> finish_one();
    Result<bool> has_full_size(const std::string& name);

    Directory& directory_;
    const WriterOptions& options_;
    WriterCounters& counters_;
    std::deque<Spare> spares_;
    std::optional<Unfinished> unfinished_;
    std::uint64_t next_number_ = 1;
};

}  // namespace twofold::wal
