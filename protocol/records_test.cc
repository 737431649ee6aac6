#include "protocol/records.h"

#include "base/base64.h"
#include "base/rng.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace twofold::protocol {
namespace {

TxnId test_id(Sequence sequence) {
    base::HashKey key{};
    Incarnation incarnation;
    incarnation.bytes.fill(0x11);
    return make_txn_id(incarnation, 2, sequence, ParticipantNumber(0), base::KeyedHash(key));
}

ParticipantUuid test_uuid() {
    ParticipantUuid uuid;
    uuid.bytes.fill(0x22);
    return uuid;
}

IdempotencyKey test_idempotency() {
    IdempotencyKey key;
    key.key_hash.fill(0x33);
    key.fingerprint.fill(0x44);
    return key;
}

BranchRecord test_branch() {
    BranchRecord branch;
    branch.branch = 1;
    branch.attempt = 2;
    branch.participant = ParticipantNumber(3);
    branch.uuid = test_uuid();
    branch.identity = {"postgresql", {"7312", "16384"}};
    branch.participant_epoch = 9;
    branch.vote = Vote::yes;
    branch.proof = ProofToken{771, {1, 0x16b3748}, true};
    return branch;
}

std::vector<Record> one_of_each() {
    EpochRecord epoch;
    epoch.incarnation.bytes.fill(0x11);
    epoch.epoch = 2;
    epoch.key.fill(0x55);
    BranchRecord plain = test_branch();
    plain.proof.reset();
    plain.vote = Vote::read_only;
    return {
        epoch,
        ParticipantRecord{ParticipantNumber(3), test_uuid(), "orders", {"sqlite", {"u"}}, false},
        ParticipantRecord{ParticipantNumber(3),
                          test_uuid(),
                          "orders",
                          {"sqlite", {"u"}},
                          true,
                          {"rebound: moved", "retired: sold"}},
        PreparingRecord{test_id(1), {{test_id(1), std::nullopt, {}}}, {plain}},
        DecisionRecord{test_id(1),
                       Decision::commit,
                       {{test_id(1), test_idempotency(), {{"order", "17"}}}},
                       {test_branch(), plain},
                       ""},
        DecisionRecord{test_id(2), Decision::abort, {}, {}, "client_abort"},
        EndRecord{test_id(1), Outcome::committed},
        OutcomesRecord{2, 64, {0xff, 0x01}},
        HorizonRecord{{2, 10}},
        BranchOutcomeRecord{{test_id(1), 1, 2},
                            ParticipantNumber(3),
                            Outcome::heuristic_hazard,
                            "gid gone, xid unknown",
                            true},
        GivenUpRecord{ParticipantNumber(3), {2, 7}},
        PositionRecord{ParticipantNumber(3), {1, 99}},
        IdempotentAbortRecord{test_id(2), test_idempotency(), "deadline_exceeded"},
        AcknowledgedRecord{test_id(1), "seen by the night shift"},
        KeysRecord{4,
                   {{test_idempotency(), {2, 7}, ParticipantNumber(0), true, ""},
                    {test_idempotency(), {2, 8}, ParticipantNumber(3), false, "deadline"}}},
        SealedRecord{0x200000001, 4, 8192, 0x44332211},
        KeyTurnRecord{5},
        RestoreRecord{true, ParticipantNumber(3), 7, 99, "log_went_back", "the disk was replaced"},
        SealedOutcomesRecord{0x200000002, {2, 524'287}, 8192},
        OutcomeTurnRecord{64, {2, 8}},
        EpochRecord{{}, 3, {}, ParticipantNumber(4)}};
}

TEST(Records, RoundTripAndNoRecordDecodesAsAnother) {
    for (const Record& record : one_of_each()) {
        auto decoded = decode_record(encode_record(record));
        ASSERT_TRUE(decoded.has_value()) << describe_record(record);
        EXPECT_EQ(decoded.value(), record) << describe_record(record);
    }
}

// The bytes are on people's disks: a change here needs a new record version, never a new golden.
// Without the number it is a record of the first version, as it was read.
TEST(Records, GoldenBytesOfEpochs) {
    EpochRecord record;
    record.incarnation.bytes.fill(0x11);
    record.epoch = 5;
    record.key.fill(0x22);
    const std::string fields = std::string(20, '1') + "05000000" + std::string(64, '2');
    EXPECT_EQ(base::hex_encode(encode_record(record)), "0101" + fields);
    record.last_participant = ParticipantNumber(3);
    EXPECT_EQ(base::hex_encode(encode_record(record)), "0102" + fields + "0300");
    base::Bytes bytes = encode_record(record);
    bytes[1] = 3;
    EXPECT_EQ(decode_record(bytes).error().code, base::Errc::unsupported_version);
}

TEST(Records, GoldenBytesOfParticipants) {
    const std::string participant = "0300" + std::string(32, '2') + "01000000" + "6f" + "01000000" +
                                    "73" + "01" + "01000000" + "75";
    ParticipantRecord orders{ParticipantNumber(3), test_uuid(), "o", {"s", {"u"}}, false};
    EXPECT_EQ(base::hex_encode(encode_record(orders)), "0201" + participant + "00");
    orders.retired = true;
    orders.decisions = {"ok"};
    EXPECT_EQ(base::hex_encode(encode_record(orders)),
              "0202" + participant + "01" + "0100" + "02000000" + "6f6b");
}

TEST(Records, GoldenBytes) {
    const std::string id1 = base::hex_encode(test_id(1).bytes);
    EXPECT_EQ(id1.substr(0, 48), "010011111111111111111111000000020000000000010000");
    EXPECT_EQ(base::hex_encode(encode_record(EndRecord{test_id(1), Outcome::committed})),
              "0501" + id1 + "01");
    EXPECT_EQ(base::hex_encode(encode_record(HorizonRecord{{2, 10}})),
              "0701020000000a00000000000000");
    EXPECT_EQ(base::hex_encode(encode_record(PositionRecord{ParticipantNumber(3), {1, 99}})),
              "0a010300010000006300000000000000");
    EXPECT_EQ(base::hex_encode(encode_record(OutcomesRecord{2, 64, {0xff, 0x01}})),
              "06010200000040000000000000000200"
              "0000ff01");
    EXPECT_EQ(base::hex_encode(encode_record(AcknowledgedRecord{test_id(1), "ok"})),
              "0c01" + id1 + "020000006f6b");
    EXPECT_EQ(base::hex_encode(
                  encode_record(RestoreRecord{true, ParticipantNumber(3), 7, 99, "c", "ok"})),
              "100101030007000000630000000000000001000000"
              "63"
              "02000000"
              "6f6b");
    EXPECT_EQ(
        base::hex_encode(encode_record(DecisionRecord{
            test_id(1), Decision::commit, {{test_id(1), std::nullopt, {}}}, {test_branch()}, ""})),
        "0401" + id1 + "01" +               // group, commit
            "0100" + id1 + "00" + "0000" +  // one member, no key, no labels
            "0100" +                        // one branch
            "0100"
            "0200"
            "0300" +  // branch, attempt, participant
            std::string("22222222222222222222222222222222") +
            "0a000000706f737467726573716c"
            "02"
            "0400000037333132"
            "05000000"
            "3136333834" +
            "09000000"
            "01" +  // participant epoch, yes
            "01"
            "0303000000000000"
            "01000000"
            "48376b0100000000"
            "01" +        // proof
            "00000000");  // no reason
}

TEST(Records, GoldenBytesOfKeys) {
    const std::string key(std::string(32, '3') + std::string(32, '4'));
    EXPECT_EQ(base::hex_encode(encode_record(
                  KeysRecord{4,
                             {{test_idempotency(), {2, 7}, ParticipantNumber(0), true, ""},
                              {test_idempotency(), {2, 8}, ParticipantNumber(3), false, "no"}}})),
              "0d01"
              "04000000"
              "0200" +  // generation, two keys
                  key +
                  "020000000700000000000000" + "000001" +        // committed
                  key + "020000000800000000000000" + "030000" +  // aborted at participant 3
                  "020000006e6f");
    EXPECT_EQ(base::hex_encode(encode_record(SealedRecord{0x200000001, 4, 8192, 0x44332211})),
              "0e01"
              "0100000002000000"
              "04000000"
              "00200000"
              "11223344");
    EXPECT_EQ(base::hex_encode(encode_record(KeyTurnRecord{5})), "0f0105000000");
}

TEST(Records, GoldenBytesOfOutcomesInFiles) {
    EXPECT_EQ(base::hex_encode(
                  encode_record(SealedOutcomesRecord{0x200000002, {2, 524'287}, 8192, 0x0a0b0c0d})),
              "1101"
              "0200000002000000"
              "02000000ffff070000000000"
              "00200000"
              "0d0c0b0a");
    EXPECT_EQ(base::hex_encode(encode_record(OutcomeTurnRecord{64, {2, 8}})),
              "1201"
              "40000000"
              "020000000800000000000000");
}

TEST(Records, EveryTruncationIsRefused) {
    for (const Record& record : one_of_each()) {
        base::Bytes bytes = encode_record(record);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            auto decoded = decode_record(base::ByteSpan(bytes).first(size));
            ASSERT_FALSE(decoded.has_value()) << describe_record(record) << " cut at " << size;
        }
        bytes.push_back(0);
        ASSERT_FALSE(decode_record(bytes).has_value()) << "a byte too many";
    }
}

TEST(Records, UnknownTypesAndVersionsAreNamedAsNewer) {
    base::Bytes bytes = encode_record(HorizonRecord{{2, 10}});
    bytes[1] = 2;
    EXPECT_EQ(decode_record(bytes).error().code, base::Errc::unsupported_version);
    bytes[1] = 1;
    bytes[0] = 200;
    EXPECT_EQ(decode_record(bytes).error().code, base::Errc::unsupported_version);
}

TEST(Records, RandomBytesNeverCrashAndAnAcceptedTextIsCanonical) {
    base::SeededRng rng(5);
    std::vector<Record> records = one_of_each();
    for (int round = 0; round < 50'000; ++round) {
        base::Bytes bytes = encode_record(records[rng.below(records.size())]);
        for (std::uint64_t flips = rng.between(1, 3); flips > 0; --flips) {
            bytes[rng.below(bytes.size())] ^= static_cast<std::uint8_t>(1U << rng.below(8));
        }
        auto decoded = decode_record(bytes);
        if (decoded.has_value()) ASSERT_EQ(encode_record(decoded.value()), bytes);
    }
}

TEST(Records, SomeReferToAFile) {
    std::vector<std::uint64_t> files;
    for (const Record& record : one_of_each()) {
        if (auto file = sealed_file_of(record)) files.push_back(file->number);
    }
    EXPECT_EQ(files, (std::vector<std::uint64_t>{0x200000001, 0x200000002}));
}

TEST(Records, DescriptionsHideTheKey) {
    Record epoch = one_of_each()[0];
    EXPECT_EQ(describe_record(epoch).find("5555"), std::string::npos);
    EXPECT_EQ(describe_record_json(epoch).find("5555"), std::string::npos);
    Record keys = KeysRecord{1, {{test_idempotency(), {2, 7}, {}, false, "late"}}};
    EXPECT_EQ(describe_record(keys),
              "keys generation=1 count=1 keys=[key txn=2.7 participant=0 outcome=aborted "
              "reason=late]");
    EXPECT_EQ(describe_record_json(keys).find("3333"), std::string::npos);
    EXPECT_EQ(describe_record(EndRecord{test_id(1), Outcome::committed}),
              "end group=" + test_id(1).text() + " outcome=committed");
    EXPECT_EQ(describe_record(SealedOutcomesRecord{7, {2, 9}, 3, 5}),
              "sealed_outcomes file=7 newest=2.9 committed=3 checksum=5");
    EXPECT_EQ(describe_record_json(OutcomeTurnRecord{64, {2, 9}}),
              R"({"type":"outcome_turn","number":64,"next":"2.9"})");
}

}  // namespace
}  // namespace twofold::protocol
