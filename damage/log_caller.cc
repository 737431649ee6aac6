#include "damage/log_caller.h"

#include "base/rng.h"
#include "wal/sealed.h"

#include <algorithm>

namespace twofold::damage {

namespace {

// Contents that look like nothing else, so that a byte out of place shows.
Bytes record_of(std::size_t index, std::size_t size_bytes) {
    base::SeededRng rng(index + 1);
    std::string text = "record-" + std::to_string(index) + "-";
    Bytes record(text.begin(), text.end());
    while (record.size() < size_bytes) record.push_back(static_cast<std::uint8_t>(rng.next()));
    return record;
}

}  // namespace

base::Result<ReadState> read_state(wal::Directory& directory) {
    ReadState state;
    std::vector<Bytes> records;
    TWOFOLD_TRY(state.summary, wal::read_log(directory, [&](const wal::RecoveredRecord& record) {
                    records.emplace_back(record.payload.begin(), record.payload.end());
                }));
    for (Bytes& record : records) {
        auto reference = wal::parse_sealed_reference(record);
        if (!reference) {
            state.records.push_back(std::move(record));
            continue;
        }
        TWOFOLD_TRY(
            auto sealed,
            wal::read_sealed(
                directory, state.summary.incarnation, reference->number, reference->checksum));
        std::ranges::move(sealed, std::back_inserter(state.records));
        state.sealed.push_back(*reference);
        state.sealed_records = state.records.size();
    }
    return state;
}

bool LogCaller::note(const base::Result<void>& result) {
    if (!result.has_value()) error_ = result.error().text();
    return result.has_value();
}

std::vector<Bytes> LogCaller::checkpoint_records() const {
    std::vector<Bytes> records = references_;
    auto first = attempted_.begin() + static_cast<std::ptrdiff_t>(sealed_records_);
    records.insert(records.end(), first, attempted_.end());
    return records;
}

bool LogCaller::open() {
    writer_ = nullptr;
    auto read = read_state(directory_);
    if (!read.has_value()) {
        error_ = read.error().text();
        return false;
    }
    ReadState& state = read.value();
    attempted_ = std::move(state.records);
    sealed_records_ = state.sealed_records;
    sealed_.clear();
    references_.clear();
    for (const wal::NamedSealedFile& reference : state.sealed) {
        sealed_.push_back(reference.number);
        references_.push_back(wal::sealed_reference(reference));
    }
    seals_ = 0;
    auto started = wal::Writer::start(
        directory_, state.summary, options_, incarnation_, checkpoint_records(), sealed_);
    if (!started.has_value()) {
        error_ = started.error().text();
        return false;
    }
    writer_ = std::move(started).value();
    acknowledged_ = attempted_.size();
    return true;
}

void LogCaller::append(std::size_t size_bytes) {
    attempted_.push_back(record_of(attempted_.size(), size_bytes));
    writer_->append(attempted_.back());
}

bool LogCaller::force() {
    auto forced = writer_->force();
    if (!forced.has_value()) {
        error_ = forced.error().text();
        return false;
    }
    acknowledged_ = attempted_.size();
    return true;
}

bool LogCaller::heartbeat() { return note(writer_->heartbeat()); }
bool LogCaller::maintain() { return note(writer_->maintain()); }

bool LogCaller::seal(std::size_t count) {
    count = std::min(count, acknowledged_ - sealed_records_);
    auto first = attempted_.begin() + static_cast<std::ptrdiff_t>(sealed_records_);
    std::vector<Bytes> records(first, first + static_cast<std::ptrdiff_t>(count));
    // Never used before: no two starts have the same epoch.
    std::uint64_t number = std::uint64_t{writer_->epoch()} * 1000 + ++seals_;
    references_.push_back(wal::sealed_reference(
        {.number = number, .checksum = wal::content_checksum(records), .records = count}));
    if (!note(writer_->seal(number, std::move(records)))) return false;
    sealed_.push_back(number);
    sealed_records_ += count;
    return true;
}

bool LogCaller::checkpoint() {
    std::vector<wal::SealedReference> places;
    for (std::size_t i = 0; i < sealed_.size(); ++i) {
        places.push_back({.number = sealed_[i], .record = i});
    }
    if (!note(writer_->checkpoint(checkpoint_records(), places))) return false;
    acknowledged_ = attempted_.size();
    return true;
}

bool LogCaller::close_clean() {
    bool done = note(writer_->close_clean());
    writer_ = nullptr;
    return done;
}

}  // namespace twofold::damage
