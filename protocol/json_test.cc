#include "protocol/json.h"

#include "base/rng.h"
#include "protocol/json_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace twofold::protocol {
namespace {

TxnId test_id() {
    base::HashKey key{};
    return make_txn_id(Incarnation{}, 2, 5, ParticipantNumber(0), base::KeyedHash(key));
}

BatchRequest test_batch() {
    BatchRequest batch;
    batch.sender = {Incarnation{}, 3, ~0ULL, 1ULL << 60U, 1ULL << 59U};
    batch.participant.bytes.fill(0x22);
    batch.identity = {"postgresql", {"7312", "16384"}};
    batch.low_water = {2, 4};
    batch.horizon = {1, 1};
    Item run;
    run.op = ItemOp::execute_prepare;
    run.key = {test_id(), 1, 1};
    run.participant_epoch = 7;
    run.work = std::make_shared<const std::string>(R"([{"sql":"SELECT 1","params":[1,"ä"]}])");
    run.options.isolation = Isolation::repeatable_read;
    run.options.lock_timeout_ms = 100;
    run.deadline_ms = 30'000;
    Item commit;
    commit.op = ItemOp::commit;
    commit.key = {test_id(), 2, 1};
    commit.proof = ProofToken{1ULL << 62U, {1, ~0ULL}, true};
    batch.items = {run, commit};
    return batch;
}

std::string text_of(const BatchRequest& batch) {
    std::string out;
    append_batch_request(out, batch);
    return out;
}

TEST(Json, BatchRoundTrips) {
    BatchRequest batch = test_batch();
    auto parsed = parse_batch_request(text_of(batch));
    ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
    EXPECT_EQ(text_of(parsed.value()), text_of(batch));
    EXPECT_EQ(parsed.value().sender, batch.sender);
    EXPECT_EQ(*parsed.value().items[0].work, *batch.items[0].work);
    EXPECT_EQ(parsed.value().items[1].proof, batch.items[1].proof);
}

TEST(Json, ResultRoundTrips) {
    ItemResult result;
    result.op = ItemOp::execute_prepare;
    result.key = {test_id(), 1, 2};
    result.participant.bytes.fill(1);
    result.identity = {"sqlite", {"a:b%c"}};
    result.participant_epoch = 4;
    result.status = ItemStatus::no;
    result.reason = {"expectation_missed", "statement 2: expected 1 row, found 0\n", 2, "23505"};
    result.recorded = false;
    result.executed = false;
    result.position = {1, 77};
    std::string line;
    append_item_result(line, result);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line, whatever the texts contain";
    auto parsed = parse_item_result(line);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
    std::string again;
    append_item_result(again, parsed.value());
    EXPECT_EQ(again, line);
    EXPECT_EQ(parsed.value().reason, result.reason);
    EXPECT_EQ(parsed.value().identity, result.identity);
}

TEST(Json, OffersAndWhatIsKnownOfSendersRoundTrip) {
    SenderStamp known{Incarnation{}, 3, ~0ULL, 1ULL << 60U};
    OfferReply reply;
    reply.identity = {"sqlite", {"x"}};
    reply.reason = {"sender_conflict", "two", -1, {}};
    reply.known = known;
    std::string line;
    append_offer_reply(line, reply);
    auto parsed = parse_offer_reply(line);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
    EXPECT_FALSE(parsed.value().accepted);
    EXPECT_EQ(parsed.value().reason, reply.reason);
    EXPECT_EQ(parsed.value().known, known);

    InquiryRequest request;
    request.identity = {"sqlite", {"x"}};
    request.participant_epoch = 1;
    request.senders = {known};
    std::string text;
    append_inquiry_request(text, request);
    auto asked = parse_inquiry_request(text);
    ASSERT_TRUE(asked.has_value()) << asked.error().text();
    EXPECT_EQ(asked.value().senders, request.senders);
}

TEST(Json, InquiryAndInfoRoundTrip) {
    InquiryRequest request;
    request.identity = {"sqlite", {"x"}};
    request.participant_epoch = 1;
    request.position = {1, 2};
    request.items = {{{test_id(), 1, 1}, std::nullopt}, {{test_id(), 2, 1}, ProofToken{}}};
    std::string text;
    append_inquiry_request(text, request);
    auto parsed = parse_inquiry_request(text);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
    EXPECT_EQ(parsed.value().items.size(), 2U);

    InquiryReply reply{{Incarnation{}, 1, 2, 3},
                       {{{test_id(), 1, 1}, InquiryAnswer::expired, std::nullopt}}};
    text.clear();
    append_inquiry_reply(text, reply);
    auto answered = parse_inquiry_reply(text);
    ASSERT_TRUE(answered.has_value()) << answered.error().text();
    EXPECT_EQ(answered.value().items[0].answer, InquiryAnswer::expired);

    ParticipantInfo info;
    info.name = "orders";
    info.identity = {"sqlite", {"x"}};
    info.slots = 1;
    info.exclusive = true;
    text.clear();
    append_participant_info(text, info);
    auto described = parse_participant_info(text);
    ASSERT_TRUE(described.has_value()) << described.error().text();
    EXPECT_TRUE(described.value().exclusive);
}

TEST(Json, ADescriptionNeedsOnlyWhatIsMandatory) {
    auto info = parse_participant_info(
        R"({"uuid":"11111111-2222-3333-4444-555555555555","name":"seats","identity":"custom:a:b",)"
        R"("epoch":1,"slots":8})");
    ASSERT_TRUE(info.has_value()) << info.error().text();
    EXPECT_FALSE(info.value().exclusive);
    EXPECT_EQ(info.value().position, Position{});
    EXPECT_FALSE(info.value().batch || info.value().read_only || info.value().one_phase ||
                 info.value().proof || info.value().epochs)
        << "a capability that is not named is not there";
    auto wrong = parse_participant_info(
        R"({"uuid":"11111111-2222-3333-4444-555555555555","name":"seats","identity":"custom:a:b",)"
        R"("epoch":1,"slots":8,"capabilities":{"batch":1}})");
    ASSERT_FALSE(wrong.has_value());
    EXPECT_EQ(wrong.error().context, "capabilities.batch: must be true or false, found an integer");
}

// Any service may present an identity, and it goes into every decision record.
TEST(Json, AnIdentityIsBounded) {
    EXPECT_TRUE(Identity::parse("custom:" + std::string(500, 'x')).has_value());
    EXPECT_FALSE(Identity::parse("custom:" + std::string(506, 'x')).has_value());
    std::string many = "custom";
    for (std::size_t i = 0; i < Identity::kFieldsMax; ++i) many += ":f";
    EXPECT_TRUE(Identity::parse(many).has_value());
    EXPECT_FALSE(Identity::parse(many + ":f").has_value());
}

TEST(Json, AReasonIsBounded) {
    auto line = [](const std::string& code, const std::string& message) {
        ItemResult result;
        result.key = {test_id(), 1, 1};
        result.identity = {"custom", {}};
        result.status = ItemStatus::no;
        result.reason = {code, message, -1, {}};
        std::string text;
        append_item_result(text, result);
        return parse_item_result(text);
    };
    std::string umlauts = "x";
    for (int i = 0; i < 2'000; ++i) umlauts += "ä";
    auto cut = line("sold_out", umlauts);
    ASSERT_TRUE(cut.has_value()) << cut.error().text();
    EXPECT_EQ(cut.value().reason.message.size(), 1'999U) << "no half character";
    auto refused = line(std::string(65, 'c'), "");
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().context,
              "reason.code: must be at most 64 characters, found a string");
}

std::string error_of(const std::string& text) {
    auto parsed = parse_batch_request(text);
    return parsed.has_value() ? "accepted" : parsed.error().context;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

TEST(Json, ErrorsNameTheMemberAndTheFix) {
    std::string good = text_of(test_batch());
    EXPECT_EQ(error_of(replaced(good, "\"attempt\":1", "\"attempt\":0")),
              "items[0].attempt: must be an integer from 1 to 65535, found an integer");
    EXPECT_EQ(error_of(replaced(good, "\"op\":\"commit\"", "\"op\":\"comit\"")),
              "items[1].op: must be a known operation, found a string");
    EXPECT_EQ(error_of(replaced(good, "\"low_water\"", "\"lowwater\"")),
              "low_water: must be present, but is missing");
    EXPECT_NE(error_of(replaced(good, "\"branch\":1", "\"branch\":1,\"extra\":2"))
                  .find("items[0].extra: unknown member; known are"),
              std::string::npos);
    EXPECT_NE(error_of("{").find("not valid JSON at byte 1"), std::string::npos);
    EXPECT_NE(error_of("[]").find("the body: must be an object, found an array"),
              std::string::npos);
    EXPECT_NE(error_of(std::string(100, '[')).find("nested deeper than 32 levels"),
              std::string::npos);
    EXPECT_NE(
        error_of(replaced(good, "\"branch\":1", "\"branch\":1,\"branch\":2")).find("occurs twice"),
        std::string::npos);
}

TEST(Json, MutatedBatchesNeverCrash) {
    base::SeededRng rng(17);
    const std::string good = text_of(test_batch());
    std::size_t refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string text = good;
        for (std::uint64_t edits = rng.between(1, 4); edits > 0; --edits) {
            std::size_t at = rng.below(text.size());
            switch (rng.below(3)) {
                case 0: text[at] = static_cast<char>(rng.next()); break;
                case 1: text.erase(at, rng.between(1, 9)); break;
                default: text.insert(at, text.substr(rng.below(text.size()), 5)); break;
            }
            if (text.empty()) text = "x";
        }
        if (!parse_batch_request(text).has_value()) ++refused;
    }
    EXPECT_GT(refused, 15'000U) << "the mutations must hurt, or this test tests nothing";
}

}  // namespace
}  // namespace twofold::protocol
