// The writer's promises to its caller: what a force costs, what happens when the disk is full or
// fails, and that the incarnation, epochs and LSNs go on.
#include "wal/writer.h"

#include "wal/test_log.h"

namespace twofold::wal {
namespace {

using Operation = MemoryDisk::Operation;
using Fault = MemoryDisk::Fault;

TEST(Writer, a_force_is_one_write_one_force_and_one_mark) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open());
    std::vector<std::string> calls;
    disk.set_hook([&](const MemoryDisk::Call& call) {
        calls.push_back((call.operation == Operation::write   ? "write "
                         : call.operation == Operation::force ? "force "
                                                              : "other ") +
                        std::string(call.name == kDurableMarkName ? "mark" : "segment"));
        return Fault::none;
    });
    log.append();
    log.append();
    log.append();
    ASSERT_TRUE(log.force());
    EXPECT_EQ(calls, (std::vector<std::string>{"write segment", "force segment", "write mark"}));
    calls.clear();
    ASSERT_TRUE(log.force());  // nothing to do
    EXPECT_TRUE(calls.empty());
}

TEST(Writer, counters_and_lsns) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open());
    Writer& writer = log.writer();
    EXPECT_EQ(writer.epoch(), 1U);
    EXPECT_EQ(writer.counters().batches, 1U);
    EXPECT_EQ(writer.counters().checkpoints, 1U);
    EXPECT_EQ(writer.append(to_bytes("one")), 1U);
    EXPECT_EQ(writer.append(to_bytes("three")), 2U);
    EXPECT_EQ(writer.durable_lsn(), 0U);
    EXPECT_EQ(writer.appended_lsn(), 2U);
    EXPECT_EQ(writer.force().value(), 2U);
    EXPECT_EQ(writer.durable_lsn(), 2U);
    EXPECT_EQ(writer.counters().records, 2U);
    EXPECT_EQ(writer.counters().record_bytes, 8U);
    EXPECT_EQ(writer.counters().forces, 2U);
    EXPECT_EQ(writer.counters().written_bytes, 2 * kBlockSizeBytes);
    EXPECT_EQ(writer.live_bytes(), 2 * kBlockSizeBytes);
    EXPECT_EQ(writer.counters().marks_written, 2U);
    ASSERT_TRUE(writer.heartbeat().has_value());
    ASSERT_TRUE(writer.heartbeat().has_value());  // no second one without work between
    EXPECT_EQ(writer.counters().heartbeats, 1U);
    log.attempted = {"one", "three"};
    ASSERT_TRUE(log.checkpoint());
    EXPECT_EQ(writer.counters().checkpoints, 2U);
    EXPECT_EQ(writer.live_bytes(), kBlockSizeBytes);
    EXPECT_EQ(segments_of(disk).size(), 1U);
    ASSERT_TRUE(log.open());
    EXPECT_EQ(log.writer().epoch(), 2U);
    EXPECT_GT(log.writer().durable_lsn(), 2U);
}

TEST(Writer, a_record_of_the_largest_size_fits) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open());
    Bytes record(log.writer().record_size_max(), 7);
    log.writer().append(record);
    log.writer().append(record);
    ASSERT_TRUE(log.writer().force().has_value());
    EXPECT_EQ(read_back(disk.directory()).records.size(), 2U);
    record.push_back(1);
    std::vector<Bytes> too_large{record};
    auto refused = log.writer().checkpoint(too_large);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::limit_exceeded);
    EXPECT_FALSE(log.writer().poisoned());
}

TEST(Writer, impossible_options_are_refused) {
    MemoryDisk disk;
    WriterOptions options = small_options();
    for (std::uint64_t size : {0ULL, 4096ULL, 10000ULL}) {
        options.segment_size_bytes = size;
        auto started = Writer::start(disk.directory(), {}, options, kTestIncarnation, {});
        ASSERT_FALSE(started.has_value());
        EXPECT_EQ(started.error().code, Errc::invalid_argument);
    }
    options.segment_size_bytes = kSegmentSizeMinBytes;
    EXPECT_TRUE(Writer::start(disk.directory(), {}, options, kTestIncarnation, {}).has_value());
}

TEST(Writer, a_failed_force_or_write_poisons_for_ever) {
    for (Operation failing : {Operation::force, Operation::write}) {
        MemoryDisk disk;
        TestLog log(disk.directory());
        ASSERT_TRUE(log.open());
        disk.set_hook([&](const MemoryDisk::Call& call) {
            return call.operation == failing ? Fault::io_error : Fault::none;
        });
        EXPECT_FALSE(log.add());
        disk.set_hook(nullptr);
        EXPECT_TRUE(log.writer().poisoned());
        std::uint64_t operations = disk.operations();
        EXPECT_FALSE(log.force());
        EXPECT_FALSE(log.heartbeat());
        EXPECT_FALSE(log.checkpoint());
        EXPECT_FALSE(log.writer().close_clean().has_value());
        EXPECT_EQ(disk.operations(), operations) << "a poisoned writer touched the disk";
    }
}

// Batches up to an eighth of a segment, in any mixture: no force ever makes a segment.
TEST(Writer, maintenance_keeps_pace_with_steady_load) {
    MemoryDisk disk;
    WriterOptions options;
    options.segment_size_bytes = 64 * kBlockSizeBytes;
    options.batch_size_max_bytes = 8 * kBlockSizeBytes;
    options.maintenance_step_bytes = kBlockSizeBytes;
    options.salt_seed = 7;
    TestLog log(disk.directory(), options);
    ASSERT_TRUE(log.open());
    base::SeededRng rng(11);
    std::uint64_t longest_step = 0;
    while (log.writer().counters().segments_begun < 12) {
        bool large = log.writer().counters().segments_begun % 3 == 0;
        ASSERT_TRUE(log.add(large ? 30'000 : rng.below(30'000))) << log.error;
        std::uint64_t step = 0;
        disk.set_hook([&step](const MemoryDisk::Call& call) {
            if (call.operation == Operation::write) step += call.size_bytes;
            return Fault::none;
        });
        ASSERT_TRUE(log.maintain()) << log.error;
        disk.set_hook(nullptr);
        longest_step = std::max(longest_step, step);
        ASSERT_TRUE(log.writer().has_room_for_new_work());
    }
    EXPECT_EQ(log.writer().counters().segments_made_in_force, 0U);
    EXPECT_GE(log.writer().counters().segments_created, 12U);
    EXPECT_GT(longest_step, 0U);
    EXPECT_LE(longest_step, std::size_t{32} * kBlockSizeBytes) << "a step must not be long either";
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

// The way it is without maintenance, and after a burst that it could not follow.
TEST(Writer, a_force_that_makes_a_segment_itself_is_counted) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open());
    while (log.writer().counters().segments_begun < 4) ASSERT_TRUE(log.add(5000)) << log.error;
    EXPECT_EQ(log.writer().counters().segments_made_in_force, 3U);
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

TEST(Writer, maintenance_on_a_full_disk_tries_once_in_a_segment_and_loses_nothing) {
    MemoryDisk disk;
    WriterOptions options = small_options();
    options.segment_size_bytes = 16 * kBlockSizeBytes;
    TestLog log(disk.directory(), options);
    ASSERT_TRUE(log.open());
    int refused = 0;
    disk.set_hook([&](const MemoryDisk::Call& call) {
        if (call.operation != Operation::create) return Fault::none;
        ++refused;
        return Fault::disk_full;
    });
    while (log.writer().counters().segments_begun < 2) {
        bool room = log.writer().has_room_for_new_work();
        ASSERT_TRUE(log.add() && log.maintain()) << log.error;
        if (log.writer().counters().segments_begun < 2) {
            EXPECT_TRUE(room) << "the reserve is whole";
            EXPECT_LE(refused, 1);
        }
    }
    EXPECT_EQ(refused, 2) << "once ahead of need, once when it was needed";
    EXPECT_FALSE(log.writer().has_room_for_new_work());
    EXPECT_FALSE(log.writer().poisoned());
    disk.set_hook(nullptr);
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

TEST(Writer, a_step_that_finds_the_disk_full_gives_its_space_back) {
    MemoryDisk disk;
    WriterOptions options = small_options();
    options.segment_size_bytes = 16 * kBlockSizeBytes;
    TestLog log(disk.directory(), options);
    ASSERT_TRUE(log.open());
    disk.set_capacity_bytes(3 * options.segment_size_bytes - 5 * kBlockSizeBytes);
    auto unfinished = [&disk] {
        return std::ranges::count_if(disk.names(), [](const std::string& name) {
            return parse_name(name).kind == FileKind::unfinished_spare;
        });
    };
    std::ptrdiff_t most = 0;
    while (log.writer().counters().segments_begun < 2) {
        ASSERT_TRUE(log.add() && log.maintain()) << log.error;
        most = std::max<std::ptrdiff_t>(most, unfinished());
    }
    EXPECT_EQ(most, 1) << "it got as far as the disk lets it";
    EXPECT_EQ(unfinished(), 0);
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

TEST(Writer, a_failed_step_of_maintenance_poisons) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    disk.set_hook([](const MemoryDisk::Call& call) {
        return call.operation == Operation::force ? Fault::io_error : Fault::none;
    });
    EXPECT_FALSE(log.maintain());
    EXPECT_TRUE(log.writer().poisoned());
}

TEST(Writer, a_failing_mark_ends_the_marks_and_nothing_else) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open());
    disk.set_hook([](const MemoryDisk::Call& call) {
        return call.name == kDurableMarkName ? Fault::io_error : Fault::none;
    });
    EXPECT_TRUE(log.add());
    EXPECT_TRUE(log.add());
    EXPECT_EQ(log.writer().counters().mark_failures, 1U);
    disk.set_hook(nullptr);
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

TEST(Writer, a_full_disk_is_announced_and_the_reserve_lasts) {
    MemoryDisk disk;
    WriterOptions options = small_options();
    options.reserve_segments = 2;
    TestLog log(disk.directory(), options);
    ASSERT_TRUE(log.open());
    EXPECT_TRUE(log.writer().has_room_for_new_work());
    disk.set_capacity_bytes(6 * options.segment_size_bytes);
    int admitted = 0;
    for (; log.writer().has_room_for_new_work(); ++admitted)
        ASSERT_TRUE(log.add(3000)) << log.error;
    EXPECT_GT(admitted, 3);
    // At least one whole segment is left for what was admitted.
    int finished = 0;
    while (log.add(10)) ++finished;
    EXPECT_GE(finished, 3);
    EXPECT_NE(log.error.find("disk_full"), std::string::npos) << log.error;
    EXPECT_FALSE(log.writer().poisoned());
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
    // Space comes back: the record that was refused is still pending and is written now.
    disk.set_capacity_bytes(0);
    ASSERT_TRUE(log.force());
    ASSERT_TRUE(log.writer().refill_reserve().has_value());
    EXPECT_TRUE(log.writer().has_room_for_new_work());
    EXPECT_EQ(read_back(disk.directory()).records, log.attempted);
}

TEST(Writer, a_checkpoint_is_the_way_out_of_a_full_disk) {
    MemoryDisk disk;
    WriterOptions options = small_options();
    options.reserve_segments = 2;
    TestLog log(disk.directory(), options);
    ASSERT_TRUE(log.open());
    disk.set_capacity_bytes(6 * options.segment_size_bytes);
    while (log.writer().has_room_for_new_work()) ASSERT_TRUE(log.add(3000));
    log.attempted.resize(1);  // most transactions have ended
    ASSERT_TRUE(log.checkpoint()) << log.error;
    EXPECT_TRUE(log.writer().has_room_for_new_work());
}

TEST(Writer, a_checkpoint_without_space_changes_nothing) {
    MemoryDisk disk;
    WriterOptions options = small_options();
    TestLog log(disk.directory(), options);
    ASSERT_TRUE(log.open());
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(log.add(7000));
    disk.set_capacity_bytes(1);
    EXPECT_FALSE(log.checkpoint());
    EXPECT_NE(log.error.find("disk_full"), std::string::npos) << log.error;
    EXPECT_FALSE(log.writer().poisoned());
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

// The disk is full at every single allocation in turn.
TEST(Writer, a_full_disk_at_every_allocation_loses_nothing) {
    bool reached = true;
    for (int n = 1; reached; ++n) {
        SCOPED_TRACE(n);
        MemoryDisk disk;
        TestLog log(disk.directory());
        reached = false;
        int creates = 0;
        disk.set_hook([&](const MemoryDisk::Call& call) {
            bool is_spare = parse_name(call.name).kind == FileKind::unfinished_spare;
            if (!is_spare || call.operation != Operation::write || ++creates < n)
                return Fault::none;
            reached = true;
            return Fault::disk_full;
        });
        bool running = log.open();
        for (int i = 0; running && i < 6; ++i) running = log.add(3500);
        if (running) running = log.checkpoint();
        if (!running) EXPECT_NE(log.error.find("disk_full"), std::string::npos) << log.error;
        Records acknowledged = log.acknowledged;
        Records attempted = log.attempted;
        log.die();
        disk.set_hook(nullptr);
        disk.crash_losing_unforced();
        ASSERT_TRUE(log.open()) << log.error;
        EXPECT_TRUE(is_prefix(acknowledged, log.attempted));
        EXPECT_TRUE(is_prefix(log.attempted, attempted));
    }
}

TEST(Writer, spares_of_another_size_are_replaced) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    WriterOptions larger = small_options();
    larger.segment_size_bytes *= 2;
    TestLog again(disk.directory(), larger);
    ASSERT_TRUE(again.open() && again.add()) << again.error;
    for (const std::string& name : disk.names()) {
        if (parse_name(name).kind != FileKind::spare) continue;
        EXPECT_EQ(disk.content(name).size(), larger.segment_size_bytes);
    }
    EXPECT_EQ(read_back(disk.directory()).records, again.acknowledged);
}

}  // namespace
}  // namespace twofold::wal
