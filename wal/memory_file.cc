#include "wal/memory_file.h"

#include "base/assert.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <utility>

namespace twofold::wal {

namespace {

// A write or a change of the size that was not forced yet.
struct UnforcedWrite {
    std::uint64_t sequence = 0;
    std::string name;  // at the time of writing, for the callback
    std::uint64_t offset = 0;
    Bytes bytes;
    bool is_truncate = false;  // to `offset`
    bool is_lost_page = false;

    [[nodiscard]] bool overlaps(const UnforcedWrite& other) const {
        return offset < other.offset + other.bytes.size() && other.offset < offset + bytes.size();
    }
};

struct Inode {
    Bytes seen;     // what reads return: the page cache
    Bytes durable;  // what the medium holds
    std::vector<UnforcedWrite> unforced;
};

using InodePtr = std::shared_ptr<Inode>;
using Names = std::map<std::string, InodePtr, std::less<>>;

struct NameChange {
    enum class Kind : std::uint8_t { create, rename, remove };
    std::uint64_t sequence = 0;
    Kind kind = Kind::create;
    std::string name;
    std::string new_name;
    InodePtr inode;
};

void apply_write(Bytes& content, std::uint64_t offset, ByteSpan bytes) {
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
}

// A change whose precondition was lost (the file was never made, the name is another's) is lost
// too.
void apply_change(Names& names, const NameChange& change) {
    auto at = names.find(change.name);
    bool is_there = at != names.end() && at->second == change.inode;
    switch (change.kind) {
        case NameChange::Kind::create:
            if (at == names.end()) names.emplace(change.name, change.inode);
            return;
        case NameChange::Kind::remove:
            if (is_there) names.erase(at);
            return;
        case NameChange::Kind::rename:
            if (!is_there || names.contains(change.new_name)) return;
            names.erase(at);
            names.emplace(change.new_name, change.inode);
            return;
    }
}

}  // namespace

struct MemoryDisk::State {
    Names seen;
    Names durable;
    std::vector<NameChange> unforced;
    Hook hook;
    std::uint64_t capacity_bytes = 0;
    std::uint64_t sequence = 0;
    std::uint64_t writes = 0;
    std::uint64_t forces = 0;
    std::uint64_t incarnation = 0;  // counts crashes: files opened before are dead
    bool power_is_off = false;
    bool locked = false;

    // Fault::none: go on. power_cut: record the operation as not forced, then fail.
    Fault enter(Operation operation,
                std::string_view name,
                std::uint64_t offset,
                std::uint64_t size) {
        if (power_is_off) return Fault::io_error;
        ++sequence;
        if (!hook) return Fault::none;
        Fault fault = hook(Call{operation, name, offset, size});
        if (fault == Fault::power_cut) power_is_off = true;
        return fault;
    }

    std::uint64_t used_bytes() const {
        std::uint64_t used = 0;
        for (const auto& [name, inode] : seen) used += inode->seen.size();
        return used;
    }

    // Whether a force still writes it: a lost page only when it was written to again.
    static bool is_written(const Inode& inode, const UnforcedWrite& write) {
        if (!write.is_lost_page) return true;
        return std::ranges::any_of(inode.unforced, [&](const UnforcedWrite& other) {
            return !other.is_lost_page && (other.is_truncate || other.overlaps(write));
        });
    }

    void force_inode(Inode& inode) {
        std::vector<UnforcedWrite> left;
        for (const UnforcedWrite& write : inode.unforced) {
            if (!is_written(inode, write)) {
                left.push_back(write);
            } else if (write.is_truncate) {
                inode.durable.resize(write.offset);
            } else {
                apply_write(inode.durable, write.offset, write.bytes);
            }
        }
        inode.unforced = std::move(left);
    }

    void change_names(NameChange change) {
        change.sequence = sequence;
        apply_change(seen, change);
        unforced.push_back(std::move(change));
    }
};

namespace {

using Fault = MemoryDisk::Fault;
using Operation = MemoryDisk::Operation;
using StatePtr = std::shared_ptr<MemoryDisk::State>;

base::Error injected(Fault fault, std::string_view name) {
    bool full = fault == Fault::disk_full;
    return base::fail(
        full ? Errc::disk_full : Errc::io_error,
        "memory:" + std::string(name) + (full ? ": no space left" : ": injected failure"));
}

class MemoryFile : public File {
public:
    MemoryFile(StatePtr state, InodePtr inode, std::string name)
        : state_(std::move(state)),
          inode_(std::move(inode)),
          name_(std::move(name)),
          incarnation_(state_->incarnation) {}

    Result<void> write_at(std::uint64_t offset, ByteSpan bytes) override {
        Fault fault = enter(Operation::write, offset, bytes.size());
        bool happens = fault == Fault::none || fault == Fault::power_cut;
        std::uint64_t end = offset + bytes.size();
        std::uint64_t grows = end > inode_->seen.size() ? end - inode_->seen.size() : 0;
        bool fits = state_->capacity_bytes == 0 || grows == 0 ||
                    state_->used_bytes() + grows <= state_->capacity_bytes;
        if (happens && !fits) {
            happens = false;
            fault = Fault::disk_full;
        }
        if (happens) {
            ++state_->writes;
            apply_write(inode_->seen, offset, bytes);
            inode_->unforced.push_back({.sequence = state_->sequence,
                                        .name = name_,
                                        .offset = offset,
                                        .bytes = Bytes(bytes.begin(), bytes.end()),
                                        .is_truncate = false});
        }
        if (fault != Fault::none) return injected(fault, name_);
        return base::ok();
    }

    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
        Fault fault = enter(Operation::read, offset, out.size());
        if (fault != Fault::none) return injected(fault, name_);
        if (offset >= inode_->seen.size()) return std::size_t{0};
        std::size_t count = std::min<std::size_t>(out.size(), inode_->seen.size() - offset);
        std::ranges::copy(ByteSpan(inode_->seen).subspan(offset, count), out.begin());
        return count;
    }

    Result<void> force() override {
        Fault fault = enter(Operation::force, 0, 0);
        if (fault == Fault::pages_lost) {
            for (UnforcedWrite& write : inode_->unforced) write.is_lost_page = true;
        }
        if (fault != Fault::none) return injected(fault, name_);
        ++state_->forces;
        state_->force_inode(*inode_);
        return base::ok();
    }

    Result<std::uint64_t> size() override {
        Fault fault = enter(Operation::size, 0, 0);
        if (fault != Fault::none) return injected(fault, name_);
        return std::uint64_t{inode_->seen.size()};
    }

    Result<void> truncate(std::uint64_t size) override {
        Fault fault = enter(Operation::truncate, size, 0);
        if (fault == Fault::none || fault == Fault::power_cut) {
            inode_->seen.resize(size);
            inode_->unforced.push_back({.sequence = state_->sequence,
                                        .name = name_,
                                        .offset = size,
                                        .bytes = {},
                                        .is_truncate = true});
        }
        if (fault != Fault::none) return injected(fault, name_);
        return base::ok();
    }

private:
    Fault enter(Operation operation, std::uint64_t offset, std::uint64_t size) {
        if (incarnation_ != state_->incarnation) return Fault::io_error;
        return state_->enter(operation, name_, offset, size);
    }

    StatePtr state_;
    InodePtr inode_;
    std::string name_;
    std::uint64_t incarnation_;
};

class MemoryLock : public Lock {
public:
    explicit MemoryLock(StatePtr state)
        : state_(std::move(state)), incarnation_(state_->incarnation) {}
    ~MemoryLock() override {
        if (incarnation_ == state_->incarnation) state_->locked = false;
    }

private:
    StatePtr state_;
    std::uint64_t incarnation_;
};

class MemoryDirectory : public Directory {
public:
    explicit MemoryDirectory(StatePtr state) : state_(std::move(state)) {}

    Result<std::unique_ptr<File>> open(std::string_view name) override {
        Fault fault = state_->enter(Operation::open, name, 0, 0);
        if (fault != Fault::none) return injected(fault, name);
        auto at = state_->seen.find(name);
        if (at == state_->seen.end()) {
            return base::fail(Errc::not_found, "memory:" + std::string(name) + ": no such file");
        }
        return make_file(name, at->second);
    }

    Result<std::unique_ptr<File>> create(std::string_view name) override {
        Fault fault = state_->enter(Operation::create, name, 0, 0);
        bool happens = fault == Fault::none || fault == Fault::power_cut;
        if (happens && state_->seen.contains(name)) {
            return base::fail(Errc::already_exists, "memory:" + std::string(name) + ": exists");
        }
        auto inode = std::make_shared<Inode>();
        if (happens) {
            change(NameChange::Kind::create, name, "", inode);
        }
        if (fault != Fault::none) return injected(fault, name);
        return make_file(name, std::move(inode));
    }

    Result<std::vector<std::string>> list() override {
        Fault fault = state_->enter(Operation::list, "", 0, 0);
        if (fault != Fault::none) return injected(fault, "");
        std::vector<std::string> names;
        for (const auto& [name, inode] : state_->seen) names.push_back(name);
        return names;
    }

    Result<bool> exists(std::string_view name) override {
        Fault fault = state_->enter(Operation::list, name, 0, 0);
        if (fault != Fault::none) return injected(fault, name);
        return state_->seen.contains(name);
    }

    Result<void> rename(std::string_view from, std::string_view to) override {
        Fault fault = state_->enter(Operation::rename, from, 0, 0);
        auto at = state_->seen.find(from);
        if (fault == Fault::none || fault == Fault::power_cut) {
            if (at == state_->seen.end()) {
                return base::fail(Errc::not_found,
                                  "memory:" + std::string(from) + ": no such file");
            }
            if (state_->seen.contains(to)) {
                return base::fail(Errc::already_exists, "memory:" + std::string(to) + ": exists");
            }
            change(NameChange::Kind::rename, from, to, at->second);
        }
        if (fault != Fault::none) return injected(fault, from);
        return base::ok();
    }

    Result<void> remove(std::string_view name) override {
        Fault fault = state_->enter(Operation::remove, name, 0, 0);
        auto at = state_->seen.find(name);
        if (fault == Fault::none || fault == Fault::power_cut) {
            if (at == state_->seen.end()) {
                return base::fail(Errc::not_found,
                                  "memory:" + std::string(name) + ": no such file");
            }
            change(NameChange::Kind::remove, name, "", at->second);
        }
        if (fault != Fault::none) return injected(fault, name);
        return base::ok();
    }

    Result<void> force() override {
        Fault fault = state_->enter(Operation::force_directory, "", 0, 0);
        if (fault != Fault::none) return injected(fault, "");
        ++state_->forces;
        for (const NameChange& change : state_->unforced) apply_change(state_->durable, change);
        state_->unforced.clear();
        return base::ok();
    }

    Result<std::unique_ptr<Lock>> lock() override {
        Fault fault = state_->enter(Operation::lock, kLockName, 0, 0);
        if (fault != Fault::none) return injected(fault, kLockName);
        if (std::exchange(state_->locked, true)) {
            return base::fail(Errc::locked, "memory: the log is in use by this process");
        }
        return std::unique_ptr<Lock>(std::make_unique<MemoryLock>(state_));
    }

    [[nodiscard]] std::string path() const override { return "memory"; }

private:
    std::unique_ptr<File> make_file(std::string_view name, InodePtr inode) {
        return std::make_unique<MemoryFile>(state_, std::move(inode), std::string(name));
    }
    void change(NameChange::Kind kind, std::string_view name, std::string_view to, InodePtr inode) {
        state_->change_names({.kind = kind,
                              .name = std::string(name),
                              .new_name = std::string(to),
                              .inode = std::move(inode)});
    }

    StatePtr state_;
};

// Applies what survives of one write, sector by sector. Sectors are those of the file, not of the
// write: a disk tears at its own boundaries.
void settle_write(Inode& inode, const UnforcedWrite& write, const MemoryDisk::Survives& survives) {
    if (write.is_truncate) {
        if (survives({false, write.name, write.sequence, write.offset, write.is_lost_page})) {
            inode.durable.resize(write.offset);
        }
        return;
    }
    std::uint64_t end = write.offset + write.bytes.size();
    for (std::uint64_t at = write.offset; at < end;) {
        std::uint64_t sector = at / kSectorSizeBytes * kSectorSizeBytes;
        std::uint64_t stop = std::min<std::uint64_t>(end, sector + kSectorSizeBytes);
        if (survives({false, write.name, write.sequence, sector, write.is_lost_page})) {
            ByteSpan part = ByteSpan(write.bytes).subspan(at - write.offset, stop - at);
            apply_write(inode.durable, at, part);
        }
        at = stop;
    }
}

}  // namespace

MemoryDisk::MemoryDisk()
    : state_(std::make_shared<State>()), directory_(std::make_unique<MemoryDirectory>(state_)) {}

MemoryDisk::~MemoryDisk() = default;

Directory& MemoryDisk::directory() { return *directory_; }

void MemoryDisk::set_hook(Hook hook) { state_->hook = std::move(hook); }

void MemoryDisk::set_capacity_bytes(std::uint64_t bytes) { state_->capacity_bytes = bytes; }

void MemoryDisk::crash(const Survives& survives) {
    State& state = *state_;
    // A file is settled once, even when it has lost its name or has got two in between.
    std::vector<InodePtr> inodes;
    auto note = [&](const InodePtr& inode) {
        if (std::ranges::find(inodes, inode) == inodes.end()) inodes.push_back(inode);
    };
    for (const auto& [name, inode] : state.durable) note(inode);
    for (const NameChange& change : state.unforced) note(change.inode);
    for (const InodePtr& inode : inodes) {
        for (const UnforcedWrite& write : inode->unforced) settle_write(*inode, write, survives);
        inode->unforced.clear();
        inode->seen = inode->durable;
    }
    for (const NameChange& change : state.unforced) {
        const std::string& name = change.new_name.empty() ? change.name : change.new_name;
        if (survives({true, name, change.sequence, 0})) apply_change(state.durable, change);
    }
    state.unforced.clear();
    state.seen = state.durable;
    state.power_is_off = false;
    state.locked = false;
    ++state.incarnation;
}

std::vector<std::string> MemoryDisk::names() const {
    std::vector<std::string> names;
    for (const auto& [name, inode] : state_->seen) names.push_back(name);
    return names;
}

bool MemoryDisk::has_lost_pages() const {
    return std::ranges::any_of(state_->seen, [](const auto& entry) {
        return std::ranges::any_of(entry.second->unforced,
                                   [](const auto& write) { return write.is_lost_page; });
    });
}

bool MemoryDisk::has(std::string_view name) const { return state_->seen.contains(name); }

Bytes& MemoryDisk::content(std::string_view name) {
    auto at = state_->seen.find(name);
    TWOFOLD_ASSERT(at != state_->seen.end(), "no such file on the memory disk");
    return at->second->seen;
}

void MemoryDisk::put(std::string_view name, Bytes content) {
    auto inode = std::make_shared<Inode>();
    inode->seen = content;
    inode->durable = std::move(content);
    state_->seen.insert_or_assign(std::string(name), inode);
    state_->durable.insert_or_assign(std::string(name), inode);
}

void MemoryDisk::erase(std::string_view name) {
    auto drop = [&](Names& names) {
        auto at = names.find(name);
        if (at != names.end()) names.erase(at);
    };
    drop(state_->seen);
    drop(state_->durable);
}

std::unique_ptr<MemoryDisk> MemoryDisk::copy() const {
    auto disk = std::make_unique<MemoryDisk>();
    for (const auto& [name, inode] : state_->seen) disk->put(name, inode->seen);
    return disk;
}

std::uint64_t MemoryDisk::operations() const { return state_->sequence; }
std::uint64_t MemoryDisk::writes() const { return state_->writes; }
std::uint64_t MemoryDisk::forces() const { return state_->forces; }

}  // namespace twofold::wal
