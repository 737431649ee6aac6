// CRC-32C (Castagnoli), the checksum of the log. Uses SSE4.2 where the processor has it, a table
// elsewhere; both give the same value (tests compare them with Boost.CRC).
#pragma once

#include "base/bytes.h"

#include <cstdint>

namespace twofold::base {

// Continues from `seed`: crc32c(b, crc32c(a)) == crc32c(a followed by b). 0 starts a new one.
[[nodiscard]] std::uint32_t crc32c(ByteSpan bytes, std::uint32_t seed = 0);

// The table version, for the test that compares the two.
[[nodiscard]] std::uint32_t crc32c_portable(ByteSpan bytes, std::uint32_t seed = 0);

}  // namespace twofold::base
