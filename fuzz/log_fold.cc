// A sequence of log records, whatever they say together: either it is refused, or it is a state
// that a machine starts with, and whose checkpoint is the same state again.
//
//   record: size 2, bytes. Behind one that names a sealed file the next ones, their count 1, are
//   it.
#include "base/assert.h"
#include "coordinator/core/machine.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "recovery/core/fold.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

namespace twofold::fuzz {

namespace {

using coordinator::RecoveredState;
using protocol::Record;

std::vector<Record> take_records(Cursor& in, std::size_t count_max) {
    std::vector<Record> records;
    while (!in.empty() && records.size() < count_max) {
        auto record = protocol::decode_record(in.take(in.u16()));
        if (record.has_value()) records.push_back(std::move(record.value()));
    }
    return records;
}

base::Result<RecoveredState> folded(recovery::Fold fold, const protocol::EpochRecord& epoch) {
    return std::move(fold).finish(epoch);
}

bool apply_all(Cursor& in, recovery::Fold& fold, protocol::EpochRecord& newest) {
    for (std::uint64_t lsn = 1; !in.empty(); ++lsn) {
        for (const Record& record : take_records(in, 1)) {
            const auto* epoch = std::get_if<protocol::EpochRecord>(&record);
            if (epoch != nullptr) {
                newest.incarnation = epoch->incarnation;
                newest.epoch = std::max(newest.epoch, epoch->epoch);
            }
            if (!fold.apply(lsn, record).has_value()) return false;
            if (!protocol::sealed_file_of(record)) continue;
            std::vector<Record> content = take_records(in, in.u8());
            if (!fold.apply_sealed(record, content).has_value()) return false;
        }
    }
    return true;
}

void check_checkpoint(const RecoveredState& state) {
    recovery::Fold fold;
    std::uint64_t lsn = 0;
    for (const Record& record : coordinator::checkpoint_records(state)) {
        auto read = protocol::decode_record(protocol::encode_record(record));
        TWOFOLD_ASSERT(read.has_value() && read.value() == record, "a record that is not stored");
        const bool is_new_epoch = std::holds_alternative<protocol::EpochRecord>(record) &&
                                  std::get<protocol::EpochRecord>(record).epoch == state.epoch;
        if (is_new_epoch) continue;
        TWOFOLD_ASSERT(fold.apply(++lsn, read.value()).has_value(), "a checkpoint is refused");
    }
    auto again = folded(std::move(fold), state.epochs.at(state.epoch));
    TWOFOLD_ASSERT(again.has_value(), "a checkpoint is refused at its end");
    TWOFOLD_ASSERT(again.value() == state, "the checkpoint is another state");
}

}  // namespace

void log_fold(base::ByteSpan input) {
    Cursor in(input);
    recovery::Fold fold;
    protocol::EpochRecord newest;
    if (!apply_all(in, fold, newest)) return;
    newest.epoch = std::max(newest.epoch, fold.epoch_heard()) + 1;
    auto state = folded(std::move(fold), newest);
    if (!state.has_value()) return;
    // What is in sealed files is in no checkpoint.
    bool is_whole = state.value().sealed.empty() && state.value().sealed_outcomes.empty();
    if (is_whole) check_checkpoint(state.value());
    coordinator::Machine machine(coordinator::Config{}, std::move(state.value()));
    coordinator::Effects effects;
    machine.start(effects);
    static_cast<void>(machine.checkpoint());
}

}  // namespace twofold::fuzz
