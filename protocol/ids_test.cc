#include "protocol/ids.h"

#include "base/base64.h"
#include "base/rng.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::protocol {
namespace {

base::HashKey test_key(std::uint8_t fill) {
    base::HashKey key{};
    key.fill(fill);
    return key;
}

Incarnation test_incarnation() {
    Incarnation out;
    for (std::size_t i = 0; i < out.bytes.size(); ++i) {
        out.bytes[i] = static_cast<std::uint8_t>(0xa0 + i);
    }
    return out;
}

ParticipantUuid test_uuid() {
    ParticipantUuid out;
    for (std::size_t i = 0; i < out.bytes.size(); ++i) {
        out.bytes[i] = static_cast<std::uint8_t>(0x10 + i);
    }
    return out;
}

TEST(TxnId, GoldenBytes) {
    base::KeyedHash key(test_key(7));
    TxnId id = make_txn_id(test_incarnation(), 3, 258, ParticipantNumber(5), key);
    EXPECT_EQ(base::hex_encode(id.bytes),
              "0100"                  // version, flags
              "a0a1a2a3a4a5a6a7a8a9"  // incarnation
              "00000003"              // epoch
              "000000000102"          // sequence
              "0005"                  // participant
              "06c128d840b3be74ae0b7469");
    EXPECT_EQ(id.text().size(), kTxnIdTextSize);
    EXPECT_EQ(id.incarnation(), test_incarnation());
    EXPECT_EQ(id.epoch(), 3U);
    EXPECT_EQ(id.sequence(), 258U);
    EXPECT_EQ(id.participant(), ParticipantNumber(5));
}

TEST(TxnId, TextRoundTripsAndOnlyOneTextIsAccepted) {
    base::KeyedHash key(test_key(1));
    TxnId id = make_txn_id(test_incarnation(), 1, 1, ParticipantNumber(0), key);
    EXPECT_EQ(TxnId::parse(id.text()), id);
    EXPECT_FALSE(TxnId::parse(id.text() + "A"));
    EXPECT_FALSE(TxnId::parse(id.text().substr(1)));
    EXPECT_FALSE(TxnId::parse(std::string(48, '!')));
    EXPECT_FALSE(TxnId::parse(std::string(48, 'A'))) << "version 0";
    EXPECT_FALSE(TxnId::parse(""));
}

TEST(TxnId, AnyChangedBitBreaksTheTag) {
    base::KeyedHash key(test_key(1));
    base::KeyedHash other(test_key(2));
    TxnId id = make_txn_id(test_incarnation(), 9, 77, ParticipantNumber(0), key);
    EXPECT_TRUE(tag_matches(id, key));
    EXPECT_FALSE(tag_matches(id, other));
    for (std::size_t bit = 0; bit < kGtridSize * 8; ++bit) {
        TxnId forged = id;
        forged.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        ASSERT_FALSE(tag_matches(forged, key)) << "bit " << bit;
    }
}

TEST(TxnId, SortsByEpochThenSequence) {
    base::KeyedHash key(test_key(1));
    auto id = [&](Epoch epoch, Sequence sequence) {
        return make_txn_id(test_incarnation(), epoch, sequence, ParticipantNumber(0), key);
    };
    EXPECT_LT(id(1, 255), id(1, 256));
    EXPECT_LT(id(1, kSequenceMax), id(2, 1));
    EXPECT_LT(id(255, 1), id(256, 1));
}

TEST(ParticipantUuid, Text) {
    EXPECT_EQ(test_uuid().text(), "10111213-1415-1617-1819-1a1b1c1d1e1f");
    EXPECT_EQ(ParticipantUuid::parse(test_uuid().text()), test_uuid());
    EXPECT_FALSE(ParticipantUuid::parse("10111213-1415-1617-1819-1A1B1C1D1E1F"));
    EXPECT_FALSE(ParticipantUuid::parse("101112131415161718191a1b1c1d1e1f"));
    EXPECT_FALSE(ParticipantUuid::parse("10111213-1415-1617-1819-1a1b1c1d1e1"));
}

TEST(Gid, GoldenTextAndRoundTrip) {
    base::KeyedHash key(test_key(7));
    BranchKey branch{make_txn_id(test_incarnation(), 3, 258, ParticipantNumber(0), key), 2, 1};
    std::string gid = make_gid(branch, test_uuid());
    EXPECT_EQ(gid.size(), 88U) << "PostgreSQL allows 199, MariaDB 64 + 64 bytes";
    EXPECT_TRUE(gid.starts_with("1415008070_"));
    EXPECT_TRUE(gid.ends_with("_AQACAAEQERITFBUWFxgZGhscHR4f"));
    auto parsed = parse_gid(gid);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->key, branch);
    EXPECT_EQ(parsed->participant, test_uuid());
}

TEST(Gid, OtherProgramsPreparedTransactionsAreNotOurs) {
    EXPECT_FALSE(parse_gid(""));
    EXPECT_FALSE(parse_gid("foo"));
    EXPECT_FALSE(parse_gid("1415008070_"));
    EXPECT_FALSE(parse_gid("1415008070_AAAA_AAAA"));
    EXPECT_FALSE(parse_gid("131077_MS1hb2Y=_YWJj")) << "another format id";
}

// An inquiry that named such a branch would be refused as a whole.
TEST(Gid, WhatNobodyCouldBeAskedAboutIsNotOurs) {
    base::KeyedHash key(test_key(7));
    TxnId id = make_txn_id(test_incarnation(), 3, 258, ParticipantNumber(0), key);
    EXPECT_FALSE(parse_gid(make_gid({id, 0, 1}, test_uuid())));
    EXPECT_FALSE(parse_gid(make_gid({id, 1, 0}, test_uuid())));
    TxnId no_epoch = id;
    std::fill_n(no_epoch.bytes.begin() + 12, 4, std::uint8_t{0});
    EXPECT_FALSE(parse_gid(make_gid({no_epoch, 1, 1}, test_uuid())));
    TxnId no_sequence = id;
    std::fill_n(no_sequence.bytes.begin() + 16, 6, std::uint8_t{0});
    EXPECT_FALSE(parse_gid(make_gid({no_sequence, 1, 1}, test_uuid())));
}

TEST(Gid, RandomKeysRoundTrip) {
    base::SeededRng rng(3);
    base::KeyedHash key(test_key(9));
    for (int i = 0; i < 1'000; ++i) {
        BranchKey branch{make_txn_id(test_incarnation(),
                                     static_cast<Epoch>(rng.between(1, 0xffffffff)),
                                     rng.between(1, kSequenceMax),
                                     ParticipantNumber(static_cast<std::uint16_t>(rng.next())),
                                     key),
                         static_cast<std::uint16_t>(rng.between(1, 0xffff)),
                         static_cast<std::uint16_t>(rng.between(1, 0xffff))};
        auto parsed = parse_gid(make_gid(branch, test_uuid()));
        ASSERT_TRUE(parsed);
        ASSERT_EQ(parsed->key, branch);
    }
}

}  // namespace
}  // namespace twofold::protocol
