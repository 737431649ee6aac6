#include "recovery/recover.h"

#include "base/crash_point.h"
#include "base/rng.h"
#include "wal/sealed.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace twofold::recovery {

namespace {

using base::Result;

// Reads the log and the sealed files that it refers to.
class LogReading {
public:
    explicit LogReading(wal::Directory& directory) : directory_(directory) {}

    // Everything, before anything is concluded.
    Result<wal::ReadSummary> read() {
        Result<void> folded = base::ok();
        TWOFOLD_TRY(wal::ReadSummary summary,
                    wal::read_log(directory_, [&](const wal::RecoveredRecord& record) {
                        if (folded.has_value()) folded = take(record);
                    }));
        TWOFOLD_TRY(std::move(folded));
        return summary;
    }

    Fold fold;

private:
    Result<void> take(const wal::RecoveredRecord& record) {
        auto decoded = decode("log record " + std::to_string(record.lsn), record.payload);
        if (!decoded.has_value()) return decoded.error();
        if (incarnation_ == wal::Incarnation{}) note_log(decoded.value());
        TWOFOLD_TRY(fold.apply(record.lsn, decoded.value()));
        auto file = protocol::sealed_file_of(decoded.value());
        return file ? take_file(*file, decoded.value()) : base::ok();
    }

    static Result<protocol::Record> decode(const std::string& what, base::ByteSpan bytes) {
        auto decoded = protocol::decode_record(bytes);
        if (decoded.has_value()) return decoded;
        return base::fail(decoded.error().code, what + ": " + decoded.error().context);
    }

    // The epochs come first in every checkpoint.
    void note_log(const protocol::Record& record) {
        const auto* epoch = std::get_if<protocol::EpochRecord>(&record);
        if (epoch != nullptr) incarnation_ = epoch->incarnation.bytes;
    }

    Result<void> take_file(const protocol::SealedContent& file, const protocol::Record& reference) {
        TWOFOLD_TRY(auto content,
                    wal::read_sealed(directory_, incarnation_, file.number, file.checksum));
        std::vector<protocol::Record> records;
        for (const base::Bytes& bytes : content) {
            TWOFOLD_TRY(protocol::Record record,
                        decode("sealed file " + std::to_string(file.number), bytes));
            records.push_back(std::move(record));
        }
        return fold.apply_sealed(reference, records);
    }

    wal::Directory& directory_;
    wal::Incarnation incarnation_{};
};

std::vector<std::uint64_t> files_of(const std::vector<protocol::Record>& records) {
    std::vector<std::uint64_t> files;
    for (const protocol::Record& record : records) {
        if (auto file = protocol::sealed_file_of(record)) files.push_back(file->number);
    }
    return files;
}

std::vector<base::Bytes> encode(const std::vector<protocol::Record>& records) {
    std::vector<base::Bytes> out;
    out.reserve(records.size());
    for (const protocol::Record& record : records) out.push_back(protocol::encode_record(record));
    return out;
}

// So that checkpoints stay as small as they were before the stop. What a former start had sealed
// without a checkpoint that says so is in the log too. What is in files that the checkpoint names
// stays there. What finds no space stays loose: the checkpoint of this start, whose space may be
// there already, is the way out of a full disk.
class Sealing {
public:
    Sealing(wal::Directory& directory, const RecoverOptions& options, RecoveredState& state)
        : directory_(directory),
          options_(options),
          state_(state),
          next_(coordinator::first_sealed_file(state.epoch)) {}

    Result<void> seal_keys() {
        while (state_.keys.loose() >= options_.keys_per_file) {
            std::vector<protocol::Record> records;
            for (protocol::KeysRecord& record : state_.keys.loose_records(options_.keys_per_file)) {
                records.emplace_back(std::move(record));
            }
            if (!records.empty()) {
                TWOFOLD_TRY(bool has_room, write(records));
                if (!has_room) break;
                state_.sealed.emplace(next_, coordinator::sealed_record(next_, records));
                ++next_;
            }
            state_.keys.forget_loose(options_.keys_per_file);
        }
        return base::ok();
    }

    Result<void> seal_outcomes() {
        std::size_t words = std::max<std::size_t>(options_.outcome_words_per_file, 1);
        while (state_.outcomes.loose() >= words) {
            coordinator::OutcomesCount count;
            std::vector<protocol::Record> records;
            for (protocol::OutcomesRecord& record :
                 state_.outcomes.loose_records(state_.horizon, words)) {
                count.add(record);
                records.emplace_back(std::move(record));
            }
            TWOFOLD_TRY(bool has_room, write(records));
            if (!has_room) break;
            state_.outcomes.forget_loose(words);
            state_.sealed_outcomes.emplace(
                next_,
                protocol::SealedOutcomesRecord{
                    next_, count.newest, count.committed, protocol::content_checksum(records)});
            ++next_;
        }
        return base::ok();
    }

private:
    // As file next_. False: there is no space for it.
    Result<bool> write(const std::vector<protocol::Record>& records) {
        wal::SealedFile where{.incarnation = state_.incarnation.bytes,
                              .epoch = state_.epoch,
                              .number = next_,
                              .salt = static_cast<std::uint32_t>(options_.writer.salt_seed)};
        if (where.salt == 0) where.salt = static_cast<std::uint32_t>(base::random_number());
        auto written = wal::write_sealed(directory_, where, encode(records));
        if (written.has_value()) return true;
        if (written.error().code == base::Errc::disk_full) return false;
        return written.error();
    }

    wal::Directory& directory_;
    const RecoverOptions& options_;
    RecoveredState& state_;
    std::uint64_t next_;
};

}  // namespace

Result<Recovered> recover(wal::Directory& directory, const RecoverOptions& options) {
    TWOFOLD_CRASH_POINT(coord_recovery_start);
    Recovered recovered;
    LogReading log(directory);
    TWOFOLD_TRY(wal::ReadSummary summary, log.read());
    TWOFOLD_CRASH_POINT(coord_recovery_after_read);

    protocol::EpochRecord epoch;
    epoch.incarnation = options.incarnation_if_new;
    if (summary.has_incarnation) epoch.incarnation.bytes = summary.incarnation;
    // A restored log that was accepted goes on above everything that anybody has heard.
    summary.last_epoch = std::max(summary.last_epoch, log.fold.epoch_heard());
    if (summary.last_epoch == std::numeric_limits<protocol::Epoch>::max()) {
        return base::fail(base::Errc::corrupt, "the log has no epochs left: begin a new one");
    }
    epoch.epoch = summary.last_epoch + 1;
    epoch.key = options.key;
    TWOFOLD_TRY(recovered.state, std::move(log.fold).finish(epoch));
    TWOFOLD_CRASH_POINT(coord_recovery_after_fold);

    // The names that this start uses. All others stay until its checkpoint is on stable storage:
    // what was read may be in the page cache only, and the checkpoint before that need more files.
    TWOFOLD_TRY(
        wal::remove_sealed_from(directory, coordinator::first_sealed_file(recovered.state.epoch)));
    TWOFOLD_CRASH_POINT(coord_recovery_before_seal);
    Sealing sealing(directory, options, recovered.state);
    TWOFOLD_TRY(sealing.seal_outcomes());
    TWOFOLD_TRY(sealing.seal_keys());
    TWOFOLD_CRASH_POINT(coord_recovery_after_seal);
    std::vector<protocol::Record> records = checkpoint_records(recovered.state);
    std::vector<std::uint64_t> files = files_of(records);
    std::vector<base::Bytes> checkpoint = encode(records);
    TWOFOLD_TRY(
        recovered.writer,
        wal::Writer::start(
            directory, summary, options.writer, epoch.incarnation.bytes, checkpoint, files));
    TWOFOLD_CRASH_POINT(coord_recovery_after_force);
    recovered.summary = std::move(summary);
    return recovered;
}

}  // namespace twofold::recovery
