// Reads a log directory. Either the result is the state at or after the last acknowledged record,
// or the log is refused by name: never a third thing. Nothing is modified. The caller holds the
// directory's lock.
//
// What is delivered: the records of the newest complete checkpoint, then all records after it, in
// LSN order. An unfinished checkpoint or start (the process died in it) is skipped: it had been
// told to nobody. A torn tail, which nobody was told about either, is discarded and reported.
#pragma once

#include "wal/core/frame.h"
#include "wal/file.h"

#include <cstdint>
#include <functional>
#include <string>

namespace twofold::wal {

// A record as it was appended. `lsn` is the record's dense sequence number in this log, from 1 on.
// The payload is valid during the call only.
struct RecoveredRecord {
    std::uint64_t lsn = 0;
    std::uint32_t epoch = 0;
    ByteSpan payload;
    bool from_checkpoint = false;
};

// A place in the log: the batch that ends there.
struct LogPosition {
    std::uint32_t epoch = 0;  // 0: nothing was ever read
    std::uint64_t segment = 0;
    std::uint64_t batch = 0;
    std::uint64_t lsn = 0;  // of the last record up to here
    std::uint32_t crc = 0;  // of that batch; the next one repeats it

    friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

// What the reader found, and all that Writer::start needs to go on.
struct ReadSummary {
    bool fresh = true;             // no start ever completed here: no record, nothing acknowledged
    bool has_incarnation = false;  // false only when no segment exists
    Incarnation incarnation{};
    std::uint32_t last_epoch = 0;  // the highest epoch seen, of unfinished starts too
    std::uint64_t last_lsn = 0;
    bool clean_shutdown = false;
    bool torn_tail_discarded = false;
    std::string torn_tail_file;
    std::uint64_t torn_tail_offset = 0;
    LogPosition last;                      // the last valid batch; the new start names it
    std::uint64_t durable_lsn = 0;         // the highest LSN known to have been acknowledged
    std::uint64_t last_segment_index = 0;  // of any segment file; the next start goes on after it
    std::uint64_t records = 0;             // delivered
    std::uint64_t batches = 0;
    std::uint64_t segments = 0;  // read, without obsolete ones
    std::uint64_t unfinished_starts = 0;
};

// Stored bytes that no crash explains.
struct Damage {
    std::string file;
    std::uint64_t offset = 0;
    std::uint64_t first_lsn_at_risk = 0;
    std::uint64_t last_lsn_at_risk = 0;  // 0: unknown, everything from the first on
    std::string what;
};

// The error for a refused log: place, what is at risk, and the command to look closer.
[[nodiscard]] base::Error to_error(const Damage& damage, const std::string& directory);

using RecordSink = std::function<void(const RecoveredRecord&)>;

// Errors: corrupt (the text is that of to_error), unsupported_version, io_error. `sink` may have
// been called only when the log was found sound as a whole.
[[nodiscard]] Result<ReadSummary> read_log(Directory& directory, const RecordSink& sink);

}  // namespace twofold::wal
