#include "damage/damaged_directory.h"

#include "wal/core/segment_name.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace twofold::damage {

using base::Bytes;
using base::Errc;
using base::Result;

namespace {

class ReadOnlyFile : public wal::File {
public:
    ReadOnlyFile(const Bytes& content, std::uint64_t& changes_tried)
        : content_(content), changes_tried_(changes_tried) {}

    Result<void> write_at(std::uint64_t, base::ByteSpan) override { return refuse(); }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
        if (offset >= content_.size()) return std::size_t{0};
        std::size_t count = std::min<std::size_t>(out.size(), content_.size() - offset);
        std::memcpy(out.data(), content_.data() + offset, count);
        return count;
    }
    Result<void> force() override { return refuse(); }
    Result<std::uint64_t> size() override { return std::uint64_t{content_.size()}; }
    Result<void> truncate(std::uint64_t) override { return refuse(); }

private:
    base::Error refuse() {
        ++changes_tried_;
        return base::fail(Errc::io_error, "a reader tried to change a file");
    }

    const Bytes& content_;
    std::uint64_t& changes_tried_;
};

}  // namespace

void DamagedDirectory::reset() {
    seen_.clear();
    for (const auto& [name, content] : files_) seen_.emplace(name, &content);
}

void DamagedDirectory::put(std::string_view name, const Bytes& content) {
    auto at = seen_.find(name);
    if (at == seen_.end()) at = seen_.emplace(std::string(name), nullptr).first;
    at->second = &content;
}

void DamagedDirectory::remove_file(std::string_view name) {
    auto at = seen_.find(name);
    if (at != seen_.end()) seen_.erase(at);
}

const Bytes* DamagedDirectory::find(std::string_view name) {
    bool is_mark = name == wal::kDurableMarkName;
    if (is_mark) mark_looked_at_ = true;
    auto at = seen_.find(name);
    if (at == seen_.end() || (is_mark && mark_ignored_)) return nullptr;
    return at->second;
}

base::Error DamagedDirectory::refuse_change(std::string_view what) {
    ++changes_tried_;
    return base::fail(Errc::io_error,
                      "a reader tried to change the directory: " + std::string(what));
}

Result<std::unique_ptr<wal::File>> DamagedDirectory::open(std::string_view name) {
    const Bytes* content = find(name);
    if (content == nullptr) {
        return base::fail(Errc::not_found, path() + "/" + std::string(name) + ": no such file");
    }
    return std::unique_ptr<wal::File>(std::make_unique<ReadOnlyFile>(*content, changes_tried_));
}

Result<std::unique_ptr<wal::File>> DamagedDirectory::create(std::string_view name) {
    return refuse_change(name);
}

Result<std::vector<std::string>> DamagedDirectory::list() {
    std::vector<std::string> names;
    names.reserve(seen_.size());
    for (const auto& [name, content] : seen_) names.push_back(name);
    return names;
}

Result<bool> DamagedDirectory::exists(std::string_view name) { return find(name) != nullptr; }

Result<void> DamagedDirectory::rename(std::string_view from, std::string_view) {
    return refuse_change(from);
}

Result<void> DamagedDirectory::remove(std::string_view name) { return refuse_change(name); }

Result<void> DamagedDirectory::force() { return refuse_change("force"); }

Result<std::unique_ptr<wal::Lock>> DamagedDirectory::lock() { return refuse_change("lock"); }

}  // namespace twofold::damage
