#include "base/rng.h"

#include "base/assert.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstddef>

namespace twofold::base {

SeededRng::SeededRng(std::uint64_t seed) {
    for (auto& word : state_) {
        seed += 0x9e3779b97f4a7c15ULL;
        std::uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        word = z ^ (z >> 31);
    }
}

std::uint64_t SeededRng::next() {
    std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

std::uint64_t SeededRng::below(std::uint64_t bound) {
    TWOFOLD_ASSERT(bound > 0, "below(0)");
    // The bias of a plain remainder is below 2^-40 for the bounds that we use.
    return next() % bound;
}

std::uint64_t SeededRng::between(std::uint64_t low, std::uint64_t high) {
    TWOFOLD_ASSERT(low <= high, "empty range");
    return low + below(high - low + 1);
}

void secure_random(std::span<std::uint8_t> out) {
    std::size_t filled = 0;
    while (filled < out.size()) {
        ssize_t got = getrandom(out.data() + filled, out.size() - filled, 0);
        if (got < 0 && errno == EINTR) continue;
        TWOFOLD_ASSERT(got > 0, "the kernel gives no random bytes");
        filled += static_cast<std::size_t>(got);
    }
}

std::uint64_t random_number() { return std::bit_cast<std::uint64_t>(random_bytes<8>()); }

}  // namespace twofold::base
