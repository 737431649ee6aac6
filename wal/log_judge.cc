#include "wal/log_judge.h"

#include "wal/core/durable_mark.h"
#include "wal/core/segment_name.h"
#include "wal/sealed.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace twofold::wal {

namespace {

constexpr std::string_view kSealedPrefix = "sealed:";

// Walks the batches of one log in order and counts the records that it holds after each.
class BatchWalk {
public:
    std::vector<ForcedBatch> batches;

    Result<void> segment(Directory& directory, const std::string& name) {
        TWOFOLD_TRY(auto file, directory.open(name));
        TWOFOLD_TRY(std::uint64_t size, file->size());
        Bytes bytes(size);
        TWOFOLD_TRY(file->read_at(0, bytes));
        TWOFOLD_TRY(SegmentHeader header,
                    decode_segment_header(ByteSpan(bytes).first(kSegmentHeaderSizeBytes)));
        std::uint64_t offset = kSegmentHeaderSizeBytes;
        while (offset < size) {
            BatchHeader batch;
            ByteSpan rest = ByteSpan(bytes).subspan(offset);
            if (peek_batch(rest, rest.size(), batch) != BatchCheck::valid) break;
            ByteSpan whole = rest.first(batch.length_bytes);
            if (verify_batch(whole, header.salt, batch) != BatchCheck::valid) break;
            count(batch, whole);
            batches.push_back({.file = name,
                               .offset = offset,
                               .bytes = Bytes(whole.begin(), whole.end()),
                               .number = batch.number,
                               .last_lsn = batch.first_lsn + batch.record_count - 1,
                               .records_after = records_});
            offset += round_up_to_block(batch.length_bytes);
        }
        return base::ok();
    }

private:
    void count(const BatchHeader& batch, ByteSpan whole) {
        if (batch.kind == BatchKind::records) records_ += batch.record_count;
        if (batch.kind != BatchKind::checkpoint) return;
        for_each_record(whole, [&](ByteSpan record) {
            auto reference = parse_sealed_reference(record);
            checkpoint_ += reference ? reference->records : 1;
        });
        if (!batch.checkpoint_complete) return;
        records_ = checkpoint_;
        checkpoint_ = 0;
    }

    std::size_t records_ = 0;
    std::size_t checkpoint_ = 0;  // in the checkpoint that is not complete yet
};

bool is_unchanged(Directory& directory, const ForcedBatch& batch) {
    auto file = directory.open(batch.file);
    if (!file.has_value()) return false;
    Bytes bytes(batch.bytes.size());
    auto read = file.value()->read_at(batch.offset, bytes);
    return read.has_value() && read.value() == bytes.size() && bytes == batch.bytes;
}

bool names_a_file(const std::string& text, const std::string& directory) {
    std::size_t begin = text.find(directory + "/");
    if (begin == std::string::npos) return false;
    begin += directory.size() + 1;
    std::string_view name = std::string_view(text).substr(begin);
    name = name.substr(0, name.find_first_of(" :"));
    return name == kDurableMarkName || parse_name(name).kind != FileKind::other;
}

Judgement silent(std::string text) { return {.verdict = Verdict::silent, .text = std::move(text)}; }

Judgement judge_refusal(const base::Error& error, const Directory& directory) {
    bool is_known = error.code == Errc::corrupt || error.code == Errc::unsupported_version;
    if (!is_known) return silent("refused for another reason: " + error.text());
    if (!names_a_file(error.context, directory.path())) {
        return silent("refused without naming a file: " + error.text());
    }
    return {.verdict = Verdict::refused, .text = error.text()};
}

}  // namespace

Result<std::vector<ForcedBatch>> forced_batches(Directory& directory) {
    TWOFOLD_TRY(auto names, directory.list());
    BatchWalk walk;
    for (const std::string& name : names) {
        if (parse_name(name).kind != FileKind::segment) continue;
        TWOFOLD_TRY(walk.segment(directory, name));
    }
    return std::move(walk.batches);
}

Bytes sealed_reference(const NamedSealedFile& reference) {
    std::string text = std::string(kSealedPrefix) + std::to_string(reference.number) + ":" +
                       std::to_string(reference.checksum) + ":" + std::to_string(reference.records);
    return {text.begin(), text.end()};
}

std::optional<NamedSealedFile> parse_sealed_reference(ByteSpan record) {
    std::string_view text(reinterpret_cast<const char*>(record.data()), record.size());
    if (!text.starts_with(kSealedPrefix)) return std::nullopt;
    text.remove_prefix(kSealedPrefix.size());
    // A number up to the next colon, or to the end.
    auto take_number = [&](auto& out) {
        std::string_view digits = text.substr(0, text.find(':'));
        text.remove_prefix(std::min(digits.size() + 1, text.size()));
        auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
        return error == std::errc() && end == digits.data() + digits.size();
    };
    NamedSealedFile reference;
    bool good = take_number(reference.number) && take_number(reference.checksum) &&
                take_number(reference.records) && text.empty();
    return good ? std::optional(reference) : std::nullopt;
}

void LogJudge::take(Delivered& delivered, const RecoveredRecord& record) const {
    bool is_next = delivered.last_lsn == 0 || record.lsn == delivered.last_lsn + 1;
    delivered.as_appended = delivered.as_appended && is_next;
    delivered.last_lsn = record.lsn;
    if (auto reference = parse_sealed_reference(record.payload)) {
        delivered.sealed.push_back({.reference = *reference, .first = delivered.records});
        delivered.records += reference->records;
        return;
    }
    bool matches = delivered.records < acknowledged_.size() &&
                   std::ranges::equal(acknowledged_[delivered.records], record.payload);
    delivered.as_appended = delivered.as_appended && matches;
    ++delivered.records;
}

Result<bool> LogJudge::sealed_as_appended(Directory& directory,
                                          const Incarnation& incarnation,
                                          const Delivered& delivered) const {
    for (const auto& [reference, first] : delivered.sealed) {
        TWOFOLD_TRY(auto records,
                    read_sealed(directory, incarnation, reference.number, reference.checksum));
        bool fits =
            records.size() == reference.records && first + records.size() <= acknowledged_.size();
        if (!fits) return false;
        for (std::size_t i = 0; i < records.size(); ++i) {
            if (records[i] != acknowledged_[first + i]) return false;
        }
    }
    return true;
}

Judgement LogJudge::judge(Directory& directory, std::uint64_t proven_batch) const {
    Delivered delivered;
    auto summary =
        reader_(directory, [&](const RecoveredRecord& record) { take(delivered, record); });
    if (!summary.has_value()) {
        if (delivered.last_lsn != 0) return silent("records of a refused log were delivered");
        return judge_refusal(summary.error(), directory);
    }
    auto sealed = sealed_as_appended(directory, summary.value().incarnation, delivered);
    if (!sealed.has_value()) return judge_refusal(sealed.error(), directory);
    if (!sealed.value()) return silent("a sealed file has other records than were sealed");
    return judge_accepted(directory, summary.value(), delivered, proven_batch);
}

Judgement LogJudge::judge_accepted(Directory& directory,
                                   const ReadSummary& summary,
                                   const Delivered& delivered,
                                   std::uint64_t proven_batch) const {
    std::size_t records = delivered.records;
    std::string end = "; the log was read to record " + std::to_string(records) + ", LSN " +
                      std::to_string(summary.last_lsn);
    if (!delivered.as_appended) return silent("the records are not those that were appended" + end);
    // A third result ends in the middle of a batch. Before any batch there is the empty log.
    bool is_a_state = records == 0 && summary.fresh;
    for (const ForcedBatch& batch : batches_) {
        is_a_state =
            is_a_state || (batch.records_after == records && batch.last_lsn == summary.last_lsn);
    }
    if (!is_a_state) return silent("no force ever left this state" + end);
    Judgement judgement = judge_loss(directory, records, proven_batch);
    if (judgement.verdict != Verdict::complete) judgement.text += end;
    return judgement;
}

// A batch is missing when the state is smaller than the one that it left.
Judgement LogJudge::judge_loss(Directory& directory,
                               std::size_t records,
                               std::uint64_t proven_batch) const {
    std::string missing;
    for (const ForcedBatch& batch : batches_) {
        if (records >= batch.records_after) continue;
        std::string name = "batch " + std::to_string(batch.number) + " of " + batch.file;
        if (batch.number <= proven_batch)
            return silent(name + ", which the mark covers, is missing");
        if (is_unchanged(directory, batch)) return silent(name + ", which is intact, is missing");
        missing += (missing.empty() ? "missing: batch " : ", ") + std::to_string(batch.number);
    }
    bool is_complete = missing.empty();
    return {.verdict = is_complete ? Verdict::complete : Verdict::excused, .text = missing};
}

}  // namespace twofold::wal
