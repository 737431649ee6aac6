#include "wal/segment_pool.h"

#include "base/crash_point.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <utility>

namespace twofold::wal {

namespace {

constexpr std::uint64_t kZeroChunkBytes = 256ULL * 1024;

}  // namespace

Result<bool> SegmentPool::has_full_size(const std::string& name) {
    TWOFOLD_TRY(auto file, directory_.open(name));
    TWOFOLD_TRY(std::uint64_t size, file->size());
    return size == options_.segment_size_bytes;
}

Result<void> SegmentPool::adopt() {
    TWOFOLD_TRY(auto names, directory_.list());
    for (std::string& name : names) {
        ParsedName parsed = parse_name(name);
        bool is_spare = parsed.kind == FileKind::spare;
        if (!is_spare && parsed.kind != FileKind::unfinished_spare) continue;
        next_number_ = std::max(next_number_, parsed.number + 1);
        bool usable = false;
        if (is_spare) {
            TWOFOLD_TRY(usable, has_full_size(name));
        }
        if (usable) {
            spares_.push_back({.name = std::move(name), .recycled = true, .file = nullptr});
        } else {
            TWOFOLD_TRY(directory_.remove(name));
        }
    }
    // A process that died in recycle() may have left renames that only the page cache knows. Were a
    // power loss to undo one after the spare got a new header, a segment's name would be on it.
    TWOFOLD_CRASH_POINT(wal_adopt_before_directory_force);
    TWOFOLD_TRY(directory_.force());
    ++counters_.directory_forces;
    return base::ok();
}

Result<void> SegmentPool::begin_one() {
    unfinished_ = Unfinished{.number = next_number_++};
    TWOFOLD_CRASH_POINT(wal_spare_before_create);
    TWOFOLD_TRY(unfinished_->file, directory_.create(unfinished_spare_name(unfinished_->number)));
    return base::ok();
}

// Forced with each step: one force of a whole segment at the end would hold up the log's own.
Result<void> SegmentPool::write_zeros(std::uint64_t bytes_max) {
    Unfinished& spare = *unfinished_;
    std::uint64_t left = options_.segment_size_bytes - spare.written_bytes;
    std::uint64_t end =
        spare.written_bytes + std::clamp(bytes_max, std::min(kBlockSizeBytes, left), left);
    const Bytes zeros(std::min(end - spare.written_bytes, kZeroChunkBytes));
    while (spare.written_bytes < end) {
        std::uint64_t size = std::min<std::uint64_t>(zeros.size(), end - spare.written_bytes);
        TWOFOLD_CRASH_POINT(wal_spare_before_write);
        TWOFOLD_TRY(spare.file->write_at(spare.written_bytes, ByteSpan(zeros).first(size)));
        spare.written_bytes += size;
    }
    TWOFOLD_CRASH_POINT(wal_spare_before_force);
    return spare.file->force();
}

Result<void> SegmentPool::finish_one() {
    std::string name = spare_name(unfinished_->number);
    TWOFOLD_CRASH_POINT(wal_spare_before_rename);
    TWOFOLD_TRY(directory_.rename(unfinished_spare_name(unfinished_->number), name));
    spares_.push_back(
        {.name = std::move(name), .recycled = false, .file = std::move(unfinished_->file)});
    unfinished_.reset();
    ++counters_.segments_created;
    return base::ok();
}

Result<void> SegmentPool::make_step(std::uint64_t bytes_max) {
    Result<void> done = unfinished_ ? base::ok() : begin_one();
    if (done.has_value()) done = write_zeros(bytes_max);
    if (done.has_value() && unfinished_->written_bytes == options_.segment_size_bytes) {
        done = finish_one();
    }
    if (!done.has_value() && unfinished_) {
        // What was allocated would be missing for the reserve. The next start removes it otherwise.
        static_cast<void>(directory_.remove(unfinished_spare_name(unfinished_->number)));
        unfinished_.reset();
    }
    return done;
}

Result<void> SegmentPool::ensure(std::uint64_t count) {
    while (spares_.size() < count) {
        TWOFOLD_TRY(make_step(options_.segment_size_bytes));
    }
    return base::ok();
}

Result<SegmentPool::Spare> SegmentPool::take() {
    TWOFOLD_TRY(ensure(1));
    if (spares_.front().file == nullptr) {
        TWOFOLD_TRY(spares_.front().file, directory_.open(spares_.front().name));
    }
    Spare taken = std::move(spares_.front());
    spares_.pop_front();
    return taken;
}

Result<void> SegmentPool::recycle(const std::vector<std::string>& segments) {
    if (segments.empty()) return base::ok();
    std::deque<Spare> renamed;
    for (const std::string& segment : segments) {
        TWOFOLD_TRY(bool full_size, has_full_size(segment));
        bool wanted = full_size && spares_.size() + renamed.size() < options_.spare_segments_max;
        if (!wanted) {
            TWOFOLD_CRASH_POINT(wal_recycle_before_remove);
            TWOFOLD_TRY(directory_.remove(segment));
            ++counters_.segments_removed;
            continue;
        }
        std::string name = spare_name(next_number_++);
        TWOFOLD_CRASH_POINT(wal_recycle_before_rename);
        TWOFOLD_TRY(directory_.rename(segment, name));
        renamed.push_back({.name = std::move(name), .recycled = true, .file = nullptr});
        ++counters_.segments_recycled;
    }
    TWOFOLD_CRASH_POINT(wal_recycle_before_directory_force);
    TWOFOLD_TRY(directory_.force());
    ++counters_.directory_forces;
    std::ranges::move(renamed, std::back_inserter(spares_));
    return base::ok();
}

}  // namespace twofold::wal
