// A log directory whose calls are written down in a history, over another directory that does them.
#pragma once

#include "damage/disk_history.h"
#include "wal/file.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::damage {

class RecordingDirectory : public wal::Directory {
public:
    // Both must outlive it. The history must begin with what the directory holds.
    RecordingDirectory(wal::Directory& inner, DiskHistory& history)
        : inner_(inner), history_(history) {}

    base::Result<std::unique_ptr<wal::File>> open(std::string_view name) override;
    base::Result<std::unique_ptr<wal::File>> create(std::string_view name) override;
    base::Result<std::vector<std::string>> list() override { return inner_.list(); }
    base::Result<bool> exists(std::string_view name) override { return inner_.exists(name); }
    base::Result<void> rename(std::string_view from, std::string_view to) override;
    base::Result<void> remove(std::string_view name) override;
    base::Result<void> force() override;
    base::Result<std::unique_ptr<wal::Lock>> lock() override { return inner_.lock(); }
    [[nodiscard]] std::string path() const override { return inner_.path(); }

private:
    wal::Directory& inner_;
    DiskHistory& history_;
};

}  // namespace twofold::damage
