// The two sources of randomness. SeededRng drives the simulator and jitter: same seed, same
// numbers, on every platform. secure_random() is the kernel's, for keys, incarnations and nonces.
#pragma once

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

}  // namespace twofold::base
