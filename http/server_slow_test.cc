// Peers that are slow on purpose, and streams. Deadlines are small here; nothing sleeps.
#include "http/server.h"
#include "http/test_support.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace twofold::http::testing {
namespace {

ServerOptions impatient() {
    ServerOptions options;
    options.header_deadline = 40ms;
    options.body_deadline = 40ms;
    options.idle_deadline = 40ms;
    options.write_deadline = 60ms;
    return options;
}

TEST_F(ServerTest, ASlowHeaderIs408) {
    serve(echo, impatient());
    EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHos").starts_with("HTTP/1.1 408 "));
}

// Sends `head`, then one byte after the other, until the server answers 408. Counted in bytes, not
// in time: with a byte each 10 ms the deadline passes long before the message is too large or
// complete, which would be another answer.
void expect_trickle_is_408(ServerTest& test, std::string_view head) {
    auto socket = RawSocket::connect_to(test.server->port());
    socket.send(head);
    std::size_t sent = 0;
    auto next = std::chrono::steady_clock::now();
    EXPECT_TRUE(eventually(test.loop,
                           [&] {
                               if (std::chrono::steady_clock::now() >= next) {
                                   socket.send("x");
                                   ++sent;
                                   next += 10ms;
                               }
                               return socket.has_received("408");
                           }))
        << "a byte now and then moved the deadline; answered: " << socket.received;
    EXPECT_GT(sent, 1U) << "it has to trickle";
}

TEST_F(ServerTest, AHeaderThatTricklesIs408Too) {
    serve(echo, impatient());
    expect_trickle_is_408(*this, "GET / HTTP/1.1\r\n");
}

// Below the rate floor, so that the bytes buy no time.
TEST_F(ServerTest, ABodyThatTricklesIs408Too) {
    serve(echo, impatient());
    expect_trickle_is_408(*this, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n");
}

TEST_F(ServerTest, AChunkSizeThatTricklesIs408Too) {
    serve(echo, impatient());
    expect_trickle_is_408(*this,
                          "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;");
}

TEST_F(ServerTest, ASlowBodyIs408) {
    serve(echo, impatient());
    EXPECT_TRUE(exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
                    .starts_with("HTTP/1.1 408 "));
}

TEST_F(ServerTest, ABodyAboveTheRateFloorMayTakeItsTime) {
    ServerOptions options = impatient();
    options.body_rate_floor = 1000;  // 200 bytes buy 200 ms
    serve(echo, options);
    auto socket = RawSocket::connect_to(server->port());
    socket.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 201\r\n\r\n" +
                std::string(200, 'x'));
    EXPECT_FALSE(eventually(
        loop, [&] { return socket.has_received("HTTP"); }, 100ms));
    socket.send("x");
    EXPECT_TRUE(eventually(loop, [&] { return socket.has_received("200 OK"); }));
}

TEST_F(ServerTest, AnIdleConnectionIsClosedSilently) {
    serve(echo, impatient());
    EXPECT_EQ(exchange(""), "");
    const std::string got = exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(got.starts_with("HTTP/1.1 200 "));
    EXPECT_EQ(got.find("408"), std::string::npos);
}

TEST_F(ServerTest, AReaderThatStopsIsCutOff) {
    serve(
        [](const Request&, ResponseSink sink) {
            sink.send(text_response(200, std::string(16UL * 1024 * 1024, 'x')));
        },
        impatient());
    auto socket = RawSocket::connect_to(server->port(), 4096);
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return server->stats().requests == 1; }));
    EXPECT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 0; }));
}

TEST_F(ServerTest, ALargeResponseReachesASlowButSteadyReader) {
    serve([](const Request&, ResponseSink sink) {
        sink.send(text_response(200, std::string(8UL * 1024 * 1024, 'x')));
    });
    auto socket = RawSocket::connect_to(server->port(), 4096);
    socket.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(eventually(loop, [&] { return socket.receive(); }));
    EXPECT_GT(socket.received.size(), 8UL * 1024 * 1024);
}

TEST_F(ServerTest, ChunksOfOneTurnLeaveInOneWrite) {
    ResponseSink stream;
    serve([&](const Request&, ResponseSink sink) { stream = std::move(sink); });
    auto socket = RawSocket::connect_to(server->port());
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return stream.open(); }));
    EXPECT_EQ(stream.begin_stream(200, "application/x-ndjson"), WriteStatus::accepted);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(stream.write(std::to_string(i) + "\n"), WriteStatus::accepted);
    }
    EXPECT_FALSE(socket.has_received("HTTP")) << "nothing leaves within the turn";
    ASSERT_TRUE(eventually(loop, [&] { return socket.has_received("\r\n\r\n"); }));
    EXPECT_TRUE(socket.received.ends_with("\r\n\r\n6\r\n0\n1\n2\n\r\n")) << socket.received;
    stream.write("3\n");
    stream.end();
    ASSERT_TRUE(eventually(loop, [&] { return socket.has_received("0\r\n\r\n"); }));
    EXPECT_TRUE(socket.received.ends_with("2\r\n3\n\r\n0\r\n\r\n")) << socket.received;
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(eventually(loop, [&] { return stream.open(); })) << "the connection goes on";
}

TEST_F(ServerTest, AStreamToAnOldClientEndsWithTheConnection) {
    serve([](const Request&, ResponseSink sink) {
        sink.begin_stream(200, "text/plain");
        sink.write("abc");
        sink.end();
    });
    const std::string got = exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(got.ends_with("\r\n\r\nabc")) << got;
    EXPECT_EQ(got.find("chunked"), std::string::npos);
}

TEST_F(ServerTest, AStreamThatIsDroppedIsCutNotEnded) {
    serve([](const Request&, ResponseSink sink) {
        sink.begin_stream(200, "text/plain");
        sink.write("abc");
    });
    const std::string got = exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(got.find("0\r\n\r\n"), std::string::npos) << got;
}

TEST_F(ServerTest, AHeadRequestToAStreamGetsTheHead) {
    serve([](const Request&, ResponseSink sink) {
        sink.begin_stream(200, "text/plain");
        sink.write("abc");
        sink.end();
    });
    const std::string got = exchange("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(got.ends_with("\r\n\r\n")) << got;
    EXPECT_EQ(got.find("abc"), std::string::npos);
}

TEST_F(ServerTest, AHeadRequestToAnEndlessStreamHoldsNothingUp) {
    std::vector<ResponseSink> held;
    serve([&](const Request& request, ResponseSink sink) {
        if (request.path == "/next") {
            return sink.send(text_response(200, "next"));
        }
        EXPECT_EQ(sink.begin_stream(200, "text/plain"), WriteStatus::closed);
        held.push_back(std::move(sink));  // and never ended
    });
    const std::string got = exchange(
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
        "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(got.ends_with("next")) << got;
}

TEST_F(ServerTest, ASlowReaderOfAStreamIsToldAndThenCut) {
    ServerOptions options;
    options.stream_backlog_soft = 64UL * 1024;
    options.stream_backlog_hard = 1024UL * 1024;
    ResponseSink stream;
    serve([&](const Request&, ResponseSink sink) { stream = std::move(sink); }, options);
    auto socket = RawSocket::connect_to(server->port(), 4096);
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return stream.open(); }));
    stream.begin_stream(200, "text/plain");
    const std::string chunk(32UL * 1024, 'x');

    const auto write_until = [&](WriteStatus wanted) {
        for (int i = 0; i < 10'000; ++i) {
            if (stream.write(chunk) == wanted) {
                return true;
            }
            loop.poll();
        }
        return false;
    };
    ASSERT_TRUE(write_until(WriteStatus::backpressure));
    bool writable = false;
    stream.on_writable([&] { writable = true; });
    loop.poll();
    EXPECT_FALSE(writable);
    EXPECT_TRUE(eventually(loop, [&] {
        socket.receive();
        return writable;
    }));
    bool closed = false;
    stream.on_closed([&] { closed = true; });
    ASSERT_TRUE(write_until(WriteStatus::closed));
    EXPECT_FALSE(closed) << "never inside of write()";
    loop.poll();
    EXPECT_TRUE(closed);
    EXPECT_EQ(stream.write("x"), WriteStatus::closed);
}

// With less than the hard limit unsent: then only time tells that nobody reads.
TEST_F(ServerTest, AReaderOfAStreamThatStopsIsCutInTime) {
    ResponseSink stream;
    serve([&](const Request&, ResponseSink sink) { stream = std::move(sink); }, impatient());
    auto socket = RawSocket::connect_to(server->port(), 4096);
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return stream.open(); }));
    bool closed = false;
    stream.on_closed([&] { closed = true; });
    stream.begin_stream(200, "text/plain");
    ASSERT_NE(stream.write(std::string(3UL * 1024 * 1024, 'x')), WriteStatus::closed);
    EXPECT_TRUE(eventually(loop, [&] { return closed; })) << "a reader that stopped holds memory";
    EXPECT_EQ(server->stats().connections_open, 0U);
}

TEST_F(ServerTest, ADroppedStreamIsNotToldThatItIsClosed) {
    ServerOptions options;
    options.stream_backlog_hard = 1000;
    ResponseSink stream;
    serve([&](const Request&, ResponseSink sink) { stream = std::move(sink); }, options);
    auto socket = RawSocket::connect_to(server->port());
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return stream.open(); }));
    stream.begin_stream(200, "text/plain");
    bool told = false;
    stream.on_closed([&] { told = true; });
    EXPECT_EQ(stream.write(std::string(2000, 'x')), WriteStatus::closed);
    stream = ResponseSink();
    loop.poll();
    EXPECT_FALSE(told);
}

}  // namespace
}  // namespace twofold::http::testing
