#include "app/server_limits.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace twofold::app {
namespace {

// Lowers the soft limit of open files while it lives.
class OpenFiles {
public:
    explicit OpenFiles(rlim_t soft) {
        EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
        rlimit lower{soft, before_.rlim_max};
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
    }
    ~OpenFiles() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
    OpenFiles(const OpenFiles&) = delete;
    OpenFiles& operator=(const OpenFiles&) = delete;

private:
    rlimit before_{};
};

TEST(ServerLimits, ConnectionsFollowTheOpenFiles) {
    OpenFiles files(1'000);
    EXPECT_EQ(connections_within_limits(0, 300), 700U);
    EXPECT_EQ(connections_within_limits(200, 300), 200U);
    EXPECT_EQ(connections_within_limits(5'000, 300), 700U);
    EXPECT_EQ(connections_within_limits(0, 900), 500U) << "half, however much else there is";
}

TEST(ServerLimits, ProbesAndDecisionsAreUrgent) {
    http::Router router;
    auto nothing = [](const http::Request&, http::ResponseSink) {};
    router.add(http::Method::get, "/livez", http::Role::open, nothing);
    router.add(http::Method::get, "/metrics", http::Role::metrics, nothing);
    router.add(http::Method::post, "/v1/branches:inquire", http::Role::sidecar, nothing);
    router.add(http::Method::post, "/v1/transactions", http::Role::client, nothing);
    auto urgent = [&router](const char* path) {
        http::Request request;
        request.path = path;
        return is_urgent(router, request);
    };
    EXPECT_TRUE(urgent("/livez"));
    EXPECT_TRUE(urgent("/metrics"));
    EXPECT_TRUE(urgent("/v1/branches:inquire"));
    EXPECT_FALSE(urgent("/v1/transactions"));
    EXPECT_FALSE(urgent("/elsewhere"));
}

}  // namespace
}  // namespace twofold::app
