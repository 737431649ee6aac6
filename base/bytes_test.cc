#include "base/bytes.h"

#include "base/base64.h"
#include "base/crc32c.h"
#include "base/keyed_hash.h"
#include "base/rng.h"

#include <boost/crc.hpp>
#include <gtest/gtest.h>

#include <string>

namespace twofold::base {
namespace {

TEST(Bytes, WritesLittleEndianAndReadsBack) {
    Bytes bytes;
    ByteWriter out(bytes);
    out.u8(0x01);
    out.u16(0x0203);
    out.u32(0x04050607);
    out.u64(0x08090a0b0c0d0e0fULL);
    out.string("ab");
    EXPECT_EQ(hex_encode(bytes), "010302070605040f0e0d0c0b0a0908020000006162");
    ByteReader in(bytes);
    EXPECT_EQ(in.u8(), 0x01);
    EXPECT_EQ(in.u16(), 0x0203);
    EXPECT_EQ(in.u32(), 0x04050607U);
    EXPECT_EQ(in.u64(), 0x08090a0b0c0d0e0fULL);
    EXPECT_EQ(in.string(), "ab");
    EXPECT_TRUE(in.finished());
}

TEST(Bytes, ReadingPastTheEndFailsAndStaysFailed) {
    const Bytes three{1, 2, 3};
    ByteReader in(three);
    EXPECT_EQ(in.u32(), 0U);
    EXPECT_FALSE(in.ok());
    EXPECT_EQ(in.u8(), 0);
    EXPECT_FALSE(in.finished());
}

TEST(Bytes, HostileStringLengthIsNoAllocation) {
    const Bytes hostile{0xff, 0xff, 0xff, 0xff, 'x'};
    ByteReader in(hostile);
    EXPECT_EQ(in.string(), "");
    EXPECT_FALSE(in.ok());
}

TEST(Base64, KnownVectors) {
    // RFC 4648, section 10.
    EXPECT_EQ(base64_encode(as_bytes("foobar"), Base64Alphabet::standard), "Zm9vYmFy");
    EXPECT_EQ(base64_encode(as_bytes("fooba"), Base64Alphabet::standard), "Zm9vYmE=");
    EXPECT_EQ(base64_encode(as_bytes("foob"), Base64Alphabet::url), "Zm9vYg");
    EXPECT_EQ(base64_encode(Bytes{0xfb, 0xff}, Base64Alphabet::url), "-_8");
}

TEST(Base64, EveryByteStringHasOneTextForm) {
    SeededRng rng(7);
    for (int round = 0; round < 2'000; ++round) {
        Bytes bytes(rng.below(40));
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.next());
        for (auto alphabet : {Base64Alphabet::standard, Base64Alphabet::url}) {
            std::string text = base64_encode(bytes, alphabet);
            ASSERT_EQ(base64_decode(text, alphabet), bytes);
        }
    }
    EXPECT_FALSE(base64_decode("Zm9vYh", Base64Alphabet::url)) << "non-zero trailing bits";
    EXPECT_FALSE(base64_decode("Zm9v YmFy", Base64Alphabet::url)) << "white space";
    EXPECT_FALSE(base64_decode("Zm9vYmE", Base64Alphabet::standard)) << "missing padding";
    EXPECT_FALSE(base64_decode("Z", Base64Alphabet::url)) << "impossible length";
    EXPECT_FALSE(base64_decode("+/8=", Base64Alphabet::url)) << "the other alphabet";
}

TEST(Hex, RefusesWhatItDoesNotWrite) {
    EXPECT_EQ(hex_decode("00ff"), (Bytes{0x00, 0xff}));
    EXPECT_FALSE(hex_decode("0"));
    EXPECT_FALSE(hex_decode("0G"));
    EXPECT_FALSE(hex_decode("FF")) << "one text form only";
}

std::uint32_t reference_crc(ByteSpan bytes) {
    boost::crc_optimal<32, 0x1edc6f41, 0xffffffff, 0xffffffff, true, true> crc;
    crc.process_bytes(bytes.data(), bytes.size());
    return crc.checksum();
}

TEST(Crc32c, AgreesWithBoostAndWithItself) {
    EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283U);  // the published check value
    SeededRng rng(11);
    for (int round = 0; round < 500; ++round) {
        Bytes bytes(rng.below(300));
        for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.next());
        ASSERT_EQ(crc32c(bytes), reference_crc(bytes));
        ASSERT_EQ(crc32c_portable(bytes), reference_crc(bytes));
        std::size_t cut = bytes.empty() ? 0 : rng.below(bytes.size());
        ByteSpan all(bytes);
        ASSERT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), crc32c(bytes));
    }
}

TEST(KeyedHash, Rfc4231Vector) {
    HashKey key{};
    for (std::size_t i = 0; i < 20; ++i) key[i] = 0x0b;
    // RFC 4231 test case 1: a key of 20 bytes equals one padded with zeros.
    KeyedHash hash(key);
    const std::string expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
    EXPECT_EQ(hex_encode(hash.hash(as_bytes("Hi There"))), expected);
    EXPECT_EQ(hex_encode(hash.hash(as_bytes("Hi There"))), expected) << "a context is reusable";
    EXPECT_NE(hex_encode(hash.hash(as_bytes("Hi there"))), expected);
}

TEST(Rng, IsTheSameEverywhere) {
    SeededRng rng(42);
    EXPECT_EQ(rng.next(), 1546998764402558742ULL);
    EXPECT_EQ(rng.next(), 6990951692964543102ULL);
}

}  // namespace
}  // namespace twofold::base
