// Appends to a log. The batch is the unit: records are collected by append(), and force() writes
// them as one batch with one CRC and forces it. Batch N+1 is never written before the force of
// batch N returned; that is what lets the reader tell a torn tail from damage.
//
// What a crash leaves:
//   before or during the write of a batch   a torn tail: the reader discards it
//   after the write, before the force       the batch or a torn tail; nobody was told
//   after the force                         the batch
//   while a segment is made                 a spare, or a segment without batches
//   during a checkpoint or a start          the former checkpoint and everything after it
//   while old segments are removed          the new checkpoint; old segments are ignored
//
// One thread. No clock: the caller decides when to force, to checkpoint and to send a heartbeat.
#pragma once

#include "wal/core/durable_mark.h"
#include "wal/core/frame.h"
#include "wal/file.h"
#include "wal/reader.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace twofold::wal {

class SegmentPool;

struct WriterOptions {
    std::uint64_t segment_size_bytes = 16ULL << 20;  // multiple of 4096, at least 8192
    // Pre-written segments kept ready. Fewer: no new work is admitted. The first ones finish what
    // is admitted, the last one is what a checkpoint needs to free the others.
    std::uint64_t reserve_segments = 2;
    // After a checkpoint up to this many obsolete segments are kept for reuse, the others removed.
    std::uint64_t spare_segments_max = 6;
    // The next spare is written in steps of at least this, between forces: see maintain().
    std::uint64_t maintenance_step_bytes = 256ULL << 10;
    // Upper bound of one batch; cut down to what fits into a segment.
    std::uint64_t batch_size_max_bytes = 1ULL << 20;
    bool durable_mark = true;
    // Seed of the segments' salts. 0: from the kernel. The simulator sets it.
    std::uint64_t salt_seed = 0;
};

struct WriterCounters {
    std::uint64_t forces = 0;  // successful forces of batches
    std::uint64_t directory_forces = 0;
    std::uint64_t batches = 0;  // of every kind
    std::uint64_t heartbeats = 0;
    std::uint64_t checkpoints = 0;  // completed, the one of start() included
    std::uint64_t records = 0;
    std::uint64_t record_bytes = 0;   // as appended
    std::uint64_t written_bytes = 0;  // batches with headers and padding
    std::uint64_t segments_begun = 0;
    std::uint64_t segments_created = 0;        // pre-written with zeros
    std::uint64_t segments_made_in_force = 0;  // of those created: while a force waited for it
    std::uint64_t segments_recycled = 0;
    std::uint64_t segments_removed = 0;
    std::uint64_t sealed_files = 0;  // written
    std::uint64_t sealed_bytes = 0;
    std::uint64_t marks_written = 0;
    std::uint64_t mark_forces = 0;    // one for each segment, and one at a clean shutdown
    std::uint64_t mark_failures = 0;  // at most 1: marks stop then, which is always safe
};

// A record of a checkpoint that stands for the records of a sealed file.
struct SealedReference {
    std::uint64_t number = 0;  // of the file
    std::size_t record = 0;    // its place among the checkpoint's records
};

class Writer {
public:
    // Begins epoch summary.last_epoch + 1 in a new segment; `incarnation` is used only when
    // `summary` has none. On return the checkpoint is on stable storage under its final name, and
    // older segments are gone or ignored. This is also how records that the reader saw, perhaps
    // only in the page cache, become durable before anybody acts on them. `sealed`: as for
    // checkpoint().
    // The directory must outlive the writer, and its lock must be held.
    // Errors: invalid_argument (options), disk_full (nothing is lost; free space, start again),
    // io_error, limit_exceeded (a record is larger than record_size_max).
    [[nodiscard]] static Result<std::unique_ptr<Writer>> start(
        Directory& directory,
        const ReadSummary& summary,
        const WriterOptions& options,
        const Incarnation& incarnation,
        std::span<const Bytes> checkpoint,
        std::span<const std::uint64_t> sealed = {});
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Puts a record into the current batch and returns its LSN. Not durable. The size must not
    // exceed record_size_max() (asserted): check it when the work is admitted.
    std::uint64_t append(ByteSpan record);

    // Writes and forces what was appended; on return everything up to the returned LSN is on stable
    // storage. One write and one force when it is one batch and the segment has room.
    // disk_full: no segment is left; nothing of the batch was written, a later call may succeed.
    // Any other failure poisons the writer for ever: the caller must end the process.
    [[nodiscard]] Result<std::uint64_t> force();

    // An empty batch, forced, when the last batch is not one already. Call it once when the log
    // falls idle: a valid batch after it is what protects the last acknowledged one.
    [[nodiscard]] Result<void> heartbeat();

    // Prepares what later forces need, one bounded step at a time, so that none of them has to make
    // a segment: once the current segment is half full, one spare more than the reserve. Call it
    // after each force, when nobody waits for that any more. The steps keep pace with what the
    // forces write: the spare is there in time when no batch exceeds an eighth of a segment.
    // A full disk is no error: the reserve is still whole then, and force() looks again.
    [[nodiscard]] Result<void> maintain();

    // False when the reserve is not complete because the disk is full. Then: admit nothing new,
    // finish what is there, call checkpoint(), and refill_reserve() now and then.
    [[nodiscard]] bool has_room_for_new_work() const;
    // Tries again to make the missing reserve segments. A full disk is not an error.
    [[nodiscard]] Result<void> refill_reserve();

    // Forces what is pending, then writes `records`, which must describe the state after every
    // record appended so far, into a new segment, forces it, and recycles older segments.
    // disk_full, limit_exceeded: nothing was changed and the writer stays usable. Anything else
    // poisons.
    // `sealed` are the records that refer to sealed files: these are on stable storage before the
    // checkpoint is written, and all others are removed after it. One for which there is still no
    // space stands in the checkpoint itself, in place of the record that refers to it.
    [[nodiscard]] Result<void> checkpoint(std::span<const Bytes> records,
                                          std::span<const SealedReference> sealed = {});

    // Writes and forces a sealed file. Checkpoints made after this call may refer to it. disk_full:
    // it is kept, and tried again before every checkpoint that refers to it. Anything else poisons.
    [[nodiscard]] Result<void> seal(std::uint64_t number, std::vector<Bytes> records);

    // Forces what is pending and a clean-shutdown batch. The writer is closed afterwards.
    [[nodiscard]] Result<void> close_clean();

    [[nodiscard]] std::uint32_t epoch() const { return epoch_; }
    [[nodiscard]] const Incarnation& incarnation() const { return incarnation_; }
    [[nodiscard]] std::uint64_t durable_lsn() const { return durable_lsn_; }
    [[nodiscard]] std::uint64_t appended_lsn() const { return next_lsn_ - 1; }
    // Bytes on disk since the newest checkpoint began, headers and padding included: the measure
    // for "time for a checkpoint".
    [[nodiscard]] std::uint64_t live_bytes() const { return live_bytes_; }
    [[nodiscard]] std::uint64_t record_size_max() const;
    [[nodiscard]] bool poisoned() const { return poisoned_; }
    [[nodiscard]] const WriterCounters& counters() const { return counters_; }

private:
    struct PendingBatch {
        std::uint64_t offset = 0;  // in buffer_, a multiple of the block size
        std::uint64_t length_bytes = 0;
        std::uint64_t first_lsn = 0;
        std::uint32_t record_count = 0;
    };

    Writer(Directory& directory, const WriterOptions& options);

    [[nodiscard]] bool wants_next_spare() const;
    Result<void> open_start(const ReadSummary& summary,
                            const Incarnation& incarnation,
                            std::span<const Bytes> checkpoint,
                            std::span<const std::uint64_t> sealed);
    Result<void> require_usable() const;
    base::Error poison(base::Error error);
    // Poisons on any failure: the state on the medium is not known then.
    Result<void> or_poison(Result<void> result);
    std::uint64_t put_record(ByteSpan record);
    void begin_pending_batch();
    Result<void> begin_segment(bool starts_epoch, bool begins_checkpoint);
    Result<void> name_segment(File& file, const std::string& spare);
    Result<void> make_room(std::uint64_t padded_bytes);
    Result<void> write_pending(BatchKind kind);
    Result<void> write_batch(BatchKind kind,
                             bool checkpoint_complete,
                             const PendingBatch& batch,
                             Bytes& buffer);
    Result<void> write_and_force(ByteSpan padded);
    Result<void> write_empty_batch(BatchKind kind);
    Result<void> reserve_for_checkpoint(std::span<const Bytes> records);
    Result<void> write_checkpoint(std::span<const Bytes> records,
                                  std::span<const std::uint64_t> sealed,
                                  bool starts_epoch);
    Result<void> release_before(std::uint64_t first_needed, std::span<const std::uint64_t> sealed);
    Result<void> write_unsealed();
    [[nodiscard]] std::vector<Bytes> with_unsealed(std::span<const Bytes> records,
                                                   std::span<const SealedReference> sealed) const;
    void open_mark();
    void write_mark(bool clean_shutdown);
    void force_mark();
    [[nodiscard]] DurableMark mark_now() const;
    void drop_mark();

    Directory& directory_;
    WriterOptions options_;
    std::unique_ptr<SegmentPool> pool_;
    std::unique_ptr<File> segment_;
    std::unique_ptr<File> mark_;
    std::uint64_t salt_seed_ = 0;
    SegmentHeader header_;              // of the current segment
    std::uint64_t segment_offset_ = 0;  // where the next batch goes
    Incarnation incarnation_{};
    std::uint32_t epoch_ = 0;
    LogPosition last_;  // the last durable batch
    std::uint64_t next_index_ = 1;
    std::uint64_t next_lsn_ = 1;
    std::uint64_t durable_lsn_ = 0;
    std::uint64_t live_bytes_ = 0;
    std::uint64_t prepared_at_bytes_ = 0;  // counters_.written_bytes at the last step of maintain()
    bool no_space_ahead_ = false;          // for the spare beyond the reserve, in this segment
    BatchKind last_kind_ = BatchKind::checkpoint;
    Bytes buffer_;  // the pending batches, each from a block boundary on
    std::vector<PendingBatch> pending_;
    struct Unsealed {
        std::uint64_t number = 0;
        std::vector<Bytes> records;
    };
    std::vector<Unsealed> unsealed_;  // the disk was full
    Bytes empty_batch_;               // heartbeats and the clean shutdown
    Bytes scratch_;                   // segment headers and marks
    WriterCounters counters_;
    bool marks_begun_ = false;  // not before the checkpoint of start() is complete
    bool poisoned_ = false;
    bool closed_ = false;
};

}  // namespace twofold::wal
