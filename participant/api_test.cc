// The REST interface in front of a database and a coordinator that do not answer: who leaves gives
// the connection back, and what was asked for goes on.
#include "participant/api.h"

#include "http/fake_response_port.h"
#include "protocol/json.h"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twofold::participant {
namespace {

protocol::TxnId txn_id(protocol::Sequence sequence) {
    return protocol::make_txn_id({}, 1, sequence, {}, base::KeyedHash(base::HashKey{}));
}

// Holds one prepared branch. Runs nothing by itself.
class FakeResource final : public ResourcePort {
public:
    static protocol::BranchKey key() { return {txn_id(1), 1, 1}; }
    static protocol::ParticipantUuid uuid() {
        protocol::ParticipantUuid uuid;
        uuid.bytes.fill(0x5a);
        return uuid;
    }
    void start(StartCallback done) override {
        protocol::ResourceStart start;
        start.uuid = uuid();
        start.identity = {"fake", {"1"}};
        start.epoch = 1;
        start.slots = 4;
        start.prepared.push_back(branch());
        done(std::move(start));
    }
    void execute_prepare(protocol::BranchWork /*work*/, WorkCallback /*done*/) override {}
    void one_phase(protocol::BranchWork /*work*/, WorkCallback /*done*/) override {}
    [[nodiscard]] std::optional<protocol::Reason> check_work(
        const protocol::JsonText& /*work*/) const override {
        return std::nullopt;
    }
    void execute(protocol::BranchWork /*work*/,
                 std::uint32_t /*sequence*/,
                 WorkCallback done) override {
        running = std::move(done);
    }
    void prepare_executed(const protocol::BranchKey& /*key*/, WorkCallback /*done*/) override {}
    void cancel(const protocol::BranchKey& /*key*/, DoneCallback /*done*/) override {}
    void commit(protocol::FinishRequest /*request*/, FinishCallback done) override {
        finishing = std::move(done);
    }
    void rollback(protocol::FinishRequest /*request*/, FinishCallback done) override {
        finishing = std::move(done);
    }
    void settle_one_phase(const protocol::BranchKey& /*key*/,
                          const std::optional<protocol::IdempotencyKey>& /*idempotency*/,
                          FinishCallback /*done*/) override {}
    void list(ListCallback done) override { done(std::vector<protocol::PreparedBranch>{branch()}); }
    void persist_sender(const protocol::SenderStamp& /*sender*/, DoneCallback done) override {
        done(base::ok());
    }
    void note_marks(const protocol::Incarnation& /*incarnation*/,
                    protocol::IdPosition /*low_water*/,
                    protocol::IdPosition /*horizon*/) override {}
    [[nodiscard]] protocol::Position position() const override { return {1, 1}; }
    void stop(std::function<void()> done) override { done(); }

    WorkCallback running;
    FinishCallback finishing;

private:
    static protocol::PreparedBranch branch() {
        return {key(), protocol::make_gid(key(), uuid()), {}, 10'000, true};
    }
};

// Enlists at once; knows nothing about anybody's branches.
class FakeCoordinator final : public CoordinatorPort {
public:
    void inquire(const protocol::InquiryRequest& /*request*/, ReplyCallback done) override {
        asked.push_back(std::move(done));
    }
    void enlist(const EnlistRequest& request, EnlistCallback done) override {
        EnlistReply reply;
        reply.status = EnlistStatus::enlisted;
        reply.key = {request.txn, 1, 1};
        reply.uuid = FakeResource::uuid();
        reply.deadline_ms = 60'000;
        reply.sender.epoch = 1;
        reply.sender.start_nonce = 1;
        done(std::move(reply));
    }
    [[nodiscard]] const std::string& url() const override { return url_; }

    std::vector<ReplyCallback> asked;

private:
    std::string url_ = "http://fake";
};

class NoMetrics final : public MetricsPort {
public:
    void item_answered(std::string_view /*operation*/, std::string_view /*status*/) override {}
    void alarm(std::string_view /*code*/) override {}
};

class ApiTest : public ::testing::Test {
protected:
    using Port = std::shared_ptr<http::FakeResponsePort>;

    void SetUp() override {
        std::vector<std::unique_ptr<CoordinatorPort>> coordinators;
        coordinators.push_back(std::make_unique<FakeCoordinator>());
        coordinator_ = static_cast<FakeCoordinator*>(coordinators.back().get());
        DriverOptions options;
        options.name = "north";
        driver_ = std::make_unique<Driver>(
            loop_, Machine(Config{}), resource_, metrics_, std::move(coordinators), options);
        driver_->start([](const base::Error& error) { FAIL() << error.text(); });
        add_routes(router_, *driver_, {});
        turn();
    }
    void turn() {
        for (int i = 0; i < 20; ++i) loop_.poll();
    }
    Port call(http::Method method,
              const std::string& path,
              std::string body = {},
              const std::string& if_match = {}) {
        http::Request request;
        request.method = method;
        request.target = path;
        request.path = path;
        if (!body.empty()) request.headers.add("Content-Type", "application/json");
        if (!if_match.empty()) request.headers.add("If-Match", if_match);
        request.body = std::move(body);
        auto port = std::make_shared<http::FakeResponsePort>();
        router_.dispatch(std::move(request), port->sink());
        turn();
        return port;
    }
    Port execute(const std::string& id) {
        return call(
            http::Method::post, "/v1/transactions/" + id + "/execute", R"({"work":[{"sql":"x"}]})");
    }

    async::EventLoop loop_;
    FakeResource resource_;
    NoMetrics metrics_;
    FakeCoordinator* coordinator_ = nullptr;
    std::unique_ptr<Driver> driver_;
    http::Router router_;
};

// A stream that is written to without heed is cut, and every item of it ends unknown.
TEST_F(ApiTest, ABatchWaitsForASlowReader) {
    protocol::BatchRequest batch;
    batch.sender.epoch = 1;
    batch.sender.start_nonce = 1;
    batch.participant = FakeResource::uuid();
    batch.identity = {"fake", {"1"}};
    for (protocol::Sequence sequence = 10; sequence < 13; ++sequence) {
        protocol::Item item;
        item.op = protocol::ItemOp::abort;
        item.key = {txn_id(sequence), 1, 1};
        batch.items.push_back(std::move(item));
    }
    http::Request request;
    request.method = http::Method::post;
    request.target = request.path = "/v1/branches:batch";
    request.headers.add("Content-Type", "application/json");
    protocol::append_batch_request(request.body, batch);
    auto port = std::make_shared<http::FakeResponsePort>();
    port->write_status = http::WriteStatus::backpressure;
    router_.dispatch(std::move(request), port->sink());
    turn();
    EXPECT_EQ(port->chunks.size(), 1U) << port->response.body;
    EXPECT_FALSE(port->answered);
    port->make_writable();
    turn();
    EXPECT_EQ(port->chunks.size(), 3U) << port->response.body;
    EXPECT_TRUE(port->answered);
}

TEST_F(ApiTest, WhoLeavesARunningStatementGivesTheConnectionBack) {
    const std::string id = txn_id(2).text();
    Port first = execute(id);
    ASSERT_FALSE(first->answered) << first->response.body;
    ASSERT_TRUE(resource_.running) << "the statement runs";
    first->close();
    turn();
    EXPECT_TRUE(first->abandoned) << "the connection is kept for somebody who has left";
    protocol::WorkResult result;
    result.status = protocol::WorkStatus::prepared;
    std::exchange(resource_.running, nullptr)(std::move(result));
    turn();
    EXPECT_FALSE(first->answered);
    Port second = execute(id);
    EXPECT_TRUE(resource_.running) << "the branch goes on";
}

TEST_F(ApiTest, WhoLeavesADecisionGivesTheConnectionBack) {
    Port listed = call(http::Method::get, "/v1/branches");
    const boost::json::value parsed = boost::json::parse(listed->response.body);
    const boost::json::object branch = parsed.at("branches").at(0).as_object();
    const std::string gid(branch.at("gid").as_string());
    const std::string version(branch.at("version").as_string());
    Port decided = call(http::Method::post,
                        "/v1/branches:resolve",
                        R"({"gid":")" + gid +
                            R"(","outcome":"abort","reason":"the coordinator is lost",)"
                            R"("coordinator_is_gone":true})",
                        '"' + version + '"');
    ASSERT_FALSE(decided->answered) << decided->response.body;
    ASSERT_FALSE(coordinator_->asked.empty());
    decided->close();
    turn();
    EXPECT_TRUE(decided->abandoned) << "the connection is kept for somebody who has left";
    for (auto& done : std::exchange(coordinator_->asked, {})) {
        done(base::fail(base::Errc::unavailable, "gone"));
    }
    turn();
    ASSERT_TRUE(resource_.finishing) << "what was decided is carried out";
    std::exchange(resource_.finishing, nullptr)({protocol::FinishStatus::aborted, {}, {}});
    turn();
    EXPECT_FALSE(decided->answered);
}

}  // namespace
}  // namespace twofold::participant
