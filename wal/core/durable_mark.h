// The side mark: a small file, written without force after each durable batch, and forced when a
// segment begins. After the death of the process alone it is exact; after a power loss it may be
// old, but knows every segment that holds a batch; it is never too new. It has two slots, each
// inside one 512-byte sector and used in turn, so that a torn one leaves the other.
#pragma once

#include "wal/core/frame.h"

#include <cstdint>
#include <optional>

namespace twofold::wal {

inline constexpr std::size_t kMarkSlotSizeBytes = 64;
inline constexpr std::size_t kMarkSlotDistanceBytes = 512;
inline constexpr std::size_t kMarkFileSizeBytes = 2 * kMarkSlotDistanceBytes;

struct DurableMark {
    Incarnation incarnation{};
    std::uint32_t epoch = 0;
    std::uint64_t segment = 0;
    std::uint64_t batch = 0;
    std::uint64_t lsn = 0;
    // The newest segment whose name the directory holds durably; 0: the writer did not say.
    std::uint64_t newest_segment = 0;
    bool clean_shutdown = false;

    friend bool operator==(const DurableMark&, const DurableMark&) = default;
};

// Where the slot for this mark begins.
[[nodiscard]] constexpr std::uint64_t mark_slot_offset(const DurableMark& mark) {
    return mark.batch % 2 * kMarkSlotDistanceBytes;
}
void encode_mark_slot(const DurableMark& mark, Bytes& out);
[[nodiscard]] std::optional<DurableMark> decode_mark_slot(ByteSpan slot);
// The newer of the two slots of a whole file; nothing when neither is readable.
[[nodiscard]] std::optional<DurableMark> newest_mark(ByteSpan file);

}  // namespace twofold::wal
