#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace twofold::base {

namespace {

constexpr std::uint32_t kPolynomialReflected = 0x82f63b78U;

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value & 1U) != 0 ? (value >> 1) ^ kPolynomialReflected : value >> 1;
        }
        table[i] = value;
    }
    return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(ByteSpan bytes, std::uint32_t seed) {
    std::uint64_t crc = ~seed;
    const std::uint8_t* data = bytes.data();
    std::size_t left = bytes.size();
    while (left >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, data, 8);
        crc = _mm_crc32_u64(crc, word);
        data += 8;
        left -= 8;
    }
    auto crc32 = static_cast<std::uint32_t>(crc);
    while (left > 0) {
        crc32 = _mm_crc32_u8(crc32, *data);
        ++data;
        --left;
    }
    return ~crc32;
}
#endif

}  // namespace

std::uint32_t crc32c_portable(ByteSpan bytes, std::uint32_t seed) {
    std::uint32_t crc = ~seed;
    for (std::uint8_t byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ byte) & 0xffU];
    return ~crc;
}

std::uint32_t crc32c(ByteSpan bytes, std::uint32_t seed) {
#if defined(__x86_64__)
    static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
    if (has_sse42) return crc32c_sse42(bytes, seed);
#endif
    return crc32c_portable(bytes, seed);
}

}  // namespace twofold::base
