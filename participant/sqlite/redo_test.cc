// The bytes of the redo record: exact, and hostile ones are errors.
#include "participant/sqlite/redo.h"

#include "base/base64.h"
#include "base/rng.h"

#include <gtest/gtest.h>

#include <limits>

namespace twofold::participant::sqlite::test {
namespace {

Redo sample() {
    RedoTable table;
    table.name = "t";
    table.has_rowid = true;
    table.rowid_name = "rowid";
    table.columns = {"k", "v"};
    table.key_columns = {"k"};
    table.rows_before = 1;
    table.keys = {{{Value{std::string("a")}}, ImageHash{1, 2, 3}}, {{Value{std::string("b")}}, {}}};
    table.rows = {{Value{std::int64_t{7}}, Value{std::string("b")}, Value{base::Bytes{0, 255}}},
                  {Value{std::int64_t{8}}, Value{std::string("c")}, Value{-0.5}}};
    return {{table}, {{"t", Value{}, Value{std::numeric_limits<std::int64_t>::min()}}}};
}

TEST(RedoTest, GoldenBytes) {
    EXPECT_EQ(base::hex_encode(encode_redo(sample())),
              "0101000000"
              "0100000074"
              "05000000726f776964"
              "02000000"
              "010000006b"
              "0100000076"
              "01000000"
              "010000006b"
              "01000000"
              "02000000"
              "01000000"
              "030100000061"
              "01"
              "01020300000000000000000000000000"
              "01000000"
              "030100000062"
              "00"
              "02000000"
              "03000000"
              "010700000000000000"
              "030100000062"
              "040200000000ff"
              "03000000"
              "010800000000000000"
              "030100000063"
              "02000000000000e0bf"
              "01000000"
              "0100000074"
              "00"
              "010000000000000080");
}

TEST(RedoTest, RoundTrip) {
    base::Bytes bytes = encode_redo(sample());
    auto decoded = decode_redo(bytes);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(encode_redo(decoded.value()), bytes);
}

TEST(RedoTest, EveryCutIsRefused) {
    base::Bytes bytes = encode_redo(sample());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_redo(base::ByteSpan(bytes).first(size)).has_value()) << size;
    }
    bytes.push_back(0);
    EXPECT_FALSE(decode_redo(bytes).has_value());
}

TEST(RedoTest, FlippedBitsNeverCrash) {
    const base::Bytes bytes = encode_redo(sample());
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        base::Bytes damaged = bytes;
        damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << (bit % 8)));
        auto decoded = decode_redo(damaged);
        if (!decoded.has_value()) continue;
        EXPECT_EQ(encode_redo(decoded.value()), damaged) << "read as something else";
    }
}

TEST(RedoTest, RowidNameMustBeOne) {
    Redo redo = sample();
    redo.tables[0].rowid_name = "1; DROP TABLE t";
    EXPECT_FALSE(decode_redo(encode_redo(redo)).has_value());
}

TEST(RedoTest, WhatIsNoValueOfSqliteIsRefused) {
    Redo redo = sample();
    redo.tables[0].rows[0][2] = Value{std::numeric_limits<double>::quiet_NaN()};
    EXPECT_FALSE(decode_redo(encode_redo(redo)).has_value());
    redo.tables[0].rows[0][2] = Value{-std::numeric_limits<double>::infinity()};
    EXPECT_TRUE(decode_redo(encode_redo(redo)).has_value());
}

TEST(RedoTest, NewerVersionIsNamed) {
    base::Bytes bytes = encode_redo(sample());
    bytes[0] = 2;
    EXPECT_EQ(decode_redo(bytes).error().code, base::Errc::unsupported_version);
}

TEST(RedoTest, HashIgnoresTheRowidOnly) {
    Redo redo = sample();
    const RedoTable& table = redo.tables[0];
    Row row = table.rows[0];
    ImageHash hash = hash_image(table, row);
    row[0] = Value{std::int64_t{99}};
    EXPECT_EQ(hash_image(table, row), hash);
    row[2] = Value{std::string("x")};
    EXPECT_NE(hash_image(table, row), hash);
}

TEST(ValueTest, Literals) {
    EXPECT_EQ(sql_literal({}), "NULL");
    EXPECT_EQ(sql_literal({std::string("it's")}), "'it''s'");
    EXPECT_EQ(sql_literal({std::string("a\0b", 3)}), "CAST(X'610062' AS TEXT)");
    EXPECT_EQ(sql_literal({1.0}), "1.0");
    EXPECT_EQ(sql_literal({0.1}), "0.1");
    EXPECT_EQ(sql_literal({1e300}), "1e+300");
    EXPECT_EQ(sql_literal({-std::numeric_limits<double>::infinity()}), "-9e999");
    EXPECT_EQ(sql_literal({base::Bytes{1, 255}}), "X'01ff'");
    EXPECT_EQ(quoted("a\"b"), "\"a\"\"b\"");
}

TEST(ValueTest, TypesAreDifferentValues) {
    EXPECT_NE(Value{std::int64_t{1}}, Value{1.0});
    EXPECT_NE(row_bytes({Value{std::string("a")}}), row_bytes({Value{base::Bytes{'a'}}}));
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
