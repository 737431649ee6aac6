// A log directory in memory of which one or two files are changed, for as long as one case lasts:
// nothing is copied but those. For reading only; a reader that tries to write is found out.
#pragma once

#include "damage/disk_history.h"
#include "wal/file.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::damage {

class DamagedDirectory : public wal::Directory {
public:
    // `files` must outlive the directory and stay as they are.
    explicit DamagedDirectory(const Files& files) : files_(files) { reset(); }

    void reset();
    // With the same damage, for a reader that takes files away.
    [[nodiscard]] std::unique_ptr<DamagedDirectory> copy() const {
        auto other = std::make_unique<DamagedDirectory>(files_);
        other->seen_ = seen_;
        return other;
    }
    // `content` must outlive the case.
    void put(std::string_view name, const base::Bytes& content);
    void remove_file(std::string_view name);

    // Whether anything was asked about the durable mark since this was last called.
    bool mark_was_looked_at() { return std::exchange(mark_looked_at_, false); }
    // Hides the mark from the reader: a planted bug.
    void ignore_mark() { mark_ignored_ = true; }
    // What a reader may not do at all.
    [[nodiscard]] std::uint64_t changes_tried() const { return changes_tried_; }

    base::Result<std::unique_ptr<wal::File>> open(std::string_view name) override;
    base::Result<std::unique_ptr<wal::File>> create(std::string_view name) override;
    base::Result<std::vector<std::string>> list() override;
    base::Result<bool> exists(std::string_view name) override;
    base::Result<void> rename(std::string_view from, std::string_view to) override;
    base::Result<void> remove(std::string_view name) override;
    base::Result<void> force() override;
    base::Result<std::unique_ptr<wal::Lock>> lock() override;
    [[nodiscard]] std::string path() const override { return "log"; }

private:
    const base::Bytes* find(std::string_view name);
    base::Error refuse_change(std::string_view what);

    const Files& files_;
    std::map<std::string, const base::Bytes*, std::less<>> seen_;
    std::uint64_t changes_tried_ = 0;
    bool mark_looked_at_ = false;
    bool mark_ignored_ = false;
};

}  // namespace twofold::damage
