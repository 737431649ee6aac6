// The participants that were put into the directory by a call: one small file in the coordinator's
// data_dir, participants-NUMBER.json. A new one is written, forced and renamed to the next number
// before the older one goes, so a crash leaves the one or the other, whole.
// Thread: one at a time.
#pragma once

#include "base/result.h"
#include "protocol/types.h"
#include "wal/file.h"

#include <cstdint>
#include <string>
#include <vector>

namespace twofold::app {

struct DirectoryEntry {
    std::string name;
    std::string url;
    protocol::ParticipantUuid uuid;

    friend bool operator==(const DirectoryEntry&, const DirectoryEntry&) = default;
};

class DirectoryFile {
public:
    // The directory must outlive it, and be locked.
    explicit DirectoryFile(wal::Directory& directory) : directory_(directory) {}

    // Nothing there: no entries. corrupt: the file is not as it was written.
    [[nodiscard]] base::Result<std::vector<DirectoryEntry>> load();
    // On success they are on stable storage.
    [[nodiscard]] base::Result<void> store(const std::vector<DirectoryEntry>& entries);

private:
    wal::Directory& directory_;
    std::uint64_t number_ = 0;  // of the newest file; 0: none
};

}  // namespace twofold::app
