#include "recovery/recover.h"

#include "base/crash_point.h"

#include <utility>
#include <vector>

namespace twofold::recovery {

namespace {

using base::Result;

// Reads everything before anything is concluded.
Result<wal::ReadSummary> read_into(wal::Directory& directory, Fold& fold) {
    Result<void> folded = base::ok();
    TWOFOLD_TRY(
        wal::ReadSummary summary, wal::read_log(directory, [&](const wal::RecoveredRecord& record) {
            if (!folded.has_value()) return;
            auto decoded = protocol::decode_record(record.payload);
            folded = decoded.has_value() ? fold.apply(record.lsn, decoded.value())
                                         : Result<void>(decoded.error());
            if (folded.has_value() || decoded.has_value()) return;
            folded = base::fail(
                decoded.error().code,
                "log record " + std::to_string(record.lsn) + ": " + decoded.error().context);
        }));
    TWOFOLD_TRY(std::move(folded));
    return summary;
}

std::vector<base::Bytes> encode(const std::vector<protocol::Record>& records) {
    std::vector<base::Bytes> out;
    out.reserve(records.size());
    for (const protocol::Record& record : records) out.push_back(protocol::encode_record(record));
    return out;
}

}  // namespace

Result<Recovered> recover(wal::Directory& directory, const RecoverOptions& options) {
    TWOFOLD_CRASH_POINT(coord_recovery_start);
    Recovered recovered;
    Fold fold;
    TWOFOLD_TRY(wal::ReadSummary summary, read_into(directory, fold));

    protocol::EpochRecord epoch;
    epoch.incarnation = options.incarnation_if_new;
    if (summary.has_incarnation) epoch.incarnation.bytes = summary.incarnation;
    epoch.epoch = summary.last_epoch + 1;
    epoch.key = options.key;
    TWOFOLD_TRY(recovered.state, std::move(fold).finish(epoch));
    TWOFOLD_CRASH_POINT(coord_recovery_after_fold);

    auto checkpoint = encode(checkpoint_records(recovered.state));
    TWOFOLD_TRY(recovered.writer,
                wal::Writer::start(
                    directory, summary, options.writer, epoch.incarnation.bytes, checkpoint));
    TWOFOLD_CRASH_POINT(coord_recovery_after_force);
    recovered.summary = std::move(summary);
    return recovered;
}

}  // namespace twofold::recovery
