// Request smuggling: bytes that two programs in a row would cut into requests differently. Whatever
// the server thinks of the first request, the one that hides behind it must never reach a handler.
#include "http/server.h"
#include "http/test_support.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace twofold::http::testing {
namespace {

const std::string kPost = "POST /first HTTP/1.1\r\nHost: h\r\n";
const std::string kHidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

struct Row {
    const char* what;
    std::string first;
};

std::vector<Row> rows() {
    const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
    return {
        {"length and chunked, the length counts",
         kPost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"chunked and length, chunked counts",
         kPost + "Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n"},
        {"two lengths", kPost + "Content-Length: 0\r\nContent-Length: 34\r\n\r\n"},
        {"two lengths in a list", kPost + "Content-Length: 0, 34\r\n\r\n"},
        {"a length with a plus", kPost + "Content-Length: +0\r\n\r\n"},
        {"chunked behind a space", kPost + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
        {"chunked in a folded line", kPost + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
        {"chunked with a NUL",
         kPost + std::string("Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 36)},
        {"chunked misspelt", kPost + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
        {"chunked twice", kPost + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
        {"a chunk size that overflows", chunked + "10000000000000000\r\n"},
        {"a chunk size with a prefix", chunked + "0x0\r\n\r\n"},
        {"a chunk size ended by a bare LF", chunked + "0\n\r\n"},
        {"a chunk that is not ended", chunked + "1\r\nab\r\n0\r\n\r\n"},
        {"a length in the trailers", chunked + "0\r\nContent-Length: 34\r\n\r\n"},
        {"a field ended by a bare LF", kPost + "X: y\nContent-Length: 0\r\n\r\n"},
        {"a field ended by a bare CR", kPost + "X: y\rContent-Length: 0\r\n\r\n"},
        {"an empty line before", "\r\n" + kPost + "Content-Length: 0\r\n\r\n"},
        {"a header that is too large", kPost + "X: " + std::string(20'000, 'x') + "\r\n\r\n"},
        {"too many fields",
         [] {
             std::string bytes = kPost;
             for (int i = 0; i < 200; ++i) bytes += "X: y\r\n";
             return bytes + "\r\n";
         }()},
    };
}

TEST_F(ServerTest, NothingHidesBehindAnAmbiguousRequest) {
    std::vector<std::string> handled;
    serve([&handled](const Request& request, ResponseSink sink) {
        handled.push_back(request.path);
        echo(request, std::move(sink));
    });
    for (const Row& row : rows()) {
        SCOPED_TRACE(row.what);
        const std::string got = exchange(row.first + kHidden);
        EXPECT_TRUE(got.starts_with("HTTP/1.1 4") || got.starts_with("HTTP/1.1 501")) << got;
        EXPECT_EQ(got.find("HTTP/1.1 ", 1), std::string::npos) << "a second answer: " << got;
        EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos) << got;
        EXPECT_TRUE(handled.empty()) << handled.front() << " reached the handler";
        handled.clear();
    }
    EXPECT_EQ(server->stats().requests, 0U);
}

// The same bytes without anything ambiguous are two requests: the test above is not vacuous.
TEST_F(ServerTest, APlainRequestBehindAPlainOneIsServed) {
    serve(echo);
    const std::string got =
        exchange_until(kPost + "Content-Length: 0\r\n\r\n" + kHidden, "/hidden|");
    EXPECT_NE(got.find("/first|"), std::string::npos) << got;
}

}  // namespace
}  // namespace twofold::http::testing
