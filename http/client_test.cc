#include "http/client.h"

#include "http/test_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace twofold::http::testing {
namespace {

Request get(std::string target) {
    Request request;
    request.target = std::move(target);
    return request;
}

Request post(std::string body) {
    Request request;
    request.method = Method::post;
    request.target = "/";
    request.body = std::move(body);
    return request;
}

CallOptions within(std::chrono::milliseconds deadline) {
    CallOptions options;
    options.deadline = deadline;
    return options;
}

// A client whose peer is `port`, and the results of its calls in their order.
class ClientTest : public ServerTest {
public:
    void connect_to(std::uint16_t port, ClientOptions options = {}) {
        options.port = port;
        client.emplace(loop, std::move(options));
    }
    CallHandle call(Request request, CallOptions options = {}) {
        return client->request(std::move(request), std::move(options), [this](CallResult result) {
            results.push_back(std::move(result));
        });
    }
    CallResult& wait_for(std::size_t count) {
        EXPECT_TRUE(eventually(loop, [&] { return results.size() >= count; }));
        if (results.size() < count) {
            results.emplace_back(
                CallError{CallFailure::unknown, base::Errc::timed_out, "the test"});
        }
        return results.back();
    }
    void expect_failure(const CallResult& result, CallFailure failure, base::Errc code) {
        ASSERT_FALSE(result.has_value());
        EXPECT_EQ(to_string(result.error().failure), to_string(failure)) << result.error().reason;
        EXPECT_EQ(result.error().code, code) << result.error().reason;
        EXPECT_NE(result.error().reason.find(client->origin()), std::string::npos);
    }

    CallOptions collecting_lines() {
        CallOptions options;
        options.on_line = [this](std::string_view line) { lines.emplace_back(line); };
        return options;
    }
    // A call whose lines are collected; the test writes them into `stream`.
    void open_stream() {
        serve([this](const Request&, ResponseSink sink) { stream = std::move(sink); });
        connect_to(server->port());
        call(get("/"), collecting_lines());
        ASSERT_TRUE(eventually(loop, [&] { return stream.open(); }));
        stream.begin_stream(200, "application/x-ndjson");
    }
    // The next connection to `raw`, when `text` has come over it.
    std::unique_ptr<RawSocket> accept_with(const RawServer& raw, std::string_view text) {
        auto peer = raw.accept(loop);
        EXPECT_TRUE(eventually(loop, [&] { return peer->has_received(text); }));
        return peer;
    }

    std::optional<Client> client;
    std::vector<CallResult> results;
    std::vector<std::string> lines;
    ResponseSink stream;
};

TEST_F(ClientTest, KeepsItsConnection) {
    serve(echo);
    connect_to(server->port());
    for (std::size_t i = 1; i <= 5; ++i) {
        call(post("body"));
        EXPECT_EQ(wait_for(i).value().body, "/|body");
    }
    EXPECT_EQ(client->stats().connects, 1U);
    EXPECT_EQ(server->stats().connections_accepted, 1U);
}

TEST_F(ClientTest, NeverCallsBackInsideOfRequest) {
    connect_to(1);
    Request bad = get("no slash");
    call(std::move(bad));
    EXPECT_TRUE(results.empty());
    expect_failure(wait_for(1), CallFailure::not_sent, base::Errc::invalid_argument);
}

TEST_F(ClientTest, UsesNoMoreConnectionsThanItMay) {
    std::vector<ResponseSink> held;
    serve([&](const Request&, ResponseSink sink) { held.push_back(std::move(sink)); });
    connect_to(server->port(), {.connections_max = 2, .queue_max = 3});
    for (int i = 0; i < 6; ++i) {
        call(get("/"));
    }
    // Two have a connection only once it is there: until then all six wait, and there is room for
    // three.
    EXPECT_TRUE(eventually(loop, [&] { return results.size() == 3 && held.size() == 2; }));
    for (const CallResult& result : results) {
        expect_failure(result, CallFailure::not_sent, base::Errc::limit_exceeded);
    }
    while (results.size() < 6) {
        ASSERT_TRUE(eventually(loop, [&] { return !held.empty(); }));
        held.back().send(text_response(200, ""));
        held.pop_back();
        loop.poll();
    }
    EXPECT_EQ(client->stats().connects, 2U);
}

TEST_F(ClientTest, PreconnectsAndClosesWhatIsIdle) {
    serve(echo);
    ClientOptions options;
    options.idle_deadline = 40ms;
    connect_to(server->port(), options);
    client->preconnect(3);
    EXPECT_TRUE(eventually(loop, [&] { return client->stats().connections_idle == 3; }));
    EXPECT_TRUE(eventually(loop, [&] { return client->stats().connections_open == 0; }));
    EXPECT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 0; }));
}

TEST_F(ClientTest, StreamsLinesInOrderAsTheyArrive) {
    open_stream();
    stream.write("{\"n\":1}\n{\"n\":2}\n{\"n\"");
    ASSERT_TRUE(eventually(loop, [&] { return lines.size() == 2; }));
    EXPECT_TRUE(results.empty());
    stream.write(":3}\n");
    stream.end();
    ClientReply& reply = wait_for(1).value();
    EXPECT_EQ(lines, (std::vector<std::string>{"{\"n\":1}", "{\"n\":2}", "{\"n\":3}"}));
    EXPECT_TRUE(reply.streamed);
    EXPECT_FALSE(reply.truncated);
    EXPECT_EQ(reply.content_type, "application/x-ndjson");
}

TEST_F(ClientTest, AStreamThatIsCutIsUnknownAndKeepsItsLines) {
    open_stream();
    stream.write("one\ntw");
    ASSERT_TRUE(eventually(loop, [&] { return lines.size() == 1; }));
    stream = ResponseSink();
    expect_failure(wait_for(1), CallFailure::unknown, base::Errc::io_error);
    EXPECT_EQ(lines, (std::vector<std::string>{"one"}));
}

TEST_F(ClientTest, RedirectsAndForeignPagesAreOnlyReplies) {
    RawServer raw;
    connect_to(raw.port);
    call(get("/"), collecting_lines());
    const auto peer = accept_with(raw, "\r\n\r\n");
    peer->send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\n<html>\n\n");
    EXPECT_EQ(wait_for(1).value().content_type, "text/html");
    EXPECT_TRUE(lines.empty());

    peer->received.clear();
    call(get("/"));
    ASSERT_TRUE(eventually(loop, [&] { return peer->has_received("\r\n\r\n"); }));
    peer->send("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(wait_for(2).value().status, 301);
    EXPECT_EQ(client->stats().connects, 1U);
}

TEST_F(ClientTest, ANameThatResolvesIsFine) {
    serve(echo);
    connect_to(server->port(), {.host = "localhost"});
    call(get("/named"));
    EXPECT_EQ(wait_for(1).value().body, "/named|");
}

TEST_F(ClientTest, AddressesCanBeForbidden) {
    serve(echo);
    ClientOptions options;
    options.allow_address = [](std::string_view address) { return address != "127.0.0.1"; };
    connect_to(server->port(), options);
    call(get("/"));
    expect_failure(wait_for(1), CallFailure::not_sent, base::Errc::invalid_argument);
    EXPECT_EQ(server->stats().connections_accepted, 0U);
}

TEST_F(ClientTest, NotSentWhenTheConnectionIsRefused) {
    std::uint16_t port = 0;
    {
        const RawServer gone;
        port = gone.port;
    }
    connect_to(port);
    for (int i = 0; i < 20; ++i) {
        call(post("x"));
    }
    EXPECT_TRUE(eventually(loop, [&] { return results.size() == 20; }));
    for (const CallResult& result : results) {
        expect_failure(result, CallFailure::not_sent, base::Errc::unavailable);
    }
}

TEST_F(ClientTest, NotSentWhenTheNameIsUnknown) {
    connect_to(1, {.host = "no-such-host.invalid"});
    call(get("/"));
    expect_failure(wait_for(1), CallFailure::not_sent, base::Errc::unavailable);
}

TEST_F(ClientTest, NotSentWhenNoConnectionWasFreeInTime) {
    serve([held = std::make_shared<std::vector<ResponseSink>>()](
              const Request&, ResponseSink sink) { held->push_back(std::move(sink)); });
    connect_to(server->port(), {.connections_max = 1});
    call(get("/"));
    ASSERT_TRUE(eventually(loop, [&] { return server->stats().requests == 1; }));
    call(get("/"), within(30ms));
    expect_failure(wait_for(1), CallFailure::not_sent, base::Errc::timed_out);
    EXPECT_EQ(client->stats().queued, 0U);
}

TEST_F(ClientTest, UnknownWhenThereIsNoAnswerInTime) {
    RawServer raw;
    connect_to(raw.port);
    call(post("x"), within(30ms));
    const auto begin = std::chrono::steady_clock::now();
    const auto peer = raw.accept(loop);
    expect_failure(wait_for(1), CallFailure::unknown, base::Errc::timed_out);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
    EXPECT_TRUE(eventually(loop, [&] { return peer->receive(); }))
        << "its connection is not used again";
}

// The system completes the handshake before the program accepts: the request is sent into a
// connection that nobody reads, and is unknown.
TEST_F(ClientTest, UnknownWhenTheServerClosesAtAccept) {
    RawServer raw;
    connect_to(raw.port);
    call(post("x"));
    ASSERT_TRUE(eventually(loop, [&] {
        return client->stats().connections_open == 1 && client->stats().queued == 0;
    }));
    raw.accept(loop)->reset();
    expect_failure(wait_for(1), CallFailure::unknown, base::Errc::io_error);
}

TEST_F(ClientTest, UnknownWhenTheReplyIsCutAnywhere) {
    const std::string reply =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        "20\r\n\r\n{\"state\":\"committed";
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{10}, reply.find("\r\n\r\n") + 4, reply.size()}) {
        for (const bool by_reset : {false, true}) {
            RawServer raw;
            results.clear();
            connect_to(raw.port);
            call(post("x"));
            const auto peer = accept_with(raw, "x");
            peer->send(reply.substr(0, size));
            if (by_reset) {
                peer->reset();
            } else {
                peer->close();
            }
            expect_failure(wait_for(1), CallFailure::unknown, base::Errc::io_error);
        }
    }
}

TEST_F(ClientTest, UnknownWhenTheReplyIsGarbage) {
    RawServer raw;
    connect_to(raw.port);
    call(post("x"));
    const auto peer = accept_with(raw, "x");
    peer->send("220 mail.example ESMTP\r\n\r\n");
    expect_failure(wait_for(1), CallFailure::unknown, base::Errc::protocol_violation);
}

TEST_F(ClientTest, AnIdleConnectionThatTheServerClosedIsNotUsed) {
    serve(echo, {.idle_deadline = 30ms});
    connect_to(server->port());
    call(get("/1"));
    EXPECT_TRUE(wait_for(1).has_value());
    ASSERT_TRUE(eventually(loop, [&] { return client->stats().connections_open == 0; }));
    call(get("/2"));
    EXPECT_EQ(wait_for(2).value().body, "/2|");
    EXPECT_EQ(client->stats().connects, 2U);
}

// The end of the connection has come, but the loop has not looked yet.
TEST_F(ClientTest, AnIdleConnectionIsLookedAtBeforeItIsUsed) {
    RawServer raw;
    connect_to(raw.port);
    call(get("/1"));
    auto peer = accept_with(raw, "\r\n\r\n");
    peer->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    EXPECT_TRUE(wait_for(1).has_value());
    ASSERT_FALSE(
        loop.run_until([] { return false; }, 20ms));  // idle for long enough to be looked at
    peer->close();
    call(post("x"));
    peer = accept_with(raw, "x");
    peer->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    EXPECT_TRUE(wait_for(2).has_value());
}

TEST_F(ClientTest, AConnectionThatSaysSomethingUnaskedIsNotUsedAgain) {
    RawServer raw;
    connect_to(raw.port);
    call(get("/1"));
    const auto peer = accept_with(raw, "\r\n\r\n");
    peer->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n");
    EXPECT_TRUE(wait_for(1).has_value());
    EXPECT_TRUE(eventually(loop, [&] { return client->stats().connections_open == 0; }));
}

TEST_F(ClientTest, ACancelledCallIsNeverToldAnything) {
    ResponseSink held;
    serve([&](const Request&, ResponseSink sink) { held = std::move(sink); });
    connect_to(server->port(), {.connections_max = 1});
    CallHandle sent = call(get("/1"));
    ASSERT_TRUE(eventually(loop, [&] { return held.open(); }));
    CallHandle waiting = call(get("/2"));
    EXPECT_TRUE(waiting.cancel());
    EXPECT_FALSE(waiting.cancel());
    EXPECT_TRUE(sent.cancel());
    EXPECT_TRUE(eventually(loop, [&] { return !held.open(); })) << "the server sees it go";
    call(get("/3"));
    ASSERT_TRUE(eventually(loop, [&] { return held.open(); })) << "and the pool goes on";
    held.send(text_response(200, "three"));
    EXPECT_EQ(wait_for(1).value().body, "three");
    EXPECT_EQ(results.size(), 1U);
    EXPECT_FALSE(sent.cancel());
}

TEST_F(ClientTest, ALineMayCancelItsCallOrDestroyTheClient) {
    serve([](const Request&, ResponseSink sink) {
        sink.begin_stream(200, "application/x-ndjson");
        sink.write("1\n2\n3\n");
        sink.end();
    });
    connect_to(server->port());
    int lines = 0;
    CallHandle handle;
    CallOptions options;
    options.on_line = [&](std::string_view) {
        ++lines;
        handle.cancel();
    };
    handle = call(get("/"), std::move(options));
    EXPECT_TRUE(eventually(loop, [&] { return lines == 1; }));
    loop.poll();
    EXPECT_EQ(lines, 1);

    CallOptions destroying;
    destroying.on_line = [&](std::string_view) {
        ++lines;
        client.reset();
    };
    call(get("/"), std::move(destroying));
    EXPECT_TRUE(eventually(loop, [&] { return lines == 2; }));
    loop.poll();
    EXPECT_EQ(lines, 2);
    EXPECT_TRUE(results.empty());
}

TEST_F(ClientTest, ADestroyedClientTellsNobody) {
    serve([](const Request&, const ResponseSink&) {});
    connect_to(server->port());
    CallHandle handle = call(get("/"));
    call(get("bad"));
    client.reset();
    EXPECT_FALSE(handle.cancel());
    loop.poll();
    EXPECT_TRUE(results.empty());
}

TEST_F(ClientTest, ManyCallsOverFewConnections) {
    serve(echo);
    connect_to(server->port(), {.connections_max = 4});
    for (int i = 0; i < 2000; ++i) {
        call(post(std::to_string(i)));
    }
    EXPECT_TRUE(eventually(loop, [&] { return results.size() == 2000; }));
    for (const CallResult& result : results) {
        ASSERT_TRUE(result.has_value()) << result.error().reason;
        EXPECT_EQ(result.value().status, 200);
    }
    EXPECT_EQ(client->stats().connects, 4U);
}

TEST_F(ClientTest, ALargeRequestAndReplyPass) {
    ServerOptions options;
    options.body_size_max = 12UL * 1024 * 1024;
    serve([](Request request,
             ResponseSink sink) { sink.send(text_response(200, std::move(request.body))); },
          options);
    connect_to(server->port());
    std::string body(10UL * 1024 * 1024, 'x');
    body.back() = 'y';
    call(post(body));
    EXPECT_TRUE(wait_for(1).value().body == body);
}

}  // namespace
}  // namespace twofold::http::testing
