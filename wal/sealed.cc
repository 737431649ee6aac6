#include "wal/sealed.h"

#include "base/assert.h"
#include "base/crash_point.h"
#include "base/crc32c.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <utility>

namespace twofold::wal {

namespace {

SegmentHeader header_of(const SealedFile& file, std::uint64_t padded_bytes) {
    SegmentHeader header;
    header.incarnation = file.incarnation;
    header.epoch = file.epoch;
    header.index = file.number;
    header.size_bytes = kSegmentHeaderSizeBytes + padded_bytes;
    header.salt = file.salt;
    header.sealed = true;
    header.first_batch = 1;
    header.first_lsn = 1;
    return header;
}

void put_records(std::span<const Bytes> records, Bytes& out) {
    base::ByteWriter writer(out);
    for (const Bytes& record : records) {
        writer.u32(static_cast<std::uint32_t>(record.size()));
        writer.raw(record);
    }
}

Bytes encode(const SealedFile& file, std::span<const Bytes> records) {
    Bytes batch(kBatchHeaderSizeBytes);
    put_records(records, batch);
    BatchHeader header;
    header.length_bytes = static_cast<std::uint32_t>(batch.size());
    header.kind = BatchKind::checkpoint;
    header.checkpoint_complete = true;
    header.incarnation = file.incarnation;
    header.epoch = file.epoch;
    header.number = 1;
    header.first_lsn = 1;
    header.record_count = static_cast<std::uint32_t>(records.size());
    seal_batch(header, file.salt, batch);
    batch.resize(round_up_to_block(batch.size()));
    Bytes bytes;
    encode_segment_header(header_of(file, batch.size()), bytes);
    bytes.insert(bytes.end(), batch.begin(), batch.end());
    return bytes;
}

Result<void> write_named(Directory& directory, std::uint64_t number, ByteSpan bytes) {
    std::string unfinished = unfinished_sealed_name(number);
    TWOFOLD_CRASH_POINT(wal_sealed_before_create);
    TWOFOLD_TRY(auto file, directory.create(unfinished));
    TWOFOLD_CRASH_POINT(wal_sealed_before_write);
    TWOFOLD_TRY(file->write_at(0, bytes));
    TWOFOLD_CRASH_POINT(wal_sealed_before_force);
    TWOFOLD_TRY(file->force());
    TWOFOLD_CRASH_POINT(wal_sealed_before_rename);
    return directory.rename(unfinished, sealed_name(number));
}

base::Error damaged(Directory& directory, std::uint64_t number, const std::string& what) {
    return base::fail(Errc::corrupt,
                      directory.path() + "/" + sealed_name(number) + ": " + what +
                          "; the newest checkpoint needs it; nothing was changed; look closer "
                          "with: twofold wal verify --dir " +
                          directory.path());
}

Result<Bytes> read_whole(File& file) {
    TWOFOLD_TRY(std::uint64_t size, file.size());
    Bytes bytes(size);
    TWOFOLD_TRY(std::size_t read, file.read_at(0, bytes));
    bytes.resize(read);
    return bytes;
}

// What is wrong with the header; empty: nothing.
std::string header_problem(const SegmentHeader& header,
                           const Incarnation& incarnation,
                           std::uint64_t number,
                           std::uint64_t size_bytes) {
    if (!header.sealed) return "it is a segment, not a sealed file";
    if (header.incarnation != incarnation) return "it belongs to another log";
    if (header.index != number) return "the header says " + sealed_name(header.index);
    if (header.size_bytes != size_bytes) {
        return "the header says " + std::to_string(header.size_bytes) + " bytes, there are " +
               std::to_string(size_bytes);
    }
    return {};
}

bool is_whole(const BatchHeader& batch, const SegmentHeader& header) {
    return batch.kind == BatchKind::checkpoint && batch.checkpoint_complete && batch.number == 1 &&
           batch.incarnation == header.incarnation && batch.epoch == header.epoch;
}

// And all unfinished ones.
template <typename Predicate>
Result<void> remove_sealed_if(Directory& directory, Predicate goes) {
    TWOFOLD_TRY(auto names, directory.list());
    for (const std::string& name : names) {
        ParsedName parsed = parse_name(name);
        bool is_whole = parsed.kind == FileKind::sealed;
        if (!is_whole && parsed.kind != FileKind::unfinished_sealed) continue;
        if (is_whole && !goes(parsed.number)) continue;
        TWOFOLD_TRY(directory.remove(name));
    }
    return base::ok();
}

}  // namespace

std::uint32_t content_checksum(std::span<const Bytes> records) {
    Bytes content;
    put_records(records, content);
    return base::crc32c(content);
}

Result<void> write_sealed(Directory& directory,
                          const SealedFile& file,
                          std::span<const Bytes> records) {
    TWOFOLD_ASSERT(file.number != 0 && !records.empty(), "a sealed file has a number and records");
    Bytes bytes = encode(file, records);
    auto written = write_named(directory, file.number, bytes);
    if (!written.has_value()) {
        static_cast<void>(directory.remove(unfinished_sealed_name(file.number)));
        return written;
    }
    TWOFOLD_CRASH_POINT(wal_sealed_before_directory_force);
    TWOFOLD_TRY(directory.force());
    TWOFOLD_CRASH_POINT(wal_sealed_after_directory_force);
    return base::ok();
}

Result<std::vector<Bytes>> read_sealed(Directory& directory,
                                       const Incarnation& incarnation,
                                       std::uint64_t number,
                                       std::uint32_t checksum) {
    auto file = directory.open(sealed_name(number));
    if (!file.has_value()) {
        if (file.error().code != Errc::not_found) return file.error();
        return damaged(directory, number, "it is missing");
    }
    TWOFOLD_TRY(Bytes bytes, read_whole(*file.value()));
    if (bytes.size() < kSegmentHeaderSizeBytes + kBatchHeaderSizeBytes) {
        return damaged(directory, number, "it was cut");
    }
    auto header = decode_segment_header(ByteSpan(bytes).first(kSegmentHeaderSizeBytes));
    if (!header.has_value()) {
        if (header.error().code != Errc::corrupt) {
            return base::fail(
                header.error().code,
                directory.path() + "/" + sealed_name(number) + ": " + header.error().context);
        }
        return damaged(directory, number, header.error().context);
    }
    std::string problem = header_problem(header.value(), incarnation, number, bytes.size());
    if (!problem.empty()) return damaged(directory, number, problem);
    ByteSpan rest = ByteSpan(bytes).subspan(kSegmentHeaderSizeBytes);
    BatchHeader batch;
    BatchCheck check = peek_batch(rest, rest.size(), batch);
    if (check == BatchCheck::valid) {
        check = verify_batch(rest.first(batch.length_bytes), header.value().salt, batch);
    }
    if (check != BatchCheck::valid || !is_whole(batch, header.value())) {
        return damaged(directory, number, "its content is unreadable");
    }
    ByteSpan content = rest.first(batch.length_bytes).subspan(kBatchHeaderSizeBytes);
    if (base::crc32c(content) != checksum) {
        return damaged(directory, number, "it holds something else than the log refers to");
    }
    std::vector<Bytes> records;
    for_each_record(rest.first(batch.length_bytes),
                    [&](ByteSpan record) { records.emplace_back(record.begin(), record.end()); });
    return records;
}

Result<void> remove_sealed_except(Directory& directory, std::span<const std::uint64_t> keep) {
    return remove_sealed_if(directory, [keep](std::uint64_t number) {
        return std::ranges::find(keep, number) == keep.end();
    });
}

Result<void> remove_sealed_from(Directory& directory, std::uint64_t first) {
    return remove_sealed_if(directory, [first](std::uint64_t number) { return number >= first; });
}

}  // namespace twofold::wal
