// The strict scan behind read_log, shared with the inspector, which wants the damage as data.
// Internal to wal/.
//
// The steps, each a function in scan.cc:
//   1. open every segment; name, header, size and incarnation must agree
//   2. find the newest complete checkpoint, from the newest start backwards
//   3. follow the chain of batches from there to the end and judge that end
//   4. compare with the durable mark
#pragma once

#include "wal/core/durable_mark.h"
#include "wal/core/frame.h"
#include "wal/file.h"
#include "wal/reader.h"

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace twofold::wal {

struct SegmentFile {
    std::string name;
    std::uint64_t index = 0;
    std::unique_ptr<File> file;
    SegmentHeader header;
};

struct BatchPlace {
    std::size_t segment = 0;  // in ScannedLog::segments
    std::uint64_t offset = 0;
    BatchHeader header;
};

struct ScannedLog {
    ReadSummary summary;
    std::vector<SegmentFile> segments;  // by index
    std::vector<BatchPlace> live;       // the batches whose records count, in order
};

// Why the log is refused: damage, or an error of the disk or the format version.
using Refusal = std::variant<Damage, base::Error>;
using ScanOutcome = std::variant<ScannedLog, Refusal>;

[[nodiscard]] ScanOutcome scan_log(Directory& directory);

// Reads through a window, so that a scan in small steps does not become as many system calls.
class FileWindow {
public:
    explicit FileWindow(File& file) : file_(file) {}
    // `size_bytes` bytes from `offset` on, valid until the next call; io_error when the file ends
    // before. Check the size against the file first.
    Result<ByteSpan> view(std::uint64_t offset, std::uint64_t size_bytes);

private:
    File& file_;
    Bytes buffer_;
    std::uint64_t begin_ = 0;
    std::size_t filled_ = 0;
};

// The whole side mark file, or nothing when it does not exist.
[[nodiscard]] Result<std::optional<DurableMark>> read_mark(Directory& directory);

}  // namespace twofold::wal
