#include "wal/reader.h"

#include "wal/scan.h"

#include <variant>

namespace twofold::wal {

namespace {

std::string risk_text(const Damage& damage) {
    if (damage.first_lsn_at_risk == 0) return "which records are at risk is not known";
    std::string first = std::to_string(damage.first_lsn_at_risk);
    if (damage.last_lsn_at_risk == 0) return "records from LSN " + first + " on are at risk";
    if (damage.last_lsn_at_risk < damage.first_lsn_at_risk) return "no record is at risk";
    return "records LSN " + first + " to " + std::to_string(damage.last_lsn_at_risk) +
           " are at risk";
}

// Between scan and delivery the bytes cannot change (the lock is held), so a batch that has become
// unreadable is a failing disk.
Result<void> deliver(const ScannedLog& log,
                     const BatchPlace& place,
                     FileWindow& window,
                     const RecordSink& sink) {
    const SegmentFile& segment = log.segments[place.segment];
    TWOFOLD_TRY(ByteSpan bytes, window.view(place.offset, place.header.length_bytes));
    if (verify_batch(bytes, segment.header.salt, place.header) != BatchCheck::valid) {
        return base::fail(Errc::io_error,
                          segment.name + " at offset " + std::to_string(place.offset) +
                              ": the second reading differs from the first; check the disk");
    }
    RecoveredRecord record;
    record.lsn = place.header.first_lsn;
    record.epoch = place.header.epoch;
    record.from_checkpoint = place.header.kind == BatchKind::checkpoint;
    for_each_record(bytes, [&](ByteSpan payload) {
        record.payload = payload;
        sink(record);
        ++record.lsn;
    });
    return base::ok();
}

}  // namespace

base::Error to_error(const Damage& damage, const std::string& directory) {
    return base::fail(
        Errc::corrupt,
        directory + "/" + damage.file + " at offset " + std::to_string(damage.offset) + ": " +
            damage.what + "; " + risk_text(damage) +
            "; nothing was changed; look closer with: twofold wal verify --dir " + directory);
}

Result<ReadSummary> read_log(Directory& directory, const RecordSink& sink) {
    ScanOutcome outcome = scan_log(directory);
    if (const auto* refusal = std::get_if<Refusal>(&outcome)) {
        if (const auto* damage = std::get_if<Damage>(refusal)) {
            return to_error(*damage, directory.path());
        }
        return std::get<base::Error>(*refusal);
    }
    auto& log = std::get<ScannedLog>(outcome);
    std::size_t current = log.segments.size();
    std::optional<FileWindow> window;
    for (const BatchPlace& place : log.live) {
        if (place.segment != current) {
            current = place.segment;
            window.emplace(*log.segments[current].file);
        }
        TWOFOLD_TRY(deliver(log, place, *window, sink));
    }
    return std::move(log.summary);
}

}  // namespace twofold::wal
