// The bytes of the log, shared by writer and reader: the segment header, the batch, the records in
// it. docs/log_format.md is the page to read first; the offsets here and there must agree, and the
// golden bytes in frame_test.cc hold both to it. All integers are little-endian. Pure: no I/O.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace twofold::wal {

using base::Bytes;
using base::ByteSpan;

inline constexpr std::uint32_t kFormatVersion = 1;
// Batches begin at multiples of this and are padded to it, so that a block which holds acknowledged
// records is never written again: a torn rewrite would destroy them.
inline constexpr std::size_t kBlockSizeBytes = 4096;
inline constexpr std::size_t kSegmentHeaderSizeBytes = kBlockSizeBytes;
inline constexpr std::size_t kSegmentSizeMinBytes = 2 * kBlockSizeBytes;
inline constexpr std::size_t kBatchHeaderSizeBytes = 64;
inline constexpr std::size_t kRecordHeaderSizeBytes = 4;
static_assert(kSegmentSizeMinBytes > kSegmentHeaderSizeBytes);

using Incarnation = std::array<std::uint8_t, 10>;

[[nodiscard]] constexpr std::uint64_t round_up_to_block(std::uint64_t size) {
    return (size + kBlockSizeBytes - 1) / kBlockSizeBytes * kBlockSizeBytes;
}

// ---- segment header: one block, written and forced before the file gets a segment's name --------

struct SegmentHeader {
    Incarnation incarnation{};
    std::uint32_t epoch = 0;
    std::uint64_t index = 0;
    std::uint64_t size_bytes = 0;  // of the whole file
    std::uint32_t salt = 0;        // seeds the CRC of every batch in this segment
    bool starts_epoch = false;     // the first segment of a start
    bool begins_checkpoint = false;
    bool recycled = false;  // unused blocks may hold the file's former content
    bool sealed = false;    // no segment of the log but a sealed file (wal/sealed.h)
    std::uint64_t first_batch = 0;
    std::uint64_t first_lsn = 0;
    // The batch before this segment's first one. epoch 0: there is none, the log begins here.
    std::uint32_t previous_epoch = 0;
    std::uint32_t previous_crc = 0;
    std::uint64_t previous_segment = 0;
    // The highest LSN that was known to be acknowledged when this header was made.
    std::uint64_t durable_lsn = 0;

    friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

// `out` becomes exactly one block.
void encode_segment_header(const SegmentHeader& header, Bytes& out);
// `block` must be one block. Errors: corrupt (no magic, bad CRC, impossible values),
// unsupported_version. The text has no file name: the caller adds it.
[[nodiscard]] base::Result<SegmentHeader> decode_segment_header(ByteSpan block);

// ---- batch --------------------------------------------------------------------------------------

enum class BatchKind : std::uint8_t {
    records = 1,
    checkpoint = 2,
    heartbeat = 3,
    clean_shutdown = 4
};
[[nodiscard]] std::string_view to_string(BatchKind kind);

struct BatchHeader {
    std::uint32_t crc = 0;
    std::uint32_t length_bytes = 0;  // header and records, without the padding
    BatchKind kind = BatchKind::records;
    bool checkpoint_complete = false;  // the last batch of a checkpoint
    Incarnation incarnation{};
    std::uint32_t epoch = 0;
    std::uint64_t number = 0;
    std::uint64_t first_lsn = 0;  // of the first record; of the next one when there is none
    std::uint32_t record_count = 0;
    std::uint32_t previous_crc = 0;
    std::uint64_t durable_lsn = 0;  // the last LSN of the last durable batch

    friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};

// Fills in the header in front of the records that `batch` already holds (batch.size() is the
// length; its first kBatchHeaderSizeBytes are overwritten), computes the CRC and returns it.
std::uint32_t seal_batch(const BatchHeader& header,
                         std::uint32_t salt,
                         std::span<std::uint8_t> batch);

enum class BatchCheck : std::uint8_t {
    valid,
    absent,   // no batch begins here: no magic
    invalid,  // a batch began here, but its length, its CRC or its inner structure is wrong
};

// Reads the fields without checking the CRC. After `valid` the length fits into
// `bytes_left_in_segment`; after `invalid` the fields are what they claim to be; after `absent`
// they mean nothing. `bytes` needs at least kBatchHeaderSizeBytes.
[[nodiscard]] BatchCheck peek_batch(ByteSpan bytes,
                                    std::uint64_t bytes_left_in_segment,
                                    BatchHeader& out);
// `bytes` must be exactly header.length_bytes long.
[[nodiscard]] BatchCheck verify_batch(ByteSpan bytes,
                                      std::uint32_t salt,
                                      const BatchHeader& header);

// Calls `sink` for each record of a verified batch, in order.
void for_each_record(ByteSpan batch, const std::function<void(ByteSpan record)>& sink);

}  // namespace twofold::wal
