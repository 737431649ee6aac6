#include "recovery/recover.h"

#include "base/crash_point.h"
#include "base/rng.h"
#include "wal/sealed.h"

#include <algorithm>
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
        const auto* sealed = std::get_if<protocol::SealedRecord>(&decoded.value());
        return sealed == nullptr ? base::ok() : take_file(*sealed);
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

    Result<void> take_file(const protocol::SealedRecord& sealed) {
        TWOFOLD_TRY(auto content,
                    wal::read_sealed(directory_, incarnation_, sealed.file, sealed.checksum));
        std::vector<protocol::Record> records;
        for (const base::Bytes& bytes : content) {
            TWOFOLD_TRY(protocol::Record record,
                        decode("sealed file " + std::to_string(sealed.file), bytes));
            records.push_back(std::move(record));
        }
        return fold.apply_sealed(sealed, records);
    }

    wal::Directory& directory_;
    wal::Incarnation incarnation_{};
};

std::vector<base::Bytes> encode(const std::vector<protocol::Record>& records) {
    std::vector<base::Bytes> out;
    out.reserve(records.size());
    for (const protocol::Record& record : records) out.push_back(protocol::encode_record(record));
    return out;
}

// So that checkpoints stay as small as they were before the stop. What a former start had sealed
// without a checkpoint that says so is in the log too. What finds no space stays loose: the
// checkpoint of this start, whose space may be there already, is the way out of a full disk.
Result<void> seal_keys(wal::Directory& directory,
                       const RecoverOptions& options,
                       RecoveredState& state) {
    std::uint64_t number = coordinator::first_sealed_file(state.epoch);
    while (state.keys.loose() >= options.keys_per_file) {
        std::vector<protocol::Record> records;
        for (protocol::KeysRecord& record : state.keys.loose_records(options.keys_per_file)) {
            records.emplace_back(std::move(record));
        }
        if (records.empty()) {
            state.keys.forget_loose(options.keys_per_file);
            continue;
        }
        wal::SealedFile where{.incarnation = state.incarnation.bytes,
                              .epoch = state.epoch,
                              .number = number++,
                              .salt = static_cast<std::uint32_t>(options.writer.salt_seed)};
        if (where.salt == 0) where.salt = static_cast<std::uint32_t>(base::random_number());
        auto written = wal::write_sealed(directory, where, encode(records));
        if (!written.has_value() && written.error().code == base::Errc::disk_full) break;
        TWOFOLD_TRY(std::move(written));
        state.keys.forget_loose(options.keys_per_file);
        state.sealed.emplace(where.number, coordinator::sealed_record(where.number, records));
    }
    return base::ok();
}

}  // namespace

Result<Recovered> recover(wal::Directory& directory, const RecoverOptions& options) {
    TWOFOLD_CRASH_POINT(coord_recovery_start);
    Recovered recovered;
    LogReading log(directory);
    TWOFOLD_TRY(wal::ReadSummary summary, log.read());

    protocol::EpochRecord epoch;
    epoch.incarnation = options.incarnation_if_new;
    if (summary.has_incarnation) epoch.incarnation.bytes = summary.incarnation;
    // A restored log that was accepted goes on above everything that anybody has heard.
    summary.last_epoch = std::max(summary.last_epoch, log.fold.epoch_heard());
    epoch.epoch = summary.last_epoch + 1;
    epoch.key = options.key;
    TWOFOLD_TRY(recovered.state, std::move(log.fold).finish(epoch));
    TWOFOLD_CRASH_POINT(coord_recovery_after_fold);

    // The names that this start uses. All others stay until its checkpoint is on stable storage:
    // what was read may be in the page cache only, and the checkpoint before that need more files.
    TWOFOLD_TRY(
        wal::remove_sealed_from(directory, coordinator::first_sealed_file(recovered.state.epoch)));
    TWOFOLD_TRY(seal_keys(directory, options, recovered.state));
    auto checkpoint = encode(checkpoint_records(recovered.state));
    std::vector<std::uint64_t> files;
    files.reserve(recovered.state.sealed.size());
    for (const auto& [file, record] : recovered.state.sealed) files.push_back(file);
    TWOFOLD_TRY(
        recovered.writer,
        wal::Writer::start(
            directory, summary, options.writer, epoch.incarnation.bytes, checkpoint, files));
    TWOFOLD_CRASH_POINT(coord_recovery_after_force);
    recovered.summary = std::move(summary);
    return recovered;
}

}  // namespace twofold::recovery
