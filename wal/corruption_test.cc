// Cuts and flips, everywhere. With the exact mark that a dying process leaves, the result is all
// that was acknowledged or a refusal. With an old mark or none, as after a power loss, a damage
// that looks like a torn tail may cost batches from the end on, and only those that no sound batch
// follows and no mark covers; the result is always the state after some force, never a mixture.
#include "wal/log_judge.h"
#include "wal/test_log.h"

namespace twofold::wal {
namespace {

struct Sample {
    MemoryDisk disk;
    std::vector<Records> states;  // after each force, in order
    Records acknowledged;
    std::vector<ForcedBatch> batches;

    // `size` scales the records: 1 makes nearly every batch one block.
    void run(bool clean, std::size_t size) {
        TestLog log(disk.directory());
        auto note = [&](bool done) {
            ASSERT_TRUE(done) << log.error;
            states.push_back(log.acknowledged);
        };
        note(log.open());
        note(log.add());
        note(log.add(size * 5));
        log.append(100);
        note(log.add(size));
        note(log.add(size * 6));
        note(log.add());
        note(log.add(size * 3));
        note(log.add());
        note(log.add(50));
        acknowledged = log.acknowledged;
        if (clean) {
            ASSERT_TRUE(log.close_clean());
        }
        batches = forced_batches(disk.directory()).value();
    }
    LogJudge judge() const { return {to_bytes(acknowledged), batches}; }
};

struct Tally {
    std::uint64_t cases = 0;
    std::uint64_t refused = 0;
    std::uint64_t complete = 0;
    std::uint64_t shortened = 0;
};

constexpr std::uint64_t kExactMark = LogJudge::kProvesEverything;

// Reads a damaged disk whose mark covers the batches up to this one.
void check(const LogJudge& judge, MemoryDisk& disk, std::uint64_t proven_batch, Tally& tally) {
    ++tally.cases;
    Judgement judgement = judge.judge(disk.directory(), proven_batch);
    ASSERT_NE(judgement.verdict, Verdict::silent) << judgement.text;
    if (judgement.verdict == Verdict::refused) ++tally.refused;
    if (judgement.verdict == Verdict::complete) ++tally.complete;
    if (judgement.verdict == Verdict::excused) ++tally.shortened;
}

void print(const char* what, const Tally& tally) {
    std::printf("%s: %lu cases, %lu refused, %lu complete, %lu without the tail\n",
                what,
                tally.cases,
                tally.refused,
                tally.complete,
                tally.shortened);
}

TEST(Corruption, a_segment_cut_at_every_byte_is_refused) {
    for (bool clean : {false, true}) {
        for (bool with_mark : {true, false}) {
            Sample sample;
            sample.run(clean, 1000);
            LogJudge judge = sample.judge();
            Tally tally;
            ASSERT_GE(segments_of(sample.disk).size(), 3U);
            auto damaged = sample.disk.copy();
            if (!with_mark) damaged->erase(kDurableMarkName);
            for (const std::string& name : segments_of(sample.disk)) {
                Bytes& content = damaged->content(name);
                const Bytes original = content;
                // From the end down: only shrinking, no copies.
                for (std::size_t size = original.size(); size-- > 0;) {
                    content.resize(size);
                    check(judge, *damaged, with_mark ? kExactMark : 0, tally);
                    if (HasFatalFailure()) return;
                }
                content = original;
            }
            EXPECT_EQ(tally.refused, tally.cases);
            print("cut", tally);
        }
    }
}

// What a lost tail looks like when the file keeps its size: zeros, or what stood there before.
void lose_tail_everywhere(bool with_mark, std::uint8_t filler) {
    Sample sample;
    sample.run(false, 1000);
    LogJudge judge = sample.judge();
    Tally tally;
    auto damaged = sample.disk.copy();
    if (!with_mark) damaged->erase(kDurableMarkName);
    for (const std::string& name : segments_of(sample.disk)) {
        Bytes& content = damaged->content(name);
        const Bytes original = content;
        for (std::size_t size = original.size(); size-- > 0;) {
            bool changes = content[size] != filler;
            content[size] = filler;
            // A byte that stays the same needs no new look, but for the edges of sectors.
            if (!changes && size % kSectorSizeBytes != 0) continue;
            check(judge, *damaged, with_mark ? kExactMark : 0, tally);
            if (testing::Test::HasFatalFailure()) return;
        }
        content = original;
    }
    print(with_mark ? "tail lost, exact mark" : "tail lost, no mark", tally);
    EXPECT_GT(tally.refused, 0U);
    if (with_mark) EXPECT_EQ(tally.shortened, 0U);
}

TEST(Corruption, a_tail_lost_at_every_byte_with_the_exact_mark) {
    lose_tail_everywhere(true, 0);
    lose_tail_everywhere(true, 0x5a);
}

TEST(Corruption, a_tail_lost_at_every_byte_without_a_mark_shortens_at_most) {
    lose_tail_everywhere(false, 0);
    lose_tail_everywhere(false, 0x5a);
}

// A stale mark: the loss must stop at what the mark covers.
TEST(Corruption, a_stale_mark_covers_what_it_names) {
    Sample sample;
    sample.run(false, 1000);
    LogJudge judge = sample.judge();
    auto mark_of = [&](std::uint64_t batch) {
        DurableMark mark{.incarnation = kTestIncarnation, .epoch = 1, .segment = 1, .batch = batch};
        Bytes slot;
        encode_mark_slot(mark, slot);
        Bytes file(kMarkFileSizeBytes);
        std::ranges::copy(slot, file.begin() + static_cast<std::ptrdiff_t>(mark_slot_offset(mark)));
        return file;
    };
    std::string last = segments_of(sample.disk).back();
    Tally tally;
    // Batch 1 is the checkpoint of the start, so batch n left states[n - 1].
    ASSERT_EQ(sample.batches.size(), sample.states.size());
    for (std::uint64_t batch = 1; batch <= sample.states.size(); ++batch) {
        auto damaged = sample.disk.copy();
        damaged->put(kDurableMarkName, mark_of(batch));
        Bytes& content = damaged->content(last);
        for (std::size_t at = content.size(); at > kSegmentHeaderSizeBytes; at -= 512) {
            std::ranges::fill(std::span(content).subspan(at - 512, 512), std::uint8_t{0});
            check(judge, *damaged, batch, tally);
            if (HasFatalFailure()) return;
        }
    }
    print("stale marks", tally);
    EXPECT_GT(tally.shortened, 0U);
}

// Without an exact mark the very last batch may be taken for a torn one.
void flip_every_bit(bool with_mark, bool clean) {
    Sample sample;
    sample.run(clean, 20);
    LogJudge judge = sample.judge();
    Tally tally;
    auto damaged = sample.disk.copy();
    if (!with_mark) damaged->erase(kDurableMarkName);
    for (const std::string& name : damaged->names()) {
        FileKind kind = parse_name(name).kind;
        if (kind != FileKind::segment && name != kDurableMarkName) continue;
        Bytes& content = damaged->content(name);
        // Padding that no CRC covers is flipped thinly.
        for (std::size_t byte = 0; byte < content.size(); ++byte) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                bool is_padding = content[byte] == 0 && byte % kBlockSizeBytes > 128;
                if (is_padding && (byte % 61 != 0 || bit != byte % 8)) continue;
                content[byte] ^= static_cast<std::uint8_t>(1U << bit);
                check(judge, *damaged, with_mark ? kExactMark : 0, tally);
                content[byte] ^= static_cast<std::uint8_t>(1U << bit);
                if (testing::Test::HasFatalFailure()) {
                    ADD_FAILURE() << name << " byte " << byte << " bit " << bit;
                    return;
                }
            }
        }
    }
    print(with_mark ? "flip, exact mark" : "flip, no mark", tally);
    if (with_mark) EXPECT_EQ(tally.shortened, 0U);
}

TEST(Corruption, every_flipped_bit_with_the_exact_mark) { flip_every_bit(true, false); }
TEST(Corruption, every_flipped_bit_without_a_mark) { flip_every_bit(false, false); }
TEST(Corruption, every_flipped_bit_after_a_clean_shutdown) { flip_every_bit(true, true); }

// Any subset of the sectors of the last, unacknowledged batch, over zeros and over former content.
TEST(Corruption, every_tear_of_the_last_batch_is_a_torn_tail_or_the_batch) {
    MemoryDisk disk;
    TestLog log(disk.directory());
    ASSERT_TRUE(log.open() && log.add());
    const Records acknowledged = log.acknowledged;
    log.die();
    std::string last = segments_of(disk).back();
    // A batch of one block more, put by hand where the next one would go.
    Bytes& content = disk.content(last);
    ReadBack back = read_back(disk.directory());
    ASSERT_TRUE(back.summary.has_value());
    const LogPosition& position = back.summary.value().last;
    Bytes block(kSegmentHeaderSizeBytes);
    std::ranges::copy_n(content.begin(), static_cast<std::ptrdiff_t>(block.size()), block.begin());
    SegmentHeader header = decode_segment_header(block).value();
    std::size_t offset = kSegmentHeaderSizeBytes;
    while (content[offset] != 0) offset += kBlockSizeBytes;
    ASSERT_LT(offset, content.size());
    Bytes batch(kBatchHeaderSizeBytes);
    std::string record(3000, 'x');
    base::ByteWriter(batch).string(record);
    seal_batch({.crc = 0,
                .length_bytes = 0,
                .kind = BatchKind::records,
                .checkpoint_complete = false,
                .incarnation = kTestIncarnation,
                .epoch = position.epoch,
                .number = position.batch + 1,
                .first_lsn = position.lsn + 1,
                .record_count = 1,
                .previous_crc = position.crc,
                .durable_lsn = position.lsn},
               header.salt,
               batch);
    batch.resize(kBlockSizeBytes);
    Records with_it = acknowledged;
    with_it.push_back(record);
    std::uint64_t whole = 0;
    for (unsigned subset = 0; subset < 256; ++subset) {
        for (std::size_t sector = 0; sector < 8; ++sector) {
            for (std::size_t i = sector * 512; i < sector * 512 + 512; ++i) {
                content[offset + i] = (subset >> sector & 1U) != 0 ? batch[i] : std::uint8_t{0};
            }
        }
        back = read_back(disk.directory());
        ASSERT_TRUE(back.summary.has_value()) << back.summary.error().text();
        if (back.records == with_it) {
            ++whole;
            continue;
        }
        ASSERT_EQ(back.records, acknowledged);
        EXPECT_EQ(back.summary.value().torn_tail_discarded, (subset & 0x3fU) != 0);
    }
    EXPECT_EQ(whole, 4U);  // the sectors of the padding (the last two) do not matter
}

}  // namespace
}  // namespace twofold::wal
