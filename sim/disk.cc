#include "sim/disk.h"

#include "wal/core/frame.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

using wal::Bytes;
using wal::ByteSpan;
using wal::Result;

// What is known of one file, whatever it is called at the moment.
struct FileFacts {
    bool name_is_durable = false;
    std::vector<Bytes> unforced;            // writes that may hold batches
    std::vector<protocol::Record> unnamed;  // forced, but the name is not
};

struct Disk::Observer {
    std::map<std::string, std::shared_ptr<FileFacts>, std::less<>> files;
    std::function<void(const protocol::Record&)> sink;
    bool skip_force = false;
    bool skip_directory_force = false;
    std::vector<protocol::Record> checkpoint;  // of the checkpoint being written, over all files

    std::shared_ptr<FileFacts> facts(std::string_view name) {
        auto& entry = files[std::string(name)];
        if (entry == nullptr) entry = std::make_shared<FileFacts>();
        return entry;
    }

    void forced(FileFacts& file) {
        for (const Bytes& bytes : std::exchange(file.unforced, {})) parse(file, bytes);
    }

    // Batches stand one after the other, each from a block boundary on.
    void parse(FileFacts& file, ByteSpan bytes) {
        std::size_t at = 0;
        while (at + wal::kBatchHeaderSizeBytes <= bytes.size()) {
            wal::BatchHeader header;
            ByteSpan rest = bytes.subspan(at);
            if (wal::peek_batch(rest, rest.size(), header) != wal::BatchCheck::valid) return;
            take(file, rest.first(header.length_bytes), header);
            at += wal::round_up_to_block(header.length_bytes);
        }
    }

    void take(FileFacts& file, ByteSpan batch, const wal::BatchHeader& header) {
        bool in_checkpoint = header.kind == wal::BatchKind::checkpoint;
        wal::for_each_record(batch, [&](ByteSpan bytes) {
            auto record = protocol::decode_record(bytes);
            if (!record.has_value()) return;
            if (in_checkpoint) {
                checkpoint.push_back(std::move(record.value()));
            } else {
                deliver(file, record.value());
            }
        });
        if (!in_checkpoint || !header.checkpoint_complete) return;
        for (const protocol::Record& record : std::exchange(checkpoint, {})) deliver(file, record);
    }

    void deliver(FileFacts& file, const protocol::Record& record) {
        if (!file.name_is_durable) {
            file.unnamed.push_back(record);
        } else if (sink) {
            sink(record);
        }
    }

    void directory_forced() {
        for (auto& [name, file] : files) {
            file->name_is_durable = true;
            for (const protocol::Record& record : std::exchange(file->unnamed, {})) {
                if (sink) sink(record);
            }
        }
    }

    void forget_unforced() {
        for (auto& [name, file] : files) {
            file->unforced.clear();
            file->unnamed.clear();
        }
        checkpoint.clear();
    }
};

namespace {

class ObservedFile : public wal::File {
public:
    ObservedFile(std::unique_ptr<wal::File> file,
                 std::shared_ptr<Disk::Observer> observer,
                 std::shared_ptr<FileFacts> facts)
        : file_(std::move(file)), observer_(std::move(observer)), facts_(std::move(facts)) {}

    Result<void> write_at(std::uint64_t offset, ByteSpan bytes) override {
        auto result = file_->write_at(offset, bytes);
        wal::BatchHeader header;
        bool is_batch = bytes.size() >= wal::kBlockSizeBytes &&
                        wal::peek_batch(bytes, bytes.size(), header) == wal::BatchCheck::valid;
        if (!result.has_value()) return result;
        // A segment's file is used again from its beginning: what an earlier process had left in it
        // is no part of the log any more, even where it is still there.
        if (offset == 0) {
            facts_->unforced.clear();
            facts_->unnamed.clear();
        }
        if (is_batch) facts_->unforced.emplace_back(bytes.begin(), bytes.end());
        return result;
    }
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
        return file_->read_at(offset, out);
    }
    Result<void> force() override {
        if (observer_->skip_force) return base::ok();
        auto result = file_->force();
        if (result.has_value()) observer_->forced(*facts_);
        return result;
    }
    Result<std::uint64_t> size() override { return file_->size(); }
    Result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }

private:
    std::unique_ptr<wal::File> file_;
    std::shared_ptr<Disk::Observer> observer_;
    std::shared_ptr<FileFacts> facts_;
};

class ObservedDirectory : public wal::Directory {
public:
    ObservedDirectory(wal::Directory& inner, std::shared_ptr<Disk::Observer> observer)
        : inner_(inner), observer_(std::move(observer)) {}

    Result<std::unique_ptr<wal::File>> open(std::string_view name) override {
        return wrap(name, inner_.open(name));
    }
    Result<std::unique_ptr<wal::File>> create(std::string_view name) override {
        auto file = inner_.create(name);
        if (file.has_value()) observer_->files.erase(std::string(name));
        return wrap(name, std::move(file));
    }
    Result<std::vector<std::string>> list() override { return inner_.list(); }
    Result<bool> exists(std::string_view name) override { return inner_.exists(name); }
    Result<void> rename(std::string_view from, std::string_view to) override {
        auto result = inner_.rename(from, to);
        if (!result.has_value()) return result;
        auto facts = observer_->facts(from);
        facts->name_is_durable = false;
        observer_->files.erase(std::string(from));
        observer_->files[std::string(to)] = std::move(facts);
        return result;
    }
    Result<void> remove(std::string_view name) override {
        auto result = inner_.remove(name);
        if (result.has_value()) observer_->files.erase(std::string(name));
        return result;
    }
    Result<void> force() override {
        if (observer_->skip_directory_force) return base::ok();
        auto result = inner_.force();
        if (result.has_value()) observer_->directory_forced();
        return result;
    }
    Result<std::unique_ptr<wal::Lock>> lock() override { return inner_.lock(); }
    [[nodiscard]] std::string path() const override { return inner_.path(); }

private:
    Result<std::unique_ptr<wal::File>> wrap(std::string_view name,
                                            Result<std::unique_ptr<wal::File>> file) {
        if (!file.has_value()) return file;
        return std::unique_ptr<wal::File>(std::make_unique<ObservedFile>(
            std::move(file.value()), observer_, observer_->facts(name)));
    }

    wal::Directory& inner_;
    std::shared_ptr<Disk::Observer> observer_;
};

}  // namespace

Disk::Disk(World& world, const DiskOptions& options)
    : world_(world), options_(options), observer_(std::make_shared<Observer>()) {
    directory_ = std::make_unique<ObservedDirectory>(memory_.directory(), observer_);
    memory_.set_hook([this](const wal::MemoryDisk::Call& call) { return fault(call); });
}

Disk::~Disk() = default;

wal::Directory& Disk::directory() { return *directory_; }

void Disk::on_durable(std::function<void(const protocol::Record&)> sink) {
    observer_->sink = std::move(sink);
}

wal::MemoryDisk::Fault Disk::fault(const wal::MemoryDisk::Call& call) {
    using Operation = wal::MemoryDisk::Operation;
    using Fault = wal::MemoryDisk::Fault;
    // Existing files are pre-written: only a new one needs space.
    if (full_ && call.operation == Operation::create) {
        world_.reached(Situation::disk_full_when_a_file_is_made);
        return Fault::disk_full;
    }
    if (!faults_) return Fault::none;
    bool changes = call.operation == Operation::write || call.operation == Operation::force ||
                   call.operation == Operation::rename || call.operation == Operation::create ||
                   call.operation == Operation::remove ||
                   call.operation == Operation::force_directory;
    if (!changes) return Fault::none;
    auto happens = [&](std::uint32_t per_ten_thousand) {
        return per_ten_thousand != 0 && world_.rng().below(10'000) < per_ten_thousand;
    };
    if (happens(options_.power_cut_per_call)) {
        power_was_cut_ = true;
        if (world_.tracing()) world_.say("disk", "power is cut at " + std::string(call.name));
        return Fault::power_cut;
    }
    if (call.operation == Operation::force && happens(options_.io_error_per_force)) {
        if (world_.tracing()) world_.say("disk", "I/O error at " + std::string(call.name));
        world_.reached(Situation::force_fails);
        return Fault::pages_lost;
    }
    return Fault::none;
}

namespace {

// What a power cut has done to the unforced writes of one file after the other.
class PowerCut {
public:
    explicit PowerCut(World& world) : world_(world) {}

    void note(const wal::MemoryDisk::Unforced& unforced, bool survives) {
        if (unforced.is_directory_change) {
            world_.reached_if(!survives, Situation::name_is_lost);
            return;
        }
        world_.reached_if(unforced.is_lost_page && !survives,
                          Situation::pages_of_a_failed_force_are_lost);
        if (unforced.name != name_) {
            name_ = unforced.name;
            sequence_ = 0;
            kept_ = lost_ = earlier_is_lost_ = false;
        }
        if (unforced.sequence != sequence_) {
            earlier_is_lost_ = earlier_is_lost_ || lost_;
            sequence_ = unforced.sequence;
            lost_ = kept_ = false;
        }
        (survives ? kept_ : lost_) = true;
        world_.reached_if(kept_ && lost_, Situation::write_torn_between_sectors);
        world_.reached_if(survives && earlier_is_lost_,
                          Situation::later_write_survives_an_earlier_one);
    }

private:
    World& world_;
    std::string name_;
    std::uint64_t sequence_ = 0;
    bool kept_ = false;
    bool lost_ = false;
    bool earlier_is_lost_ = false;
};

}  // namespace

void Disk::crash() {
    power_was_cut_ = false;
    flip_.reset();
    observer_->forget_unforced();
    PowerCut cut(world_);
    memory_.crash([this, &cut](const wal::MemoryDisk::Unforced& unforced) {
        bool survives = world_.chance(options_.survives);
        cut.note(unforced, survives);
        return survives;
    });
}

bool Disk::flip_bit() {
    std::vector<std::string> segments;
    for (const std::string& name : memory_.names()) {
        bool is_segment = wal::parse_name(name).kind == wal::FileKind::segment;
        if (is_segment && !memory_.content(name).empty()) segments.push_back(name);
    }
    if (segments.empty()) return false;
    const std::string& name = segments[world_.rng().below(segments.size())];
    // Most of a segment is empty; what was written stands at its beginning.
    std::uint64_t size = memory_.content(name).size();
    std::uint64_t offset =
        world_.rng().below(std::max<std::uint64_t>(size >> world_.rng().below(4), 1));
    flip_ = Flip{name, offset, static_cast<std::uint8_t>(1U << world_.rng().below(8))};
    memory_.content(name)[offset] ^= flip_->bit;
    if (world_.tracing()) world_.say("disk", "a bit of " + name + " has changed");
    return true;
}

bool Disk::mend_flip() {
    if (!flip_.has_value()) return false;
    Flip flip = *std::exchange(flip_, std::nullopt);
    if (memory_.has(flip.name)) memory_.content(flip.name)[flip.offset] ^= flip.bit;
    return true;
}

void Disk::take_copy() { copy_ = memory_.copy(); }

void Disk::restore_copy() {
    power_was_cut_ = false;
    observer_->forget_unforced();
    observer_->files.clear();
    memory_.crash_keeping_unforced();
    for (const std::string& name : memory_.names()) memory_.erase(name);
    for (const std::string& name : copy_->names()) {
        memory_.put(name, copy_->content(name));
        observer_->facts(name)->name_is_durable = true;
    }
}

bool Disk::take_power_cut() { return std::exchange(power_was_cut_, false); }

void Disk::process_died() { observer_->checkpoint.clear(); }

void Disk::skip_force(bool on) { observer_->skip_force = on; }
void Disk::skip_directory_force(bool on) { observer_->skip_directory_force = on; }

std::uint64_t Disk::segment_files() const {
    auto names = memory_.names();
    return static_cast<std::uint64_t>(std::ranges::count_if(names, [](const std::string& name) {
        return wal::parse_name(name).kind == wal::FileKind::segment;
    }));
}

}  // namespace twofold::sim
