#include "http/reply_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace twofold::http {
namespace {

constexpr ReplyLimits kLimits{.header_size_max = 512, .body_size_max = 100, .line_size_max = 20};

struct Outcome {
    ReplyProgress progress = ReplyProgress::incomplete;
    ClientReply reply;
    std::vector<std::string> lines;
    std::string failure;
};

Outcome parse(std::string_view bytes, std::size_t step, bool streamed, bool ended = false) {
    Outcome outcome;
    ReplyParser parser(kLimits);
    async::UniqueFunction<bool(std::string_view)> on_line = [&](std::string_view line) {
        outcome.lines.emplace_back(line);
        return true;
    };
    ReplyParser::Expectation expectation;
    expectation.on_line = streamed ? &on_line : nullptr;
    expectation.line_type = "application/x-ndjson";
    parser.begin(expectation);
    std::string unread;
    while (!bytes.empty() && parser.progress() == ReplyProgress::incomplete) {
        unread += bytes.substr(0, step);
        bytes.remove_prefix(std::min(step, bytes.size()));
        unread.erase(0, parser.feed(unread));
    }
    if (ended) {
        parser.feed_end();
    }
    outcome.progress = parser.progress();
    outcome.failure = parser.failure();
    outcome.reply = parser.take_reply();
    return outcome;
}

const std::string kLinesHead =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(ReplyParser, ReadsARepliesInPiecesOfAnySize) {
    const std::string bytes =
        "HTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 409 Conflict\r\nContent-Type: Application/Problem+JSON; a=b\r\nContent-Length: "
        "2\r\n\r\n{}";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
        const Outcome outcome = parse(bytes, step, true);
        ASSERT_EQ(outcome.progress, ReplyProgress::complete) << step << outcome.failure;
        EXPECT_EQ(outcome.reply.status, 409);
        EXPECT_EQ(outcome.reply.content_type, "application/problem+json");
        EXPECT_EQ(outcome.reply.body, "{}");
        EXPECT_FALSE(outcome.reply.streamed);
    }
}

TEST(ReplyParser, StreamsLinesAcrossChunksOfAnySize) {
    const std::string bytes = kLinesHead + "4\r\na\nbc\r\n3\r\n\r\nd\r\n2\r\n\n\n\r\n0\r\n\r\n";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
        const Outcome outcome = parse(bytes, step, true);
        ASSERT_EQ(outcome.progress, ReplyProgress::complete) << step << outcome.failure;
        EXPECT_EQ(outcome.lines, (std::vector<std::string>{"a", "bc", "d", ""}));
        EXPECT_TRUE(outcome.reply.streamed);
        EXPECT_FALSE(outcome.reply.truncated);
        EXPECT_EQ(outcome.reply.body, "");
    }
}

TEST(ReplyParser, ALineIsGivenBeforeItsChunkIsComplete) {
    const Outcome outcome = parse(kLinesHead + "8\r\nab\n", 1, true);
    EXPECT_EQ(outcome.progress, ReplyProgress::incomplete);
    EXPECT_EQ(outcome.lines, (std::vector<std::string>{"ab"}));
}

TEST(ReplyParser, AnIncompleteLastLineIsDroppedAndReported) {
    const Outcome outcome = parse(kLinesHead + "4\r\na\nbc\r\n0\r\n\r\n", 1000, true);
    EXPECT_EQ(outcome.progress, ReplyProgress::complete);
    EXPECT_EQ(outcome.lines, (std::vector<std::string>{"a"}));
    EXPECT_TRUE(outcome.reply.truncated);
}

TEST(ReplyParser, AnotherTypeOrStatusIsCollected) {
    const std::string html =
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\na\nb\n";
    EXPECT_EQ(parse(html, 3, true).reply.body, "a\nb\n");
    const std::string error =
        "HTTP/1.1 500 No\r\nContent-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\na\n";
    const Outcome outcome = parse(error, 3, true);
    EXPECT_EQ(outcome.reply.body, "a\n");
    EXPECT_TRUE(outcome.lines.empty());
}

TEST(ReplyParser, LimitsHoldAtTheirEdges) {
    const auto body = [](std::size_t size) {
        return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
               std::string(size, 'x');
    };
    EXPECT_EQ(parse(body(100), 7, false).progress, ReplyProgress::complete);
    EXPECT_EQ(parse(body(101), 7, false).progress, ReplyProgress::failed);
    const auto endless = [](std::size_t size) {
        return "HTTP/1.1 200 OK\r\n\r\n" + std::string(size, 'x');
    };
    EXPECT_EQ(parse(endless(100), 7, false, true).progress, ReplyProgress::complete);
    EXPECT_EQ(parse(endless(101), 7, false, true).progress, ReplyProgress::failed);
    const auto line = [](std::size_t size) {
        return kLinesHead + "20\r\n" + std::string(size, 'x') + "\n" +
               std::string(31 - size, '\n') + "\r\n0\r\n\r\n";
    };
    for (const std::size_t step : {1U, 1000U}) {
        EXPECT_EQ(parse(line(20), step, true).progress, ReplyProgress::complete);
        EXPECT_EQ(parse(line(21), step, true).progress, ReplyProgress::failed);
    }
    const auto header = [](std::size_t size) {
        std::string bytes = "HTTP/1.1 200 OK\r\nX: ";
        return bytes + std::string(size - bytes.size() - 4, 'x') + "\r\n\r\n";
    };
    EXPECT_NE(parse(header(512), 7, false).progress, ReplyProgress::failed);
    EXPECT_EQ(parse(header(513), 7, false).progress, ReplyProgress::failed);
}

// A part is never taken for the whole, wherever the connection ends.
TEST(ReplyParser, EveryPrefixOfAReplyIsAFailure) {
    for (const std::string& bytes :
         {std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
          kLinesHead + "4\r\na\nbc\r\n1\r\n\n\r\n0\r\nX: y\r\n\r\n"}) {
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            const Outcome outcome = parse(std::string_view(bytes).substr(0, size), 3, true, true);
            EXPECT_EQ(outcome.progress, ReplyProgress::failed) << size;
            EXPECT_NE(outcome.failure, "");
        }
        EXPECT_EQ(parse(bytes, 3, true, true).progress, ReplyProgress::complete);
    }
}

TEST(ReplyParser, GarbageIsAFailure) {
    for (const char* bytes : {
             "garbage\r\n\r\n",
             "SSH-2.0-OpenSSH_9.2\r\n\r\n",
             "HTTP/1.1 OK\r\n\r\n",
             "HTTP/1\r\n\r\n",
             "H\r\n\r\n",
             "HTTP/1.1 20 OK\r\n\r\n",
             "HTTP/1.1 999 OK\r\n\r\n",
             "HTTP/1.1 000 OK\r\n\r\n",
             "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
             "HTTP/2.0 200 OK\r\n\r\n",
             "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
             "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxxx",
         }) {
        EXPECT_EQ(parse(bytes, 1000, true).progress, ReplyProgress::failed) << bytes;
        EXPECT_EQ(parse(bytes, 1, true).progress, ReplyProgress::failed) << bytes;
    }
}

}  // namespace
}  // namespace twofold::http
