#include "wal/core/durable_mark.h"

#include "base/crc32c.h"

#include <tuple>

namespace twofold::wal {

namespace {

constexpr std::uint32_t kMarkMagic = 0x4d465754;  // "TWFM"
constexpr std::size_t kMarkCrcOffset = kMarkSlotSizeBytes - 4;
constexpr std::uint16_t kFlagCleanShutdown = 1;

}  // namespace

void encode_mark_slot(const DurableMark& mark, Bytes& out) {
    out.clear();
    base::ByteWriter writer(out);
    writer.u32(kMarkMagic);
    writer.u32(kFormatVersion);
    writer.raw(mark.incarnation);
    writer.u16(mark.clean_shutdown ? kFlagCleanShutdown : std::uint16_t{0});
    writer.u32(mark.epoch);
    writer.u64(mark.segment);
    writer.u64(mark.batch);
    writer.u64(mark.lsn);
    writer.u64(mark.newest_segment);
    out.resize(kMarkCrcOffset, 0);
    writer.u32(base::crc32c(ByteSpan(out).first(kMarkCrcOffset)));
}

std::optional<DurableMark> decode_mark_slot(ByteSpan slot) {
    if (slot.size() < kMarkSlotSizeBytes) return std::nullopt;
    base::ByteReader reader(slot);
    bool is_ours = reader.u32() == kMarkMagic && reader.u32() == kFormatVersion;
    base::ByteReader crc_reader(slot.subspan(kMarkCrcOffset));
    if (!is_ours || crc_reader.u32() != base::crc32c(slot.first(kMarkCrcOffset))) {
        return std::nullopt;
    }
    DurableMark mark;
    mark.incarnation = reader.array<10>();
    mark.clean_shutdown = (reader.u16() & kFlagCleanShutdown) != 0;
    mark.epoch = reader.u32();
    mark.segment = reader.u64();
    mark.batch = reader.u64();
    mark.lsn = reader.u64();
    mark.newest_segment = reader.u64();
    return mark;
}

std::optional<DurableMark> newest_mark(ByteSpan file) {
    std::optional<DurableMark> newest;
    for (std::size_t offset = 0; offset + kMarkSlotSizeBytes <= file.size();
         offset += kMarkSlotDistanceBytes) {
        std::optional<DurableMark> mark =
            decode_mark_slot(file.subspan(offset, kMarkSlotSizeBytes));
        if (!mark) continue;
        if (!newest ||
            std::tie(mark->epoch, mark->batch) > std::tie(newest->epoch, newest->batch)) {
            newest = mark;
        }
    }
    return newest;
}

}  // namespace twofold::wal
