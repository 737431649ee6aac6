// Sealed files: what is named is whole, damage is named, and a power loss at any operation leaves
// every file that a checkpoint refers to.
#include "wal/sealed.h"

#include "base/base64.h"
#include "wal/test_log.h"

#include <map>

namespace twofold::wal {
namespace {

SealedFile file_of(std::uint64_t number) {
    return {.incarnation = kTestIncarnation, .epoch = 3, .number = number, .salt = 0x11223344};
}

std::vector<Bytes> some_records() { return {to_bytes("hello"), to_bytes("sealed")}; }

std::uint32_t checksum() { return content_checksum(some_records()); }

TEST(Sealed, what_was_written_is_read) {
    MemoryDisk disk;
    ASSERT_TRUE(write_sealed(disk.directory(), file_of(5), some_records()).has_value());
    disk.crash_losing_unforced();
    auto read = read_sealed(disk.directory(), kTestIncarnation, 5, checksum());
    ASSERT_TRUE(read.has_value()) << read.error().text();
    EXPECT_EQ(read.value(), some_records());
    EXPECT_EQ(disk.names(), (std::vector<std::string>{"sealed-00000000000000000005.wal"}));
}

// The bytes are on people's disks.
TEST(Sealed, golden_bytes) {
    MemoryDisk disk;
    ASSERT_TRUE(write_sealed(disk.directory(), file_of(5), some_records()).has_value());
    const Bytes& bytes = disk.content(sealed_name(5));
    ASSERT_EQ(bytes.size(), 8192U);
    auto hex = [&](std::size_t offset, std::size_t size) {
        return base::hex_encode(ByteSpan(bytes).subspan(offset, size));
    };
    EXPECT_EQ(hex(0, 72),
              "5457464457414c310100000008000000"
              "696e6361726e61746564000003000000"
              "05000000000000000020000000000000"
              "44332211001000000100000000000000"
              "0100000000000000");
    EXPECT_EQ(hex(4096 + 8, 56),
              "53000000010002016"
              "96e6361726e61746564000003000000"
              "01000000000000000100000000000000"
              "02000000000000000000000000000000");
    EXPECT_EQ(hex(4096 + 64, 20), "0500000068656c6c6f060000007365616c656400");
}

TEST(Sealed, every_flipped_bit_and_every_cut_is_refused) {
    MemoryDisk disk;
    ASSERT_TRUE(write_sealed(disk.directory(), file_of(5), some_records()).has_value());
    const Bytes good = disk.content(sealed_name(5));
    auto refused = [&](Bytes bytes) {
        disk.put(sealed_name(5), std::move(bytes));
        auto read = read_sealed(disk.directory(), kTestIncarnation, 5, checksum());
        return !read.has_value() && read.error().context.find(sealed_name(5)) != std::string::npos;
    };
    std::size_t used = kSegmentHeaderSizeBytes + 64 + 19;  // behind it there is padding
    for (std::size_t at = 0; at < used; ++at) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            Bytes bytes = good;
            bytes[at] ^= static_cast<std::uint8_t>(1U << bit);
            ASSERT_TRUE(refused(bytes)) << "byte " << at << " bit " << bit;
        }
    }
    for (std::size_t size = 0; size < good.size(); size += 13) {
        ASSERT_TRUE(refused({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}));
    }
}

TEST(Sealed, a_missing_a_swapped_and_anothers_file_are_refused) {
    MemoryDisk disk;
    ASSERT_TRUE(write_sealed(disk.directory(), file_of(5), some_records()).has_value());
    auto missing = read_sealed(disk.directory(), kTestIncarnation, 6, checksum());
    ASSERT_FALSE(missing.has_value());
    EXPECT_NE(missing.error().context.find("it is missing"), std::string::npos);
    disk.put(sealed_name(6), disk.content(sealed_name(5)));
    auto swapped = read_sealed(disk.directory(), kTestIncarnation, 6, checksum());
    ASSERT_FALSE(swapped.has_value());
    EXPECT_NE(swapped.error().context.find(sealed_name(5)), std::string::npos);
    auto other = read_sealed(disk.directory(), Incarnation{'x'}, 5, checksum());
    ASSERT_FALSE(other.has_value());
    EXPECT_NE(other.error().context.find("another log"), std::string::npos);
    auto diverged = read_sealed(disk.directory(), kTestIncarnation, 5, checksum() ^ 1U);
    ASSERT_FALSE(diverged.has_value());
    EXPECT_NE(diverged.error().context.find("something else"), std::string::npos);
    // And a sealed file is no segment.
    disk.erase(sealed_name(6));
    disk.put(segment_name(5), disk.content(sealed_name(5)));
    EXPECT_FALSE(read_back(disk.directory()).summary.has_value());
}

TEST(Sealed, the_inspector_shows_them_and_names_their_damage) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    log.die();
    ASSERT_TRUE(write_sealed(disk.directory(), file_of(5), some_records()).has_value());
    InspectOptions options;
    options.with_records = true;
    InspectReport report = inspect_log(disk.directory(), options).value();
    ASSERT_EQ(report.sealed.size(), 1U);
    EXPECT_TRUE(report.accepted);
    EXPECT_EQ(report.sealed[0].problem, "");
    ASSERT_EQ(report.sealed[0].batches.size(), 1U);
    EXPECT_EQ(report.sealed[0].batches[0].records.size(), 2U);
    EXPECT_TRUE(report.spares.empty() || report.spares[0] != sealed_name(5));
    disk.content(sealed_name(5))[kSegmentHeaderSizeBytes + 70] ^= 1U;
    report = inspect_log(disk.directory(), options).value();
    EXPECT_EQ(report.sealed[0].problem, "its content is unreadable");
    EXPECT_NE(to_text(report).find("PROBLEM: its content"), std::string::npos);
    EXPECT_NE(to_json(report).find(R"("sealed":[{"file":"sealed-)"), std::string::npos);
}

// For want of space the content stands in the checkpoint, until there is a file.
TEST(Sealed, a_full_disk_does_not_hold_up_the_checkpoint) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    const Records refers{"before", "refers to 1", "refers to 2", "after"};
    const std::vector<SealedReference> references{{1, 1}, {2, 2}};
    ASSERT_TRUE(log.writer().seal(2, some_records()).has_value());
    disk.set_hook([](const MemoryDisk::Call& call) {
        return call.operation == MemoryDisk::Operation::create ? MemoryDisk::Fault::disk_full
                                                               : MemoryDisk::Fault::none;
    });
    auto full = log.writer().seal(1, some_records());
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().code, Errc::disk_full);
    auto done = log.writer().checkpoint(to_bytes(refers), references);
    ASSERT_TRUE(done.has_value()) << done.error().text();
    EXPECT_EQ(read_back(disk.directory()).records,
              (Records{"before", "hello", "sealed", "refers to 2", "after"}));
    EXPECT_FALSE(disk.has(sealed_name(1)));
    disk.set_hook(nullptr);
    ASSERT_TRUE(log.writer().checkpoint(to_bytes(refers), references).has_value());
    EXPECT_EQ(read_back(disk.directory()).records, refers);
    EXPECT_TRUE(read_sealed(disk.directory(), kTestIncarnation, 1, checksum()).has_value());
    EXPECT_EQ(log.writer().counters().sealed_files, 2U);
}

TEST(Sealed, what_no_checkpoint_refers_to_any_more_waits_for_no_space) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    disk.set_hook([](const MemoryDisk::Call& call) {
        bool sealed = call.name.starts_with("sealed-");
        return sealed ? MemoryDisk::Fault::disk_full : MemoryDisk::Fault::none;
    });
    EXPECT_FALSE(log.writer().seal(1, some_records()).has_value());
    ASSERT_TRUE(log.checkpoint());
    disk.set_hook(nullptr);
    ASSERT_TRUE(log.checkpoint());
    EXPECT_EQ(log.writer().counters().sealed_files, 0U);
}

// ---- power losses ---------------------------------------------------------------------

// A caller whose checkpoint says "needs <number>" for each sealed file, and nothing else.
struct SealingCaller {
    explicit SealingCaller(Directory& where) : directory(where) {}

    bool open() {
        writer = nullptr;
        needed.clear();
        auto summary = read_log(directory, [this](const RecoveredRecord& record) {
            std::string text(record.payload.begin(), record.payload.end());
            if (record.from_checkpoint) needed.push_back(std::stoull(text));
        });
        if (!summary.has_value()) return fail(summary.error());
        for (std::uint64_t number : needed) {
            auto read =
                read_sealed(directory, kTestIncarnation, number, content_checksum(content(number)));
            if (!read.has_value()) return fail(read.error());
            if (read.value() != content(number)) return fail(base::fail(Errc::corrupt, "content"));
        }
        auto started = Writer::start(
            directory, summary.value(), small_options(), kTestIncarnation, records(), needed);
        if (!started.has_value()) return fail(started.error());
        writer = std::move(started).value();
        return true;
    }
    bool seal(std::uint64_t number) {
        needed.push_back(number);
        return writer->seal(number, content(number)).has_value();
    }
    bool checkpoint() {
        std::vector<SealedReference> references;
        for (std::size_t i = 0; i < needed.size(); ++i) references.push_back({needed[i], i});
        if (!writer->checkpoint(records(), references).has_value()) return false;
        acknowledged = needed;
        return true;
    }
    bool fail(const base::Error& why) {
        error = why.text();
        return false;
    }
    static std::vector<Bytes> content(std::uint64_t number) {
        return {to_bytes("content of " + std::to_string(number)), Bytes(5000, 7)};
    }
    std::vector<Bytes> records() const {
        std::vector<Bytes> all;
        all.reserve(needed.size());
        for (std::uint64_t number : needed) all.push_back(to_bytes(std::to_string(number)));
        return all;
    }

    Directory& directory;
    std::unique_ptr<Writer> writer;
    std::vector<std::uint64_t> needed;
    std::vector<std::uint64_t> acknowledged;
    std::string error;
};

bool run_script(SealingCaller& log) {
    if (!log.open() || !log.seal(1) || !log.checkpoint()) return false;
    if (!log.seal(2) || !log.seal(3) || !log.checkpoint()) return false;
    std::erase(log.needed, 1);  // its time is over
    if (!log.seal(4) || !log.checkpoint() || !log.seal(5)) return false;
    if (!log.open() || !log.seal(6)) return false;
    std::erase(log.needed, 2);
    return log.checkpoint();
}

TEST(Sealed, a_power_loss_at_every_operation_leaves_what_is_needed) {
    base::SeededRng rng(11);
    std::uint64_t crashes = 0;
    for (int policy = 0; policy < 8; ++policy) {
        for (std::uint64_t n = 1;; ++n) {
            MemoryDisk disk;
            SealingCaller log(disk.directory());
            bool reached = false;
            disk.set_hook([count = std::uint64_t{0}, n, &reached](const auto&) mutable {
                if (++count != n) return MemoryDisk::Fault::none;
                reached = true;
                return MemoryDisk::Fault::power_cut;
            });
            bool finished = run_script(log);
            ASSERT_TRUE(finished || reached) << log.error;
            if (!reached) break;
            ++crashes;
            log.writer = nullptr;
            std::vector<std::uint64_t> acknowledged = log.acknowledged;
            disk.set_hook(nullptr);
            disk.crash([&](const MemoryDisk::Unforced&) {
                return policy == 0 ? false : policy == 1 || rng.chance_per_mille(500);
            });
            ASSERT_TRUE(log.open()) << "policy " << policy << ", cut " << n << ": " << log.error;
            // The newest checkpoint that was acknowledged, or the one that was under way.
            std::uint64_t newest = acknowledged.empty() ? 0 : acknowledged.back();
            EXPECT_GE(log.needed.empty() ? 0 : log.needed.back(), newest);
            for (const std::string& name : disk.names()) {
                ParsedName parsed = parse_name(name);
                EXPECT_NE(parsed.kind, FileKind::unfinished_sealed) << name;
                if (parsed.kind != FileKind::sealed) continue;
                EXPECT_NE(std::ranges::find(log.needed, parsed.number), log.needed.end())
                    << name << " is not needed any more";
            }
        }
    }
    std::printf("crashes %llu\n", static_cast<unsigned long long>(crashes));
    EXPECT_GT(crashes, 500U);
}

// The n-th call that `counts` does what `fault` says; tells whether it came to that.
MemoryDisk::Hook fault_at(std::uint64_t n,
                          MemoryDisk::Fault fault,
                          std::function<bool(const MemoryDisk::Call&)> counts,
                          bool& reached) {
    reached = false;
    return [count = std::uint64_t{0}, n, fault, counts = std::move(counts), &reached](
               const MemoryDisk::Call& call) mutable {
        if (!counts(call) || ++count != n) return MemoryDisk::Fault::none;
        reached = true;
        return fault;
    };
}

bool is_force(const MemoryDisk::Call& call) {
    return call.operation == MemoryDisk::Operation::force ||
           call.operation == MemoryDisk::Operation::force_directory;
}

// A checkpoint that needs fewer files than the one before is in the page cache only when its
// process dies, and the start that reads it loses the power: the older one still has its files.
TEST(Sealed, a_power_loss_in_the_start_after_a_checkpoint_that_was_not_forced) {
    std::uint64_t crashes = 0;
    bool died = true;
    for (std::uint64_t force = 1; died; ++force) {
        bool cut = true;
        for (std::uint64_t n = 1; died && cut; ++n) {
            MemoryDisk disk;
            SealingCaller log(disk.directory());
            ASSERT_TRUE(log.open() && log.seal(1) && log.checkpoint());
            std::erase(log.needed, 1);
            ASSERT_TRUE(log.seal(2));
            disk.set_hook(fault_at(force, MemoryDisk::Fault::io_error, is_force, died));
            (void)log.checkpoint();
            log.writer = nullptr;
            disk.set_hook(fault_at(
                n, MemoryDisk::Fault::power_cut, [](const auto&) { return true; }, cut));
            SealingCaller second(disk.directory());
            ASSERT_TRUE(second.open() || cut) << second.error;
            second.writer = nullptr;
            disk.set_hook(nullptr);
            disk.crash_losing_unforced();
            SealingCaller third(disk.directory());
            ASSERT_TRUE(third.open()) << "force " << force << ", cut " << n << ": " << third.error;
            ++crashes;
        }
    }
    EXPECT_GT(crashes, 100U);
}

}  // namespace
}  // namespace twofold::wal
