#include "http/request_parser.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace twofold::http {
namespace {

constexpr RequestLimits kLimits{
    .header_size_max = 1024, .header_count_max = 8, .body_size_max = 100};

// Feeds all bytes, `step` at a time, as a connection would.
void feed_all(RequestParser& parser, std::string_view bytes, std::size_t step) {
    std::string unread;
    while (!bytes.empty() && parser.progress() != RequestProgress::complete &&
           parser.progress() != RequestProgress::failed) {
        unread += bytes.substr(0, step);
        bytes.remove_prefix(std::min(step, bytes.size()));
        unread.erase(0, parser.feed(unread));
    }
}

int status_of(std::string_view bytes, std::size_t step = 1024) {
    RequestParser parser(kLimits);
    feed_all(parser, bytes, step);
    switch (parser.progress()) {
        case RequestProgress::header: return 1;
        case RequestProgress::body: return 2;
        case RequestProgress::complete: return 200;
        case RequestProgress::failed: return parser.failure().problem->status;
    }
    return 0;
}

TEST(RequestParser, ReadsARequestInPiecesOfAnySize) {
    const std::string bytes =
        "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Y:  z \r\n\r\nhello";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
        RequestParser parser(kLimits);
        feed_all(parser, bytes, step);
        ASSERT_EQ(parser.progress(), RequestProgress::complete) << step;
        EXPECT_TRUE(parser.keep_alive());
        const Request request = parser.take_request();
        EXPECT_EQ(request.method, Method::post);
        EXPECT_EQ(request.path, "/a");
        EXPECT_EQ(request.query_parameter("b"), "c");
        EXPECT_EQ(request.headers.find("x-y"), "z");
        EXPECT_EQ(request.body, "hello");
    }
}

TEST(RequestParser, ReadsChunksAndIgnoresTrailers) {
    const std::string bytes =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
        RequestParser parser(kLimits);
        feed_all(parser, bytes, step);
        ASSERT_EQ(parser.progress(), RequestProgress::complete) << step;
        const Request request = parser.take_request();
        EXPECT_EQ(request.body, "abcde");
        EXPECT_FALSE(request.headers.contains("X-Trailer"));
    }
}

TEST(RequestParser, LeavesThePipelinedRequestInTheBuffer) {
    const std::string one = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
    const std::string two = "GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    RequestParser parser(kLimits);
    EXPECT_EQ(parser.feed(one + two), one.size());
    EXPECT_EQ(parser.take_request().path, "/1");
    EXPECT_EQ(parser.feed(two), two.size());
    EXPECT_FALSE(parser.keep_alive());
    EXPECT_EQ(parser.take_request().path, "/2");
}

// What two programs could read in two ways is refused, whatever the pieces it comes in.
struct Row {
    const char* what;
    std::string bytes;
    int status;
};

const std::string kGet = "GET / HTTP/1.1\r\n";
const std::string kPost = "POST / HTTP/1.1\r\nHost: h\r\n";
const std::string kChunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";

void refuse_all(const std::vector<Row>& corpus) {
    for (const Row& row : corpus) {
        EXPECT_EQ(status_of(row.bytes), row.status) << row.what;
        EXPECT_EQ(status_of(row.bytes, 1), row.status) << row.what << ", byte by byte";
    }
}

TEST(RequestParser, RefusesAmbiguousLengths) {
    refuse_all({
        {"length and chunked",
         kPost + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
         400},
        {"chunked and length",
         kPost + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
         400},
        {"two lengths", kPost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
        {"two equal lengths", kPost + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
        {"list of lengths", kPost + "Content-Length: 3, 3\r\n\r\nabc", 400},
        {"signed length", kPost + "Content-Length: +3\r\n\r\nabc", 400},
        {"negative length", kPost + "Content-Length: -3\r\n\r\nabc", 400},
        {"hexadecimal length", kPost + "Content-Length: 0x3\r\n\r\nabc", 400},
        {"empty length", kPost + "Content-Length: \r\n\r\nabc", 400},
        {"length beyond 64 bits", kPost + "Content-Length: 18446744073709551617\r\n\r\nabc", 400},
        {"length with a space inside", kPost + "Content-Length: 1 0\r\n\r\nabc", 400},
        {"unknown encoding", kPost + "Transfer-Encoding: gzip\r\n\r\nabc", 501},
        {"encoding before chunked",
         kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         501},
        {"chunked twice", kPost + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
        {"two chunked fields",
         kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"identity", kPost + "Transfer-Encoding: identity\r\n\r\nabc", 501},
        {"quoted chunked", kPost + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
        {"chunked in HTTP/1.0",
         "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
    });
}

TEST(RequestParser, RefusesAmbiguousFields) {
    refuse_all({
        {"space before the colon", kPost + "Content-Length : 3\r\n\r\nabc", 400},
        {"tab before the colon", kPost + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
        {"field without a name", kPost + ": x\r\n\r\n", 400},
        {"field without a colon", kPost + "Content-Length\r\n\r\n", 400},
        {"folded field", kPost + "X-A: b\r\n c\r\n\r\n", 400},
        {"folded by a tab", kPost + "X-A: b\r\n\tc\r\n\r\n", 400},
        {"folded first field", kGet + " Host: h\r\n\r\n", 400},
        {"bare LF after the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
        {"bare LF after a field", kGet + "Host: h\n\r\n", 400},
        {"bare LF for the empty line", kGet + "Host: h\r\n\n", 400},
        {"bare CR in a field", kPost + "X-A: b\rContent-Length: 3\r\n\r\n", 400},
        {"NUL in a field", kPost + std::string("X-A: b\0c\r\n\r\n", 12), 400},
        {"NUL in a name", kPost + std::string("X\0A: b\r\n\r\n", 10), 400},
    });
}

// Who we are is not decided by the request: of the absolute form only the path counts.
TEST(RequestParser, OfAnAbsoluteTargetThePathCounts) {
    for (const char* target : {"http://h/a", "HTTP://elsewhere:99/a", "http://user:word@h/a"}) {
        RequestParser parser(kLimits);
        feed_all(parser, "GET " + std::string(target) + "?b=c HTTP/1.1\r\nHost: h\r\n\r\n", 7);
        ASSERT_EQ(parser.progress(), RequestProgress::complete) << target;
        EXPECT_EQ(parser.take_request().path, "/a") << target;
    }
    refuse_all({
        {"absolute form without a path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"absolute form without an authority", "GET http:// HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"absolute form with a query only", "GET http://h?a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"another scheme", "GET file:///etc HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"absolute form without Host", "GET http://h/a HTTP/1.1\r\n\r\n", 400},
    });
}

TEST(RequestParser, RefusesMalformedRequestLines) {
    refuse_all({
        {"no Host", kGet + "\r\n", 400},
        {"two Hosts", kGet + "Host: a\r\nHost: a\r\n\r\n", 400},
        {"leading empty line", "\r\n" + kGet + "Host: h\r\n\r\n", 400},
        {"two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"no version", "GET /\r\nHost: h\r\n\r\n", 400},
        {"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
        {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
        {"lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
        {"text after the version", "GET / HTTP/1.1 x\r\nHost: h\r\n\r\n", 505},
        {"authority form", "CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"raw control character in the target", "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"compressed", kPost + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 415},
        {"other expectation", kPost + "Expect: miracles\r\nContent-Length: 3\r\n\r\nabc", 417},
    });
}

TEST(RequestParser, RefusesMalformedChunks) {
    refuse_all({
        {"chunk size not hexadecimal", kChunked + "x\r\nabc", 400},
        {"empty chunk size", kChunked + "\r\nabc\r\n0\r\n\r\n", 400},
        {"chunk size with a prefix", kChunked + "0x3\r\nabc\r\n0\r\n\r\n", 400},
        {"chunk size after a space", kChunked + " 3\r\nabc\r\n0\r\n\r\n", 400},
        {"negative chunk size", kChunked + "-3\r\nabc\r\n0\r\n\r\n", 400},
        {"NUL in a chunk size", kChunked + std::string("3\0\r\nabc\r\n0\r\n\r\n", 14), 400},
        {"chunk without its end", kChunked + "3\r\nabc0\r\n\r\n", 400},
        {"bare CR after a chunk size", kChunked + "3\rabc\r\n0\r\n\r\n", 400},
        {"chunk size with a sign", kChunked + "+3\r\nabc\r\n", 400},
        {"chunk longer than its size", kChunked + "3\r\nabcd\r\n0\r\n\r\n", 400},
        {"bare LF after a chunk size", kChunked + "3\nabc\r\n0\r\n\r\n", 400},
        {"bare LF after a chunk", kChunked + "3\r\nabc\n0\r\n\r\n", 400},
        {"chunk size beyond 64 bits", kChunked + "10000000000000003\r\nabc\r\n0\r\n\r\n", 400},
        {"length in the trailers", kChunked + "0\r\nContent-Length: 3\r\n\r\n", 400},
    });
}

TEST(RequestParser, LimitsHoldAtTheirEdges) {
    const auto with_body = [](std::size_t size) {
        return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) +
               "\r\n\r\n" + std::string(size, 'x');
    };
    EXPECT_EQ(status_of(with_body(99)), 200);
    EXPECT_EQ(status_of(with_body(100)), 200);
    EXPECT_EQ(status_of(with_body(101)), 413);

    const auto in_chunks = [](std::size_t size) {
        std::string bytes = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (std::size_t i = 0; i < size; ++i) {
            bytes += "1\r\nx\r\n";
        }
        return bytes + "0\r\n\r\n";
    };
    EXPECT_EQ(status_of(in_chunks(100)), 200);
    EXPECT_EQ(status_of(in_chunks(101)), 413);

    const auto with_header = [](std::size_t size) {
        std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        return bytes + std::string(size - bytes.size() - 4, 'x') + "\r\n\r\n";
    };
    for (const std::size_t step : {1U, 7U, 4096U}) {
        EXPECT_EQ(status_of(with_header(1023), step), 200);
        EXPECT_EQ(status_of(with_header(1024), step), 200);
        EXPECT_EQ(status_of(with_header(1025), step), 431);
    }

    const auto with_fields = [](std::size_t count) {
        std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\n";
        for (std::size_t i = 1; i < count; ++i) {
            bytes += "A: b\r\n";
        }
        return bytes + "\r\n";
    };
    EXPECT_EQ(status_of(with_fields(8)), 200);
    EXPECT_EQ(status_of(with_fields(9)), 431);
}

TEST(RequestParser, ChunkHeadersAndTrailersAreBounded) {
    const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    EXPECT_EQ(status_of(head + "1;" + std::string(2000, 'x'), 100), 431);
    EXPECT_EQ(status_of(head + "0\r\nX: " + std::string(2000, 'x'), 100), 431);
}

// Beast 1.81 would assert here.
TEST(RequestParser, AnEmptyChunkedBodyMayComeInPieces) {
    const std::string bytes =
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
        EXPECT_EQ(status_of(bytes, step), 200) << step;
    }
}

// Beast would wait for the rest of a version that cannot come any more, until the deadline.
TEST(RequestParser, AHeaderThatEndsTooEarlyIsRefusedAtOnce) {
    for (const std::string bytes : {"\r\n\r\n", "GET / H\r\n\r\n", "GET / \r\n\r\n", "G\r\n\r\n"}) {
        for (std::size_t step = 1; step <= bytes.size(); ++step) {
            EXPECT_EQ(status_of(bytes, step), 400) << bytes << step;
        }
    }
}

TEST(RequestParser, OldClientsAreServed) {
    RequestParser parser(kLimits);
    feed_all(parser, "GET / HTTP/1.0\r\n\r\n", 100);
    ASSERT_EQ(parser.progress(), RequestProgress::complete);
    EXPECT_FALSE(parser.keep_alive());
    EXPECT_TRUE(parser.is_http_1_0());
}

// No input may break the parser: every byte of a request is replaced by every value.
TEST(RequestParser, SurvivesEveryReplacedByte) {
    const std::string bytes =
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    std::size_t answered = 0;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (int value = 0; value < 256; ++value) {
            std::string hostile = bytes;
            hostile[at] = static_cast<char>(value);
            answered += status_of(hostile, at % 2 == 0 ? 5 : 1000) >= 200 ? 1U : 0U;
        }
    }
    EXPECT_GT(answered, 0U);
}

}  // namespace
}  // namespace twofold::http
