#include "coordinator/submit_request.h"

#include <gtest/gtest.h>

#include <string>

namespace twofold::coordinator {
namespace {

std::string branch(const std::string& name) {
    return R"({"participant":")" + name + R"(","work":[{"sql":"SELECT 1"}]})";
}

std::string error_of(const std::string& body) {
    auto parsed = parse_submit_body(body, SubmitLimits{});
    if (parsed.has_value()) return "accepted";
    return std::string(to_string(parsed.error().code)) + ": " + parsed.error().context;
}

TEST(SubmitBody, ReadsEverything) {
    auto parsed = parse_submit_body(
        R"({"branches":[{"participant":"a","work":[{"sql":"SELECT 1"}],)"
        R"("isolation":"serializable","lock_timeout_ms":5,"statement_timeout_ms":6}],)"
        R"("deadline_ms":700,"wait":"decided","answer_within_ms":8,"labels":{"order":"17"}})",
        SubmitLimits{});
    ASSERT_TRUE(parsed.has_value()) << parsed.error().text();
    const SubmitBody& body = parsed.value();
    EXPECT_EQ(body.branches[0].participant, "a");
    EXPECT_EQ(*body.branches[0].work, R"([{"sql":"SELECT 1"}])");
    EXPECT_EQ(body.branches[0].options.isolation, protocol::Isolation::serializable);
    EXPECT_EQ(body.branches[0].options.lock_timeout_ms, 5U);
    EXPECT_EQ(body.branches[0].options.statement_timeout_ms, 6U);
    EXPECT_EQ(body.options.deadline, Milliseconds(700));
    EXPECT_EQ(body.options.wait, WaitFor::decided);
    EXPECT_EQ(body.options.answer_within, Milliseconds(8));
    EXPECT_EQ(body.options.labels.at("order"), "17");
}

TEST(SubmitBody, ErrorsNameTheMemberAndTheFix) {
    const std::string a = branch("a");
    EXPECT_EQ(error_of("{}"), "accepted") << "an interactive transaction begins";
    EXPECT_EQ(error_of(R"({"branches":[]})"),
              "precondition_failed: branches: must be 1 to 64, found 0");
    EXPECT_EQ(error_of(R"({"branches":{}})"),
              "invalid_argument: branches: must be an array, found an object");
    EXPECT_EQ(error_of(R"({"branches":[)" + a + "," + a + "]}"),
              "precondition_failed: branches[1].participant: \"a\" is already used by branches[0]; "
              "put both works into one branch");
    EXPECT_EQ(error_of(R"({"branches":[)" + a + R"(],"wait":"soon"})"),
              "invalid_argument: wait: must be \"applied\" or \"decided\", found a string");
    EXPECT_EQ(error_of(R"({"branches":[)" + a + R"(],"deadline_ms":0})"),
              "invalid_argument: deadline_ms: must be an integer from 1 to 3600000, found an "
              "integer");
    EXPECT_EQ(error_of(R"({"branches":[{"participant":"a","work":[]}]})"),
              "invalid_argument: branches[0].work: must be an array of 1 to 256 statements, found "
              "an array");
    EXPECT_NE(error_of(R"({"branches":[)" + a + R"(],"dedline_ms":1})")
                  .find("dedline_ms: unknown member; known are answer_within_ms branches "
                        "deadline_ms idle_deadline_ms labels wait"),
              std::string::npos);
    EXPECT_NE(error_of(R"({"branches":[)" + a + R"(],"labels":{"x":1}})").find("labels.x: must be"),
              std::string::npos);
}

TEST(SubmitBody, SixtyFiveBranchesAreTooMany) {
    std::string body = R"({"branches":[)";
    for (int i = 0; i < 64; ++i) body += (i == 0 ? "" : ",") + branch("p" + std::to_string(i));
    EXPECT_EQ(error_of(body + "]}"), "accepted");
    EXPECT_EQ(error_of(body + "," + branch("last") + "]}"),
              "precondition_failed: branches: must be 1 to 64, found 65");
}

TEST(IdempotencyKey, QuotedAndBareAreTheSameKey) {
    auto bare = parse_idempotency_key("order-17", "body");
    auto quoted = parse_idempotency_key("\"order-17\"", "body");
    auto other_body = parse_idempotency_key("order-17", "body2");
    ASSERT_TRUE(bare.has_value() && quoted.has_value() && other_body.has_value());
    EXPECT_EQ(bare.value(), quoted.value());
    EXPECT_EQ(bare.value().key_hash, other_body.value().key_hash);
    EXPECT_NE(bare.value().fingerprint, other_body.value().fingerprint);
    EXPECT_FALSE(parse_idempotency_key("", "b").has_value());
    EXPECT_FALSE(parse_idempotency_key("\"\"", "b").has_value());
    EXPECT_FALSE(parse_idempotency_key("\"", "b").has_value());
    EXPECT_FALSE(parse_idempotency_key("\"open", "b").has_value());
    EXPECT_TRUE(parse_idempotency_key("\"\"\"", "b").has_value()) << "a quote in quotes";
    EXPECT_TRUE(parse_idempotency_key('"' + std::string(255, 'x') + '"', "b").has_value());
    EXPECT_FALSE(parse_idempotency_key("a b", "b").has_value());
    EXPECT_FALSE(parse_idempotency_key(std::string(256, 'x'), "b").has_value());
}

}  // namespace
}  // namespace twofold::coordinator
