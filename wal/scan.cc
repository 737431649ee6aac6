#include "wal/scan.h"

#include "wal/core/segment_name.h"

#include <algorithm>
#include <utility>

namespace twofold::wal {

namespace {

constexpr std::uint64_t kWindowSizeBytes = std::uint64_t{64} * 1024;

// The segments of one start, as indexes into ScannedLog::segments, both ends included.
struct StartRange {
    std::uint32_t epoch = 0;
    std::size_t first = 0;
    std::size_t last = 0;
};

// What following the chain of one start found.
struct Chain {
    LogPosition position;                // the last valid batch
    std::uint64_t durable_lsn = 0;       // by the headers
    std::vector<BatchPlace> live;        // the newest complete checkpoint and what follows it
    std::vector<BatchPlace> unfinished;  // batches of a checkpoint that is not complete (yet)
    bool complete = false;               // a complete checkpoint was found
    bool clean = false;                  // the last batch is a clean shutdown
    bool torn = false;
    std::string end_file;  // where the log ends: the next batch would have begun here
    std::uint64_t end_offset = 0;
    std::uint64_t batches = 0;
};

class Scanner {
public:
    explicit Scanner(Directory& directory) : directory_(directory) {}

    ScanOutcome run();

private:
    bool open_segments();
    bool open_segment(const std::string& name, std::uint64_t index);
    bool check_header(const SegmentFile& segment, std::uint64_t size);
    bool group_starts();
    bool find_base();
    bool reaches_required();
    bool scan_start(const StartRange& start);
    bool previous_start(const StartRange& unfinished, const StartRange*& found);
    bool follow(std::size_t first, std::size_t last);
    bool enter_segment(std::size_t segment, bool is_first);
    bool read_segment(std::size_t segment, bool is_last);
    bool accept(std::size_t segment, std::uint64_t offset, const BatchHeader& header);
    bool count_kind(const BatchPlace& place);
    bool judge_end(std::size_t segment, std::uint64_t offset);
    bool check_mark();
    void summarise();

    bool refuse(Damage damage) {
        refusal_ = std::move(damage);
        return false;
    }
    bool refuse(base::Error error) {
        refusal_ = std::move(error);
        return false;
    }
    bool refuse_file(const std::string& file, std::string what) {
        return refuse(Damage{.file = file, .what = std::move(what)});
    }
    const SegmentHeader& header(std::size_t segment) const { return log_.segments[segment].header; }

    Directory& directory_;
    ScannedLog log_;
    std::optional<DurableMark> mark_;
    std::vector<StartRange> starts_;
    Chain chain_;
    std::uint64_t required_durable_lsn_ = 0;
    std::uint32_t base_epoch_ = 0;
    std::optional<Refusal> refusal_;
};

bool Scanner::check_header(const SegmentFile& segment, std::uint64_t size) {
    const SegmentHeader& header = segment.header;
    if (header.sealed) return refuse_file(segment.name, "the file is a sealed one: it was renamed");
    if (header.index != segment.index) {
        return refuse_file(segment.name,
                           "the file says that it is segment " + std::to_string(header.index) +
                               ": it was renamed, swapped or duplicated");
    }
    if (header.size_bytes != size) {
        return refuse(Damage{.file = segment.name,
                             .offset = std::min(header.size_bytes, size),
                             .first_lsn_at_risk = header.first_lsn,
                             .what = "the file has " + std::to_string(size) + " bytes instead of " +
                                     std::to_string(header.size_bytes) +
                                     ": it was truncated or extended"});
    }
    if (header.incarnation != log_.segments.front().header.incarnation) {
        return refuse_file(
            segment.name,
            "the file belongs to another log: its incarnation differs from that of " +
                log_.segments.front().name);
    }
    return true;
}

bool Scanner::open_segment(const std::string& name, std::uint64_t index) {
    auto file = directory_.open(name);
    if (!file.has_value()) return refuse(file.error());
    auto size = file.value()->size();
    if (!size.has_value()) return refuse(size.error());
    if (size.value() < kSegmentHeaderSizeBytes) {
        return refuse_file(name, "the file is shorter than a segment header: it was truncated");
    }
    Bytes block(kSegmentHeaderSizeBytes);
    auto got = file.value()->read_at(0, block);
    if (!got.has_value()) return refuse(got.error());
    auto header = decode_segment_header(block);
    if (!header.has_value()) {
        // The header was forced before the file got this name, so no crash leaves it unreadable.
        if (header.error().code == Errc::corrupt) return refuse_file(name, header.error().context);
        return refuse(base::fail(header.error().code,
                                 directory_.path() + "/" + name + ": " + header.error().context));
    }
    log_.segments.push_back(
        {.name = name, .index = index, .file = std::move(file).value(), .header = header.value()});
    return check_header(log_.segments.back(), size.value());
}

bool Scanner::open_segments() {
    auto names = directory_.list();
    if (!names.has_value()) return refuse(names.error());
    std::vector<std::pair<std::uint64_t, std::string>> found;
    for (std::string& name : names.value()) {
        ParsedName parsed = parse_name(name);
        if (parsed.kind == FileKind::malformed_segment) {
            return refuse_file(name,
                               "the name looks like a segment's, but is none: was it renamed?");
        }
        if (parsed.kind == FileKind::segment) found.emplace_back(parsed.number, std::move(name));
    }
    std::ranges::sort(found);
    for (const auto& [index, name] : found) {
        if (!open_segment(name, index)) return false;
    }
    return true;
}

bool Scanner::group_starts() {
    for (std::size_t i = 0; i < log_.segments.size(); ++i) {
        std::uint32_t epoch = header(i).epoch;
        if (!starts_.empty() && starts_.back().epoch > epoch) {
            return refuse_file(log_.segments[i].name,
                               "its epoch is lower than that of the segment before it");
        }
        if (starts_.empty() || starts_.back().epoch != epoch) {
            starts_.push_back({.epoch = epoch, .first = i, .last = i});
        } else {
            starts_.back().last = i;
        }
    }
    return true;
}

// Notes the segment's place in the chain, or finds that it does not continue what was read.
bool Scanner::enter_segment(std::size_t segment, bool is_first) {
    const SegmentHeader& now = header(segment);
    LogPosition before{.epoch = now.previous_epoch,
                       .segment = now.previous_segment,
                       .batch = now.first_batch - 1,
                       .lsn = now.first_lsn - 1,
                       .crc = now.previous_crc};
    chain_.durable_lsn = std::max(chain_.durable_lsn, now.durable_lsn);
    if (is_first) {
        chain_.position = before;
        return true;
    }
    std::uint64_t expected_index = log_.segments[segment - 1].index + 1;
    if (log_.segments[segment].index != expected_index) {
        return refuse(Damage{.file = segment_name(expected_index),
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .last_lsn_at_risk = now.first_lsn - 1,
                             .what = "the segment is missing: " + log_.segments[segment].name +
                                     " continues after it"});
    }
    if (before.batch > chain_.position.batch) {
        // The next segment was begun only after every batch of this one had been forced.
        return refuse(Damage{.file = chain_.end_file,
                             .offset = chain_.end_offset,
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .last_lsn_at_risk = now.first_lsn - 1,
                             .what = "a batch is unreadable, but the log goes on behind it in " +
                                     log_.segments[segment].name});
    }
    if (before != chain_.position || now.starts_epoch) {
        return refuse(Damage{.file = log_.segments[segment].name,
                             .first_lsn_at_risk = now.first_lsn,
                             .what = "the segment does not continue the one before it"});
    }
    return true;
}

bool Scanner::count_kind(const BatchPlace& place) {
    const BatchHeader& batch = place.header;
    const SegmentFile& segment = log_.segments[place.segment];
    chain_.clean = batch.kind == BatchKind::clean_shutdown;
    if (batch.kind == BatchKind::checkpoint) {
        bool begins =
            segment.header.begins_checkpoint && batch.number == segment.header.first_batch;
        if (begins) chain_.unfinished.clear();
        chain_.unfinished.push_back(place);
        if (batch.checkpoint_complete) {
            chain_.live = std::exchange(chain_.unfinished, {});
            chain_.complete = true;
        }
        return true;
    }
    if (!chain_.complete || !chain_.unfinished.empty()) {
        return refuse(Damage{.file = segment.name,
                             .offset = place.offset,
                             .first_lsn_at_risk = batch.first_lsn,
                             .what = "a batch stands in the middle of a checkpoint"});
    }
    if (batch.kind == BatchKind::records) chain_.live.push_back(place);
    return true;
}

bool Scanner::accept(std::size_t segment, std::uint64_t offset, const BatchHeader& batch) {
    const SegmentFile& file = log_.segments[segment];
    bool continues =
        batch.incarnation == file.header.incarnation && batch.epoch == file.header.epoch &&
        batch.number == chain_.position.batch + 1 && batch.first_lsn == chain_.position.lsn + 1 &&
        batch.previous_crc == chain_.position.crc && batch.durable_lsn < batch.first_lsn;
    if (!continues) {
        return refuse(Damage{.file = file.name,
                             .offset = offset,
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .what = "a sound batch stands here that does not continue the one "
                                     "before it: blocks were moved or copied"});
    }
    if (chain_.clean) {
        return refuse(Damage{.file = file.name,
                             .offset = offset,
                             .first_lsn_at_risk = batch.first_lsn,
                             .what = "a batch follows the clean-shutdown record"});
    }
    chain_.position = {.epoch = batch.epoch,
                       .segment = file.index,
                       .batch = batch.number,
                       .lsn = batch.first_lsn + batch.record_count - 1,
                       .crc = batch.crc};
    chain_.durable_lsn = std::max(chain_.durable_lsn, batch.durable_lsn);
    ++chain_.batches;
    return count_kind({.segment = segment, .offset = offset, .header = batch});
}

// The log ends in this segment at `offset`. Torn tail or damage? Batch N+1 is never written before
// the force of batch N returned, so a sound batch behind an unreadable one proves that the
// unreadable one had been durable.
bool Scanner::judge_end(std::size_t segment, std::uint64_t offset) {
    const SegmentFile& file = log_.segments[segment];
    FileWindow window(*file.file);
    for (std::uint64_t at = offset; at < file.header.size_bytes; at += kBlockSizeBytes) {
        auto block = window.view(at, kBlockSizeBytes);
        if (!block.has_value()) return refuse(block.error());
        ByteSpan bytes = block.value();
        bool is_zero = std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
        if (is_zero) continue;
        // A segment that was pre-written with zeros has nothing else behind its end.
        if (!file.header.recycled) chain_.torn = true;
        BatchHeader batch;
        BatchCheck check = peek_batch(bytes, file.header.size_bytes - at, batch);
        bool is_ours = check != BatchCheck::absent && batch.epoch == file.header.epoch &&
                       batch.incarnation == file.header.incarnation;
        if (!is_ours) continue;
        if (at == offset && batch.number == chain_.position.batch + 1) chain_.torn = true;
        if (check == BatchCheck::invalid) continue;
        auto whole = window.view(at, batch.length_bytes);
        if (!whole.has_value()) return refuse(whole.error());
        if (verify_batch(whole.value(), file.header.salt, batch) != BatchCheck::valid) continue;
        return refuse(Damage{.file = file.name,
                             .offset = offset,
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .last_lsn_at_risk = batch.first_lsn - 1,
                             .what = "a batch is unreadable, but a sound one follows at offset " +
                                     std::to_string(at)});
    }
    if (chain_.torn && chain_.clean) {
        return refuse(Damage{.file = file.name,
                             .offset = offset,
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .what = "there are bytes behind the clean-shutdown record"});
    }
    return true;
}

bool Scanner::read_segment(std::size_t segment, bool is_last) {
    const SegmentFile& file = log_.segments[segment];
    FileWindow window(*file.file);
    std::uint64_t offset = kSegmentHeaderSizeBytes;
    while (offset < file.header.size_bytes) {
        auto block = window.view(offset, kBlockSizeBytes);
        if (!block.has_value()) return refuse(block.error());
        BatchHeader batch;
        if (peek_batch(block.value(), file.header.size_bytes - offset, batch) !=
            BatchCheck::valid) {
            break;
        }
        auto whole = window.view(offset, batch.length_bytes);
        if (!whole.has_value()) return refuse(whole.error());
        if (verify_batch(whole.value(), file.header.salt, batch) != BatchCheck::valid) break;
        if (!accept(segment, offset, batch)) return false;
        offset += round_up_to_block(batch.length_bytes);
    }
    chain_.end_file = file.name;
    chain_.end_offset = offset;
    return !is_last || judge_end(segment, offset);
}

bool Scanner::follow(std::size_t first, std::size_t last) {
    chain_ = {};
    for (std::size_t segment = first; segment <= last; ++segment) {
        if (!enter_segment(segment, segment == first)) return false;
        if (!read_segment(segment, segment == last)) return false;
    }
    return true;
}

// Follows the chain from the newest checkpoint of this start that is complete. chain_.complete says
// whether there is one.
bool Scanner::scan_start(const StartRange& start) {
    chain_ = {};
    for (std::size_t base = start.last + 1; base-- > start.first;) {
        if (!header(base).begins_checkpoint) continue;
        if (!follow(base, start.last)) return false;
        if (chain_.complete) return true;
    }
    return true;
}

// `unfinished` died before its first checkpoint was complete: find the start whose log it had read.
bool Scanner::previous_start(const StartRange& unfinished, const StartRange*& found) {
    const SegmentHeader& first = header(unfinished.first);
    const std::string& name = log_.segments[unfinished.first].name;
    if (!first.starts_epoch) {
        return refuse(
            Damage{.file = segment_name(first.index - 1),
                   .first_lsn_at_risk = 1,
                   .last_lsn_at_risk = first.first_lsn - 1,
                   .what = "the segments with the newest complete checkpoint are missing; "
                           "the oldest one left is " +
                           name});
    }
    if (first.previous_epoch == 0) return true;  // the very first start: there was nothing before
    // Only what that start itself had: the LSNs of a dead checkpoint are given out again.
    required_durable_lsn_ = first.durable_lsn;
    for (const StartRange& start : starts_) {
        bool holds = start.epoch == first.previous_epoch &&
                     log_.segments[start.last].index >= first.previous_segment;
        if (holds) found = &start;
    }
    if (found != nullptr) return true;
    return refuse(Damage{.file = segment_name(first.previous_segment),
                         .first_lsn_at_risk = 1,
                         .last_lsn_at_risk = first.first_lsn - 1,
                         .what = "the segment is missing: " + name + " continues after it"});
}

// A start that read this one knew how far it had been acknowledged.
bool Scanner::reaches_required() {
    // Without any checkpoint nothing was followed: previous_start() has the better words for that.
    bool followed = !chain_.end_file.empty();
    if (!followed || chain_.position.lsn >= required_durable_lsn_) return true;
    return refuse(Damage{.file = chain_.end_file,
                         .offset = chain_.end_offset,
                         .first_lsn_at_risk = chain_.position.lsn + 1,
                         .last_lsn_at_risk = required_durable_lsn_,
                         .what = "the log ends here, but a later start knew of more that had been "
                                 "acknowledged"});
}

bool Scanner::find_base() {
    const StartRange* start = starts_.empty() ? nullptr : &starts_.back();
    while (start != nullptr) {
        if (!scan_start(*start) || !reaches_required()) return false;
        if (chain_.complete) {
            base_epoch_ = start->epoch;
            break;
        }
        ++log_.summary.unfinished_starts;
        const StartRange* previous = nullptr;
        if (!previous_start(*start, previous)) return false;
        start = previous;
    }
    return true;
}

bool Scanner::check_mark() {
    auto mark = read_mark(directory_);
    if (!mark.has_value()) return refuse(mark.error());
    mark_ = mark.value();
    if (!mark_) return true;
    std::string file(kDurableMarkName);
    if (log_.segments.empty()) {
        return refuse(Damage{.file = file,
                             .first_lsn_at_risk = 1,
                             .last_lsn_at_risk = mark_->lsn,
                             .what = "records up to LSN " + std::to_string(mark_->lsn) +
                                     " were acknowledged, but every segment is missing"});
    }
    if (mark_->incarnation != log_.segments.front().header.incarnation) {
        return refuse_file(file, "the durable mark belongs to another log");
    }
    // Indexes are never used again, and what goes is always older than what stays.
    const SegmentFile& newest = log_.segments.back();
    if (mark_->newest_segment > newest.index) {
        return refuse(Damage{.file = segment_name(mark_->newest_segment),
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .what = "the segment is missing: the durable mark knows it, and the "
                                     "newest one here is " +
                                     newest.name});
    }
    if (mark_->epoch < base_epoch_) return true;
    bool reached = mark_->epoch == base_epoch_ && chain_.position.batch >= mark_->batch &&
                   chain_.position.lsn >= mark_->lsn;
    if (!reached) {
        return refuse(Damage{.file = base_epoch_ == 0 ? file : chain_.end_file,
                             .offset = base_epoch_ == 0 ? 0 : chain_.end_offset,
                             .first_lsn_at_risk = chain_.position.lsn + 1,
                             .last_lsn_at_risk = mark_->lsn,
                             .what = "the log ends here, but the durable mark says that batch " +
                                     std::to_string(mark_->batch) + " of epoch " +
                                     std::to_string(mark_->epoch) + ", up to LSN " +
                                     std::to_string(mark_->lsn) + ", was acknowledged"});
    }
    if (mark_->clean_shutdown && mark_->batch == chain_.position.batch && !chain_.clean) {
        return refuse_file(file, "the durable mark tells of a clean shutdown that the log lacks");
    }
    return true;
}

void Scanner::summarise() {
    ReadSummary& summary = log_.summary;
    if (log_.segments.empty()) return;
    summary.has_incarnation = true;
    summary.incarnation = log_.segments.front().header.incarnation;
    summary.last_epoch = starts_.back().epoch;
    summary.last_segment_index = log_.segments.back().index;
    if (base_epoch_ == 0) return;
    summary.fresh = false;
    summary.last = chain_.position;
    summary.last_lsn = chain_.position.lsn;
    summary.clean_shutdown = chain_.clean;
    summary.torn_tail_discarded = chain_.torn;
    if (chain_.torn) {
        summary.torn_tail_file = chain_.end_file;
        summary.torn_tail_offset = chain_.end_offset;
    }
    summary.durable_lsn = std::max(chain_.durable_lsn, required_durable_lsn_);
    if (mark_ && mark_->epoch == base_epoch_) {
        summary.durable_lsn = std::max(summary.durable_lsn, mark_->lsn);
    }
    summary.batches = chain_.batches;
    for (const BatchPlace& place : chain_.live) summary.records += place.header.record_count;
    std::uint64_t first = chain_.live.empty() ? 0 : chain_.live.front().segment;
    summary.segments = log_.segments.size() - first;
    log_.live = std::move(chain_.live);
}

ScanOutcome Scanner::run() {
    if (!open_segments() || !group_starts() || !find_base() || !check_mark()) return *refusal_;
    summarise();
    return std::move(log_);
}

}  // namespace

Result<ByteSpan> FileWindow::view(std::uint64_t offset, std::uint64_t size_bytes) {
    bool inside = offset >= begin_ && offset + size_bytes <= begin_ + filled_;
    if (!inside) {
        buffer_.resize(std::max(size_bytes, kWindowSizeBytes));
        begin_ = offset;
        filled_ = 0;
        TWOFOLD_TRY(filled_, file_.read_at(offset, buffer_));
        if (filled_ < size_bytes) {
            return base::fail(Errc::io_error, "the file became shorter while it was read");
        }
    }
    return ByteSpan(buffer_).subspan(offset - begin_, size_bytes);
}

Result<std::optional<DurableMark>> read_mark(Directory& directory) {
    TWOFOLD_TRY(bool exists, directory.exists(kDurableMarkName));
    if (!exists) return std::optional<DurableMark>();
    TWOFOLD_TRY(auto file, directory.open(kDurableMarkName));
    Bytes bytes(kMarkFileSizeBytes);
    TWOFOLD_TRY(std::size_t size, file->read_at(0, bytes));
    return newest_mark(ByteSpan(bytes).first(size));
}

ScanOutcome scan_log(Directory& directory) { return Scanner(directory).run(); }

}  // namespace twofold::wal
