#include "coordinator/core/outcomes.h"

#include "base/assert.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <ranges>
#include <span>
#include <utility>

namespace twofold::coordinator {

using protocol::Epoch;
using protocol::IdPosition;
using protocol::OutcomesRecord;
using protocol::Sequence;

namespace {

static_assert(std::endian::native == std::endian::little, "words are copied as they are");

constexpr std::size_t kWordBytes = sizeof(std::uint64_t);

void append_word(OutcomesRecord& record, std::uint64_t bits) {
    std::size_t size = record.committed_bits.size();
    record.committed_bits.resize(size + kWordBytes);
    std::memcpy(&record.committed_bits[size], &bits, kWordBytes);
}

void drop_zeros(base::Bytes& bytes) {
    while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
}

}  // namespace

void OutcomeMemory::set_committed(IdPosition position) {
    if (position < horizon_) return;  // an unfinished commit below the horizon has ended
    if (!recorded_.add(position)) return;
    IdPosition page = IdBits::page_of(position);
    IdBits::Words word;
    word.set(static_cast<std::size_t>((position.sequence - page.sequence) / IdBits::kWordBits));
    note_loose(page, word);
}

void OutcomeMemory::set_unrecorded(IdPosition position) {
    if (position >= horizon_) unrecorded_.add(position);
}

bool OutcomeMemory::is_committed(IdPosition position) const {
    return recorded_.contains(position) || unrecorded_.contains(position);
}

bool OutcomeMemory::is_unrecorded(IdPosition position) const {
    return unrecorded_.contains(position);
}

// ---- the horizon ----------------------------------------------------------------------

std::optional<IdPosition> OutcomeMemory::choose_horizon(IdPosition next,
                                                        std::uint64_t ids_max) const {
    // Ids that the bits stand for, newest epoch first. Of older epochs the ids behind the last
    // committed one are not counted: they take no room.
    ids_max = std::max<std::uint64_t>(ids_max, 1);
    std::uint64_t keep = ids_max - ids_max / 8;  // move rarely, and then by a good piece
    std::uint64_t total = 0;
    std::map<Epoch, Sequence> ends = recorded_.ends();
    for (const auto& [epoch, end] : unrecorded_.ends()) ends[epoch] = std::max(ends[epoch], end);
    ends[next.epoch] = next.sequence;
    std::optional<IdPosition> chosen;
    for (const auto& [epoch, end] : ends | std::views::reverse) {
        if (epoch < horizon_.epoch) break;
        Sequence begin = epoch == horizon_.epoch ? std::max<Sequence>(horizon_.sequence, 1) : 1;
        std::uint64_t count = end > begin ? end - begin : 0;
        if (!chosen && total + count > keep) chosen = IdPosition{epoch, end - (keep - total)};
        total += count;
    }
    if (total <= ids_max || !chosen || *chosen <= horizon_) return std::nullopt;
    return chosen;
}

void OutcomeMemory::move_horizon(IdPosition horizon) {
    TWOFOLD_ASSERT(horizon >= horizon_, "the forget horizon never goes back");
    horizon_ = horizon;
    recorded_.forget_below(horizon);
    unrecorded_.forget_below(horizon);
    IdPosition cut = IdBits::page_of(horizon);
    for (auto page = loose_.begin(); page != loose_.end() && page->first <= cut;) {
        auto& [first, words] = *page;
        for (std::size_t i = 0; i < words.size(); ++i) {
            bool is_left =
                recorded_.word_at({first.epoch, first.sequence + i * IdBits::kWordBits}) != 0;
            if (!words[i] || is_left) continue;
            words.reset(i);
            --loose_count_;
        }
        page = words.none() ? loose_.erase(page) : std::next(page);
    }
}

// ---- loose words ----------------------------------------------------------------------

void OutcomeMemory::note_loose(IdPosition page, const IdBits::Words& words) {
    if (words.none()) return;
    IdBits::Words& mine = loose_[page];
    loose_count_ += (words & ~mine).count();
    mine |= words;
}

template <class Visitor>
void OutcomeMemory::visit_loose(std::size_t limit, Visitor visit) const {
    for (const auto& [page, words] : loose_) {
        for (std::size_t i = 0; i < words.size() && limit > 0; ++i) {
            if (!words[i]) continue;
            visit(IdPosition{page.epoch, page.sequence + i * IdBits::kWordBits});
            --limit;
        }
        if (limit == 0) return;
    }
}

std::vector<OutcomesRecord> OutcomeMemory::loose_records(IdPosition horizon,
                                                         std::size_t limit) const {
    std::vector<OutcomesRecord> out;
    visit_loose(limit, [&](IdPosition word) {
        std::uint64_t bits = without_below(word, recorded_.word_at(word), horizon);
        if (bits == 0) return;
        bool follows =
            !out.empty() && out.back().epoch == word.epoch &&
            out.back().first_sequence + out.back().committed_bits.size() * 8 == word.sequence &&
            out.back().committed_bits.size() < kWordsPerRecord * kWordBytes;
        if (!follows) out.push_back({word.epoch, word.sequence, {}});
        append_word(out.back(), bits);
    });
    for (OutcomesRecord& record : out) drop_zeros(record.committed_bits);
    return out;
}

void OutcomeMemory::forget_loose(std::size_t limit) {
    while (limit > 0 && !loose_.empty()) {
        auto page = loose_.begin();
        IdBits::Words& words = page->second;
        for (std::size_t i = 0; i < words.size() && limit > 0; ++i) {
            if (!words[i]) continue;
            words.reset(i);
            --loose_count_;
            --limit;
        }
        if (words.none()) loose_.erase(page);
    }
}

void OutcomeMemory::restore(const OutcomesRecord& record, bool is_loose) {
    TWOFOLD_ASSERT(record.first_sequence % 8 == 0, "outcomes begin at a whole byte");
    const base::Bytes& bytes = record.committed_bits;
    for (std::size_t done = 0; done < bytes.size();) {
        IdPosition first{record.epoch, record.first_sequence + done * 8};
        IdPosition page = IdBits::page_of(first);
        auto offset = static_cast<std::size_t>((first.sequence - page.sequence) / 8);
        std::size_t count = std::min(bytes.size() - done, IdBits::kPageBits / 8 - offset);
        IdBits::Page more{};
        std::memcpy(std::as_writable_bytes(std::span(more)).data() + offset, &bytes[done], count);
        done += count;
        for (std::size_t i = 0; page < horizon_ && i < more.size(); ++i) {
            more[i] = without_below(
                {page.epoch, page.sequence + i * IdBits::kWordBits}, more[i], horizon_);
        }
        IdBits::Words gained = recorded_.add(page, more);
        if (is_loose) note_loose(page, gained);
    }
}

void OutcomesCount::add(const OutcomesRecord& record) {
    for (std::size_t i = 0; i < record.committed_bits.size(); ++i) {
        std::uint8_t bits = record.committed_bits[i];
        if (bits == 0) continue;
        committed += static_cast<std::uint32_t>(std::popcount(bits));
        Sequence highest = record.first_sequence + i * 8 + std::bit_width(bits) - 1;
        newest = std::max(newest, IdPosition{record.epoch, highest});
    }
}

}  // namespace twofold::coordinator
