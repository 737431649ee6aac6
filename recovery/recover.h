// Recovery: read the log, fold it, start a new epoch. On success everything that was read is on
// stable storage again, in a new segment, before anybody acts on it or is told of it: what the
// reader saw may have been in the page cache only.
//
// A crash before the new segment is complete leaves the log as it was; the next recovery reads the
// same and takes the next epoch. Epoch numbers may so be skipped, never used twice.
#pragma once

#include "coordinator/core/machine.h"
#include "recovery/core/fold.h"
#include "wal/reader.h"
#include "wal/writer.h"

#include <memory>

namespace twofold::recovery {

struct RecoverOptions {
    wal::WriterOptions writer;
    // Both random, from the caller. The incarnation is used only when the log has none yet.
    protocol::Incarnation incarnation_if_new;
    base::HashKey key{};
    // Keys that were in the log are sealed, so many to a file, when there are enough of them.
    std::size_t keys_per_file = coordinator::Config{}.keys_per_file;
    // The same of outcomes, in words.
    std::size_t outcome_words_per_file = coordinator::Config{}.outcome_words_per_file;
};

struct Recovered {
    RecoveredState state;
    std::unique_ptr<wal::Writer> writer;
    wal::ReadSummary summary;
};

// The caller holds the directory's lock; the directory must outlive the writer.
// Errors: corrupt and unsupported_version (the log is refused and unchanged), disk_full, io_error.
[[nodiscard]] base::Result<Recovered> recover(wal::Directory& directory,
                                              const RecoverOptions& options);

}  // namespace twofold::recovery
