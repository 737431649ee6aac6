// The format, held fast by golden bytes: docs/log_format.md shows the same ones. When this test has
// to change, the format version has to change too.
#include "wal/core/frame.h"

#include "wal/core/durable_mark.h"
#include "wal/core/segment_name.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace twofold::wal {
namespace {

constexpr Incarnation kIncarnation = {'i', 'n', 'c', 'a', 'r', 'n', 'a', 't', 'e', 'd'};

std::string hex(ByteSpan bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        char part[4];
        std::snprintf(part, sizeof part, "%02x", static_cast<unsigned>(bytes[i]));
        text += part;
        text += i % 16 == 15 ? '\n' : ' ';
    }
    return text;
}

SegmentHeader example_segment() {
    return {.incarnation = kIncarnation,
            .epoch = 3,
            .index = 17,
            .size_bytes = 16384,
            .salt = 0x11223344,
            .starts_epoch = true,
            .begins_checkpoint = true,
            .recycled = false,
            .first_batch = 42,
            .first_lsn = 100,
            .previous_epoch = 2,
            .previous_crc = 0xaabbccdd,
            .previous_segment = 16,
            .durable_lsn = 98};
}

BatchHeader example_batch() {
    return {.crc = 0,
            .length_bytes = kBatchHeaderSizeBytes + 4 + 5 + 4 + 3,
            .kind = BatchKind::checkpoint,
            .checkpoint_complete = true,
            .incarnation = kIncarnation,
            .epoch = 3,
            .number = 42,
            .first_lsn = 100,
            .record_count = 2,
            .previous_crc = 0xaabbccdd,
            .durable_lsn = 98};
}

Bytes example_batch_bytes() {
    Bytes bytes(kBatchHeaderSizeBytes);
    base::ByteWriter writer(bytes);
    writer.string("hello");
    writer.string("wal");
    return bytes;
}

TEST(Frame, golden_segment_header) {
    Bytes block;
    encode_segment_header(example_segment(), block);
    ASSERT_EQ(block.size(), kBlockSizeBytes);
    EXPECT_EQ(hex(ByteSpan(block).first(96)),
              "54 57 46 44 57 41 4c 31 01 00 00 00 03 00 00 00\n"
              "69 6e 63 61 72 6e 61 74 65 64 00 00 03 00 00 00\n"
              "11 00 00 00 00 00 00 00 00 40 00 00 00 00 00 00\n"
              "44 33 22 11 00 10 00 00 2a 00 00 00 00 00 00 00\n"
              "64 00 00 00 00 00 00 00 02 00 00 00 dd cc bb aa\n"
              "10 00 00 00 00 00 00 00 62 00 00 00 00 00 00 00\n");
    EXPECT_EQ(hex(ByteSpan(block).last(4)), "07 36 0e e3 ");
    auto header = decode_segment_header(block);
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header.value(), example_segment());
}

TEST(Frame, golden_batch) {
    Bytes bytes = example_batch_bytes();
    std::uint32_t crc = seal_batch(example_batch(), 0x11223344, bytes);
    EXPECT_EQ(hex(bytes),
              "54 57 46 42 13 5a d3 72 50 00 00 00 01 00 02 01\n"
              "69 6e 63 61 72 6e 61 74 65 64 00 00 03 00 00 00\n"
              "2a 00 00 00 00 00 00 00 64 00 00 00 00 00 00 00\n"
              "02 00 00 00 dd cc bb aa 62 00 00 00 00 00 00 00\n"
              "05 00 00 00 68 65 6c 6c 6f 03 00 00 00 77 61 6c\n");
    BatchHeader header;
    ASSERT_EQ(peek_batch(bytes, bytes.size(), header), BatchCheck::valid);
    EXPECT_EQ(verify_batch(bytes, 0x11223344, header), BatchCheck::valid);
    BatchHeader expected = example_batch();
    expected.crc = crc;
    EXPECT_EQ(header, expected);
    std::string records;
    for_each_record(
        bytes, [&](ByteSpan record) { records.append(record.begin(), record.end()).append("|"); });
    EXPECT_EQ(records, "hello|wal|");
}

TEST(Frame, golden_durable_mark) {
    DurableMark mark{.incarnation = kIncarnation,
                     .epoch = 3,
                     .segment = 17,
                     .batch = 42,
                     .lsn = 101,
                     .newest_segment = 18,
                     .clean_shutdown = true};
    Bytes slot;
    encode_mark_slot(mark, slot);
    EXPECT_EQ(hex(slot),
              "54 57 46 4d 01 00 00 00 69 6e 63 61 72 6e 61 74\n"
              "65 64 01 00 03 00 00 00 11 00 00 00 00 00 00 00\n"
              "2a 00 00 00 00 00 00 00 65 00 00 00 00 00 00 00\n"
              "12 00 00 00 00 00 00 00 00 00 00 00 2d ae af c9\n");
    EXPECT_EQ(decode_mark_slot(slot), mark);
}

TEST(Frame, every_flipped_bit_of_a_segment_header_is_noticed) {
    Bytes block;
    encode_segment_header(example_segment(), block);
    for (std::size_t bit = 0; bit < block.size() * 8; ++bit) {
        block[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        EXPECT_FALSE(decode_segment_header(block).has_value()) << "bit " << bit;
        block[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    }
}

// A log whose newest header says so would be taken, and the next start's would not.
TEST(Frame, a_header_cannot_know_of_records_that_come_after_it) {
    SegmentHeader header = example_segment();
    Bytes block;
    header.durable_lsn = header.first_lsn - 1;
    encode_segment_header(header, block);
    EXPECT_TRUE(decode_segment_header(block).has_value());
    header.durable_lsn = header.first_lsn;
    encode_segment_header(header, block);
    EXPECT_FALSE(decode_segment_header(block).has_value());
}

TEST(Frame, every_flipped_bit_of_a_batch_is_noticed) {
    Bytes bytes = example_batch_bytes();
    seal_batch(example_batch(), 5, bytes);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        BatchHeader header;
        bool sound = peek_batch(bytes, bytes.size(), header) == BatchCheck::valid &&
                     verify_batch(ByteSpan(bytes).first(header.length_bytes), 5, header) ==
                         BatchCheck::valid;
        EXPECT_FALSE(sound) << "bit " << bit;
        bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    }
}

TEST(Frame, another_salt_never_validates) {
    Bytes bytes = example_batch_bytes();
    seal_batch(example_batch(), 5, bytes);
    BatchHeader header;
    ASSERT_EQ(peek_batch(bytes, bytes.size(), header), BatchCheck::valid);
    for (std::uint32_t salt = 0; salt < 1000; ++salt) {
        EXPECT_EQ(verify_batch(bytes, salt, header) == BatchCheck::valid, salt == 5);
    }
}

TEST(Frame, a_length_beyond_the_segment_is_refused_before_it_is_used) {
    Bytes bytes = example_batch_bytes();
    seal_batch(example_batch(), 5, bytes);
    BatchHeader header;
    EXPECT_EQ(peek_batch(bytes, bytes.size() - 1, header), BatchCheck::invalid);
}

TEST(Frame, a_newer_version_is_named) {
    Bytes block;
    encode_segment_header(example_segment(), block);
    block[8] = 2;
    auto header = decode_segment_header(block);
    ASSERT_FALSE(header.has_value());
    EXPECT_EQ(header.error().code, base::Errc::unsupported_version);
}

TEST(Frame, a_damaged_mark_slot_leaves_the_other) {
    Bytes file(kMarkFileSizeBytes);
    Bytes slot;
    for (std::uint64_t batch = 6; batch <= 7; ++batch) {
        DurableMark mark{
            .incarnation = kIncarnation, .epoch = 1, .segment = 1, .batch = batch, .lsn = 9};
        encode_mark_slot(mark, slot);
        std::ranges::copy(slot, file.begin() + static_cast<std::ptrdiff_t>(mark_slot_offset(mark)));
    }
    EXPECT_EQ(newest_mark(file)->batch, 7U);
    file[kMarkSlotDistanceBytes + 20] ^= 1U;
    EXPECT_EQ(newest_mark(file)->batch, 6U);
    file[20] ^= 1U;
    EXPECT_FALSE(newest_mark(file).has_value());
}

TEST(SegmentName, round_trip_and_strictness) {
    EXPECT_EQ(segment_name(17), "segment-00000000000000000017.wal");
    ParsedName parsed = parse_name(segment_name(17));
    EXPECT_EQ(parsed.kind, FileKind::segment);
    EXPECT_EQ(parsed.number, 17U);
    EXPECT_EQ(parse_name(spare_name(3)).kind, FileKind::spare);
    EXPECT_EQ(parse_name(unfinished_spare_name(3)).kind, FileKind::unfinished_spare);
    EXPECT_EQ(parse_name("segment-17.wal").kind, FileKind::malformed_segment);
    EXPECT_EQ(parse_name("segment-00000000000000000017.wal.bak").kind, FileKind::malformed_segment);
    EXPECT_EQ(parse_name("segment-00000000000000000000.wal").kind, FileKind::malformed_segment);
    EXPECT_EQ(parse_name("segment-99999999999999999999.wal").kind, FileKind::malformed_segment);
    EXPECT_EQ(parse_name("LOCK").kind, FileKind::other);
    EXPECT_EQ(parse_name("outcomes-3.bitmap").kind, FileKind::other);
}

}  // namespace
}  // namespace twofold::wal
