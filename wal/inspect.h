// Offline inspection of a log directory, for `twofold wal verify` and `twofold wal dump`. Lenient
// where the reader is strict: it goes on behind damage and shows everything it can. It never
// modifies anything and works on logs that the reader refuses.
#pragma once

#include "wal/core/durable_mark.h"
#include "wal/core/frame.h"
#include "wal/file.h"
#include "wal/reader.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace twofold::wal {

struct InspectedRecord {
    std::uint64_t lsn = 0;
    std::uint64_t size_bytes = 0;
    std::string description;  // from InspectOptions::describe, else hexadecimal
};

struct InspectedBatch {
    std::uint64_t offset = 0;
    BatchHeader header;
    std::vector<InspectedRecord> records;  // only with InspectOptions::with_records
};

// A stretch of a segment in which no valid batch begins.
struct InspectedGap {
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    bool all_zero = false;
    bool claims_batch = false;  // a batch of this segment's epoch began here, but its CRC fails
};

struct InspectedSegment {
    std::string file;
    std::uint64_t size_bytes = 0;
    std::optional<SegmentHeader> header;
    std::string problem;    // why there is no header, or what contradicts the file; empty: none
    bool obsolete = false;  // older than the newest complete checkpoint
    std::vector<InspectedBatch> batches;
    std::vector<InspectedGap> gaps;
};

struct InspectReport {
    std::string directory;
    bool accepted = false;  // what the reader would say
    ReadSummary summary;    // when accepted
    std::string refusal;    // the reader's error when not
    std::optional<Damage> first_damage;
    std::optional<DurableMark> mark;
    std::vector<InspectedSegment> segments;
    // Sealed files. The log itself does not know which of them a checkpoint refers to.
    std::vector<InspectedSegment> sealed;
    std::vector<std::string> spares;
    std::vector<std::string> other_files;
};

struct InspectOptions {
    bool with_records = false;
    // The log does not know what records mean. Called for each record when set.
    std::function<std::string(ByteSpan record)> describe;
};

// Errors only when the directory itself cannot be listed.
[[nodiscard]] Result<InspectReport> inspect_log(Directory& directory,
                                                const InspectOptions& options);

[[nodiscard]] std::string to_text(const InspectReport& report);
[[nodiscard]] std::string to_json(const InspectReport& report);

}  // namespace twofold::wal
