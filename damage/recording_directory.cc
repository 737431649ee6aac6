#include "damage/recording_directory.h"

#include <utility>

namespace twofold::damage {

using base::Result;

namespace {

class RecordingFile : public wal::File {
public:
    RecordingFile(std::unique_ptr<wal::File> inner, DiskHistory& history, DiskHistory::Inode inode)
        : inner_(std::move(inner)), history_(history), inode_(inode) {}

    Result<void> write_at(std::uint64_t offset, base::ByteSpan bytes) override {
        TWOFOLD_TRY(inner_->write_at(offset, bytes));
        history_.write(inode_, offset, bytes);
        return base::ok();
    }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
        return inner_->read_at(offset, out);
    }
    Result<void> force() override {
        TWOFOLD_TRY(inner_->force());
        history_.force(inode_);
        return base::ok();
    }
    Result<std::uint64_t> size() override { return inner_->size(); }
    Result<void> truncate(std::uint64_t size) override {
        TWOFOLD_TRY(inner_->truncate(size));
        history_.truncate(inode_, size);
        return base::ok();
    }

private:
    std::unique_ptr<wal::File> inner_;
    DiskHistory& history_;
    DiskHistory::Inode inode_;
};

}  // namespace

Result<std::unique_ptr<wal::File>> RecordingDirectory::open(std::string_view name) {
    TWOFOLD_TRY(auto file, inner_.open(name));
    return std::unique_ptr<wal::File>(
        std::make_unique<RecordingFile>(std::move(file), history_, history_.find(name)));
}

Result<std::unique_ptr<wal::File>> RecordingDirectory::create(std::string_view name) {
    TWOFOLD_TRY(auto file, inner_.create(name));
    return std::unique_ptr<wal::File>(
        std::make_unique<RecordingFile>(std::move(file), history_, history_.create(name)));
}

Result<void> RecordingDirectory::rename(std::string_view from, std::string_view to) {
    TWOFOLD_TRY(inner_.rename(from, to));
    history_.rename(from, to);
    return base::ok();
}

Result<void> RecordingDirectory::remove(std::string_view name) {
    TWOFOLD_TRY(inner_.remove(name));
    history_.remove(name);
    return base::ok();
}

Result<void> RecordingDirectory::force() {
    TWOFOLD_TRY(inner_.force());
    history_.force_directory();
    return base::ok();
}

}  // namespace twofold::damage
