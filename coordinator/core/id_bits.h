// A set of transaction ids: one bit each, in pages that never move. Adding one, or taking away the
// oldest, costs the same however many there are.
#pragma once

#include "protocol/ids.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <map>

namespace twofold::coordinator {

class IdBits {
public:
    static constexpr protocol::Sequence kWordBits = 64;
    static constexpr std::size_t kPageWords = 256;
    static constexpr protocol::Sequence kPageBits = kPageWords * kWordBits;
    using Page = std::array<std::uint64_t, kPageWords>;
    using Words = std::bitset<kPageWords>;  // of a page

    // The first id of the word, and of the page, that has this one's bit.
    [[nodiscard]] static protocol::IdPosition word_of(protocol::IdPosition position) {
        return {position.epoch, position.sequence / kWordBits * kWordBits};
    }
    [[nodiscard]] static protocol::IdPosition page_of(protocol::IdPosition position) {
        return {position.epoch, position.sequence / kPageBits * kPageBits};
    }

    // False: it was there.
    bool add(protocol::IdPosition position);
    // The words that have gained any. `first` is that of a page.
    Words add(protocol::IdPosition first, const Page& more);
    [[nodiscard]] bool contains(protocol::IdPosition position) const;
    [[nodiscard]] bool is_empty() const { return pages_.empty(); }
    [[nodiscard]] std::uint64_t word_at(protocol::IdPosition word) const;
    // The newest below the limit; zero: there is none.
    [[nodiscard]] protocol::IdPosition newest_below(protocol::IdPosition limit) const;
    void forget_below(protocol::IdPosition limit);
    // Of each epoch that has had one, up to where they reach: one more than the newest.
    [[nodiscard]] const std::map<protocol::Epoch, protocol::Sequence>& ends() const {
        return ends_;
    }
    [[nodiscard]] std::size_t reserved_bytes() const;

    friend bool operator==(const IdBits& a, const IdBits& b) { return a.pages_ == b.pages_; }

private:
    [[nodiscard]] static std::size_t index_of(protocol::IdPosition position) {
        return static_cast<std::size_t>(position.sequence % kPageBits / kWordBits);
    }

    std::map<protocol::IdPosition, Page> pages_;  // by their first id; none is all zeros
    std::map<protocol::Epoch, protocol::Sequence> ends_;
};

// The bits of a word without those of ids below `lowest`.
[[nodiscard]] std::uint64_t without_below(protocol::IdPosition word,
                                          std::uint64_t bits,
                                          protocol::IdPosition lowest);

}  // namespace twofold::coordinator
