// A 64-bit hash that is the same everywhere. Not for strangers: it does not resist who chooses its
// input.
#pragma once

#include <cstdint>
#include <string_view>

namespace twofold::sim {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = a * 0x9e3779b97f4a7c15ULL + b + 0x7f4a7c159e3779b9ULL;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31U);
}

[[nodiscard]] constexpr std::uint64_t mix_text(std::uint64_t hash, std::string_view text) {
    constexpr std::uint64_t kPrime = 0x100000001b3ULL;
    std::uint64_t sum = 0xcbf29ce484222325ULL;
    for (char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * kPrime;
    return mix(mix(hash, sum), text.size());
}

}  // namespace twofold::sim
