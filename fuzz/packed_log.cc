#include "fuzz/packed_log.h"

#include "base/crc32c.h"
#include "fuzz/cursor.h"
#include "wal/core/durable_mark.h"
#include "wal/core/frame.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <span>
#include <string>

namespace twofold::fuzz {

namespace {

using base::Bytes;
using base::ByteSpan;

constexpr std::size_t kFilesMax = 8;
constexpr unsigned kBatchesMax = 8;
constexpr std::size_t kBatchSizeMax = 3 * wal::kBlockSizeBytes;
constexpr unsigned kZeroBlocksMax = 4;

// Places in the header and in a batch: docs/log_format.md.
constexpr std::size_t kHeaderIndex = 32;
constexpr std::size_t kHeaderSize = 40;
constexpr std::size_t kHeaderSalt = 48;
constexpr std::size_t kHeaderPreviousCrc = 76;
constexpr std::size_t kHeaderCrc = wal::kSegmentHeaderSizeBytes - 4;
constexpr std::size_t kBatchCrc = 4;
constexpr std::size_t kBatchLength = 8;
constexpr std::size_t kBatchPreviousCrc = 52;
constexpr std::string_view kBatchMagic = "TWFB";

void put(std::span<std::uint8_t> bytes, std::size_t at, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) {
        bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
}

std::uint32_t u32_at(ByteSpan bytes, std::size_t at) {
    base::ByteReader reader(bytes.subspan(at));
    return reader.u32();
}

class Unpacker {
public:
    Unpacker(ByteSpan packed, wal::MemoryDisk& disk) : in_(packed), disk_(disk) {}

    void run() {
        for (std::size_t i = 0; i < kFilesMax && !in_.empty(); ++i) {
            auto kind = static_cast<PackedKind>(in_.u8() % 6U);
            std::uint8_t number = in_.u8();
            repairs_ = in_.u8();
            Bytes content = kind == PackedKind::mark ? take_mark() : take_file(kind, number);
            disk_.put(name_of(kind, number), std::move(content));
        }
    }

private:
    [[nodiscard]] bool repairs(std::uint8_t bit) const { return (repairs_ & bit) != 0; }

    static std::string name_of(PackedKind kind, std::uint8_t number) {
        switch (kind) {
            case PackedKind::segment: return wal::segment_name(number);
            case PackedKind::sealed: return wal::sealed_name(sealed_number(number));
            case PackedKind::mark: return std::string(wal::kDurableMarkName);
            case PackedKind::spare: return wal::spare_name(number);
            case PackedKind::unfinished_spare: return wal::unfinished_spare_name(number);
            case PackedKind::other: break;
        }
        return "segment-" + std::to_string(number) + ".wal";
    }

    Bytes take_mark() {
        Bytes content(wal::kMarkFileSizeBytes);
        for (std::size_t slot = 0; slot < 2; ++slot) {
            ByteSpan bytes = in_.take(std::min<std::size_t>(in_.u8(), wal::kMarkSlotSizeBytes));
            auto room = std::span(content).subspan(slot * wal::kMarkSlotDistanceBytes,
                                                   wal::kMarkSlotSizeBytes);
            std::ranges::copy(bytes, room.begin());
            if (!repairs(kRepairHeaderCrc) || bytes.empty()) continue;
            std::size_t covered = room.size() - 4;
            put(room, covered, base::crc32c(ByteSpan(room).first(covered)), 4);
        }
        return content;
    }

    Bytes take_file(PackedKind kind, std::uint8_t number) {
        Bytes content(wal::kSegmentHeaderSizeBytes);
        std::ranges::copy(in_.take(in_.u8()), content.begin());
        if (repairs(kRepairChain)) put(content, kHeaderPreviousCrc, previous_crc_, 4);
        std::uint32_t salt = u32_at(content, kHeaderSalt);
        unsigned batches = in_.u8() % (kBatchesMax + 1);
        for (unsigned i = 0; i < batches; ++i) {
            ByteSpan bytes = in_.take(in_.u16() % kBatchSizeMax);
            std::size_t at = content.size();
            content.insert(content.end(), bytes.begin(), bytes.end());
            if (bytes.size() >= wal::kBatchHeaderSizeBytes) {
                repair_batch(std::span(content).subspan(at), salt);
            }
            content.resize(wal::round_up_to_block(content.size()));
        }
        content.resize(content.size() + in_.u8() % (kZeroBlocksMax + 1) * wal::kBlockSizeBytes);
        std::uint64_t index = kind == PackedKind::sealed ? sealed_number(number) : number;
        if (repairs(kRepairHeaderNumber)) put(content, kHeaderIndex, index, 8);
        if (repairs(kRepairHeaderSize)) put(content, kHeaderSize, content.size(), 8);
        if (repairs(kRepairHeaderCrc)) {
            put(content, kHeaderCrc, base::crc32c(ByteSpan(content).first(kHeaderCrc)), 4);
        }
        return content;
    }

    void repair_batch(std::span<std::uint8_t> batch, std::uint32_t salt) {
        if (repairs(kRepairChain)) put(batch, kBatchPreviousCrc, previous_crc_, 4);
        if (repairs(kRepairBatches)) {
            std::ranges::copy(kBatchMagic, batch.begin());
            put(batch, kBatchLength, batch.size(), 4);
            put(batch, kBatchCrc, base::crc32c(ByteSpan(batch).subspan(kBatchLength), salt), 4);
        }
        previous_crc_ = u32_at(batch, kBatchCrc);
    }

    Cursor in_;
    wal::MemoryDisk& disk_;
    std::uint8_t repairs_ = 0;
    std::uint32_t previous_crc_ = 0;
};

std::size_t size_without_zeros(ByteSpan bytes) {
    std::size_t size = bytes.size();
    while (size > 0 && bytes[size - 1] == 0) --size;
    return size;
}

void pack_slot(ByteSpan bytes, Bytes& out) {
    std::size_t size = size_without_zeros(bytes);
    out.push_back(static_cast<std::uint8_t>(size));
    out.insert(out.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

void pack_file(ByteSpan content, Bytes& out) {
    std::size_t size = std::min<std::size_t>(size_without_zeros(content.first(kHeaderCrc)), 255);
    pack_slot(content.first(size), out);
    std::size_t count_at = out.size();
    out.push_back(0);
    std::size_t at = wal::kSegmentHeaderSizeBytes;
    base::ByteWriter writer(out);
    while (at < content.size() && out[count_at] < kBatchesMax) {
        wal::BatchHeader batch;
        if (wal::peek_batch(content.subspan(at), content.size() - at, batch) !=
                wal::BatchCheck::valid ||
            batch.length_bytes >= kBatchSizeMax) {
            break;
        }
        writer.u16(static_cast<std::uint16_t>(batch.length_bytes));
        writer.raw(content.subspan(at, batch.length_bytes));
        at += wal::round_up_to_block(batch.length_bytes);
        ++out[count_at];
    }
    std::size_t blocks = (content.size() - at) / wal::kBlockSizeBytes;
    out.push_back(static_cast<std::uint8_t>(std::min<std::size_t>(blocks, kZeroBlocksMax)));
}

}  // namespace

std::uint64_t sealed_number(std::uint8_t packed) {
    return (std::uint64_t{packed} >> 4U << 32U) | (packed & 15U);
}

void unpack_log(ByteSpan packed, wal::MemoryDisk& disk) { Unpacker(packed, disk).run(); }

Bytes pack_log(wal::MemoryDisk& disk, std::uint8_t repairs) {
    Bytes out;
    for (const std::string& name : disk.names()) {
        wal::ParsedName parsed = wal::parse_name(name);
        const Bytes& content = disk.content(name);
        auto begin = [&](PackedKind kind, std::uint64_t number) {
            out.push_back(static_cast<std::uint8_t>(kind));
            out.push_back(static_cast<std::uint8_t>(number));
            out.push_back(repairs);
        };
        if (name == wal::kDurableMarkName) {
            begin(PackedKind::mark, 0);
            Bytes padded = content;
            padded.resize(wal::kMarkFileSizeBytes);
            ByteSpan slots(padded);
            pack_slot(slots.first(wal::kMarkSlotSizeBytes), out);
            pack_slot(slots.subspan(wal::kMarkSlotDistanceBytes, wal::kMarkSlotSizeBytes), out);
        } else if (parsed.kind == wal::FileKind::segment) {
            begin(PackedKind::segment, parsed.number);
            pack_file(content, out);
        } else if (parsed.kind == wal::FileKind::sealed) {
            begin(PackedKind::sealed, (parsed.number >> 32U << 4U) | (parsed.number & 15U));
            pack_file(content, out);
        }
    }
    return out;
}

}  // namespace twofold::fuzz
