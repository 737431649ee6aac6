#include "wal/core/frame.h"

#include "base/assert.h"
#include "base/crc32c.h"

#include <algorithm>
#include <limits>

namespace twofold::wal {

using base::ByteReader;
using base::ByteWriter;

namespace {

constexpr std::array<std::uint8_t, 8> kSegmentMagic = {'T', 'W', 'F', 'D', 'W', 'A', 'L', '1'};
constexpr std::uint32_t kBatchMagic = 0x42465754;  // "TWFB"
constexpr std::size_t kSegmentCrcOffset = kSegmentHeaderSizeBytes - 4;
// The CRC of a batch covers everything behind the CRC field, so that length and CRC guard each
// other.
constexpr std::size_t kBatchCrcCoversFrom = 8;

constexpr std::uint32_t kFlagStartsEpoch = 1;
constexpr std::uint32_t kFlagBeginsCheckpoint = 2;
constexpr std::uint32_t kFlagRecycled = 4;
constexpr std::uint32_t kFlagSealed = 8;
constexpr std::uint8_t kFlagCheckpointComplete = 1;

// Writes into a span that is known to be large enough.
class SpanWriter {
public:
    explicit SpanWriter(std::span<std::uint8_t> out) : out_(out) {}
    void little_endian(std::uint64_t v, std::size_t width) {
        for (std::size_t i = 0; i < width; ++i) out_[i] = static_cast<std::uint8_t>(v >> (8 * i));
        out_ = out_.subspan(width);
    }
    void raw(ByteSpan bytes) {
        std::ranges::copy(bytes, out_.begin());
        out_ = out_.subspan(bytes.size());
    }

private:
    std::span<std::uint8_t> out_;
};

bool is_known_kind(std::uint8_t kind) {
    return kind >= static_cast<std::uint8_t>(BatchKind::records) &&
           kind <= static_cast<std::uint8_t>(BatchKind::clean_shutdown);
}

// The lengths of the records must fill the batch exactly.
bool records_fill(ByteSpan records, std::uint32_t count) {
    ByteReader reader(records);
    for (std::uint32_t i = 0; i < count && reader.ok(); ++i)
        static_cast<void>(reader.raw(reader.u32()));
    return reader.finished();
}

}  // namespace

void encode_segment_header(const SegmentHeader& header, Bytes& out) {
    out.clear();
    out.reserve(kSegmentHeaderSizeBytes);
    std::uint32_t flags = (header.starts_epoch ? kFlagStartsEpoch : 0U) |
                          (header.begins_checkpoint ? kFlagBeginsCheckpoint : 0U) |
                          (header.recycled ? kFlagRecycled : 0U) |
                          (header.sealed ? kFlagSealed : 0U);
    ByteWriter writer(out);
    writer.raw(kSegmentMagic);
    writer.u32(kFormatVersion);
    writer.u32(flags);
    writer.raw(header.incarnation);
    writer.u16(0);
    writer.u32(header.epoch);
    writer.u64(header.index);
    writer.u64(header.size_bytes);
    writer.u32(header.salt);
    writer.u32(static_cast<std::uint32_t>(kBlockSizeBytes));
    writer.u64(header.first_batch);
    writer.u64(header.first_lsn);
    writer.u32(header.previous_epoch);
    writer.u32(header.previous_crc);
    writer.u64(header.previous_segment);
    writer.u64(header.durable_lsn);
    out.resize(kSegmentCrcOffset, 0);
    writer.u32(base::crc32c(ByteSpan(out).first(kSegmentCrcOffset)));
}

base::Result<SegmentHeader> decode_segment_header(ByteSpan block) {
    TWOFOLD_ASSERT(block.size() == kSegmentHeaderSizeBytes, "a segment header is one block");
    ByteReader reader(block);
    if (reader.array<8>() != kSegmentMagic) {
        return base::fail(base::Errc::corrupt, "this is not a log segment: the magic is missing");
    }
    std::uint32_t version = reader.u32();
    // Before the CRC: a newer format may have it elsewhere.
    if (version > kFormatVersion) {
        return base::fail(base::Errc::unsupported_version,
                          "log format version " + std::to_string(version) +
                              " is newer than this program, which knows version " +
                              std::to_string(kFormatVersion) + "; use the program that wrote it");
    }
    ByteReader crc_reader(block.subspan(kSegmentCrcOffset));
    if (crc_reader.u32() != base::crc32c(block.first(kSegmentCrcOffset))) {
        return base::fail(base::Errc::corrupt, "the CRC of the segment header is wrong");
    }
    SegmentHeader header;
    std::uint32_t flags = reader.u32();
    header.starts_epoch = (flags & kFlagStartsEpoch) != 0;
    header.begins_checkpoint = (flags & kFlagBeginsCheckpoint) != 0;
    header.recycled = (flags & kFlagRecycled) != 0;
    header.sealed = (flags & kFlagSealed) != 0;
    header.incarnation = reader.array<10>();
    static_cast<void>(reader.u16());
    header.epoch = reader.u32();
    header.index = reader.u64();
    header.size_bytes = reader.u64();
    header.salt = reader.u32();
    std::uint32_t block_size = reader.u32();
    header.first_batch = reader.u64();
    header.first_lsn = reader.u64();
    header.previous_epoch = reader.u32();
    header.previous_crc = reader.u32();
    header.previous_segment = reader.u64();
    header.durable_lsn = reader.u64();
    bool possible =
        version == kFormatVersion && block_size == kBlockSizeBytes && header.epoch != 0 &&
        header.index != 0 && header.first_batch != 0 && header.first_lsn != 0 &&
        header.size_bytes >= kSegmentSizeMinBytes && header.size_bytes % kBlockSizeBytes == 0 &&
        header.durable_lsn < header.first_lsn && (!header.starts_epoch || header.begins_checkpoint);
    if (!possible) {
        return base::fail(base::Errc::corrupt, "the segment header holds impossible values");
    }
    return header;
}

std::string_view to_string(BatchKind kind) {
    switch (kind) {
        case BatchKind::records: return "records";
        case BatchKind::checkpoint: return "checkpoint";
        case BatchKind::heartbeat: return "heartbeat";
        case BatchKind::clean_shutdown: return "clean_shutdown";
    }
    TWOFOLD_UNREACHABLE("batch kind");
}

std::uint32_t seal_batch(const BatchHeader& header,
                         std::uint32_t salt,
                         std::span<std::uint8_t> batch) {
    TWOFOLD_ASSERT(batch.size() >= kBatchHeaderSizeBytes, "a batch has room for its header");
    TWOFOLD_ASSERT(batch.size() <= std::numeric_limits<std::uint32_t>::max(),
                   "a batch is too long");
    SpanWriter writer(batch);
    writer.little_endian(kBatchMagic, 4);
    writer.little_endian(0, 4);
    writer.little_endian(batch.size(), 4);
    writer.little_endian(kFormatVersion, 2);
    writer.little_endian(static_cast<std::uint8_t>(header.kind), 1);
    writer.little_endian(header.checkpoint_complete ? kFlagCheckpointComplete : 0U, 1);
    writer.raw(header.incarnation);
    writer.little_endian(0, 2);
    writer.little_endian(header.epoch, 4);
    writer.little_endian(header.number, 8);
    writer.little_endian(header.first_lsn, 8);
    writer.little_endian(header.record_count, 4);
    writer.little_endian(header.previous_crc, 4);
    writer.little_endian(header.durable_lsn, 8);
    std::uint32_t crc = base::crc32c(ByteSpan(batch).subspan(kBatchCrcCoversFrom), salt);
    SpanWriter(batch.subspan(4)).little_endian(crc, 4);
    return crc;
}

BatchCheck peek_batch(ByteSpan bytes, std::uint64_t bytes_left_in_segment, BatchHeader& out) {
    TWOFOLD_ASSERT(bytes.size() >= kBatchHeaderSizeBytes, "a batch header needs its bytes");
    ByteReader reader(bytes);
    if (reader.u32() != kBatchMagic) return BatchCheck::absent;
    out.crc = reader.u32();
    out.length_bytes = reader.u32();
    std::uint16_t version = reader.u16();
    std::uint8_t kind = reader.u8();
    std::uint8_t flags = reader.u8();
    out.incarnation = reader.array<10>();
    static_cast<void>(reader.u16());
    out.epoch = reader.u32();
    out.number = reader.u64();
    out.first_lsn = reader.u64();
    out.record_count = reader.u32();
    out.previous_crc = reader.u32();
    out.durable_lsn = reader.u64();
    // The length is judged before anybody allocates or reads for it.
    bool fits =
        out.length_bytes >= kBatchHeaderSizeBytes && out.length_bytes <= bytes_left_in_segment;
    if (!fits || version != kFormatVersion || !is_known_kind(kind)) return BatchCheck::invalid;
    out.kind = static_cast<BatchKind>(kind);
    out.checkpoint_complete = (flags & kFlagCheckpointComplete) != 0;
    return BatchCheck::valid;
}

BatchCheck verify_batch(ByteSpan bytes, std::uint32_t salt, const BatchHeader& header) {
    TWOFOLD_ASSERT(bytes.size() == header.length_bytes, "a batch is verified as a whole");
    if (base::crc32c(bytes.subspan(kBatchCrcCoversFrom), salt) != header.crc) {
        return BatchCheck::invalid;
    }
    if (!records_fill(bytes.subspan(kBatchHeaderSizeBytes), header.record_count)) {
        return BatchCheck::invalid;
    }
    return BatchCheck::valid;
}

void for_each_record(ByteSpan batch, const std::function<void(ByteSpan record)>& sink) {
    ByteReader reader(batch.subspan(kBatchHeaderSizeBytes));
    while (reader.ok() && reader.remaining() > 0) sink(reader.raw(reader.u32()));
}

}  // namespace twofold::wal
