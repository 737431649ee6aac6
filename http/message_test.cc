#include "http/message.h"

#include "http/problem.h"
#include "http/target.h"
#include "http/wire.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace twofold::http {
namespace {

TEST(Headers, NamesCompareWithoutCase) {
    Headers headers;
    headers.add("Content-Type", "a");
    headers.add("X-Two", "1");
    headers.add("x-two", "2");
    EXPECT_EQ(headers.find("CONTENT-type"), "a");
    EXPECT_EQ(headers.find("X-TWO"), "1");
    EXPECT_FALSE(headers.find("X-Tw").has_value());
    headers.set("X-two", *headers.find("content-type"));
    EXPECT_EQ(headers.size(), 2U);
    EXPECT_EQ(headers.find("x-two"), "a");
    EXPECT_EQ(headers.name_at(1), "X-two");
}

TEST(Message, MediaTypeIsTheTypeAlone) {
    EXPECT_EQ(media_type("Application/JSON ; charset=utf-8"), "application/json");
    EXPECT_EQ(media_type(""), "");
}

TEST(Problem, HasTheMembersOfTheRfcAndOurs) {
    const Response response = problem(problems::kNoSuchRoute, "look \"elsewhere\"");
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(response.content_type, "application/problem+json");
    EXPECT_EQ(
        response.body,
        R"({"type":"urn:twofold:problem:no_such_route","title":"There is nothing at this path",)"
        R"("status":404,"detail":"look \"elsewhere\"","code":"no_such_route","retryable":false})");
}

TEST(Problem, ExtrasAreAdded) {
    ProblemExtras extras;
    extras.instance = "/v1/x";
    extras.transaction_id = "t1";
    extras.retryable = false;
    extras.retry_after_seconds = 2;
    extras.members_json = {{"branch", "{\"n\":1}"}};
    const Response response = problem(problems::kOverloaded, "", extras);
    EXPECT_EQ(response.headers.find("retry-after"), "2");
    EXPECT_EQ(response.body,
              R"({"type":"urn:twofold:problem:overloaded","title":"The server is at its limit",)"
              R"("status":503,"instance":"/v1/x","code":"overloaded","retryable":false,)"
              R"("transaction_id":"t1","retry_after_seconds":2,"branch":{"n":1}})");
}

TEST(Problem, CodesAreUniqueAndStatusesHaveNames) {
    std::set<std::string_view> codes;
    for (const ProblemCode& row : builtin_problems()) {
        EXPECT_TRUE(codes.insert(row.code).second) << row.code;
        EXPECT_GE(row.status, 400);
        EXPECT_NE(reason_phrase(row.status), "Unknown") << row.status;
    }
}

TEST(Target, IsTakenApartAndDecoded) {
    Request request;
    request.target = "/v1/a%20b?x=1&y=a+b%2B&flag&=&x=2";
    ASSERT_FALSE(split_target(request).has_value());
    EXPECT_EQ(request.path, "/v1/a%20b");
    EXPECT_EQ(request.query_parameter("x"), "1");
    EXPECT_EQ(request.query_parameter("y"), "a b+");
    EXPECT_EQ(request.query_parameter("flag"), "");
    EXPECT_EQ(request.query.size(), 5U);
    EXPECT_FALSE(request.query_parameter("z").has_value());
}

TEST(Target, AbsoluteFormDropsTheAuthority) {
    Request request;
    request.target = "HTTP://elsewhere:1/p?q=1";
    ASSERT_FALSE(split_target(request).has_value());
    EXPECT_EQ(request.path, "/p");
    EXPECT_EQ(request.query_parameter("q"), "1");
}

TEST(Target, NonsenseIsRefused) {
    for (const char* target : {"*",
                               "a/b",
                               "host:443",
                               "http://host",
                               "http://host?x",
                               "ftp://h/",
                               "/a#b",
                               "/a?%zz",
                               "/a?x=%1"}) {
        Request request;
        request.target = target;
        EXPECT_TRUE(split_target(request).has_value()) << target;
    }
}

TEST(Target, SegmentsThatCannotBeIdentifiersAreRefused) {
    EXPECT_EQ(decode_segment("a%20b"), "a b");
    EXPECT_EQ(decode_segment("a+b"), "a+b");
    for (const char* segment :
         {".", "..", "%2e%2E", "a%2fb", "%00", "a%0d%0a", "%7f", "%", "%2", "%zz"}) {
        EXPECT_FALSE(decode_segment(segment).has_value()) << segment;
    }
}

TEST(Wire, NothingSplitsAResponse) {
    Response response = text_response(200, "x");
    EXPECT_TRUE(is_sendable(response));
    response.headers.add("X-Name", "a\r\nSet-Cookie: b");
    EXPECT_FALSE(is_sendable(response));
    response = text_response(200, "x");
    response.headers.add("X Name", "a");
    EXPECT_FALSE(is_sendable(response));
    response = text_response(99, "x");
    EXPECT_FALSE(is_sendable(response));
    response = text_response(200, "x");
    response.content_type = "a\nb";
    EXPECT_FALSE(is_sendable(response));
}

TEST(Wire, FieldsOfOursCannotBeSetByOthers) {
    Response response = text_response(200, "abc");
    response.headers.add("Content-Length", "99");
    response.headers.add("Transfer-Encoding", "chunked");
    response.headers.add("X-Mine", "1");
    std::string out;
    append_response_head(out, response, {});
    EXPECT_EQ(out,
              "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Mine: 1\r\n"
              "Content-Length: 3\r\n\r\n");
}

TEST(Wire, AnEmptyChunkIsNotWritten) {
    std::string out;
    append_chunk(out, "");
    EXPECT_EQ(out, "");
    append_chunk(out, std::string(26, 'x'));
    EXPECT_EQ(out, "1a\r\n" + std::string(26, 'x') + "\r\n");
}

TEST(Wire, DateHasTheFormOfTheRfc) {
    DateText date;
    const std::string text(date.now());
    EXPECT_EQ(text.size(), 29U);
    EXPECT_TRUE(text.ends_with(" GMT"));
    EXPECT_EQ(text.substr(3, 2), ", ");
}

}  // namespace
}  // namespace twofold::http
