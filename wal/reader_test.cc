// What the reader accepts, what it refuses, and in which words.
#include "wal/reader.h"

#include "wal/test_log.h"

#include <gmock/gmock.h>

namespace twofold::wal {
namespace {

using testing::HasSubstr;

struct ReaderTest : testing::Test {
    // One running log over several segments.
    void SetUp() override {
        ASSERT_TRUE(log.open());
        for (int i = 0; i < 5; ++i) ASSERT_TRUE(log.add(4500));
        ASSERT_GE(segments_of(disk).size(), 3U);
        log.die();
    }
    std::string refusal() {
        ReadBack back = read_back(disk.directory());
        EXPECT_FALSE(back.summary.has_value()) << "the log was accepted";
        return back.summary.has_value() ? "" : back.summary.error().text();
    }
    void expect_refused(const std::string& words) {
        std::string text = refusal();
        EXPECT_THAT(text, HasSubstr(words));
        EXPECT_THAT(text, HasSubstr("twofold wal verify --dir memory"));
    }
    Bytes take(const std::string& name) {
        Bytes content = disk.content(name);
        disk.erase(name);
        return content;
    }
    std::string segment(std::size_t i) { return segments_of(disk)[i]; }

    MemoryDisk disk;
    TestLog log{disk.directory()};
};

TEST(Reader, an_empty_directory_is_a_fresh_log) {
    MemoryDisk disk;
    ReadBack back = read_back(disk.directory());
    ASSERT_TRUE(back.summary.has_value());
    EXPECT_TRUE(back.summary.value().fresh);
    EXPECT_FALSE(back.summary.value().has_incarnation);
    EXPECT_EQ(back.summary.value().last_epoch, 0U);
}

TEST_F(ReaderTest, delivers_everything_in_order_with_dense_lsns) {
    ReadBack back = read_back(disk.directory());
    ASSERT_TRUE(back.summary.has_value()) << back.summary.error().text();
    EXPECT_EQ(back.records, log.acknowledged);
    for (std::size_t i = 0; i < back.lsns.size(); ++i) EXPECT_EQ(back.lsns[i], i + 1);
    const ReadSummary& summary = back.summary.value();
    EXPECT_FALSE(summary.fresh);
    EXPECT_EQ(summary.incarnation, kTestIncarnation);
    EXPECT_EQ(summary.last_epoch, 1U);
    EXPECT_EQ(summary.last_lsn, log.acknowledged.size());
    EXPECT_EQ(summary.durable_lsn, summary.last_lsn);  // by the exact mark
    EXPECT_FALSE(summary.clean_shutdown);
    EXPECT_FALSE(summary.torn_tail_discarded);
}

TEST_F(ReaderTest, refuses_swapped_segments) {
    std::string first = segment(0);
    std::string second = segment(1);
    Bytes kept = take(first);
    disk.put(first, take(second));
    disk.put(second, kept);
    expect_refused("renamed, swapped or duplicated");
}

TEST_F(ReaderTest, refuses_a_duplicated_segment) {
    disk.put(segment_name(9), disk.content(segment(0)));
    expect_refused("renamed, swapped or duplicated");
}

TEST_F(ReaderTest, refuses_a_renamed_segment) {
    disk.put("segment-7.wal", take(segment(2)));
    expect_refused("segment-7.wal");
}

TEST_F(ReaderTest, refuses_a_missing_segment_wherever_it_was) {
    std::vector<std::string> names = segments_of(disk);
    for (const std::string& name : names) {
        Bytes kept = take(name);
        EXPECT_THAT(refusal(), HasSubstr("look closer")) << name;
        disk.put(name, kept);
    }
    Bytes kept = take(names[1]);
    expect_refused(names[1]);
    expect_refused("is missing");
    disk.put(names[1], kept);
    EXPECT_TRUE(read_back(disk.directory()).summary.has_value());
    for (const std::string& name : names) disk.erase(name);
    expect_refused("every segment is missing");
}

// The mark was forced when the segment got its name, whatever else the power took.
TEST_F(ReaderTest, refuses_a_missing_newest_segment_after_a_power_loss) {
    ASSERT_TRUE(log.open());
    for (int segments = 0; segments < 4; ++segments) {
        std::string newest = segments_of(disk).back();
        while (segments_of(disk).back() == newest) ASSERT_TRUE(log.add());
        log.die();
        disk.crash_losing_unforced();
        std::string gone = segment(segments_of(disk).size() - 1);
        Bytes kept = take(gone);
        expect_refused(gone);
        expect_refused("is missing");
        disk.put(gone, kept);
        ASSERT_TRUE(log.open()) << log.error;
    }
}

TEST_F(ReaderTest, refuses_a_segment_of_another_log) {
    MemoryDisk other;
    auto started = Writer::start(other.directory(),
                                 ReadSummary{},
                                 small_options(),
                                 Incarnation{'o', 't', 'h', 'e', 'r'},
                                 {});
    ASSERT_TRUE(started.has_value());
    Bytes foreign = other.content(segment_name(1));
    std::string last = segments_of(disk).back();
    disk.put(segment_name(parse_name(last).number + 1), foreign);
    expect_refused("renamed, swapped or duplicated");  // its index is 1
    disk.erase(segment_name(parse_name(last).number + 1));
    disk.put(segment_name(1), foreign);
    expect_refused("belongs to another log");
}

TEST_F(ReaderTest, refuses_the_mark_of_another_log) {
    Bytes slot;
    encode_mark_slot({.incarnation = {'o'}, .epoch = 1, .segment = 1, .batch = 1, .lsn = 1}, slot);
    disk.put(kDurableMarkName, slot);
    expect_refused("belongs to another log");
}

// The batch that it names is there, the records are not. Believed, it would go into the header of
// the next start, and that one would never be read again.
TEST_F(ReaderTest, refuses_a_mark_that_knows_more_than_its_batch_holds) {
    ReadSummary summary = read_back(disk.directory()).summary.value();
    DurableMark mark{.incarnation = kTestIncarnation,
                     .epoch = summary.last_epoch,
                     .segment = summary.last.segment,
                     .batch = summary.last.batch,
                     .lsn = summary.last_lsn + 1};
    Bytes slot;
    encode_mark_slot(mark, slot);
    disk.put(kDurableMarkName, slot);
    expect_refused("was acknowledged");
    mark.lsn = summary.last_lsn;
    encode_mark_slot(mark, slot);
    disk.put(kDurableMarkName, slot);
    EXPECT_TRUE(read_back(disk.directory()).summary.has_value());
}

TEST_F(ReaderTest, refuses_a_newer_format) {
    disk.content(segment(0))[8] = 2;
    EXPECT_THAT(refusal(), HasSubstr("unsupported_version"));
}

TEST_F(ReaderTest, refuses_a_copied_batch) {
    Bytes& content = disk.content(segment(0));
    // The second batch once more, where the third one stands or would stand.
    std::copy_n(content.begin() + 4096, 4096, content.begin() + 8192);
    expect_refused("does not continue the one before it");
}

TEST_F(ReaderTest, names_the_place_and_the_records_at_risk) {
    disk.content(segment(1))[4096 + 100] ^= 1U;
    expect_refused(segment(1) + " at offset 4096");
    expect_refused("are at risk");
}

TEST_F(ReaderTest, a_clean_shutdown_is_reported_and_its_loss_refused) {
    ASSERT_TRUE(log.open() && log.add() && log.close_clean());
    disk.crash_losing_unforced();
    ReadBack back = read_back(disk.directory());
    ASSERT_TRUE(back.summary.has_value());
    EXPECT_TRUE(back.summary.value().clean_shutdown);
    EXPECT_EQ(back.records, log.acknowledged);
    LogEnd end = end_of_log(disk);
    Bytes& content = disk.content(end.file);
    content[end.last_batch + 10] ^= 1U;
    expect_refused("was acknowledged");
    content[end.last_batch + 10] ^= 1U;
    // A batch that begins behind the end: a head without a body.
    ASSERT_LT(end.end, content.size());
    std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(end.last_batch),
                64,
                content.begin() + static_cast<std::ptrdiff_t>(end.end));
    ++content[end.end + 32];
    expect_refused("behind the clean-shutdown record");
}

TEST_F(ReaderTest, a_torn_tail_is_discarded_and_the_next_starts_are_healthy) {
    ASSERT_TRUE(log.open() && log.add());
    LogEnd end = end_of_log(disk);
    while (end.end == disk.content(end.file).size()) {
        ASSERT_TRUE(log.add());
        end = end_of_log(disk);
    }
    log.die();
    Bytes& tail = disk.content(end.file);
    ASSERT_LT(end.end, tail.size());
    // The head of the next batch reached the disk, its body did not.
    std::copy_n(tail.begin() + static_cast<std::ptrdiff_t>(end.last_batch),
                64,
                tail.begin() + static_cast<std::ptrdiff_t>(end.end));
    ++tail[end.end + 32];
    ReadBack back = read_back(disk.directory());
    ASSERT_TRUE(back.summary.has_value());
    EXPECT_TRUE(back.summary.value().torn_tail_discarded);
    EXPECT_EQ(back.summary.value().torn_tail_file, end.file);
    EXPECT_EQ(back.summary.value().torn_tail_offset, end.end);
    for (int restart = 0; restart < 3; ++restart) {
        ASSERT_TRUE(log.open()) << log.error;
        ASSERT_TRUE(log.add());
        log.die();
    }
    EXPECT_EQ(read_back(disk.directory()).records, log.acknowledged);
}

TEST(Reader, former_content_of_recycled_segments_never_returns) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open());
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(log.add(3000));
        ASSERT_TRUE(log.checkpoint());
        log.attempted.resize(2);  // the caller forgets: the next checkpoint is short again
        log.acknowledged = log.attempted;
        ASSERT_TRUE(log.checkpoint());
        ReadBack back = read_back(disk.directory());
        ASSERT_TRUE(back.summary.has_value()) << back.summary.error().text();
        ASSERT_EQ(back.records, log.acknowledged);
    }
    EXPECT_GT(log.writer().counters().segments_recycled, 10U);
    EXPECT_LT(log.writer().counters().segments_created, 6U);
}

// The bytes of one whole use of a segment, laid under the next use of the same file.
TEST(Reader, a_recycled_segment_may_hold_sound_batches_of_its_former_life) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add() && log.add());
    Bytes former = disk.content(segment_name(1));
    ASSERT_TRUE(log.checkpoint() && log.checkpoint() && log.checkpoint());
    std::string last = segments_of(disk).back();
    Bytes& now = disk.content(last);
    std::copy(former.begin() + 8192, former.end(), now.begin() + 8192);
    log.die();
    ReadBack back = read_back(disk.directory());
    ASSERT_TRUE(back.summary.has_value()) << back.summary.error().text();
    EXPECT_EQ(back.records, log.acknowledged);
}

}  // namespace
}  // namespace twofold::wal
