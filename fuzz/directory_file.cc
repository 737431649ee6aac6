// The file of participants that were put by a call: what was read is written and read as the same.
#include "app/directory_file.h"

#include "base/assert.h"
#include "fuzz/targets.h"
#include "wal/memory_file.h"

namespace twofold::fuzz {

void directory_file(base::ByteSpan input) {
    wal::MemoryDisk disk;
    disk.put("participants-0000000001.json", {input.begin(), input.end()});
    app::DirectoryFile file(disk.directory());
    auto entries = file.load();
    if (!entries.has_value()) {
        TWOFOLD_ASSERT(entries.error().code == base::Errc::corrupt, "a refusal of another kind");
        return;
    }
    TWOFOLD_ASSERT(file.store(entries.value()).has_value(), "what was read cannot be written");
    app::DirectoryFile fresh(disk.directory());
    auto again = fresh.load();
    TWOFOLD_ASSERT(again.has_value() && again.value().size() == entries.value().size(),
                   "it reads as another list");
    for (std::size_t i = 0; i < again.value().size(); ++i) {
        const app::DirectoryEntry& a = entries.value()[i];
        const app::DirectoryEntry& b = again.value()[i];
        TWOFOLD_ASSERT(a.name == b.name && a.url == b.url && a.uuid == b.uuid, "another entry");
    }
}

}  // namespace twofold::fuzz
