// Sealed files: records that checkpoints refer to instead of repeating them. A file is written
// once, forced, and only then named; a checkpoint names it afterwards; it goes when no checkpoint
// needs it any more. So a file with its name is whole: anything else in it is damage, and one that
// no checkpoint names is left from a crash and holds nothing that is not in the log as well.
//
// The format is that of a segment with a single batch: docs/log_format.md.
#pragma once

#include "wal/core/frame.h"
#include "wal/file.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace twofold::wal {

struct SealedFile {
    Incarnation incarnation{};
    std::uint32_t epoch = 0;   // of the start that wrote it
    std::uint64_t number = 0;  // not 0; never used before in this log
    std::uint32_t salt = 0;
};

// On return it is on stable storage under its name. After disk_full nothing of it is left, and it
// may be tried again; after any other error nothing is known of the directory.
[[nodiscard]] Result<void> write_sealed(Directory& directory,
                                        const SealedFile& file,
                                        std::span<const Bytes> records);

// CRC-32C of these records as they stand in a file's batch: each with its length before it. Who
// refers to the file keeps it, so that a file of the same number from another copy of the log,
// which went its own way, does not pass for this one.
[[nodiscard]] std::uint32_t content_checksum(std::span<const Bytes> records);

// Its records. Errors: corrupt (it is missing, damaged, has another content, or is another log's;
// the text names the file, what is wrong, and the command to look closer), unsupported_version (it
// names the file too), io_error.
[[nodiscard]] Result<std::vector<Bytes>> read_sealed(Directory& directory,
                                                     const Incarnation& incarnation,
                                                     std::uint64_t number,
                                                     std::uint32_t checksum);

// Removes all sealed files but these, and unfinished ones. Not forced: one that comes back is no
// harm. Only when a checkpoint that needs no others is on stable storage: until then an older one,
// which the reader did not even look at, may be what a power loss leaves.
[[nodiscard]] Result<void> remove_sealed_except(Directory& directory,
                                                std::span<const std::uint64_t> keep);

// For a start, before it seals: removes unfinished ones, and those with this number or a higher
// one, which no checkpoint can name yet.
[[nodiscard]] Result<void> remove_sealed_from(Directory& directory, std::uint64_t first);

}  // namespace twofold::wal
