// A log directory as a few bytes, for libFuzzer to change. Blocks of zeros are not spelt out, and
// the checksums are made right again after every change where the input asks for it: otherwise
// nothing would ever get past them.
//
//   file:   kind 1 | number 1 | repairs 1 | header: size 1, bytes | batches: count 1, each size 2,
//           bytes | blocks of zeros 1
//   mark:   kind 1 | number 1 | repairs 1 | two slots: size 1, bytes
// A file goes on where the former one has ended, until the input does.
#pragma once

#include "base/bytes.h"
#include "wal/memory_file.h"

#include <cstdint>

namespace twofold::fuzz {

enum class PackedKind : std::uint8_t { segment, sealed, mark, spare, unfinished_spare, other };

// Bits of `repairs`.
inline constexpr std::uint8_t kRepairHeaderCrc = 1;
inline constexpr std::uint8_t kRepairHeaderNumber = 2;
inline constexpr std::uint8_t kRepairHeaderSize = 4;
inline constexpr std::uint8_t kRepairBatches = 8;  // magic, length, CRC
inline constexpr std::uint8_t kRepairChain = 16;   // the CRC of the batch before
inline constexpr std::uint8_t kRepairAll = 31;

void unpack_log(base::ByteSpan packed, wal::MemoryDisk& disk);
// For seeds: what unpack_log makes this of.
[[nodiscard]] base::Bytes pack_log(wal::MemoryDisk& disk, std::uint8_t repairs);

// Of a sealed file in a packed log: the numbers of real ones have the epoch in their upper half.
[[nodiscard]] std::uint64_t sealed_number(std::uint8_t packed);

}  // namespace twofold::fuzz
