// Names of the files of a log directory. A segment's index is its place in the log: indexes grow by
// one and are never used twice. The file's header repeats the index, so that a renamed or swapped
// file is noticed.
//
//   segment-00000000000000000017.wal   a segment, index 17 (20 digits: names sort like indexes)
//   spare-00000000000000000003.ready   a pre-written segment without a place yet
//   spare-00000000000000000003.tmp     one that is still being written; removed at the next start
//   sealed-00000000000000000005.wal    a sealed file, number 5 (wal/sealed.h)
//   sealed-00000000000000000005.tmp    one that is still being written; removed at the next start
//   durable.mark                       the side mark (core/durable_mark.h)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace twofold::wal {

inline constexpr std::string_view kDurableMarkName = "durable.mark";
inline constexpr std::string_view kLockName = "LOCK";

enum class FileKind : std::uint8_t {
    segment,
    spare,
    unfinished_spare,
    sealed,
    unfinished_sealed,
    malformed_segment,  // looks like a segment's name but is none: somebody renamed a file
    other,              // not ours: left alone
};

struct ParsedName {
    FileKind kind = FileKind::other;
    std::uint64_t number = 0;
};

[[nodiscard]] std::string segment_name(std::uint64_t index);
[[nodiscard]] std::string spare_name(std::uint64_t number);
[[nodiscard]] std::string unfinished_spare_name(std::uint64_t number);
[[nodiscard]] std::string sealed_name(std::uint64_t number);
[[nodiscard]] std::string unfinished_sealed_name(std::uint64_t number);
[[nodiscard]] ParsedName parse_name(std::string_view name);

}  // namespace twofold::wal
