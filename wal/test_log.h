// What the tests of the log share: a caller in the small. Its state is the list of all records that
// it ever appended, its checkpoint is that list; so whatever the reader delivers can be compared
// with what was acknowledged and what was attempted.
#pragma once

#include "base/rng.h"
#include "wal/core/segment_name.h"
#include "wal/inspect.h"
#include "wal/memory_file.h"
#include "wal/reader.h"
#include "wal/writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace twofold::wal {

inline constexpr Incarnation kTestIncarnation = {'i', 'n', 'c', 'a', 'r', 'n', 'a', 't', 'e', 'd'};

using Records = std::vector<std::string>;

inline Bytes to_bytes(const std::string& text) { return {text.begin(), text.end()}; }

inline std::vector<Bytes> to_bytes(const Records& records) {
    std::vector<Bytes> all;
    for (const std::string& record : records) all.push_back(to_bytes(record));
    return all;
}

inline bool is_prefix(const Records& part, const Records& whole) {
    return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

struct ReadBack {
    Result<ReadSummary> summary = ReadSummary{};
    Records records;
    std::vector<std::uint64_t> lsns;
};

inline ReadBack read_back(Directory& directory) {
    ReadBack back;
    back.summary = read_log(directory, [&](const RecoveredRecord& record) {
        back.records.emplace_back(record.payload.begin(), record.payload.end());
        back.lsns.push_back(record.lsn);
    });
    return back;
}

inline WriterOptions small_options() {
    WriterOptions options;
    options.segment_size_bytes = 4 * kBlockSizeBytes;
    options.batch_size_max_bytes = 2 * kBlockSizeBytes;
    options.reserve_segments = 1;
    options.spare_segments_max = 2;
    options.maintenance_step_bytes = kBlockSizeBytes;
    options.salt_seed = 7;
    return options;
}

// Every verb returns false when the log failed; the caller's process would end there.
class TestLog {
public:
    explicit TestLog(Directory& directory, WriterOptions options = small_options())
        : directory_(directory), options_(options) {}

    bool open() {
        writer_ = nullptr;
        ReadBack back = read_back(directory_);
        if (!back.summary.has_value()) {
            error = back.summary.error().text();
            return false;
        }
        summary = back.summary.value();
        attempted = back.records;
        auto started =
            Writer::start(directory_, summary, options_, kTestIncarnation, to_bytes(attempted));
        if (!started.has_value()) {
            error = started.error().text();
            return false;
        }
        writer_ = std::move(started).value();
        acknowledged = attempted;
        return true;
    }
    void append(std::size_t size_bytes = 16) {
        std::string record = "record-" + std::to_string(attempted.size()) + "-";
        record.append(size_bytes, static_cast<char>('a' + attempted.size() % 26));
        attempted.push_back(record);
        writer_->append(to_bytes(record));
    }
    bool force() {
        auto forced = writer_->force();
        if (forced.has_value()) acknowledged = attempted;
        return note(forced.has_value() ? Result<void>(base::ok()) : Result<void>(forced.error()));
    }
    bool add(std::size_t size_bytes = 16) {
        append(size_bytes);
        return force();
    }
    bool maintain() { return note(writer_->maintain()); }
    bool heartbeat() { return note(writer_->heartbeat()); }
    bool checkpoint() {
        bool done = note(writer_->checkpoint(to_bytes(attempted)));
        if (done) acknowledged = attempted;
        return done;
    }
    bool close_clean() {
        bool done = note(writer_->close_clean());
        writer_ = nullptr;
        return done;
    }
    void die() { writer_ = nullptr; }
    Writer& writer() { return *writer_; }

    Records acknowledged;
    Records attempted;
    ReadSummary summary;
    std::string error;

private:
    bool note(const Result<void>& result) {
        if (!result.has_value()) error = result.error().text();
        return result.has_value();
    }

    Directory& directory_;
    WriterOptions options_;
    std::unique_ptr<Writer> writer_;
};

inline std::vector<std::string> segments_of(const MemoryDisk& disk) {
    std::vector<std::string> names = disk.names();
    std::erase_if(
        names, [](const std::string& name) { return parse_name(name).kind != FileKind::segment; });
    return names;
}

// The last batch of the newest segment, and where the next one would begin.
struct LogEnd {
    std::string file;
    std::uint64_t last_batch = 0;
    std::uint64_t end = 0;
    bool recycled = false;
};

inline LogEnd end_of_log(MemoryDisk& disk) {
    InspectReport report = inspect_log(disk.directory(), {}).value();
    const InspectedSegment& segment = report.segments.back();
    const InspectedBatch& batch = segment.batches.back();
    return {.file = segment.file,
            .last_batch = batch.offset,
            .end = batch.offset + round_up_to_block(batch.header.length_bytes),
            .recycled = segment.header->recycled};
}

}  // namespace twofold::wal
