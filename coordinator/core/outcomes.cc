#include "coordinator/core/outcomes.h"

#include "base/assert.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <ranges>

namespace twofold::coordinator {

using protocol::Epoch;
using protocol::IdPosition;
using protocol::Sequence;

namespace {
constexpr Sequence kWordBits = 64;
// Keeps a record well below any limit of the log: half a million ids each.
constexpr std::size_t kWordsPerRecord = (std::size_t{1} << 19U) / kWordBits;

static_assert(std::endian::native == std::endian::little, "words are copied as they are");

void drop_zeros(base::Bytes& bytes) {
    while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
}
}  // namespace

void OutcomeMemory::EpochBits::set(Sequence sequence) {
    if (words.empty()) first = sequence / kWordBits * kWordBits;
    if (sequence < first) {
        auto missing = static_cast<std::ptrdiff_t>(first / kWordBits - sequence / kWordBits);
        words.insert(words.begin(), static_cast<std::size_t>(missing), 0);
        first = sequence / kWordBits * kWordBits;
    }
    auto word = static_cast<std::size_t>((sequence - first) / kWordBits);
    if (word >= words.size()) words.resize(word + 1, 0);
    words[word] |= std::uint64_t{1} << (sequence % kWordBits);
    last = std::max(last, sequence);
}

bool OutcomeMemory::EpochBits::test(Sequence sequence) const {
    if (sequence < first) return false;
    auto word = static_cast<std::size_t>((sequence - first) / kWordBits);
    return word < words.size() && ((words[word] >> (sequence % kWordBits)) & 1U) != 0;
}

void OutcomeMemory::EpochBits::forget_below(Sequence sequence) {
    if (sequence <= first || words.empty()) return;
    auto whole = static_cast<std::size_t>((sequence - first) / kWordBits);
    whole = std::min(whole, words.size());
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(whole));
    first += static_cast<Sequence>(whole) * kWordBits;
    if (!words.empty() && sequence > first) {
        words.front() &= ~std::uint64_t{0} << ((sequence - first) % kWordBits);
    }
}

OutcomeMemory::OutcomeMemory(IdPosition horizon,
                             const std::map<Epoch, std::vector<bool>>& committed,
                             std::uint64_t ids_max)
    : horizon_(horizon), ids_max_(std::max<std::uint64_t>(ids_max, 1)) {
    for (const auto& [epoch, bits] : committed) {
        EpochBits& mine = epochs_[epoch];
        for (std::size_t i = 0; i < bits.size(); ++i) {
            if (bits[i] && IdPosition{epoch, i} >= horizon_) mine.set(i);
        }
    }
}

void OutcomeMemory::set_committed(IdPosition position) {
    if (position < horizon_) return;  // an unfinished commit below the horizon has ended
    epochs_[position.epoch].set(position.sequence);
}

void OutcomeMemory::set_unrecorded(IdPosition position) {
    if (position < horizon_) return;
    unrecorded_[position.epoch].set(position.sequence);
}

bool OutcomeMemory::test(const Bits& bits, IdPosition position) {
    auto found = bits.find(position.epoch);
    return found != bits.end() && found->second.test(position.sequence);
}

bool OutcomeMemory::is_committed(IdPosition position) const {
    return test(epochs_, position) || test(unrecorded_, position);
}

bool OutcomeMemory::is_unrecorded(IdPosition position) const { return test(unrecorded_, position); }

IdPosition OutcomeMemory::newest_committed_below(IdPosition limit) const {
    for (const auto& [epoch, bits] : epochs_ | std::views::reverse) {
        if (epoch > limit.epoch) continue;
        Sequence end =
            epoch == limit.epoch ? std::min(limit.sequence, bits.last + 1) : bits.last + 1;
        for (Sequence sequence = end; sequence-- > bits.first;) {
            if (bits.test(sequence)) return {epoch, sequence};
        }
    }
    return {};
}

std::optional<IdPosition> OutcomeMemory::choose_horizon(IdPosition next, IdPosition limit) const {
    // Ids that the bits stand for, newest epoch first. Of older epochs the ids behind the last
    // committed one are not counted: they take no room.
    std::uint64_t keep = ids_max_ - ids_max_ / 8;  // move rarely, and then by a good piece
    std::uint64_t total = 0;
    std::map<Epoch, Sequence> ends;
    for (const Bits* kind : {&epochs_, &unrecorded_}) {
        for (const auto& [epoch, bits] : *kind) ends[epoch] = std::max(ends[epoch], bits.last + 1);
    }
    ends[next.epoch] = next.sequence;
    std::optional<IdPosition> chosen;
    for (const auto& [epoch, end] : ends | std::views::reverse) {
        if (epoch < horizon_.epoch) break;
        Sequence begin = epoch == horizon_.epoch ? std::max<Sequence>(horizon_.sequence, 1) : 1;
        std::uint64_t count = end > begin ? end - begin : 0;
        if (!chosen && total + count > keep) chosen = IdPosition{epoch, end - (keep - total)};
        total += count;
    }
    if (total <= ids_max_ || !chosen) return std::nullopt;
    IdPosition horizon = std::min(*chosen, limit);
    if (horizon <= horizon_) return std::nullopt;
    return horizon;
}

void OutcomeMemory::move_horizon(IdPosition horizon) {
    TWOFOLD_ASSERT(horizon >= horizon_, "the forget horizon never goes back");
    horizon_ = horizon;
    forget_below(epochs_, horizon);
    forget_below(unrecorded_, horizon);
}

void OutcomeMemory::forget_below(Bits& bits, IdPosition horizon) {
    bits.erase(bits.begin(), bits.lower_bound(horizon.epoch));
    auto found = bits.find(horizon.epoch);
    if (found != bits.end()) found->second.forget_below(horizon.sequence);
}

// A word without the bits of ids below `lowest`.
std::uint64_t OutcomeMemory::EpochBits::word_from(std::size_t word, Sequence lowest) const {
    Sequence begin = first + word * kWordBits;
    if (lowest <= begin) return words[word];
    if (lowest >= begin + kWordBits) return 0;
    return words[word] & (~std::uint64_t{0} << (lowest - begin));
}

std::vector<protocol::OutcomesRecord> OutcomeMemory::records(IdPosition horizon) const {
    std::vector<protocol::OutcomesRecord> out;
    for (const auto& [epoch, mine] : epochs_) {
        if (epoch < horizon.epoch) continue;
        Sequence lowest = epoch == horizon.epoch ? horizon.sequence : 0;
        for (std::size_t begin = 0; begin < mine.words.size(); begin += kWordsPerRecord) {
            std::size_t end = std::min(begin + kWordsPerRecord, mine.words.size());
            protocol::OutcomesRecord record{epoch, mine.first + begin * kWordBits, {}};
            record.committed_bits.resize((end - begin) * sizeof(std::uint64_t));
            for (std::size_t w = begin; w < end; ++w) {
                std::uint64_t word = mine.word_from(w, lowest);
                std::memcpy(&record.committed_bits[(w - begin) * sizeof word], &word, sizeof word);
            }
            drop_zeros(record.committed_bits);
            if (!record.committed_bits.empty()) out.push_back(std::move(record));
        }
    }
    return out;
}

}  // namespace twofold::coordinator
