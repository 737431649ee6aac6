// The SQLite resource and the driver on it: what needs a person, and what a greeting leaves.
#include "participant/sqlite_resource.h"

#include "async/event_loop.h"
#include "participant/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

namespace twofold::participant {
namespace {

using testing::HasSubstr;

class QuietMetrics final : public MetricsPort {
public:
    void item_answered(std::string_view /*operation*/, std::string_view /*status*/) override {}
    void alarm(std::string_view /*code*/) override {}
};

class SqliteResourceTest : public testing::Test {
protected:
    void SetUp() override {
        folder_ = std::filesystem::path(testing::TempDir()) /
                  ("twofold-resource-" + std::to_string(getpid()));
        std::filesystem::create_directories(folder_);
        path_ = (folder_ / "bank.db").string();
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    void make_driver() {
        sqlite::StoreOptions options;
        options.path = path_;
        options.create = true;
        resource_ = std::make_unique<SqliteResource>(loop_, std::move(options));
        driver_ = std::make_unique<Driver>(loop_,
                                           Machine(Config{}),
                                           *resource_,
                                           metrics_,
                                           std::vector<std::unique_ptr<CoordinatorPort>>(),
                                           DriverOptions{.name = "bank"});
        driver_->start([this](const base::Error& error) { hopeless_ = error; });
    }

    [[nodiscard]] bool wait(const std::function<bool()>& condition) {
        for (int i = 0; i < 10'000 && !condition(); ++i) {
            loop_.poll();
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        return condition();
    }

    std::filesystem::path folder_;
    std::string path_;
    async::EventLoop loop_;
    QuietMetrics metrics_;
    std::unique_ptr<SqliteResource> resource_;
    std::unique_ptr<Driver> driver_;
    std::optional<base::Error> hopeless_;
};

// Trying again would not help, and the reason alone would not say which file.
TEST_F(SqliteResourceTest, AFileThatIsNoDatabaseIsNamedAndNeedsAPerson) {
    std::ofstream(path_) << std::string(5'000, 'x');
    std::filesystem::permissions(path_, std::filesystem::perms(0600));
    make_driver();
    ASSERT_TRUE(wait([this] { return hopeless_.has_value(); }));
    EXPECT_EQ(hopeless_->code, base::Errc::corrupt) << hopeless_->context;
    EXPECT_THAT(hopeless_->context, HasSubstr(path_));
    EXPECT_FALSE(driver_->ready());
}

// A coordinator that has just started shows itself to every participant with an empty batch: from
// then on its predecessor is refused, after a restart of the sidecar too.
TEST_F(SqliteResourceTest, AnEmptyBatchIsAnsweredWhenItsSendersStartIsDurable) {
    make_driver();
    ASSERT_TRUE(wait([this] { return driver_->ready(); }));
    protocol::BatchRequest greeting;
    greeting.sender.incarnation = protocol::Incarnation{{1, 2, 3}};
    greeting.sender.epoch = 9;
    greeting.participant = driver_->info().uuid;
    greeting.identity = driver_->info().identity;
    greeting.sender.start_nonce = 77;
    greeting.sender.position = 500;
    std::optional<protocol::OfferReply> answer;
    driver_->receive_offer(greeting, [&](const protocol::OfferReply& reply) { answer = reply; });
    ASSERT_TRUE(wait([&] { return answer.has_value(); }));
    EXPECT_TRUE(answer->accepted) << answer->reason.message;
    EXPECT_EQ(answer->participant, driver_->info().uuid);
    driver_.reset();
    resource_.reset();
    sqlite::StoreOptions options;
    options.path = path_;
    auto store = sqlite::Store::open(options);
    ASSERT_TRUE(store.has_value());
    auto started = store.value()->start();
    ASSERT_TRUE(started.has_value());
    EXPECT_EQ(started.value().senders.at(greeting.sender.incarnation), greeting.sender);
}

}  // namespace
}  // namespace twofold::participant
