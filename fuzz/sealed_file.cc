// Sealed files: either the records, or a refusal by name; and records that were read can be written
// again and read as the same.
#include "base/assert.h"
#include "base/crc32c.h"
#include "fuzz/packed_log.h"
#include "fuzz/targets.h"
#include "wal/core/frame.h"
#include "wal/core/segment_name.h"
#include "wal/sealed.h"

#include <algorithm>

namespace twofold::fuzz {

namespace {

constexpr wal::Incarnation kIncarnation{'i', 'n', 'c', 'a', 'r', 'n', 'a', 't', 'e', 'd'};

std::size_t size_of(const std::vector<base::Bytes>& records) {
    std::size_t size = 0;
    for (const base::Bytes& record : records) size += record.size();
    return size;
}

// What a checkpoint would say of this content.
std::uint32_t checksum_of(wal::MemoryDisk& disk, const std::string& name) {
    if (!disk.has(name)) return 0;
    base::ByteSpan content = disk.content(name);
    wal::BatchHeader batch;
    if (content.size() < wal::kSegmentHeaderSizeBytes + wal::kBatchHeaderSizeBytes) return 0;
    base::ByteSpan rest = content.subspan(wal::kSegmentHeaderSizeBytes);
    if (wal::peek_batch(rest, rest.size(), batch) != wal::BatchCheck::valid) return 0;
    base::ByteSpan whole = rest.first(batch.length_bytes);
    return base::crc32c(whole.subspan(wal::kBatchHeaderSizeBytes));
}

void check(wal::MemoryDisk& disk, std::uint64_t number) {
    std::uint32_t checksum = checksum_of(disk, wal::sealed_name(number));
    TWOFOLD_ASSERT(
        !wal::read_sealed(disk.directory(), kIncarnation, number, checksum + 1).has_value(),
        "another content is taken");
    auto records = wal::read_sealed(disk.directory(), kIncarnation, number, checksum);
    if (!records.has_value()) {
        bool known = records.error().code == base::Errc::corrupt ||
                     records.error().code == base::Errc::unsupported_version;
        TWOFOLD_ASSERT(known && !records.error().context.empty(), "a refusal of another kind");
        return;
    }
    TWOFOLD_ASSERT(size_of(records.value()) <= disk.content(wal::sealed_name(number)).size(),
                   "more than the file has");
    if (records.value().empty()) return;
    wal::MemoryDisk other;
    wal::SealedFile file{kIncarnation, 1, number, 7};
    TWOFOLD_ASSERT(wal::write_sealed(other.directory(), file, records.value()).has_value(),
                   "what was read cannot be written");
    TWOFOLD_ASSERT(wal::content_checksum(records.value()) == checksum, "two checksums");
    auto again = wal::read_sealed(other.directory(), kIncarnation, number, checksum);
    TWOFOLD_ASSERT(again.has_value() && again.value() == records.value(),
                   "it reads as something else");
}

}  // namespace

void sealed_file(base::ByteSpan input) {
    wal::MemoryDisk disk;
    unpack_log(input, disk);
    for (const std::string& name : disk.names()) {
        wal::ParsedName parsed = wal::parse_name(name);
        if (parsed.kind == wal::FileKind::sealed && parsed.number != 0) check(disk, parsed.number);
    }
    check(disk, 3);
}

}  // namespace twofold::fuzz
