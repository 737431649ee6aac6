// Crowds at the coordinator's door: those who say nothing, those who wait, and those who have left.
#include "http/test_support.h"
#include "integration/fixture.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace twofold::integration {
namespace {

using http::testing::RawSocket;

constexpr std::size_t kCrowd = 10'000;
constexpr std::size_t kOurDescriptors = 300;

class Edge : public ClusterTest {
protected:
    RawSocket connect() { return RawSocket::connect_to(cluster().coordinator_port()); }
    std::size_t connections() {
        return static_cast<std::size_t>(client().metric("twofold_http_connections"));
    }
};

TEST_F(Edge, TenThousandIdleConnectionsHoldUpNobody) {
    const std::size_t descriptors = http::testing::allow_descriptors(kCrowd + kOurDescriptors);
    const std::size_t crowd = std::min(kCrowd, descriptors - kOurDescriptors);
    if (crowd < kCrowd) {
        std::printf("only %zu connections: we may open %zu files\n", crowd, descriptors);
    }
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    std::vector<RawSocket> idle;
    idle.reserve(crowd);
    while (idle.size() < crowd) {
        idle.push_back(connect());
        if (idle.size() % 500 != 0 && idle.size() < crowd) continue;
        ASSERT_TRUE(wait_until([&] { return connections() >= idle.size(); }))
            << connections() << " of " << idle.size();
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(transfer().status, 200);
    RestClient newcomer(cluster().coordinator_port());
    EXPECT_EQ(newcomer.get("/livez").status, 200);
    EXPECT_EQ(newcomer.get("/readyz").status, 200);
    EXPECT_GE(connections(), crowd);
    EXPECT_EQ(client().metric("twofold_http_connections_refused_total"), 0);
    for (RawSocket* one : {&idle.front(), &idle.back()}) {
        one->send("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_TRUE(wait_until([&] { return one->has_received("alive"); })) << "it was sent away";
    }
    idle.clear();
    expect_consistent();
}

TEST_F(Edge, AFullServerIsThereForProbesAndWhoeverLeavesMakesRoom) {
    constexpr std::size_t kPlaces = 32;
    ClusterSpec spec;
    spec.coordinator_yaml = "connections_max: " + std::to_string(kPlaces) + "\n";
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite, std::move(spec)));
    RestReply begun = client().post("/v1/transactions", R"({"deadline_ms":60000})");
    ASSERT_EQ(begun.status, 201) << begun.summary();
    const std::string poll = "GET /v1/transactions/" + begun.text_at("id") +
                             "?wait_ms=60000 HTTP/1.1\r\nHost: h\r\n\r\n";
    std::vector<RawSocket> polls;
    for (std::size_t i = 0; i < kPlaces + 8; ++i) {
        polls.push_back(connect());
        polls.back().send(poll);
    }
    // Idle connections make room for them, so in the end they have all places.
    RestReply refused;
    ASSERT_TRUE(wait_until([&] {
        refused = RestClient(cluster().coordinator_port()).get("/v1/transactions");
        return refused.status == 503;
    })) << refused.summary();
    EXPECT_EQ(refused.text_at("code"), "overloaded") << refused.summary();
    RestClient probe(cluster().coordinator_port());
    EXPECT_EQ(probe.get("/livez").status, 200);
    EXPECT_EQ(probe.get("/readyz").status, 200);
    EXPECT_GT(probe.metric("twofold_http_connections_refused_total"), 0);
    // Who leaves gives the place back long before the time of the poll is over.
    polls.clear();
    EXPECT_TRUE(wait_until(
        [&] {
            return RestClient(cluster().coordinator_port()).get("/v1/transactions").status == 200;
        },
        std::chrono::seconds(30)))
        << "the places of those who have left are still taken";
    // Our own connection was idle and has made room, too: the first call may only find that out.
    EXPECT_TRUE(wait_until([this] { return client().get("/livez").status == 200; }));
    EXPECT_EQ(client().post("/v1/transactions/" + begun.text_at("id") + "/abort", "{}").status,
              200);
    EXPECT_EQ(transfer().status, 200);
    expect_consistent();
}

}  // namespace
}  // namespace twofold::integration
