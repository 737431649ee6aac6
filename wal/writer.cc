#include "wal/writer.h"

#include "base/assert.h"
#include "base/crash_point.h"
#include "base/rng.h"
#include "wal/core/segment_name.h"
#include "wal/sealed.h"
#include "wal/segment_pool.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>

namespace twofold::wal {

namespace {

// How many bytes of the next spare are written for each byte of batches, at least. It is begun at
// half of the current segment, so two would do if batches were small.
constexpr std::uint64_t kMaintenancePace = 4;

// Buffers larger than this are given back after use: only a checkpoint makes them.
constexpr std::size_t kBufferKeptMaxBytes = 8UL << 20;

std::uint64_t batch_size_max(const WriterOptions& options) {
    std::uint64_t fits = options.segment_size_bytes - kSegmentHeaderSizeBytes;
    std::uint64_t wanted = options.batch_size_max_bytes / kBlockSizeBytes * kBlockSizeBytes;
    return std::clamp<std::uint64_t>(wanted, kBlockSizeBytes, fits);
}

Result<void> check_options(const WriterOptions& options) {
    bool good = options.segment_size_bytes >= kSegmentSizeMinBytes &&
                options.segment_size_bytes % kBlockSizeBytes == 0 &&
                options.segment_size_bytes <= std::numeric_limits<std::uint32_t>::max();
    if (good) return base::ok();
    return base::fail(Errc::invalid_argument,
                      "the segment size must be a multiple of 4096 from 8192 to 4 GiB, not " +
                          std::to_string(options.segment_size_bytes));
}

// Another one for each epoch and index even when the seed stays the same (in the simulator), so
// that the former content of a recycled segment never passes for the present one.
std::uint32_t salt_for(std::uint64_t seed, std::uint32_t epoch, std::uint64_t index) {
    std::uint64_t place = (std::uint64_t{epoch} << 32U) ^ index;
    return static_cast<std::uint32_t>(base::SeededRng(seed ^ base::SeededRng(place).next()).next());
}

// How many segments a checkpoint of these records takes, packed as put_record packs them.
std::uint64_t segments_for(std::span<const Bytes> records, const WriterOptions& options) {
    std::uint64_t batch_max = batch_size_max(options);
    std::uint64_t capacity = options.segment_size_bytes - kSegmentHeaderSizeBytes;
    std::uint64_t segments = 1;
    std::uint64_t used = 0;
    std::uint64_t batch = kBatchHeaderSizeBytes;
    auto close_batch = [&] {
        std::uint64_t padded = round_up_to_block(batch);
        if (used + padded > capacity) {
            ++segments;
            used = 0;
        }
        used += padded;
        batch = kBatchHeaderSizeBytes;
    };
    for (const Bytes& record : records) {
        std::uint64_t size = kRecordHeaderSizeBytes + record.size();
        if (batch + size > batch_max) close_batch();
        batch += size;
    }
    close_batch();
    return segments;
}

}  // namespace

Writer::Writer(Directory& directory, const WriterOptions& options)
    : directory_(directory),
      options_(options),
      pool_(std::make_unique<SegmentPool>(directory_, options_, counters_)),
      salt_seed_(options.salt_seed != 0 ? options.salt_seed : base::random_number()) {}

Writer::~Writer() = default;

Result<std::unique_ptr<Writer>> Writer::start(Directory& directory,
                                              const ReadSummary& summary,
                                              const WriterOptions& options,
                                              const Incarnation& incarnation,
                                              std::span<const Bytes> checkpoint,
                                              std::span<const std::uint64_t> sealed) {
    TWOFOLD_TRY(check_options(options));
    std::unique_ptr<Writer> writer(new Writer(directory, options));
    TWOFOLD_TRY(writer->open_start(summary, incarnation, checkpoint, sealed));
    return writer;
}

Result<void> Writer::open_start(const ReadSummary& summary,
                                const Incarnation& incarnation,
                                std::span<const Bytes> checkpoint,
                                std::span<const std::uint64_t> sealed) {
    TWOFOLD_ASSERT(summary.last_epoch < std::numeric_limits<std::uint32_t>::max(),
                   "epochs ran out");
    incarnation_ = summary.has_incarnation ? summary.incarnation : incarnation;
    epoch_ = summary.last_epoch + 1;
    last_ = summary.last;
    next_lsn_ = summary.last_lsn + 1;
    durable_lsn_ = summary.durable_lsn;
    next_index_ = summary.last_segment_index + 1;
    TWOFOLD_TRY(pool_->adopt());
    TWOFOLD_TRY(reserve_for_checkpoint(checkpoint));
    open_mark();
    TWOFOLD_TRY(write_checkpoint(checkpoint, sealed, true));
    return base::ok();
}

std::uint64_t Writer::record_size_max() const {
    return batch_size_max(options_) - kBatchHeaderSizeBytes - kRecordHeaderSizeBytes;
}

Result<void> Writer::require_usable() const {
    if (poisoned_) {
        return base::fail(Errc::io_error,
                          "the log failed earlier; nothing can be known about it in this process");
    }
    TWOFOLD_ASSERT(!closed_, "the log was closed");
    return base::ok();
}

base::Error Writer::poison(base::Error error) {
    if (std::exchange(poisoned_, true)) return error;
    error.context = directory_.path() + ": " + error.context;
    return error;
}

Result<void> Writer::or_poison(Result<void> result) {
    if (result.has_value()) return result;
    return poison(result.error());
}

// ---- collecting
// -----------------------------------------------------------------------------------

void Writer::begin_pending_batch() {
    buffer_.resize(round_up_to_block(buffer_.size()));
    pending_.push_back({.offset = buffer_.size(),
                        .length_bytes = kBatchHeaderSizeBytes,
                        .first_lsn = next_lsn_,
                        .record_count = 0});
    buffer_.resize(buffer_.size() + kBatchHeaderSizeBytes);
}

std::uint64_t Writer::put_record(ByteSpan record) {
    std::uint64_t size = kRecordHeaderSizeBytes + record.size();
    bool fits =
        !pending_.empty() && pending_.back().length_bytes + size <= batch_size_max(options_);
    if (!fits) begin_pending_batch();
    base::ByteWriter writer(buffer_);
    writer.u32(static_cast<std::uint32_t>(record.size()));
    writer.raw(record);
    pending_.back().length_bytes += size;
    ++pending_.back().record_count;
    ++counters_.records;
    counters_.record_bytes += record.size();
    return next_lsn_++;
}

std::uint64_t Writer::append(ByteSpan record) {
    TWOFOLD_ASSERT(!closed_, "the log was closed");
    TWOFOLD_ASSERT(record.size() <= record_size_max(), "a record is larger than record_size_max()");
    return put_record(record);
}

// ---- segments
// -------------------------------------------------------------------------------------

// The header is forced before the name: a file with a segment's name always has a sound header, so
// that an unsound one is damage and not a crash.
Result<void> Writer::name_segment(File& file, const std::string& spare) {
    encode_segment_header(header_, scratch_);
    TWOFOLD_CRASH_POINT(wal_segment_before_header);
    TWOFOLD_TRY(file.write_at(0, scratch_));
    TWOFOLD_CRASH_POINT(wal_segment_before_header_force);
    TWOFOLD_TRY(file.force());
    TWOFOLD_CRASH_POINT(wal_segment_before_rename);
    TWOFOLD_TRY(directory_.rename(spare, segment_name(header_.index)));
    TWOFOLD_CRASH_POINT(wal_segment_before_directory_force);
    TWOFOLD_TRY(directory_.force());
    ++counters_.directory_forces;
    return base::ok();
}

Result<void> Writer::begin_segment(bool starts_epoch, bool begins_checkpoint) {
    TWOFOLD_CRASH_POINT(wal_segment_before_create);
    auto taken = pool_->take();
    if (!taken.has_value()) {
        // Without space nothing has happened yet: the caller may try again.
        if (taken.error().code == Errc::disk_full) return taken.error();
        return poison(taken.error());
    }
    SegmentPool::Spare spare = std::move(taken).value();
    header_ = {.incarnation = incarnation_,
               .epoch = epoch_,
               .index = next_index_,
               .size_bytes = options_.segment_size_bytes,
               .salt = salt_for(salt_seed_, epoch_, next_index_),
               .starts_epoch = starts_epoch,
               .begins_checkpoint = begins_checkpoint,
               .recycled = spare.recycled,
               .first_batch = last_.batch + 1,
               .first_lsn = last_.lsn + 1,
               .previous_epoch = last_.epoch,
               .previous_crc = last_.crc,
               .previous_segment = last_.segment,
               .durable_lsn = durable_lsn_};
    TWOFOLD_TRY(or_poison(name_segment(*spare.file, spare.name)));
    segment_ = std::move(spare.file);
    segment_offset_ = kSegmentHeaderSizeBytes;
    ++next_index_;
    ++counters_.segments_begun;
    no_space_ahead_ = false;
    // Before the first batch of it: a segment that was acknowledged is never forgotten.
    if (marks_begun_) force_mark();
    TWOFOLD_CRASH_POINT(wal_segment_after_create);
    return base::ok();
}

// Goes on in a new segment when the batch does not fit into this one.
Result<void> Writer::make_room(std::uint64_t padded_bytes) {
    if (segment_offset_ + padded_bytes <= options_.segment_size_bytes) return base::ok();
    TWOFOLD_TRY(begin_segment(false, false));
    return base::ok();
}

bool Writer::wants_next_spare() const {
    bool half_full = segment_offset_ * 2 >= options_.segment_size_bytes;
    return half_full && !no_space_ahead_ && pool_->available() <= options_.reserve_segments;
}

Result<void> Writer::maintain() {
    TWOFOLD_TRY(require_usable());
    std::uint64_t written = counters_.written_bytes - prepared_at_bytes_;
    prepared_at_bytes_ = counters_.written_bytes;
    if (!wants_next_spare()) return base::ok();
    auto made =
        pool_->make_step(std::max(options_.maintenance_step_bytes, written * kMaintenancePace));
    if (made.has_value()) return base::ok();
    if (made.error().code != Errc::disk_full) return poison(made.error());
    no_space_ahead_ = true;
    return base::ok();
}

bool Writer::has_room_for_new_work() const {
    return pool_->available() >= options_.reserve_segments;
}

Result<void> Writer::refill_reserve() {
    TWOFOLD_TRY(require_usable());
    auto made = pool_->ensure(options_.reserve_segments);
    if (made.has_value() || made.error().code == Errc::disk_full) return base::ok();
    return poison(made.error());
}

// ---- writing
// --------------------------------------------------------------------------------------

Result<void> Writer::write_and_force(ByteSpan padded) {
    TWOFOLD_CRASH_POINT(wal_before_write);
#if defined(TWOFOLD_CRASH_POINTS)
    // Dying in the middle of a batch needs two writes; without that crash armed there is only one.
    static const bool is_cut = base::is_crash_point_armed("wal_mid_batch");
    if (is_cut) {
        TWOFOLD_TRY(segment_->write_at(segment_offset_, padded.first(padded.size() / 2)));
        TWOFOLD_CRASH_POINT(wal_mid_batch);
    }
#endif
    TWOFOLD_TRY(segment_->write_at(segment_offset_, padded));
    TWOFOLD_CRASH_POINT(wal_after_write);
    TWOFOLD_TRY(segment_->force());
    TWOFOLD_CRASH_POINT(wal_after_force);
    return base::ok();
}

// `buffer` holds the batch at batch.offset, as the last thing in it or padded already.
Result<void> Writer::write_batch(BatchKind kind,
                                 bool checkpoint_complete,
                                 const PendingBatch& batch,
                                 Bytes& buffer) {
    std::uint64_t padded = round_up_to_block(batch.length_bytes);
    TWOFOLD_TRY(make_room(padded));
    TWOFOLD_ASSERT(batch.first_lsn == last_.lsn + 1, "batches are written in order");
    buffer.resize(std::max<std::uint64_t>(buffer.size(), batch.offset + padded));
    std::span<std::uint8_t> bytes = std::span(buffer).subspan(batch.offset, padded);
    BatchHeader header{.crc = 0,
                       .length_bytes = static_cast<std::uint32_t>(batch.length_bytes),
                       .kind = kind,
                       .checkpoint_complete = checkpoint_complete,
                       .incarnation = incarnation_,
                       .epoch = epoch_,
                       .number = last_.batch + 1,
                       .first_lsn = batch.first_lsn,
                       .record_count = batch.record_count,
                       .previous_crc = last_.crc,
                       .durable_lsn = durable_lsn_};
    std::uint32_t crc = seal_batch(header, header_.salt, bytes.first(batch.length_bytes));
    TWOFOLD_TRY(or_poison(write_and_force(bytes)));

    last_ = {.epoch = epoch_,
             .segment = header_.index,
             .batch = header.number,
             .lsn = batch.first_lsn + batch.record_count - 1,
             .crc = crc};
    last_kind_ = kind;
    durable_lsn_ = last_.lsn;
    segment_offset_ += padded;
    live_bytes_ += padded;
    ++counters_.forces;
    ++counters_.batches;
    counters_.written_bytes += padded;
    if (marks_begun_) write_mark(kind == BatchKind::clean_shutdown);
    return base::ok();
}

Result<void> Writer::write_pending(BatchKind kind) {
    std::size_t written = 0;
    while (written < pending_.size()) {
        bool is_last = written + 1 == pending_.size();
        bool completes = kind == BatchKind::checkpoint && is_last;
        auto result = write_batch(kind, completes, pending_[written], buffer_);
        if (!result.has_value()) {
            // What is durable must not be written again if the caller tries once more.
            pending_.erase(pending_.begin(),
                           pending_.begin() + static_cast<std::ptrdiff_t>(written));
            return result;
        }
        ++written;
    }
    pending_.clear();
    buffer_.clear();
    if (buffer_.capacity() > kBufferKeptMaxBytes) buffer_.shrink_to_fit();
    return base::ok();
}

Result<std::uint64_t> Writer::force() {
    TWOFOLD_TRY(require_usable());
    if (pending_.empty()) return durable_lsn_;
    std::uint64_t begun_before = counters_.segments_begun;
    std::uint64_t created_before = counters_.segments_created;
    TWOFOLD_TRY(write_pending(BatchKind::records));
    // Only after the records are safe: a full disk here concerns the next ones. Nothing is missing
    // when maintain() was called between the forces.
    if (counters_.segments_begun != begun_before) {
        TWOFOLD_TRY(refill_reserve());
    }
    counters_.segments_made_in_force += counters_.segments_created - created_before;
    return durable_lsn_;
}

Result<void> Writer::write_empty_batch(BatchKind kind) {
    empty_batch_.assign(kBatchHeaderSizeBytes, 0);
    PendingBatch batch{.offset = 0,
                       .length_bytes = kBatchHeaderSizeBytes,
                       .first_lsn = next_lsn_,
                       .record_count = 0};
    return write_batch(kind, false, batch, empty_batch_);
}

Result<void> Writer::heartbeat() {
    TWOFOLD_TRY(force());
    if (last_kind_ == BatchKind::heartbeat) return base::ok();
    // Not worth a segment of the reserve.
    bool needs_segment = segment_offset_ + kBlockSizeBytes > options_.segment_size_bytes;
    if (needs_segment && !has_room_for_new_work()) return base::ok();
    TWOFOLD_CRASH_POINT(wal_before_heartbeat);
    TWOFOLD_TRY(write_empty_batch(BatchKind::heartbeat));
    ++counters_.heartbeats;
    if (needs_segment) return refill_reserve();
    return base::ok();
}

Result<void> Writer::close_clean() {
    TWOFOLD_TRY(force());
    TWOFOLD_CRASH_POINT(wal_before_clean_shutdown);
    TWOFOLD_TRY(write_empty_batch(BatchKind::clean_shutdown));
    TWOFOLD_CRASH_POINT(wal_after_clean_shutdown);
    closed_ = true;
    // Forced this once: after a clean shutdown even a power loss leaves an exact mark.
    if (mark_ == nullptr) return base::ok();
    if (!mark_->force().has_value()) drop_mark();
    ++counters_.mark_forces;
    return base::ok();
}

// ---- checkpoints
// ----------------------------------------------------------------------------------

// Everything that can go wrong without harm goes wrong here, before the first write.
Result<void> Writer::reserve_for_checkpoint(std::span<const Bytes> records) {
    for (const Bytes& record : records) {
        if (record.size() <= record_size_max()) continue;
        return base::fail(Errc::limit_exceeded,
                          "a checkpoint record has " + std::to_string(record.size()) +
                              " bytes, the largest possible one " +
                              std::to_string(record_size_max()));
    }
    std::uint64_t needed = segments_for(records, options_);
    auto made = pool_->ensure(needed);
    if (made.has_value()) return base::ok();
    if (made.error().code != Errc::disk_full) return poison(made.error());
    return base::fail(Errc::disk_full,
                      directory_.path() + ": a checkpoint needs " + std::to_string(needed) +
                          " segments of " + std::to_string(options_.segment_size_bytes) +
                          " bytes, but the disk is full: free space on it (" +
                          made.error().context + ")");
}

Result<void> Writer::write_checkpoint(std::span<const Bytes> records,
                                      std::span<const std::uint64_t> sealed,
                                      bool starts_epoch) {
    TWOFOLD_ASSERT(pending_.empty(), "a checkpoint begins when nothing is pending");
    TWOFOLD_CRASH_POINT(wal_checkpoint_before_write);
    std::uint64_t first_needed = next_index_;
    std::uint64_t live_before = std::exchange(live_bytes_, 0);
    auto begun = begin_segment(starts_epoch, true);
    if (!begun.has_value()) {
        live_bytes_ = live_before;
        return begun;
    }
    for (const Bytes& record : records) put_record(record);
    if (pending_.empty()) begin_pending_batch();
    auto written = write_pending(BatchKind::checkpoint);
    // Space was reserved, so even disk_full is a surprise, and half a checkpoint must stay the end.
    if (!written.has_value()) return poison(written.error());
    TWOFOLD_CRASH_POINT(wal_checkpoint_after_force);
    ++counters_.checkpoints;
    // From here on the mark may say that this start exists.
    if (std::exchange(marks_begun_, true)) {
        write_mark(false);
    } else {
        force_mark();
    }
    TWOFOLD_TRY(or_poison(release_before(first_needed, sealed)));
    TWOFOLD_CRASH_POINT(wal_checkpoint_after_delete);
    return refill_reserve();
}

// A checkpoint is the way out of a full disk, its space was written before: what has no file
// for want of space must not hold it up.
Result<void> Writer::checkpoint(std::span<const Bytes> records,
                                std::span<const SealedReference> sealed) {
    TWOFOLD_TRY(force());
    std::erase_if(unsealed_, [sealed](const Unsealed& file) {
        return std::ranges::find(sealed, file.number, &SealedReference::number) == sealed.end();
    });
    auto written = write_unsealed();
    if (!written.has_value() && written.error().code != Errc::disk_full) return written;
    std::vector<Bytes> whole;
    if (!unsealed_.empty()) {
        whole = with_unsealed(records, sealed);
        records = whole;
    }
    std::vector<std::uint64_t> numbers;
    numbers.reserve(sealed.size());
    for (const SealedReference& file : sealed) numbers.push_back(file.number);
    TWOFOLD_TRY(reserve_for_checkpoint(records));
    return write_checkpoint(records, numbers, false);
}

std::vector<Bytes> Writer::with_unsealed(std::span<const Bytes> records,
                                         std::span<const SealedReference> sealed) const {
    std::map<std::size_t, const Unsealed*> replaced;
    for (const SealedReference& file : sealed) {
        auto found = std::ranges::find(unsealed_, file.number, &Unsealed::number);
        if (found != unsealed_.end()) replaced.emplace(file.record, &*found);
    }
    std::vector<Bytes> whole;
    for (std::size_t i = 0; i < records.size(); ++i) {
        auto file = replaced.find(i);
        if (file == replaced.end()) {
            whole.push_back(records[i]);
        } else {
            std::ranges::copy(file->second->records, std::back_inserter(whole));
        }
    }
    return whole;
}

Result<void> Writer::seal(std::uint64_t number, std::vector<Bytes> records) {
    TWOFOLD_TRY(require_usable());
    unsealed_.push_back({.number = number, .records = std::move(records)});
    return write_unsealed();
}

Result<void> Writer::write_unsealed() {
    while (!unsealed_.empty()) {
        const Unsealed& next = unsealed_.front();
        SealedFile file{.incarnation = incarnation_,
                        .epoch = epoch_,
                        .number = next.number,
                        .salt = salt_for(~salt_seed_, epoch_, next.number)};
        auto written = write_sealed(directory_, file, next.records);
        if (!written.has_value()) {
            if (written.error().code == Errc::disk_full) return written;
            return poison(written.error());
        }
        ++counters_.sealed_files;
        ++counters_.directory_forces;
        for (const Bytes& record : next.records) counters_.sealed_bytes += record.size();
        unsealed_.erase(unsealed_.begin());
    }
    return base::ok();
}

Result<void> Writer::release_before(std::uint64_t first_needed,
                                    std::span<const std::uint64_t> sealed) {
    TWOFOLD_TRY(remove_sealed_except(directory_, sealed));
    TWOFOLD_TRY(auto names, directory_.list());
    std::vector<std::string> obsolete;
    for (std::string& name : names) {
        ParsedName parsed = parse_name(name);
        if (parsed.kind == FileKind::segment && parsed.number < first_needed) {
            obsolete.push_back(std::move(name));
        }
    }
    return pool_->recycle(obsolete);
}

// ---- the durable mark
// -----------------------------------------------------------------------------

// The mark only sharpens the reader's judgement. Without it the log is as safe, so its failures are
// counted and end the marks, not the process: an old mark is always true.
void Writer::open_mark() {
    if (!options_.durable_mark) return;
    auto exists = directory_.exists(kDurableMarkName);
    if (!exists.has_value()) return drop_mark();
    auto file =
        exists.value() ? directory_.open(kDurableMarkName) : directory_.create(kDurableMarkName);
    if (!file.has_value()) return drop_mark();
    mark_ = std::move(file).value();
    if (exists.value()) return;
    // Pre-written, so that later marks need no space.
    const Bytes zeros(kMarkFileSizeBytes);
    if (!mark_->write_at(0, zeros).has_value()) drop_mark();
}

DurableMark Writer::mark_now() const {
    return {.incarnation = incarnation_,
            .epoch = epoch_,
            .segment = last_.segment,
            .batch = last_.batch,
            .lsn = last_.lsn,
            .newest_segment = header_.index};
}

// Both slots, so that no torn one later leaves an older mark that does not know the segment.
void Writer::force_mark() {
    if (mark_ == nullptr) return;
    encode_mark_slot(mark_now(), scratch_);
    TWOFOLD_CRASH_POINT(wal_mark_before_write);
    for (std::uint64_t slot : {0U, 1U}) {
        if (!mark_->write_at(slot * kMarkSlotDistanceBytes, scratch_).has_value()) {
            return drop_mark();
        }
    }
    TWOFOLD_CRASH_POINT(wal_mark_before_force);
    if (!mark_->force().has_value()) return drop_mark();
    ++counters_.marks_written;
    ++counters_.mark_forces;
}

void Writer::write_mark(bool clean_shutdown) {
    if (mark_ == nullptr) return;
    DurableMark mark = mark_now();
    mark.clean_shutdown = clean_shutdown;
    encode_mark_slot(mark, scratch_);
    TWOFOLD_CRASH_POINT(wal_before_mark);
    if (!mark_->write_at(mark_slot_offset(mark), scratch_).has_value()) return drop_mark();
    ++counters_.marks_written;
}

void Writer::drop_mark() {
    mark_ = nullptr;
    ++counters_.mark_failures;
}

}  // namespace twofold::wal
