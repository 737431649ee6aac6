#include "wal/inspect.h"

#include "base/log.h"
#include "wal/core/segment_name.h"
#include "wal/scan.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace twofold::wal {

namespace {

std::string hexadecimal(ByteSpan bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (std::uint8_t byte : bytes) {
        text.push_back(kDigits[byte >> 4U]);
        text.push_back(kDigits[byte & 15U]);
    }
    return text;
}

void list_records(ByteSpan bytes, const InspectOptions& options, InspectedBatch& batch) {
    std::uint64_t lsn = batch.header.first_lsn;
    for_each_record(bytes, [&](ByteSpan record) {
        std::string text = options.describe ? options.describe(record) : hexadecimal(record);
        batch.records.push_back(
            {.lsn = lsn++, .size_bytes = record.size(), .description = std::move(text)});
    });
}

void extend_gap(InspectedSegment& segment, std::uint64_t offset, ByteSpan block, bool claims) {
    bool is_zero = std::ranges::all_of(block, [](std::uint8_t byte) { return byte == 0; });
    if (!segment.gaps.empty()) {
        InspectedGap& gap = segment.gaps.back();
        bool continues =
            gap.offset + gap.size_bytes == offset && gap.all_zero == is_zero && !claims;
        if (continues) {
            gap.size_bytes += block.size();
            return;
        }
    }
    segment.gaps.push_back({.offset = offset,
                            .size_bytes = block.size(),
                            .all_zero = is_zero,
                            .claims_batch = claims});
}

// Every sound batch, wherever it stands, and the stretches without one.
Result<void> walk_batches(File& file, const InspectOptions& options, InspectedSegment& segment) {
    FileWindow window(file);
    std::uint64_t offset = kSegmentHeaderSizeBytes;
    while (offset < segment.size_bytes) {
        std::uint64_t left = segment.size_bytes - offset;
        TWOFOLD_TRY(ByteSpan block,
                    window.view(offset, std::min<std::uint64_t>(left, kBlockSizeBytes)));
        BatchHeader header;
        BatchCheck check = block.size() < kBatchHeaderSizeBytes ? BatchCheck::absent
                                                                : peek_batch(block, left, header);
        if (check == BatchCheck::valid) {
            TWOFOLD_TRY(ByteSpan whole, window.view(offset, header.length_bytes));
            check = verify_batch(whole, segment.header->salt, header);
            if (check == BatchCheck::valid) {
                segment.batches.push_back({.offset = offset, .header = header, .records = {}});
                if (options.with_records) list_records(whole, options, segment.batches.back());
                offset += round_up_to_block(header.length_bytes);
                continue;
            }
        }
        bool claims = check == BatchCheck::invalid && header.epoch == segment.header->epoch &&
                      header.incarnation == segment.header->incarnation;
        TWOFOLD_TRY(block, window.view(offset, std::min<std::uint64_t>(left, kBlockSizeBytes)));
        extend_gap(segment, offset, block, claims);
        offset += block.size();
    }
    return base::ok();
}

Result<void> inspect_file(File& file, const InspectOptions& options, InspectedSegment& segment) {
    TWOFOLD_TRY(segment.size_bytes, file.size());
    if (segment.size_bytes < kSegmentHeaderSizeBytes) {
        segment.problem = "shorter than a segment header";
        return base::ok();
    }
    Bytes block(kSegmentHeaderSizeBytes);
    TWOFOLD_TRY(file.read_at(0, block));
    auto header = decode_segment_header(block);
    if (!header.has_value()) {
        segment.problem = header.error().context;
        return base::ok();
    }
    segment.header = header.value();
    std::string name = header.value().sealed ? sealed_name(header.value().index)
                                             : segment_name(header.value().index);
    if (name != segment.file) {
        segment.problem = "the header says " + name;
    } else if (header.value().size_bytes != segment.size_bytes) {
        segment.problem = "the header says " + std::to_string(header.value().size_bytes) + " bytes";
    }
    return walk_batches(file, options, segment);
}

InspectedSegment inspect_segment(Directory& directory,
                                 const std::string& name,
                                 const InspectOptions& options) {
    InspectedSegment segment;
    segment.file = name;
    auto file = directory.open(name);
    if (!file.has_value()) {
        segment.problem = file.error().context;
        return segment;
    }
    auto inspected = inspect_file(*file.value(), options, segment);
    if (!inspected.has_value()) segment.problem = inspected.error().context;
    return segment;
}

// It has one batch, which was forced before the file got its name.
InspectedSegment inspect_sealed(Directory& directory,
                                const std::string& name,
                                const InspectOptions& options) {
    InspectedSegment file = inspect_segment(directory, name, options);
    bool whole = file.batches.size() == 1 && file.gaps.empty();
    if (!whole && file.problem.empty()) file.problem = "its content is unreadable";
    return file;
}

void judge(Directory& directory, InspectReport& report) {
    ScanOutcome outcome = scan_log(directory);
    if (const auto* log = std::get_if<ScannedLog>(&outcome)) {
        report.accepted = true;
        report.summary = log->summary;
        std::uint64_t base = log->live.empty() ? 0 : log->segments[log->live.front().segment].index;
        for (InspectedSegment& segment : report.segments) {
            segment.obsolete = segment.header && segment.header->index < base;
        }
        return;
    }
    const auto& refusal = std::get<Refusal>(outcome);
    if (const auto* damage = std::get_if<Damage>(&refusal)) {
        report.first_damage = *damage;
        report.refusal = to_error(*damage, directory.path()).context;
    } else {
        report.refusal = std::get<base::Error>(refusal).text();
    }
}

// ---- text
// -----------------------------------------------------------------------------------------

std::string number(std::uint64_t value) { return std::to_string(value); }

std::string lsn_range(const BatchHeader& batch) {
    if (batch.record_count == 0) return "no records, next LSN " + number(batch.first_lsn);
    return "LSN " + number(batch.first_lsn) + ".." +
           number(batch.first_lsn + batch.record_count - 1);
}

std::string describe_gap(const InspectedGap& gap) {
    std::string what = gap.claims_batch ? "an unreadable batch"
                       : gap.all_zero   ? "unused (zeros)"
                                        : "no batch (former content or damage)";
    return "  @" + number(gap.offset) + "  " + what + ", " + number(gap.size_bytes) + " bytes\n";
}

std::string describe_batch(const InspectedBatch& batch) {
    const BatchHeader& header = batch.header;
    std::string text = "  @" + number(batch.offset) + "  batch " + number(header.number) + " " +
                       std::string(to_string(header.kind)) +
                       (header.checkpoint_complete ? " (complete)" : "") + ", " +
                       lsn_range(header) + ", " + number(header.length_bytes) + " bytes\n";
    for (const InspectedRecord& record : batch.records) {
        text += "      LSN " + number(record.lsn) + "  " + record.description + "\n";
    }
    return text;
}

void append_segment(std::string& out, const InspectedSegment& segment) {
    out += segment.file + "  " + number(segment.size_bytes) + " bytes";
    if (segment.header) {
        const SegmentHeader& header = *segment.header;
        out += ", epoch " + number(header.epoch) + ", from batch " + number(header.first_batch) +
               " and LSN " + number(header.first_lsn);
        if (header.starts_epoch) out += ", starts the epoch";
        if (header.begins_checkpoint) out += ", begins a checkpoint";
    }
    if (segment.obsolete) out += ", obsolete";
    if (!segment.problem.empty()) out += "  PROBLEM: " + segment.problem;
    out += "\n";
    auto gap = segment.gaps.begin();
    for (const InspectedBatch& batch : segment.batches) {
        for (; gap != segment.gaps.end() && gap->offset < batch.offset; ++gap)
            out += describe_gap(*gap);
        out += describe_batch(batch);
    }
    for (; gap != segment.gaps.end(); ++gap) out += describe_gap(*gap);
}

// ---- JSON
// -----------------------------------------------------------------------------------------

// Just enough JSON: objects and arrays in order, commas by itself.
class JsonWriter {
public:
    std::string take() { return std::move(out_); }
    JsonWriter& open(char bracket) {
        separate();
        out_ += bracket;
        first_ = true;
        return *this;
    }
    JsonWriter& close(char bracket) {
        out_ += bracket;
        first_ = false;
        return *this;
    }
    JsonWriter& key(std::string_view name) {
        separate();
        base::append_json_string(out_, name);
        out_ += ':';
        first_ = true;
        return *this;
    }
    JsonWriter& text(std::string_view value) {
        separate();
        base::append_json_string(out_, value);
        return *this;
    }
    JsonWriter& integer(std::uint64_t value) {
        separate();
        out_ += std::to_string(value);
        return *this;
    }
    JsonWriter& boolean(bool value) {
        separate();
        out_ += value ? "true" : "false";
        return *this;
    }
    JsonWriter& field(std::string_view name, std::uint64_t value) {
        return key(name).integer(value);
    }
    JsonWriter& field(std::string_view name, const std::string& value) {
        return key(name).text(value);
    }
    JsonWriter& flag(std::string_view name, bool value) { return key(name).boolean(value); }

private:
    void separate() {
        if (!std::exchange(first_, false)) out_ += ',';
    }

    std::string out_;
    bool first_ = true;
};

void batch_json(JsonWriter& json, const InspectedBatch& batch) {
    const BatchHeader& header = batch.header;
    json.open('{').field("offset", batch.offset).field("length_bytes", header.length_bytes);
    json.field("kind", std::string(to_string(header.kind))).field("number", header.number);
    json.field("epoch", header.epoch).field("first_lsn", header.first_lsn);
    json.field("record_count", header.record_count).field("durable_lsn", header.durable_lsn);
    json.flag("checkpoint_complete", header.checkpoint_complete);
    if (!batch.records.empty()) {
        json.key("records").open('[');
        for (const InspectedRecord& record : batch.records) {
            json.open('{').field("lsn", record.lsn).field("size_bytes", record.size_bytes);
            json.field("description", record.description).close('}');
        }
        json.close(']');
    }
    json.close('}');
}

void segment_json(JsonWriter& json, const InspectedSegment& segment) {
    json.open('{').field("file", segment.file).field("size_bytes", segment.size_bytes);
    if (segment.header) {
        const SegmentHeader& header = *segment.header;
        json.field("index", header.index).field("epoch", header.epoch).field("salt", header.salt);
        json.field("first_batch", header.first_batch).field("first_lsn", header.first_lsn);
        json.flag("starts_epoch", header.starts_epoch);
        json.flag("begins_checkpoint", header.begins_checkpoint);
        json.flag("recycled", header.recycled).flag("obsolete", segment.obsolete);
    }
    if (!segment.problem.empty()) json.field("problem", segment.problem);
    json.key("batches").open('[');
    for (const InspectedBatch& batch : segment.batches) batch_json(json, batch);
    json.close(']').key("gaps").open('[');
    for (const InspectedGap& gap : segment.gaps) {
        json.open('{').field("offset", gap.offset).field("size_bytes", gap.size_bytes);
        json.flag("all_zero", gap.all_zero).flag("claims_batch", gap.claims_batch).close('}');
    }
    json.close(']').close('}');
}

void summary_json(JsonWriter& json, const ReadSummary& summary) {
    json.key("summary").open('{').flag("fresh", summary.fresh);
    json.field("incarnation", hexadecimal(summary.incarnation));
    json.field("last_epoch", summary.last_epoch).field("last_lsn", summary.last_lsn);
    json.field("durable_lsn", summary.durable_lsn).field("records", summary.records);
    json.field("batches", summary.batches).field("unfinished_starts", summary.unfinished_starts);
    json.flag("clean_shutdown", summary.clean_shutdown);
    json.flag("torn_tail_discarded", summary.torn_tail_discarded).close('}');
}

void names_json(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
    json.key(key).open('[');
    for (const std::string& name : names) json.text(name);
    json.close(']');
}

}  // namespace

Result<InspectReport> inspect_log(Directory& directory, const InspectOptions& options) {
    InspectReport report;
    report.directory = directory.path();
    TWOFOLD_TRY(auto names, directory.list());
    for (std::string& name : names) {
        FileKind kind = parse_name(name).kind;
        if (kind == FileKind::segment || kind == FileKind::malformed_segment) {
            report.segments.push_back(inspect_segment(directory, name, options));
        } else if (kind == FileKind::sealed) {
            report.sealed.push_back(inspect_sealed(directory, name, options));
        } else if (kind == FileKind::other) {
            if (name != kDurableMarkName) report.other_files.push_back(std::move(name));
        } else {
            report.spares.push_back(std::move(name));
        }
    }
    auto mark = read_mark(directory);
    if (mark.has_value()) report.mark = mark.value();
    judge(directory, report);
    return report;
}

std::string to_text(const InspectReport& report) {
    std::string out = "log " + report.directory + "\n";
    for (const InspectedSegment& segment : report.segments) append_segment(out, segment);
    for (const InspectedSegment& file : report.sealed) append_segment(out, file);
    if (!report.spares.empty()) out += number(report.spares.size()) + " spare segments\n";
    if (report.mark) {
        out += "durable mark: epoch " + number(report.mark->epoch) + ", batch " +
               number(report.mark->batch) + ", LSN " + number(report.mark->lsn) +
               (report.mark->clean_shutdown ? ", clean shutdown\n" : "\n");
    }
    if (!report.accepted) return out + "REFUSED: " + report.refusal + "\n";
    const ReadSummary& summary = report.summary;
    if (summary.torn_tail_discarded) {
        out += "torn tail at " + summary.torn_tail_file + " offset " +
               number(summary.torn_tail_offset) + ": never acknowledged, it will be discarded\n";
    }
    out += "OK: " + number(summary.records) + " live records, last LSN " +
           number(summary.last_lsn) + ", epoch " + number(summary.last_epoch) +
           (summary.clean_shutdown ? ", cleanly shut down\n" : "\n");
    return out;
}

std::string to_json(const InspectReport& report) {
    JsonWriter json;
    json.open('{').field("directory", report.directory).flag("accepted", report.accepted);
    if (report.accepted) summary_json(json, report.summary);
    if (!report.accepted) json.field("refusal", report.refusal);
    if (report.first_damage) {
        const Damage& damage = *report.first_damage;
        json.key("first_damage")
            .open('{')
            .field("file", damage.file)
            .field("offset", damage.offset);
        json.field("first_lsn_at_risk", damage.first_lsn_at_risk);
        json.field("last_lsn_at_risk", damage.last_lsn_at_risk)
            .field("what", damage.what)
            .close('}');
    }
    if (report.mark) {
        json.key("mark")
            .open('{')
            .field("epoch", report.mark->epoch)
            .field("lsn", report.mark->lsn);
        json.field("batch", report.mark->batch).field("segment", report.mark->segment);
        json.flag("clean_shutdown", report.mark->clean_shutdown).close('}');
    }
    json.key("segments").open('[');
    for (const InspectedSegment& segment : report.segments) segment_json(json, segment);
    json.close(']').key("sealed").open('[');
    for (const InspectedSegment& file : report.sealed) segment_json(json, file);
    json.close(']');
    names_json(json, "spares", report.spares);
    names_json(json, "other_files", report.other_files);
    json.close('}');
    return json.take();
}

}  // namespace twofold::wal
