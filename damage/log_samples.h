// Logs that the real writer wrote, as their processes left them, to be damaged.
#pragma once

#include "damage/damaged_directory.h"
#include "wal/log_judge.h"

#include <cstdint>
#include <string>
#include <vector>

namespace twofold::damage {

// What a file held at some time, under the name that it had.
struct FileCopy {
    std::string name;
    base::Bytes content;
};

struct LogSample {
    std::string name;
    Files files;  // segments, sealed files and the exact mark
    std::vector<base::Bytes> acknowledged;
    std::vector<wal::ForcedBatch> batches;
    // A mark that was true earlier, and the batch that it names.
    base::Bytes old_mark;
    std::uint64_t old_mark_batch = 0;
    std::vector<FileCopy> older;    // former contents of the files, and those of recycled ones
    std::vector<FileCopy> foreign;  // the same script in a log of another incarnation
};

// "running": the large one, over several starts, with sealed files, heartbeats, recycled segments.
// "unfinished": the second start died in its first checkpoint. "obsolete": it died while it removed
// what that checkpoint replaces. "closed": shut down cleanly. `size_bytes` is that of the first.
[[nodiscard]] std::vector<LogSample> make_log_samples(std::uint64_t size_bytes);

}  // namespace twofold::damage
