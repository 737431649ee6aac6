// Very many connections that say nothing: others are served as before, and each costs little.
#include "http/server.h"
#include "http/test_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace twofold::http::testing {
namespace {

constexpr std::size_t kWanted = 10'000;
// The clients' ends are in this process too, and something else is open.
constexpr std::size_t kOtherDescriptors = 200;

std::size_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::size_t total = 0;
    std::size_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_F(ServerTest, AnIdleCrowdCostsLittleAndHoldsUpNobody) {
    const std::size_t descriptors = allow_descriptors(2 * kWanted + kOtherDescriptors);
    const std::size_t crowd = std::min(kWanted, (descriptors - kOtherDescriptors) / 2);
    ServerOptions options;
    options.connections_max = crowd + 100;
    serve(echo, options);
    const std::size_t before = resident_bytes();
    std::vector<RawSocket> idle;
    idle.reserve(crowd);
    for (std::size_t i = 0; i < crowd; ++i) {
        idle.push_back(RawSocket::connect_to(server->port()));
        if (i % 100 == 99) {
            ASSERT_TRUE(
                eventually(loop, [&] { return server->stats().connections_open == idle.size(); }));
        }
    }
    ASSERT_TRUE(eventually(loop, [&] { return server->stats().connections_open == idle.size(); }));
    const std::size_t each = (resident_bytes() - before) / crowd;
    std::printf("%zu idle connections (%zu descriptors are allowed): %zu bytes of memory each\n",
                crowd,
                descriptors,
                each);
    // A buffer for a header and the session, with a sanitizer its shadow too; a body's buffer would
    // be 64 KiB.
    EXPECT_LT(each, 48U * 1024) << "an idle connection holds too much";

    for (int i = 0; i < 100; ++i) {
        const std::string got =
            exchange("GET /served HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        ASSERT_NE(got.find("/served|"), std::string::npos) << got;
    }
    EXPECT_EQ(server->stats().connections_refused, 0U);
    EXPECT_TRUE(eventually(loop, [&] { return server->stats().connections_open == crowd; }))
        << "some of the crowd were sent away: " << server->stats().connections_open << " are left";
    idle.back().send("GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_TRUE(eventually(loop, [&] { return idle.back().has_received("/late|"); }));
    idle.clear();
    EXPECT_TRUE(eventually(loop, [&] { return server->stats().connections_open == 0; }));
}

}  // namespace
}  // namespace twofold::http::testing
