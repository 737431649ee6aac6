#include "http/server.h"

#include "http/test_support.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace twofold::http::testing {
namespace {

std::size_t count(std::string_view text, std::string_view part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) {
        ++n;
    }
    return n;
}

TEST_F(ServerTest, KeepsTheConnectionAndClosesWhenAsked) {
    serve(echo);
    const std::string got = exchange(
        "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: "
        "close\r\n\r\n");
    EXPECT_EQ(count(got, "HTTP/1.1 200 OK\r\n"), 2U);
    EXPECT_LT(got.find("/1|"), got.find("/2|"));
    EXPECT_EQ(count(got, "Connection: close\r\n"), 1U);
    EXPECT_EQ(count(got, "\r\nDate: "), 2U);
    EXPECT_EQ(server->stats().connections_accepted, 1U);
    EXPECT_EQ(server->stats().requests, 2U);
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrderEvenWhenTheFirstIsLate) {
    std::vector<ResponseSink> held;
    serve([&](const Request& request, ResponseSink sink) {
        if (request.path == "/late") {
            held.push_back(std::move(sink));
        } else {
            echo(request, std::move(sink));
        }
    });
    auto socket = RawSocket::connect_to(server->port());
    socket.send("GET /late HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return held.size() == 1; }));
    loop.poll();
    EXPECT_FALSE(socket.has_received("HTTP"));
    held[0].send(text_response(200, "late"));
    EXPECT_TRUE(eventually(loop, [&] { return socket.has_received("/next|"); }));
    EXPECT_LT(socket.received.find("late"), socket.received.find("/next|"));
}

std::string post(std::string_view path, std::string_view body) {
    return "POST " + std::string(path) +
           " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           std::string(body);
}

// The body comes in reads of its own, into a large buffer; a read is under way into it while the
// handler is at work, and must still have its room when the answer has gone out.
TEST_F(ServerTest, ALateAnswerToASplitRequestLeavesTheNextRequestAlone) {
    std::vector<std::pair<Request, ResponseSink>> held;
    serve([&](Request request, ResponseSink sink) {
        held.emplace_back(std::move(request), std::move(sink));
    });
    auto socket = RawSocket::connect_to(server->port());
    for (int round = 0; round < 20; ++round) {
        const std::string body(static_cast<std::size_t>(1'000 + 3'000 * round),
                               static_cast<char>('a' + round));
        const std::string text = post("/" + std::to_string(round), body);
        const std::size_t head = text.size() - body.size();
        socket.send(text.substr(0, head));
        pass(std::chrono::milliseconds(2));
        socket.send(text.substr(head));
        ASSERT_TRUE(eventually(loop, [&] { return held.size() == 1; })) << round;
        loop.poll();
        echo(held[0].first, std::move(held[0].second));
        held.clear();
        ASSERT_TRUE(eventually(loop, [&] { return socket.has_received("|" + body); })) << round;
    }
    EXPECT_EQ(server->stats().requests, 20U);
}

// The second request is used while a read for the third is under way: what comes then is the third,
// not once more the bytes of the first.
TEST_F(ServerTest, PipelinedRequestsAreNotTakenTwice) {
    std::vector<std::string> seen;
    std::vector<std::pair<Request, ResponseSink>> held;
    serve([&](Request request, ResponseSink sink) {
        seen.push_back(request.path + "|" + request.body);
        held.emplace_back(std::move(request), std::move(sink));
    });
    auto socket = RawSocket::connect_to(server->port());
    auto answer = [&] {
        auto [request, sink] = std::move(held.front());
        held.clear();
        echo(request, std::move(sink));
    };
    socket.send(post("/1", "pay") + post("/2", "two"));
    ASSERT_TRUE(eventually(loop, [&] { return seen.size() == 1; }));
    loop.poll();
    answer();
    ASSERT_TRUE(eventually(loop, [&] { return seen.size() == 2; }));
    loop.poll();
    socket.send(post("/3", "ten"));
    pass(std::chrono::milliseconds(5));
    answer();
    ASSERT_TRUE(eventually(loop, [&] { return seen.size() == 3; }));
    answer();
    ASSERT_TRUE(eventually(loop, [&] { return socket.has_received("/3|ten"); }));
    EXPECT_EQ(seen, (std::vector<std::string>{"/1|pay", "/2|two", "/3|ten"}));
}

TEST_F(ServerTest, HeadHasTheLengthButNoBody) {
    serve(echo);
    const std::string got = exchange("HEAD /abc HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_NE(got.find("Content-Length: 5\r\n"), std::string::npos);
    EXPECT_TRUE(got.ends_with("\r\n\r\n"));
}

TEST_F(ServerTest, SpeaksHttp10) {
    serve(echo);
    EXPECT_NE(exchange("GET / HTTP/1.0\r\n\r\n").find("Connection: close\r\n"), std::string::npos);
    EXPECT_NE(exchange_until("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "/|")
                  .find("Connection: keep-alive\r\n"),
              std::string::npos);
}

TEST_F(ServerTest, SaysContinueWhenABodyIsAnnounced) {
    serve(echo);
    auto socket = RawSocket::connect_to(server->port());
    socket.send("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    EXPECT_TRUE(
        eventually(loop, [&] { return socket.has_received("HTTP/1.1 100 Continue\r\n\r\n"); }));
    socket.send("ok");
    EXPECT_TRUE(eventually(loop, [&] { return socket.has_received("/p|ok"); }));
    EXPECT_EQ(count(socket.received, "100 Continue"), 1U);
}

TEST_F(ServerTest, ItsOwnErrorsAreProblemsAndClose) {
    ServerOptions options;
    options.body_size_max = 10;
    options.header_size_max = 200;
    serve(echo, options);
    const struct {
        std::string bytes;
        const char* status;
        const char* code;
    } rows[] = {
        {"nonsense\r\n\r\n", "400 Bad Request", "bad_request"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", "413", "body_too_large"},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\n\r\n",
         "415",
         "unsupported_encoding"},
        {"GET / HTTP/1.1\r\nX: " + std::string(300, 'x'), "431", "header_too_large"},
        {"GET / HTTP/3.0\r\n\r\n", "505", "http_version_not_supported"},
    };
    for (const auto& row : rows) {
        const std::string got = exchange(row.bytes);
        EXPECT_TRUE(got.starts_with(std::string("HTTP/1.1 ") + row.status)) << got;
        EXPECT_NE(got.find("Content-Type: application/problem+json\r\n"), std::string::npos);
        EXPECT_NE(got.find("Connection: close\r\n"), std::string::npos);
        EXPECT_NE(got.find(std::string("\"code\":\"") + row.code), std::string::npos);
    }
    EXPECT_EQ(server->stats().requests, 0U);
    EXPECT_EQ(server->stats().requests_refused, 5U);
}

TEST_F(ServerTest, TheAnswerToABodyThatIsTooLargeArrivesWhileItIsStillBeingSent) {
    ServerOptions options;
    options.body_size_max = 1000;
    serve(echo, options);
    auto socket = RawSocket::connect_to(server->port());
    socket.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
    for (int i = 0; i < 30; ++i) {
        socket.send(std::string(10'000, 'x'));
        loop.poll();
    }
    EXPECT_TRUE(eventually(loop, [&] { return socket.receive(); }));
    EXPECT_TRUE(socket.received.starts_with("HTTP/1.1 413"));
    EXPECT_FALSE(socket.was_reset);
}

TEST_F(ServerTest, BodiesUpToTheDefaultLimitArriveWhole) {
    std::size_t size = 0;
    serve([&](const Request& request, ResponseSink sink) {
        size = request.body.size();
        sink.send(text_response(200, "ok"));
    });
    Client client(loop, {.port = server->port()});
    const std::size_t limit = ServerOptions().body_size_max;
    for (const std::size_t sent : {limit - 1, limit, limit + 1}) {
        int status = 0;
        Request request;
        request.method = Method::post;
        request.target = "/";
        request.body.assign(sent, 'x');
        client.request(std::move(request), {}, [&](CallResult result) {
            ASSERT_TRUE(result.has_value()) << result.error().reason;
            status = result.value().status;
        });
        EXPECT_TRUE(eventually(loop, [&] { return status != 0; }));
        EXPECT_EQ(status, sent <= limit ? 200 : 413);
        EXPECT_EQ(size, std::min(sent, limit));
    }
}

TEST_F(ServerTest, ADroppedSinkAnswers500) {
    serve([](const Request&, const ResponseSink&) {});
    EXPECT_TRUE(exchange_until("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "internal_error")
                    .starts_with("HTTP/1.1 500 "));
}

TEST_F(ServerTest, AResponseThatCannotBeSentIs500) {
    serve([](const Request&, ResponseSink sink) {
        Response response = text_response(200, "x");
        response.headers.add("X-Bad", "a\r\nb");
        sink.send(std::move(response));
    });
    const std::string got = exchange_until("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "internal_error");
    EXPECT_TRUE(got.starts_with("HTTP/1.1 500 "));
    EXPECT_EQ(got.find("X-Bad"), std::string::npos);
}

TEST_F(ServerTest, AClientThatLeavesIsNoticedWhileItsRequestIsHeld) {
    ResponseSink held;
    bool closed = false;
    serve([&](const Request&, ResponseSink sink) {
        held = std::move(sink);
        held.on_closed([&] { closed = true; });
    });
    for (const bool by_reset : {false, true}) {
        closed = false;
        auto socket = RawSocket::connect_to(server->port());
        socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        ASSERT_TRUE(eventually(loop, [&] { return held.open(); }));
        EXPECT_FALSE(closed);
        if (by_reset) {
            socket.reset();
        } else {
            socket.close();
        }
        EXPECT_TRUE(eventually(loop, [&] { return closed; }));
        EXPECT_FALSE(held.open());
        held = ResponseSink();
    }
    EXPECT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 0; }));
}

TEST_F(ServerTest, AClientThatOnlyEndsItsSendingSideGetsItsAnswer) {
    ResponseSink held;
    bool told = false;
    serve([&](const Request&, ResponseSink sink) {
        held = std::move(sink);
        held.on_closed([&] { told = true; });
    });
    auto socket = RawSocket::connect_to(server->port());
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    socket.end_sending();
    ASSERT_TRUE(eventually(loop, [&] { return told; }));
    held.send(text_response(200, "late"));
    EXPECT_TRUE(eventually(loop, [&] { return socket.receive(); }));
    EXPECT_TRUE(socket.received.ends_with("late"));
}

TEST_F(ServerTest, ASinkMayOutliveTheServer) {
    ResponseSink held;
    bool closed = false;
    serve([&](const Request&, ResponseSink sink) {
        held = std::move(sink);
        held.on_closed([&] { closed = true; });
    });
    auto socket = RawSocket::connect_to(server->port());
    socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return held.open(); }));
    server.reset();
    loop.poll();
    EXPECT_TRUE(closed);
    held.send(text_response(200, "nobody hears this"));
    EXPECT_TRUE(socket.receive());
}

TEST(ServerLifetime, ASinkMayOutliveTheLoop) {
    ResponseSink held;
    {
        async::EventLoop loop;
        auto server = Server::create(
            loop, {}, [&](const Request&, ResponseSink sink) { held = std::move(sink); });
        ASSERT_TRUE(server.has_value());
        auto socket = RawSocket::connect_to(server.value()->port());
        socket.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        ASSERT_TRUE(eventually(loop, [&] { return held.open(); }));
        server.value().reset();
    }
    EXPECT_FALSE(held.open());
}

const std::string kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

TEST_F(ServerTest, TooManyBusyConnectionsGet503) {
    ServerOptions options;
    options.connections_max = 2;
    std::vector<ResponseSink> held;
    serve([&](const Request&, ResponseSink sink) { held.push_back(std::move(sink)); }, options);
    auto one = RawSocket::connect_to(server->port());
    auto two = RawSocket::connect_to(server->port());
    one.send(kGet);
    two.send(kGet);
    ASSERT_TRUE(eventually(loop, [&] { return held.size() == 2; }));
    const std::string refusal = exchange(kGet);
    EXPECT_TRUE(refusal.starts_with("HTTP/1.1 503 ")) << refusal;
    EXPECT_NE(refusal.find("Retry-After: 1\r\n"), std::string::npos) << refusal;
    one.close();
    held.clear();
    ASSERT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 1; }));
    auto next = RawSocket::connect_to(server->port());
    next.send(kGet);
    EXPECT_TRUE(eventually(loop, [&] { return held.size() == 1; }));
}

// The first connection of a server, which waits for an answer that `held` will give.
class CrowdedServerTest : public ServerTest {
protected:
    RawSocket busy_connection(const ServerOptions& options, ResponseSink& held) {
        serve(
            [&held](const Request& request, ResponseSink sink) {
                if (request.path == "/held") {
                    held = std::move(sink);
                } else {
                    echo(request, std::move(sink));
                }
            },
            options);
        auto busy = RawSocket::connect_to(server->port());
        busy.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_TRUE(eventually(loop, [&] { return held.open(); }));
        return busy;
    }
};

TEST_F(CrowdedServerTest, TheLongestIdleConnectionMakesRoom) {
    ServerOptions options;
    options.connections_max = 3;
    ResponseSink held;
    auto busy = busy_connection(options, held);
    ASSERT_TRUE(held.open());
    auto first = RawSocket::connect_to(server->port());
    auto second = RawSocket::connect_to(server->port());
    ASSERT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 3; }));
    first.send(kGet);  // idle again from here on
    ASSERT_TRUE(eventually(loop, [&] { return first.has_received("/|"); }));
    EXPECT_NE(exchange_until(kGet, "/|").find("200 OK"), std::string::npos);
    EXPECT_TRUE(eventually(loop, [&] { return second.receive(); }))
        << "it said nothing for longest";
    EXPECT_FALSE(first.receive());
    EXPECT_FALSE(busy.receive()) << "it waits for its answer";
    EXPECT_EQ(server->stats().connections_made_room, 1U);
    EXPECT_EQ(server->stats().connections_refused, 0U);
}

TEST_F(CrowdedServerTest, UrgentRequestsFindAWayIntoAFullServer) {
    ServerOptions options;
    options.connections_max = 1;
    options.connections_reserved = 2;
    options.is_urgent = [](const Request& request) { return request.path == "/livez"; };
    ResponseSink held;
    auto busy = busy_connection(options, held);
    ASSERT_TRUE(held.open());
    const std::string alive = exchange("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(alive.starts_with("HTTP/1.1 200 ")) << alive;
    EXPECT_NE(alive.find("Connection: close\r\n"), std::string::npos) << alive;
    const std::string other = exchange(kGet);
    EXPECT_TRUE(other.starts_with("HTTP/1.1 503 ")) << other;
    EXPECT_EQ(server->stats().connections_refused, 1U);
    held.send(text_response(200, "in time"));
    EXPECT_TRUE(eventually(loop, [&] { return busy.has_received("in time"); }));
}

TEST_F(ServerTest, BodiesThatAreBeingReadHaveALimitInTotal) {
    ServerOptions options;
    options.body_size_max = 1024UL * 1024;
    options.bodies_size_max = 2UL * 1024 * 1024;
    serve(echo, options);
    const std::string head =
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 1048576\r\n\r\n";
    const std::string most(1000UL * 1024, 'x');
    std::vector<RawSocket> slow;
    for (int i = 0; i < 3; ++i) {
        slow.push_back(RawSocket::connect_to(server->port()));
        slow.back().send(head);
        slow.back().send(most);
        if (i == 0) {
            ASSERT_TRUE(eventually(loop, [&] { return server->stats().body_bytes > most.size(); }));
            ASSERT_LE(server->stats().body_bytes, options.bodies_size_max);
        }
    }
    // Whoever goes above it is sent away; those before are read to their end.
    ASSERT_TRUE(eventually(loop, [&] { return server->stats().bodies_refused > 0; }));
    pass(50ms);
    std::size_t refused = 0;
    for (RawSocket& socket : slow) {
        if (!socket.has_received("HTTP/1.1 503 ")) {
            continue;
        }
        ++refused;
        EXPECT_TRUE(socket.has_received("Retry-After: 1\r\n")) << socket.received;
        EXPECT_TRUE(socket.has_received("Connection: close\r\n")) << socket.received;
        socket.close();
    }
    ASSERT_GE(refused, 1U);
    ASSERT_LT(refused, 3U);
    EXPECT_LE(server->stats().body_bytes, options.bodies_size_max);
    for (RawSocket& socket : slow) {
        if (socket.received.empty()) {
            socket.send(std::string(1024UL * 1024 - most.size(), 'x'));
            EXPECT_TRUE(eventually(loop, [&] { return socket.has_received("HTTP/1.1 200 "); }));
        }
    }
    slow.clear();
    EXPECT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 0; }));
    EXPECT_EQ(server->stats().body_bytes, 0U) << "what is released was counted";
}

TEST_F(ServerTest, AConnectionEndsAfterItsRequests) {
    ServerOptions options;
    options.requests_per_connection_max = 2;
    serve(echo, options);
    const std::string request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    EXPECT_EQ(count(exchange(request + request + request), "200 OK"), 2U);
}

TEST_F(ServerTest, AThousandConnectionsAtOnce) {
    ASSERT_GE(allow_descriptors(4096), 2100U) << "both ends are in this process";
    std::vector<ResponseSink> held;
    serve([&](const Request&, ResponseSink sink) { held.push_back(std::move(sink)); });
    std::vector<RawSocket> sockets;
    for (int i = 0; i < 1000; ++i) {
        sockets.push_back(RawSocket::connect_to(server->port()));
        sockets.back().send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    ASSERT_TRUE(eventually(loop, [&] { return held.size() == 1000; }));
    for (ResponseSink& sink : held) {
        sink.send(text_response(200, "done"));
    }
    for (RawSocket& socket : sockets) {
        EXPECT_TRUE(eventually(loop, [&] { return socket.has_received("done"); }));
    }
}

TEST_F(ServerTest, NoSocketIsInheritedByOtherPrograms) {
    serve(echo);
    Client client(loop, {.port = server->port()});
    bool answered = false;
    client.request({.method = Method::get, .target = "/"},
                   {},
                   [&answered](const CallResult& result) { answered = result.has_value(); });
    ASSERT_TRUE(eventually(loop, [&] { return answered; }));
    int sockets = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        const std::string what = std::filesystem::read_symlink(entry.path(), gone).string();
        if (!what.starts_with("socket:")) {
            continue;
        }
        ++sockets;
        const int flags = ::fcntl(std::stoi(entry.path().filename()), F_GETFD);
        EXPECT_NE(flags & FD_CLOEXEC, 0) << what << " stays open in a program that we start";
    }
    EXPECT_GE(sockets, 3) << "the listening one, and both ends of a connection";
}

TEST_F(ServerTest, DrainLetsRequestsInFlightFinish) {
    ResponseSink held;
    serve([&](const Request&, ResponseSink sink) { held = std::move(sink); });
    auto idle = RawSocket::connect_to(server->port());
    auto busy = RawSocket::connect_to(server->port());
    busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(
        eventually(loop, [&] { return held.open() && server->stats().connections_open == 2; }));
    bool drained = false;
    server->drain(10s, [&] { drained = true; });
    EXPECT_TRUE(eventually(loop, [&] { return idle.receive(); }));
    EXPECT_FALSE(drained);
    held.send(text_response(200, "in time"));
    EXPECT_TRUE(eventually(loop, [&] { return busy.receive(); }));
    EXPECT_NE(busy.received.find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(busy.received.ends_with("in time"));
    busy.close();
    EXPECT_TRUE(eventually(loop, [&] { return drained; }));
}

TEST_F(ServerTest, DrainCutsWhatTakesTooLong) {
    ResponseSink held;
    serve([&](const Request&, ResponseSink sink) { held = std::move(sink); });
    auto busy = RawSocket::connect_to(server->port());
    busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(eventually(loop, [&] { return held.open(); }));
    bool drained = false;
    server->drain(20ms, [&] { drained = true; });
    EXPECT_TRUE(eventually(loop, [&] { return drained; }));
    EXPECT_TRUE(busy.receive());
    EXPECT_EQ(busy.received, "");
}

TEST_F(ServerTest, AnEmptyServerIsDrainedAtOnce) {
    serve(echo);
    bool drained = false;
    server->drain(10s, [&] { drained = true; });
    EXPECT_FALSE(drained);
    loop.poll();
    EXPECT_TRUE(drained);
}

TEST_F(ServerTest, RefusesToListenWhereItMustNot) {
    const auto refusal = [&](const char* host, std::uint16_t port) {
        ServerOptions options;
        options.host = host;
        options.port = port;
        auto created = Server::create(loop, options, echo);
        EXPECT_FALSE(created.has_value());
        return created.has_value() ? base::fail(base::Errc::io_error, "") : created.error();
    };
    serve(echo);
    const auto used = refusal("127.0.0.1", server->port());
    EXPECT_EQ(used.code, base::Errc::already_exists);
    EXPECT_NE(used.context.find("127.0.0.1:" + std::to_string(server->port())), std::string::npos);
    EXPECT_EQ(refusal("0.0.0.0", 0).code, base::Errc::permission_denied);
    EXPECT_EQ(refusal("::", 0).code, base::Errc::permission_denied);
    EXPECT_EQ(refusal("not an address", 0).code, base::Errc::invalid_argument);
}

}  // namespace
}  // namespace twofold::http::testing
