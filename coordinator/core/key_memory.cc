#include "coordinator/core/key_memory.h"

#include "base/assert.h"

#include <algorithm>
#include <limits>
#include <ranges>
#include <utility>

namespace twofold::coordinator {

using protocol::IdempotencyKey;
using protocol::KeysRecord;
using protocol::ParticipantNumber;
using protocol::SettledKey;

std::pair<const KeyMemory::Entry*, std::uint32_t> KeyMemory::find_entry(const Hash& hash) const {
    for (const Generation& generation : generations_ | std::views::reverse) {
        if (const Entry* entry = generation.keys.find(hash)) return {entry, generation.number};
    }
    return {nullptr, 0};
}

std::optional<KeyMemory::Known> KeyMemory::find(const Hash& hash) const {
    for (const Generation& generation : generations_ | std::views::reverse) {
        const Entry* entry = generation.keys.find(hash);
        if (entry == nullptr) continue;
        Known known;
        known.fingerprint = entry->fingerprint;
        known.position = {entry->epoch, entry->sequence};
        known.participant = ParticipantNumber(entry->participant);
        known.committed = entry->state == State::deciding || entry->state == State::committed;
        known.settled = entry->state == State::committed || entry->state == State::aborted;
        known.generation = generation.number;
        auto foreign = generation.foreign.find(hash);
        if (foreign != generation.foreign.end()) known.foreign = foreign->second;
        return known;
    }
    return std::nullopt;
}

const std::string* KeyMemory::abort_reason(protocol::IdPosition position) const {
    for (const Generation& generation : generations_ | std::views::reverse) {
        const Abort* abort = generation.aborts.find(position);
        if (abort != nullptr) return &reasons_[abort->reason];
    }
    return nullptr;
}

std::size_t KeyMemory::size() const {
    std::size_t size = 0;
    for (const Generation& generation : generations_) size += generation.keys.size();
    return size;
}

std::size_t KeyMemory::reserved_bytes() const {
    std::size_t bytes = loose_.capacity() * sizeof(Hash);
    for (const Generation& generation : generations_) {
        bytes += generation.keys.reserved_bytes() + generation.aborts.reserved_bytes();
    }
    return bytes;
}

KeyMemory::Generation& KeyMemory::at(std::uint32_t number) {
    auto place = std::ranges::lower_bound(generations_, number, {}, &Generation::number);
    if (place == generations_.end() || place->number != number) {
        place = generations_.insert(place, Generation{number, {}, {}, {}});
    }
    return *place;
}

// Codes of a short list. Should there be more than fit, the last ones share the empty text.
std::uint8_t KeyMemory::reason_number(const std::string& reason) {
    auto known = std::ranges::find(reasons_, reason);
    auto number = static_cast<std::size_t>(known - reasons_.begin());
    if (number > std::numeric_limits<std::uint8_t>::max()) return 0;
    if (known == reasons_.end()) reasons_.push_back(reason);
    return static_cast<std::uint8_t>(number);
}

void KeyMemory::add(const IdempotencyKey& key, const protocol::TxnId& txn, bool is_foreign) {
    erase(key.key_hash);
    Generation& newest = at(generation_);
    newest.keys.put({key.key_hash,
                     key.fingerprint,
                     txn.sequence(),
                     txn.epoch(),
                     txn.participant().value,
                     0,
                     State::open});
    if (is_foreign) newest.foreign[key.key_hash] = txn;
}

void KeyMemory::set_committed(const Hash& hash) {
    for (Generation& generation : generations_) {
        Entry* entry = generation.keys.find(hash);
        if (entry != nullptr && entry->state == State::open) entry->state = State::deciding;
    }
}

void KeyMemory::erase(const Hash& hash) {
    for (Generation& generation : generations_) {
        generation.keys.erase(hash);
        generation.foreign.erase(hash);
    }
}

void KeyMemory::refresh(const Hash& hash) {
    for (Generation& generation : generations_) {
        const Entry* entry = generation.keys.find(hash);
        if (entry == nullptr || generation.number == generation_) continue;
        Entry moved = *entry;
        generation.keys.erase(hash);
        auto foreign = generation.foreign.extract(hash);
        Generation& newest = at(generation_);  // moves the others
        put_entry(newest, moved);
        if (!foreign.empty()) newest.foreign.insert(std::move(foreign));
        return;
    }
}

void KeyMemory::begin(std::uint32_t generation) {
    TWOFOLD_ASSERT(generation >= generation_, "generations of keys go up");
    generation_ = generation;
}

void KeyMemory::drop(std::uint32_t generation) {
    TWOFOLD_ASSERT(generation <= generation_, "only what has begun drops what is over");
    while (!generations_.empty() && is_over(generations_.front().number, generation)) {
        generations_.pop_front();
    }
}

void KeyMemory::turn(std::uint32_t generation) {
    begin(generation);
    drop(generation);
}

// ---- settled keys ---------------------------------------------------------------------

KeyMemory::Entry KeyMemory::settled_entry(const SettledKey& key) {
    return {key.idempotency.key_hash,
            key.idempotency.fingerprint,
            key.position.sequence,
            key.position.epoch,
            key.participant.value,
            key.committed ? std::uint8_t{0} : reason_number(key.reason),
            key.committed ? State::committed : State::aborted};
}

SettledKey KeyMemory::settled_key(const Entry& entry) const {
    return {{entry.hash, entry.fingerprint},
            {entry.epoch, entry.sequence},
            ParticipantNumber(entry.participant),
            entry.state == State::committed,
            reasons_[entry.reason]};
}

void KeyMemory::put_entry(Generation& generation, const Entry& entry) {
    generation.keys.put(entry);
    if (entry.state != State::aborted) return;
    generation.aborts.put({entry.sequence, entry.epoch, entry.reason});
}

void KeyMemory::settle(const SettledKey& key, bool for_the_log) {
    std::optional<Known> known = find(key.idempotency.key_hash);
    erase(key.idempotency.key_hash);
    Generation& newest = at(generation_);
    put_entry(newest, settled_entry(key));
    if (known && known->foreign) newest.foreign[key.idempotency.key_hash] = *known->foreign;
    if (for_the_log) loose_.push_back(key.idempotency.key_hash);
}

std::vector<KeysRecord> KeyMemory::loose_records(std::size_t limit) const {
    std::vector<KeysRecord> out;
    std::map<std::uint32_t, std::size_t> unfinished;  // by generation, where in `out`
    for (const Hash& hash : loose_ | std::views::take(limit)) {
        auto [entry, generation] = find_entry(hash);
        // It was dropped with its generation, or its key is used again.
        if (entry == nullptr || entry->state == State::open) continue;
        if (entry->state == State::deciding) continue;
        auto [place, is_new] = unfinished.try_emplace(generation, out.size());
        if (!is_new && out[place->second].keys.size() == kKeysPerRecord) {
            place->second = out.size();
            is_new = true;
        }
        if (is_new) {
            out.push_back({generation, {}});
            out.back().keys.reserve(kKeysPerRecord);
        }
        out[place->second].keys.push_back(settled_key(*entry));
    }
    return out;
}

void KeyMemory::forget_loose(std::size_t count) {
    auto end = loose_.begin() + static_cast<std::ptrdiff_t>(std::min(count, loose_.size()));
    loose_.erase(loose_.begin(), end);
}

void KeyMemory::restore(const KeysRecord& record, bool is_loose) {
    if (is_over(record.generation, generation_)) return;
    for (const SettledKey& key : record.keys) {
        std::optional<Known> known = find(key.idempotency.key_hash);
        if (known && known->generation > record.generation) continue;  // used again since
        erase(key.idempotency.key_hash);
        put_entry(at(record.generation), settled_entry(key));
        if (is_loose) loose_.push_back(key.idempotency.key_hash);
    }
}

std::vector<KeysRecord> KeyMemory::sorted() const {
    std::vector<KeysRecord> out;
    for (const Generation& generation : generations_) {
        KeysRecord record{generation.number, {}};
        generation.keys.for_each([&](const Entry& entry) {
            bool settled = entry.state == State::committed || entry.state == State::aborted;
            if (settled) record.keys.push_back(settled_key(entry));
        });
        if (!record.keys.empty()) out.push_back(std::move(record));
    }
    return out;
}

bool operator==(const KeyMemory& a, const KeyMemory& b) {
    return a.generation_ == b.generation_ && a.sorted() == b.sorted();
}

}  // namespace twofold::coordinator
