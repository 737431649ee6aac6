#include "damage/log_images.h"

#include "base/assert.h"
#include "damage/log_caller.h"
#include "damage/recording_directory.h"
#include "wal/memory_file.h"

#include <algorithm>
#include <utility>

namespace twofold::damage {

using base::Bytes;
using wal::kBlockSizeBytes;
using wal::MemoryDisk;

namespace {

wal::WriterOptions options() {
    wal::WriterOptions options;
    options.segment_size_bytes = 4 * kBlockSizeBytes;
    options.batch_size_max_bytes = 2 * kBlockSizeBytes;
    options.reserve_segments = 1;
    options.spare_segments_max = 2;
    options.maintenance_step_bytes = kBlockSizeBytes;
    options.salt_seed = 7;
    return options;
}

// What must be found: at least what was acknowledged, at most what was appended.
struct Promise {
    std::size_t acknowledged = 0;
    std::size_t attempted = 0;
};

void put_all(MemoryDisk& disk, const Files& files) {
    for (const auto& [name, content] : files) disk.put(name, content);
}

// Runs a caller on a disk in memory and writes down what reaches the disk.
class RecordedLog {
public:
    explicit RecordedLog(const Files& files, DiskSabotage sabotage = {})
        : history_(files, sabotage),
          directory_(disk_.directory(), history_),
          caller_(directory_, options()) {
        put_all(disk_, files);
    }

    // What was appended so far may be found from here on, what was acknowledged must be.
    void promise(Promise promise) {
        promises_.push_back(promise);
        history_.note(promises_.size() - 1);
    }
    void promise() { promise({caller_.acknowledged(), caller_.attempted().size()}); }
    bool done(bool result) {
        promise();
        return result;
    }
    bool force() {
        promise();
        return done(caller_.force());
    }
    bool add(std::size_t size_bytes) {
        caller_.append(size_bytes);
        return force();
    }
    LogCaller& caller() { return caller_; }
    [[nodiscard]] const DiskHistory& history() const { return history_; }
    [[nodiscard]] const Promise& promise_at(std::uint64_t note) const { return promises_[note]; }

private:
    MemoryDisk disk_;
    DiskHistory history_;
    RecordingDirectory directory_;
    LogCaller caller_;
    std::vector<Promise> promises_;
};

bool first_start(RecordedLog& log) {
    LogCaller& caller = log.caller();
    if (!log.done(caller.open()) || !log.add(16) || !log.add(700)) return false;
    caller.append(1500);
    caller.append(3000);
    caller.append(4000);  // more than one batch
    if (!log.force() || !log.done(caller.heartbeat()) || !log.add(6000) || !log.add(20))
        return false;
    if (!log.done(caller.seal(3)) || !log.done(caller.checkpoint())) return false;
    if (!log.add(30) || !log.add(5000) || !log.add(10)) return false;
    return log.done(caller.checkpoint()) && log.done(caller.close_clean());
}

// Spares in steps; the process dies with some of it not forced.
bool second_start(RecordedLog& log) {
    LogCaller& caller = log.caller();
    if (!log.done(caller.open()) || !log.add(2000) || !log.done(caller.heartbeat())) return false;
    for (int i = 0; i < 7; ++i) {
        if (!log.add(24) || !log.done(caller.maintain())) return false;
    }
    if (!log.done(caller.seal(2)) || !log.done(caller.checkpoint()) || !log.add(6000)) return false;
    if (!log.done(caller.maintain()) || !log.done(caller.maintain()) || !log.add(7000))
        return false;
    caller.die();
    return true;
}

bool third_start(RecordedLog& log) {
    LogCaller& caller = log.caller();
    if (!log.done(caller.open()) || !log.add(40) || !log.add(7500) || !log.add(7500)) return false;
    if (!log.done(caller.seal(6)) || !log.done(caller.checkpoint())) return false;
    return log.add(100) && log.add(4000) && log.done(caller.heartbeat());
}

bool run_script(RecordedLog& log) {
    log.promise();  // note 0
    return first_start(log) && second_start(log) && third_start(log);
}

class LogCheck {
public:
    // `all`: every record of the script, in order.
    LogCheck(const std::vector<Bytes>& all, const ImageOptions& options, ImageReport& report)
        : all_(all), options_(options), report_(report) {}

    void check(const PowerCut& cut, const Promise& promise) {
        ++report_.images;
        std::string problem = recover(cut.files, promise);
        if (!problem.empty()) report_.violation("log: " + cut.text + ": " + problem);
        if (problem.empty() && report_.images % options_.second_cut_one_in == 0) {
            cut_recovery(cut, promise);
        }
    }

private:
    // Reads, starts, and reads again; empty when all is well.
    std::string recover(const Files& files, const Promise& promise) {
        MemoryDisk disk;
        put_all(disk, files);
        auto first = read_state(disk.directory());
        std::string problem = compare(first, promise);
        if (!problem.empty()) return problem;
        std::size_t found = first.value().records.size();
        LogCaller caller(disk.directory(), options());
        if (!caller.open()) return "the start failed: " + caller.error();
        // What is there now is what anybody may have been told.
        auto again = read_state(disk.directory());
        problem = compare(again, {found, found});
        if (!problem.empty()) return "read again after the start: " + problem;
        if (!caller.add(50)) return "the log cannot be written after the start: " + caller.error();
        disk.crash_losing_unforced();
        LogCaller next(disk.directory(), options());
        if (!next.open()) return "the second start failed: " + next.error();
        if (next.acknowledged() != found + 1) return "the second start lost a record";
        return {};
    }

    std::string compare(const base::Result<ReadState>& read, const Promise& promise) {
        if (!read.has_value()) return "refused: " + read.error().text();
        const std::vector<Bytes>& records = read.value().records;
        std::string found = std::to_string(records.size()) + " records found, " +
                            std::to_string(promise.acknowledged) + " acknowledged, " +
                            std::to_string(promise.attempted) + " appended";
        if (records.size() < promise.acknowledged) return "acknowledged records are lost: " + found;
        if (records.size() > promise.attempted) return "records from nowhere: " + found;
        bool as_appended = std::equal(records.begin(), records.end(), all_.begin());
        return as_appended ? "" : "other records than were appended: " + found;
    }

    // The power fails again while a process reads and starts.
    void cut_recovery(const PowerCut& cut, const Promise& promise) {
        RecordedLog second(cut.files, options_.sabotage);
        second.promise(promise);
        if (!second.caller().open()) return;  // reported already
        std::size_t found = second.caller().acknowledged();
        second.promise({found, found});
        CutOptions few{.seed = options_.cuts.seed + report_.images,
                       .exhaustive_max = 2,
                       .random_per_point = 1,
                       .tears_per_write = 1,
                       .per_point_max = 6};
        for_each_power_cut(second.history(), few, [&](const PowerCut& again) {
            ++report_.second_images;
            std::string problem = recover(again.files, second.promise_at(again.note));
            if (!problem.empty()) {
                report_.violation("log: " + cut.text + ", recovery " + again.text + ": " + problem);
            }
            return true;
        });
    }

    const std::vector<Bytes>& all_;
    const ImageOptions& options_;
    ImageReport& report_;
};

}  // namespace

ImageReport log_images(const ImageOptions& options) {
    ImageReport report;
    RecordedLog log({}, options.sabotage);
    if (!run_script(log)) {
        report.violation("log: the script failed: " + log.caller().error());
        return report;
    }
    report.calls = log.history().calls().size();
    LogCheck check(log.caller().attempted(), options, report);
    for_each_power_cut(log.history(), options.cuts, [&](const PowerCut& cut) {
        check.check(cut, log.promise_at(cut.note));
        if (options.progress && report.images % 4000 == 0) {
            options.progress("log: " + std::to_string(report.images) +
                             " images, violations=" + std::to_string(report.violations));
        }
        return true;
    });
    return report;
}

}  // namespace twofold::damage
