// The coordinator's program without its process.
#include "app/coordinator_service.h"

#include "async/timer.h"
#include "http/client.h"
#include "http/test_support.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace twofold::app {
namespace {

using http::testing::RawSocket;
using namespace std::chrono_literals;

class CoordinatorServiceTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "twofold-service-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        config_.listen.port = 0;
        config_.data_dir = folder_;
        config_.segment_size_bytes = 64U << 10U;
    }
    void TearDown() override {
        service_.reset();
        std::filesystem::remove_all(folder_);
    }
    void serve() {
        bool ready = false;
        CoordinatorService::Events events;
        events.on_ready = [&ready] { ready = true; };
        events.on_hopeless = [](const base::Error& error) { FAIL() << error.text(); };
        auto created = CoordinatorService::create(loop_, config_, std::move(events));
        ASSERT_TRUE(created.has_value()) << created.error().text();
        service_ = std::move(created.value());
        ASSERT_TRUE(loop_.run_until([&] { return ready; }, 60s));
    }
    [[nodiscard]] bool comes(RawSocket& socket, const std::string& text) {
        return http::testing::eventually(
            loop_, [&] { return socket.has_received(text); }, 60s);
    }

    async::EventLoop loop_;
    CoordinatorConfig config_;
    std::filesystem::path folder_;
    std::unique_ptr<CoordinatorService> service_;
};

// A transaction that nobody ends, and a request that does not come to its end: each of them alone
// uses up the whole time.
TEST_F(CoordinatorServiceTest, AStopTakesItsLimitOnceNotTwice) {
    config_.drain_limit = 1s;
    ASSERT_NO_FATAL_FAILURE(serve());
    auto client = RawSocket::connect_to(service_->port());
    client.send(
        "POST /v1/transactions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n{}");
    ASSERT_TRUE(comes(client, "201 Created")) << client.received;
    client.send("POST /v1/transactions HTTP/1.1\r\nHost: h\r\n");

    // Two timers of one loop: a machine that stands still stops both.
    bool stopped = false;
    bool twice_is_near = false;
    async::Timer nearly_twice(loop_);
    nearly_twice.start(config_.drain_limit * 9 / 5, [&] { twice_is_near = true; });
    service_->stop([&] { stopped = true; });
    ASSERT_TRUE(loop_.run_until([&] { return stopped || twice_is_near; }, 60s));
    EXPECT_TRUE(stopped) << "it takes the limit for each of its parts";
    ASSERT_TRUE(loop_.run_until([&] { return stopped; }, 60s));
}

}  // namespace
}  // namespace twofold::app
