// The inspector sees behind damage, says what the reader says, and changes nothing.
#include "wal/inspect.h"

#include "wal/test_log.h"

#include <gmock/gmock.h>

namespace twofold::wal {
namespace {

using testing::HasSubstr;
using testing::Not;

InspectOptions with_records() {
    return {.with_records = true, .describe = [](ByteSpan record) {
                return "text:" + std::string(record.begin(), record.end());
            }};
}

TEST(Inspect, shows_segments_batches_and_records) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add() && log.add(5000) && log.add(5000) && log.heartbeat());
    log.die();
    disk.put("outcomes-1.bitmap", {});
    InspectReport report = inspect_log(disk.directory(), with_records()).value();
    EXPECT_TRUE(report.accepted) << report.refusal;
    EXPECT_EQ(report.segments.size(), segments_of(disk).size());
    EXPECT_EQ(report.other_files, (std::vector<std::string>{"outcomes-1.bitmap"}));
    EXPECT_EQ(report.segments[0].batches[1].records[0].description, "text:" + log.acknowledged[0]);
    EXPECT_EQ(report.mark->lsn, 3U);
    std::string text = to_text(report);
    EXPECT_THAT(text, HasSubstr("begins a checkpoint"));
    EXPECT_THAT(text, HasSubstr("LSN 1  text:record-0-"));
    EXPECT_THAT(text, HasSubstr("heartbeat, no records, next LSN 4"));
    EXPECT_THAT(text, HasSubstr("OK: 3 live records, last LSN 3, epoch 1"));
    std::string json = to_json(report);
    EXPECT_THAT(json, HasSubstr(R"("accepted":true,"summary":{"fresh":false,"incarnation":"69)"));
    EXPECT_THAT(json, HasSubstr(R"("other_files":["outcomes-1.bitmap"]})"));
}

TEST(Inspect, goes_on_behind_damage_and_names_it) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add() && log.add() && log.add());
    log.die();
    std::string first = segments_of(disk).front();
    disk.content(first)[8192 + 66] ^= 4U;
    InspectReport report = inspect_log(disk.directory(), with_records()).value();
    EXPECT_FALSE(report.accepted);
    ASSERT_TRUE(report.first_damage.has_value());
    EXPECT_EQ(report.first_damage->file, first);
    EXPECT_EQ(report.first_damage->offset, 8192U);
    EXPECT_EQ(report.first_damage->first_lsn_at_risk, 1U);
    // Up to where the next segment begins: behind the damage the strict reader does not look.
    EXPECT_EQ(report.first_damage->last_lsn_at_risk, 2U);
    ASSERT_EQ(report.segments[0].gaps.size(), 1U);
    EXPECT_TRUE(report.segments[0].gaps[0].claims_batch);
    EXPECT_EQ(report.segments[0].batches.size(), 2U);
    EXPECT_THAT(to_text(report), HasSubstr("REFUSED: "));
    EXPECT_THAT(to_json(report), HasSubstr(R"("first_damage":{"file":")" + first));
}

TEST(Inspect, survives_headers_that_cannot_be_read) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    log.die();
    disk.content(segment_name(1))[20] ^= 1U;
    disk.put(segment_name(2), {1, 2, 3});
    disk.put("segment-x.wal", Bytes(5000));
    InspectReport report = inspect_log(disk.directory(), {}).value();
    EXPECT_FALSE(report.accepted);
    ASSERT_EQ(report.segments.size(), 3U);
    for (const InspectedSegment& segment : report.segments) EXPECT_FALSE(segment.problem.empty());
    EXPECT_THAT(to_text(report), HasSubstr("PROBLEM: the CRC of the segment header is wrong"));
}

TEST(Inspect, changes_nothing) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    log.die();
    disk.content(segment_name(1))[5000] ^= 1U;
    disk.set_hook([](const MemoryDisk::Call& call) {
        using Operation = MemoryDisk::Operation;
        bool reads = call.operation == Operation::open || call.operation == Operation::read ||
                     call.operation == Operation::list || call.operation == Operation::size;
        EXPECT_TRUE(reads);
        return MemoryDisk::Fault::none;
    });
    ASSERT_TRUE(inspect_log(disk.directory(), with_records()).has_value());
}

TEST(Inspect, random_bytes_never_break_it) {
    base::SeededRng rng(1);
    for (int round = 0; round < 300; ++round) {
        MemoryDisk disk;
        TestLog log(disk.directory());
        ASSERT_TRUE(log.open() && log.add(500) && log.add(6000));
        log.die();
        for (int i = 0; i < 20; ++i) {
            std::vector<std::string> names = disk.names();
            Bytes& content = disk.content(names[rng.below(names.size())]);
            std::size_t at = rng.below(content.size());
            if (rng.chance_per_mille(500)) at = at / 4096 * 4096 + at % 64;
            if (at < content.size()) content[at] = static_cast<std::uint8_t>(rng.next());
        }
        InspectReport report = inspect_log(disk.directory(), with_records()).value();
        ReadBack back = read_back(disk.directory());
        EXPECT_EQ(report.accepted, back.summary.has_value());
        EXPECT_THAT(to_json(report), Not(HasSubstr("\n")));
    }
}

}  // namespace
}  // namespace twofold::wal
