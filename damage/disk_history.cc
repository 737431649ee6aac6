#include "damage/disk_history.h"

#include "base/assert.h"

#include <algorithm>
#include <utility>

namespace twofold::damage {

using base::Bytes;

namespace {

using Call = DiskHistory::Call;
using Kind = DiskHistory::Kind;

void apply_bytes(Bytes& content, std::uint64_t offset, base::ByteSpan bytes) {
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
}

// Calls `part` for the bytes of each sector of a write.
template <class Part>
void for_each_sector(const Call& write, const Part& part) {
    std::uint64_t end = write.offset + write.bytes.size();
    for (std::uint64_t at = write.offset; at < end;) {
        std::uint64_t sector = at / kSectorBytes;
        std::uint64_t stop = std::min(end, (sector + 1) * kSectorBytes);
        part(sector, at, base::ByteSpan(write.bytes).subspan(at - write.offset, stop - at));
        at = stop;
    }
}

void apply_data(Bytes& content, const Call& call) {
    if (call.kind == Kind::truncate) content.resize(call.offset);
    if (call.kind == Kind::write) apply_bytes(content, call.offset, call.bytes);
}

template <class Names>
void apply_name(Names& names, const Call& call) {
    auto at = names.find(call.name);
    if (call.kind == Kind::create) {
        if (at == names.end()) names.emplace(call.name, call.inode);
        return;
    }
    bool is_the_file = at != names.end() && at->second == call.inode;
    if (!is_the_file) return;
    if (call.kind == Kind::rename && names.contains(call.new_name)) return;
    names.erase(at);
    if (call.kind == Kind::rename) names.emplace(call.new_name, call.inode);
}

}  // namespace

bool changes_names(const Call& call) {
    return call.kind == Kind::create || call.kind == Kind::rename || call.kind == Kind::remove;
}

DiskHistory::DiskHistory(Files initial, DiskSabotage sabotage)
    : initial_(std::move(initial)), sabotage_(sabotage) {
    for (const auto& [name, content] : initial_) names_.emplace(name, inodes_++);
}

DiskHistory::Inode DiskHistory::find(std::string_view name) const {
    auto at = names_.find(name);
    TWOFOLD_ASSERT(at != names_.end(), "a file of the history");
    return at->second;
}

DiskHistory::Inode DiskHistory::create(std::string_view name) {
    Call call{.kind = Kind::create, .inode = inodes_++, .name = std::string(name)};
    apply_name(names_, call);
    calls_.push_back(call);
    return call.inode;
}

void DiskHistory::write(Inode inode, std::uint64_t offset, base::ByteSpan bytes) {
    calls_.push_back({.kind = Kind::write,
                      .inode = inode,
                      .offset = offset,
                      .bytes = Bytes(bytes.begin(), bytes.end())});
}

void DiskHistory::truncate(Inode inode, std::uint64_t size) {
    calls_.push_back({.kind = Kind::truncate, .inode = inode, .offset = size});
}

void DiskHistory::force(Inode inode) {
    if (!sabotage_.skip_force) calls_.push_back({.kind = Kind::force, .inode = inode});
}

void DiskHistory::rename(std::string_view from, std::string_view to) {
    Call call{.kind = Kind::rename,
              .inode = find(from),
              .name = std::string(from),
              .new_name = std::string(to)};
    apply_name(names_, call);
    calls_.push_back(std::move(call));
}

void DiskHistory::remove(std::string_view name) {
    Call call{.kind = Kind::remove, .inode = find(name), .name = std::string(name)};
    apply_name(names_, call);
    calls_.push_back(std::move(call));
}

void DiskHistory::force_directory() {
    if (!sabotage_.skip_directory_force) calls_.push_back({.kind = Kind::force_directory});
}

void DiskHistory::note(std::uint64_t number) {
    calls_.push_back({.kind = Kind::note, .offset = number});
}

DiskWalk::DiskWalk(const DiskHistory& history) : history_(history) {
    for (const auto& [name, content] : history.initial()) {
        names_.emplace(name, durable_.size());
        durable_.push_back(content);
    }
}

bool DiskWalk::step() {
    if (next_ == history_.calls().size()) return false;
    const Call& call = history_.calls()[next_++];
    switch (call.kind) {
        case Kind::note: note_ = call.offset; break;
        case Kind::force:
            settle([&](const Call& old) { return !changes_names(old) && old.inode == call.inode; });
            break;
        case Kind::force_directory: settle(changes_names); break;
        case Kind::create:
            durable_.resize(std::max(durable_.size(), call.inode + 1));
            [[fallthrough]];
        case Kind::write:
        case Kind::truncate:
        case Kind::rename:
        case Kind::remove: pending_.push_back(&call); break;
    }
    return true;
}

void DiskWalk::settle(const std::function<bool(const Call&)>& is_forced) {
    std::vector<const Call*> left;
    for (const Call* call : pending_) {
        if (!is_forced(*call)) {
            left.push_back(call);
        } else if (changes_names(*call)) {
            apply_name(names_, *call);
        } else {
            apply_data(durable_[call->inode], *call);
        }
    }
    pending_ = std::move(left);
}

Bytes DiskWalk::content(DiskHistory::Inode inode, const Survival& survival) const {
    // A sector that survives of a later write has what the earlier ones wrote as well.
    std::map<std::uint64_t, std::size_t> last;
    std::uint64_t size = durable_[inode].size();
    for (std::size_t place = 0; place < pending_.size(); ++place) {
        const Call& call = *pending_[place];
        if (call.inode != inode || changes_names(call)) continue;
        size = call.kind == Kind::truncate ? call.offset
                                           : std::max(size, call.offset + call.bytes.size());
        for_each_sector(call, [&](std::uint64_t sector, std::uint64_t, base::ByteSpan) {
            if (survival.data(place, sector)) last[sector] = place;
        });
    }
    Bytes content = durable_[inode];
    for (std::size_t place = 0; place < pending_.size(); ++place) {
        const Call& call = *pending_[place];
        if (call.inode != inode || changes_names(call)) continue;
        if (call.kind == Kind::truncate && survival.data(place, 0)) content.resize(call.offset);
        for_each_sector(call, [&](std::uint64_t sector, std::uint64_t at, base::ByteSpan bytes) {
            auto found = last.find(sector);
            if (found != last.end() && place <= found->second) apply_bytes(content, at, bytes);
        });
    }
    if (survival.sizes) content.resize(size);
    return content;
}

Files DiskWalk::image(const Survival& survival) const {
    Names names = names_;
    for (std::size_t place = 0; place < pending_.size(); ++place) {
        const Call& call = *pending_[place];
        if (changes_names(call) && survival.name(place)) apply_name(names, call);
    }
    Files files;
    for (const auto& [name, inode] : names) files.emplace(name, content(inode, survival));
    return files;
}

}  // namespace twofold::damage
