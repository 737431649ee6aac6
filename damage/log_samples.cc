#include "damage/log_samples.h"

#include "base/assert.h"
#include "base/rng.h"
#include "damage/log_caller.h"
#include "wal/core/durable_mark.h"
#include "wal/core/segment_name.h"
#include "wal/memory_file.h"

#include <algorithm>
#include <cstdio>
#include <functional>

namespace twofold::damage {

using wal::FileKind;
using wal::kBlockSizeBytes;
using wal::MemoryDisk;

namespace {

constexpr wal::Incarnation kForeign = {'a', 'n', 'o', 't', 'h', 'e', 'r', 'l', 'o', 'g'};

wal::WriterOptions options_with(std::uint64_t segment_blocks, std::uint64_t batch_blocks) {
    wal::WriterOptions options;
    options.segment_size_bytes = segment_blocks * kBlockSizeBytes;
    options.batch_size_max_bytes = batch_blocks * kBlockSizeBytes;
    options.reserve_segments = 1;
    options.spare_segments_max = 3;
    options.maintenance_step_bytes = 4 * kBlockSizeBytes;
    options.salt_seed = 11;
    return options;
}

const wal::WriterOptions kLarge = options_with(16, 2);
const wal::WriterOptions kSmall = options_with(4, 2);

// Most records nearly fill their blocks: what is flipped should be covered by something.
std::size_t record_size(base::SeededRng& rng, const wal::WriterOptions& options) {
    if (rng.below(16) == 0) return 20 + rng.below(500);
    std::uint64_t blocks = rng.between(1, options.batch_size_max_bytes / kBlockSizeBytes);
    return blocks * kBlockSizeBytes - 80 - rng.below(200);
}

bool is_of_the_log(FileKind kind) { return kind == FileKind::segment || kind == FileKind::sealed; }

// A disk with a log, and every content that its files ever had between two verbs.
class Recording {
public:
    explicit Recording(wal::WriterOptions options, wal::Incarnation incarnation)
        : options_(options), caller_(disk_.directory(), options, incarnation) {}

    void expect(bool done) {
        if (!done) std::fprintf(stderr, "%s\n", caller_.error().c_str());
        TWOFOLD_ASSERT(done, "the script of a sample failed");
        keep_contents();
    }
    void add() { expect(caller_.add(record_size(rng_, options_))); }
    void add(int count) {
        for (int i = 0; i < count; ++i) add();
    }
    // The next process dies at the first operation after which the disk is as wanted.
    void die_in_start_when(const std::function<bool(const wal::ReadSummary&)>& wanted);

    MemoryDisk& disk() { return disk_; }
    LogCaller& caller() { return caller_; }
    base::SeededRng& rng() { return rng_; }
    LogSample finish(std::string name);
    // The size of what counts as the log.
    std::uint64_t size_bytes() {
        std::uint64_t size = 0;
        for (const std::string& file : disk_.names()) {
            if (is_of_the_log(wal::parse_name(file).kind)) size += disk_.content(file).size();
        }
        return size;
    }

private:
    void keep_contents() {
        for (const std::string& name : disk_.names()) {
            FileKind kind = wal::parse_name(name).kind;
            if (!is_of_the_log(kind) && name != wal::kDurableMarkName) continue;
            base::Bytes& now = newest_[name];
            if (now == disk_.content(name)) continue;
            if (!now.empty()) older_.push_back({name, now});
            now = disk_.content(name);
        }
    }

    wal::WriterOptions options_;
    MemoryDisk disk_;
    LogCaller caller_;
    base::SeededRng rng_{5};
    Files newest_;
    std::vector<FileCopy> older_;
};

void Recording::die_in_start_when(const std::function<bool(const wal::ReadSummary&)>& wanted) {
    caller_.die();
    for (std::uint64_t last = 1;; ++last) {
        auto copy = disk_.copy();
        LogCaller next(copy->directory(), options_);
        std::uint64_t count = 0;
        copy->set_hook([&](const MemoryDisk::Call& call) {
            bool changes = call.operation == MemoryDisk::Operation::write ||
                           call.operation == MemoryDisk::Operation::rename ||
                           call.operation == MemoryDisk::Operation::remove;
            if (changes) ++count;
            return count > last ? MemoryDisk::Fault::io_error : MemoryDisk::Fault::none;
        });
        TWOFOLD_ASSERT(!next.open(), "a start survived every operation");
        copy->set_hook(nullptr);
        if (!wanted(wal::read_log(copy->directory(), [](const auto&) {}).value())) continue;
        for (const std::string& name : disk_.names()) {
            if (!copy->has(name)) disk_.erase(name);
        }
        for (const std::string& name : copy->names()) disk_.put(name, copy->content(name));
        keep_contents();
        return;
    }
}

// The mark of some batch before the last.
void make_old_mark(LogSample& sample, const wal::ReadSummary& summary) {
    std::size_t back = std::min<std::size_t>(4, sample.batches.size());
    const wal::ForcedBatch& batch = sample.batches[sample.batches.size() - back];
    wal::DurableMark mark{.incarnation = kIncarnation,
                          .epoch = summary.last.epoch,
                          .segment = wal::parse_name(batch.file).number,
                          .batch = batch.number,
                          .lsn = batch.last_lsn,
                          // This much was forced when the newest segment began.
                          .newest_segment = summary.last_segment_index};
    base::Bytes slot;
    wal::encode_mark_slot(mark, slot);
    sample.old_mark.assign(wal::kMarkFileSizeBytes, 0);
    std::ranges::copy(
        slot, sample.old_mark.begin() + static_cast<std::ptrdiff_t>(wal::mark_slot_offset(mark)));
    sample.old_mark_batch = batch.number;
}

LogSample Recording::finish(std::string name) {
    LogSample sample;
    sample.name = std::move(name);
    sample.acknowledged = caller_.attempted();
    for (const std::string& file : disk_.names()) {
        FileKind kind = wal::parse_name(file).kind;
        if (is_of_the_log(kind) || file == wal::kDurableMarkName) {
            sample.files.emplace(file, disk_.content(file));
        } else if (kind == FileKind::spare) {
            older_.push_back({file, disk_.content(file)});
        }
    }
    sample.older = std::move(older_);
    DamagedDirectory directory(sample.files);
    sample.batches = wal::forced_batches(directory).value();
    auto summary = wal::read_log(directory, [](const auto&) {});
    make_old_mark(sample, summary.value());
    wal::LogJudge judge(sample.acknowledged, sample.batches);
    auto judgement = judge.judge(directory, wal::LogJudge::kProvesEverything);
    if (judgement.verdict != wal::Verdict::complete) {
        std::fprintf(stderr, "%s: %s\n", sample.name.c_str(), judgement.text.c_str());
    }
    TWOFOLD_ASSERT(judgement.verdict == wal::Verdict::complete,
                   "an undamaged sample is not complete");
    return sample;
}

void run_over_starts(Recording& log, std::uint64_t size_bytes) {
    LogCaller& caller = log.caller();
    log.expect(caller.open());
    log.add(12);
    log.expect(caller.seal(1));
    log.expect(caller.checkpoint());
    log.add(9);
    caller.die();
    log.expect(caller.open());
    log.add(6);
    log.expect(caller.seal(2));
    log.expect(caller.checkpoint());
    log.add(14);
    caller.die();
    log.expect(caller.open());
    while (log.size_bytes() < size_bytes) {
        // Some batches of several records.
        bool several = log.rng().below(4) == 0;
        for (int i = 0; several && i < 3; ++i) caller.append(1'000 + log.rng().below(300));
        log.add();
        if (log.rng().below(25) == 0) log.expect(caller.heartbeat());
        log.expect(caller.maintain());
    }
    log.add(7);
    caller.die();
}

LogSample running(std::uint64_t size_bytes) {
    Recording log(kLarge, kIncarnation);
    run_over_starts(log, size_bytes);
    return log.finish("running");
}

LogSample unfinished() {
    Recording log(kSmall, kIncarnation);
    log.expect(log.caller().open());
    log.add(9);
    log.die_in_start_when([](const wal::ReadSummary& summary) {
        // In the second segment of the checkpoint, so that some of it is there.
        return summary.unfinished_starts == 1 &&
               summary.last_segment_index >= summary.last.segment + 2;
    });
    return log.finish("unfinished");
}

LogSample obsolete() {
    Recording log(kSmall, kIncarnation);
    log.expect(log.caller().open());
    log.add(9);
    log.die_in_start_when([](const wal::ReadSummary& summary) {
        return summary.unfinished_starts == 0 && summary.last.epoch == 2;
    });
    return log.finish("obsolete");
}

LogSample closed() {
    Recording log(kSmall, kIncarnation);
    log.expect(log.caller().open());
    log.add(5);
    log.expect(log.caller().seal(4));
    log.expect(log.caller().checkpoint());
    log.add(6);
    log.expect(log.caller().close_clean());
    return log.finish("closed");
}

}  // namespace

std::vector<LogSample> make_log_samples(std::uint64_t size_bytes) {
    std::vector<LogSample> samples;
    samples.push_back(running(size_bytes));
    samples.push_back(unfinished());
    samples.push_back(obsolete());
    samples.push_back(closed());
    Recording other(kLarge, kForeign);
    run_over_starts(other, size_bytes);
    Recording small(kSmall, kForeign);
    small.expect(small.caller().open());
    small.add(16);
    for (LogSample& sample : samples) {
        MemoryDisk& disk = sample.name == "running" ? other.disk() : small.disk();
        for (const std::string& name : disk.names()) {
            bool is_mark = name == wal::kDurableMarkName;
            if (!is_mark && !is_of_the_log(wal::parse_name(name).kind)) continue;
            sample.foreign.push_back({name, disk.content(name)});
        }
    }
    return samples;
}

}  // namespace twofold::damage
