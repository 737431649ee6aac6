// The two sources of randomness. SeededRng drives the simulator and jitter: same seed, same
// numbers, on every platform. secure_random() is the kernel's, for keys, incarnations and nonces.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace twofold::base {

// xoshiro256** seeded through splitmix64 (Blackman and Vigna). Not for secrets.
class SeededRng {
public:
    explicit SeededRng(std::uint64_t seed);

    std::uint64_t next();
    // Uniform in [0, bound); bound must not be 0.
    std::uint64_t below(std::uint64_t bound);
    // Uniform in [low, high].
    std::uint64_t between(std::uint64_t low, std::uint64_t high);
    // True with the given chance in parts per thousand.
    bool chance_per_mille(std::uint32_t per_mille) { return below(1000) < per_mille; }

private:
    std::uint64_t state_[4];
};

// Fills the buffer from the kernel's generator; ends the process when there is none.
void secure_random(std::span<std::uint8_t> out);

// The same as a value: a key, an incarnation, a uuid.
template <std::size_t N>
[[nodiscard]] std::array<std::uint8_t, N> random_bytes() {
    std::array<std::uint8_t, N> bytes{};
    secure_random(bytes);
    return bytes;
}

// The same as a number: a nonce, the seed of a SeededRng.
[[nodiscard]] std::uint64_t random_number();

}  // namespace twofold::base
