#include "coordinator/core/id_bits.h"

#include <algorithm>
#include <bit>
#include <iterator>

namespace twofold::coordinator {

using protocol::IdPosition;
using protocol::Sequence;

bool IdBits::add(IdPosition position) {
    std::uint64_t& word = pages_[page_of(position)][index_of(position)];
    std::uint64_t bit = std::uint64_t{1} << (position.sequence % kWordBits);
    if ((word & bit) != 0) return false;
    word |= bit;
    Sequence& end = ends_[position.epoch];
    end = std::max(end, position.sequence + 1);
    return true;
}

IdBits::Words IdBits::add(IdPosition first, const Page& more) {
    Words gained;
    bool is_empty = std::ranges::all_of(more, [](std::uint64_t word) { return word == 0; });
    if (is_empty) return gained;
    Page& page = pages_[first];
    Sequence newest = 0;
    for (std::size_t i = 0; i < kPageWords; ++i) {
        if ((more[i] & ~page[i]) != 0) gained.set(i);
        page[i] |= more[i];
        if (more[i] != 0) newest = i * kWordBits + std::bit_width(more[i]) - 1;
    }
    Sequence& end = ends_[first.epoch];
    end = std::max(end, first.sequence + newest + 1);
    return gained;
}

std::uint64_t IdBits::word_at(IdPosition word) const {
    auto page = pages_.find(page_of(word));
    return page == pages_.end() ? 0 : page->second[index_of(word)];
}

bool IdBits::contains(IdPosition position) const {
    return ((word_at(word_of(position)) >> (position.sequence % kWordBits)) & 1U) != 0;
}

IdPosition IdBits::newest_below(IdPosition limit) const {
    auto place = pages_.lower_bound(limit);
    while (place != pages_.begin()) {
        const auto& [first, page] = *--place;
        for (std::size_t i = kPageWords; i-- > 0;) {
            Sequence begin = first.sequence + i * kWordBits;
            IdPosition word{first.epoch, begin};
            std::uint64_t bits = page[i] & ~without_below(word, ~std::uint64_t{0}, limit);
            if (bits != 0) return {first.epoch, begin + std::bit_width(bits) - 1};
        }
    }
    return {};
}

void IdBits::forget_below(IdPosition limit) {
    IdPosition cut = page_of(limit);
    pages_.erase(pages_.begin(), pages_.lower_bound(cut));
    ends_.erase(ends_.begin(), ends_.lower_bound(limit.epoch));
    auto found = pages_.find(cut);
    if (found == pages_.end()) return;
    bool is_left = false;
    for (std::size_t i = 0; i < kPageWords; ++i) {
        std::uint64_t& bits = found->second[i];
        bits = without_below({cut.epoch, cut.sequence + i * kWordBits}, bits, limit);
        is_left = is_left || bits != 0;
    }
    if (!is_left) pages_.erase(found);
}

std::size_t IdBits::reserved_bytes() const {
    constexpr std::size_t kTreeNode = 32;  // of pointers, with each page
    return pages_.size() * (sizeof(std::pair<const IdPosition, Page>) + kTreeNode);
}

std::uint64_t without_below(IdPosition word, std::uint64_t bits, IdPosition lowest) {
    if (lowest <= word) return bits;
    if (lowest.epoch > word.epoch || lowest.sequence - word.sequence >= IdBits::kWordBits) return 0;
    return bits & (~std::uint64_t{0} << (lowest.sequence - word.sequence));
}

}  // namespace twofold::coordinator
