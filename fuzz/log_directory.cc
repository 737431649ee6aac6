// A whole log directory: segments, spares, sealed files, the side mark, and what does not belong
// there. Either it is read, completely and in order, or it is refused by name; reader and inspector
// agree; nothing is changed by looking. What was read is a log that a new start can go on with, and
// then reads again as the same state.
#include "base/assert.h"
#include "coordinator/core/machine.h"
#include "fuzz/cursor.h"
#include "fuzz/packed_log.h"
#include "fuzz/targets.h"
#include "recovery/recover.h"
#include "wal/inspect.h"
#include "wal/reader.h"

#include <boost/json/parse.hpp>

#include <string>
#include <vector>

namespace twofold::fuzz {

namespace {

struct Reading {
    base::Result<wal::ReadSummary> summary = wal::ReadSummary{};
    std::vector<base::Bytes> records;
};

Reading read(wal::Directory& directory) {
    Reading reading;
    std::uint64_t last_lsn = 0;
    reading.summary = wal::read_log(directory, [&](const wal::RecoveredRecord& record) {
        TWOFOLD_ASSERT(record.lsn > last_lsn, "records out of their order");
        last_lsn = record.lsn;
        reading.records.emplace_back(record.payload.begin(), record.payload.end());
    });
    if (reading.summary.has_value()) {
        const wal::ReadSummary& summary = reading.summary.value();
        TWOFOLD_ASSERT(summary.records == reading.records.size(), "other records were counted");
        TWOFOLD_ASSERT(last_lsn <= summary.last_lsn, "a record behind the end");
    } else {
        TWOFOLD_ASSERT(reading.records.empty(), "records of a log that is refused");
        TWOFOLD_ASSERT(!reading.summary.error().context.empty(), "a refusal without a reason");
    }
    return reading;
}

void check_inspection(wal::Directory& directory, const Reading& reading) {
    wal::InspectOptions options;
    options.with_records = true;
    auto report = wal::inspect_log(directory, options);
    TWOFOLD_ASSERT(report.has_value(), "a directory that cannot be listed");
    TWOFOLD_ASSERT(report.value().accepted == reading.summary.has_value(),
                   "reader and inspector differ");
    TWOFOLD_ASSERT(!wal::to_text(report.value()).empty(), "nothing to show");
    boost::system::error_code error;
    static_cast<void>(boost::json::parse(wal::to_json(report.value()), error));
    TWOFOLD_ASSERT(!error, "the report is no JSON");
}

recovery::RecoverOptions recover_options() {
    recovery::RecoverOptions options;
    options.writer.segment_size_bytes = 8 * wal::kBlockSizeBytes;
    options.writer.batch_size_max_bytes = 4 * wal::kBlockSizeBytes;
    options.writer.reserve_segments = 1;
    options.writer.spare_segments_max = 2;
    options.writer.salt_seed = 7;
    options.incarnation_if_new.bytes.fill('n');
    options.keys_per_file = 4;
    options.outcome_words_per_file = 4;
    return options;
}

// As if both had been recovered by the same start.
void forget_start(coordinator::RecoveredState& state) {
    state.epochs.erase(state.epoch);
    state.epoch = 0;
}

void check_recovery(wal::MemoryDisk& disk, const Reading& reading) {
    auto first = recovery::recover(disk.directory(), recover_options());
    TWOFOLD_ASSERT(reading.summary.has_value() || !first.has_value(), "a refused log was taken");
    if (!first.has_value()) return;
    coordinator::RecoveredState state = first.value().state;
    first.value().writer = nullptr;
    coordinator::Machine machine(coordinator::Config{}, state);
    coordinator::Effects effects;
    machine.start(effects);
    auto second = recovery::recover(disk.directory(), recover_options());
    TWOFOLD_ASSERT(second.has_value(), "a log that we wrote is refused");
    forget_start(second.value().state);
    TWOFOLD_ASSERT(second.value().state.epochs == state.epochs, "other epochs");
    second.value().state.epochs.clear();
    state.epochs.clear();
    state.epoch = 0;
    TWOFOLD_ASSERT(second.value().state.keys == state.keys, "other keys");
    TWOFOLD_ASSERT(second.value().state == state, "the checkpoint is another state");
}

}  // namespace

void log_directory(base::ByteSpan input) {
    wal::MemoryDisk disk;
    unpack_log(input, disk);
    std::uint64_t writes = disk.writes();
    Reading reading = read(disk.directory());
    check_inspection(disk.directory(), reading);
    TWOFOLD_ASSERT(disk.writes() == writes, "looking has changed the log");
    check_recovery(disk, reading);
}

}  // namespace twofold::fuzz
