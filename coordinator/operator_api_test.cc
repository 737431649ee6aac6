// The operator's REST interface over the real machine and driver, with fake ports.
#include "coordinator/operator_api.h"

#include "coordinator/api.h"
#include "coordinator/fake_ports.h"
#include "http/fake_response_port.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace twofold::coordinator {
namespace {

using http::Method;
using protocol::ItemOp;
using protocol::ItemStatus;

class OperatorApiTest : public ::testing::Test {
protected:
    void SetUp() override {
        RecoveredState state;
        state.epoch = 1;
        state.epochs[1] = protocol::EpochRecord{{}, 1, {}};
        std::vector<ParticipantEntry> entries;
        for (std::uint8_t id = 1; id <= 2; ++id) {
            auto participant = std::make_unique<FakeParticipant>(id);
            participant->answer_as_usual();
            participants_.push_back(participant.get());
            entries.push_back({id == 1 ? "north" : "south", std::move(participant)});
        }
        driver_ = std::make_unique<Driver>(loop_,
                                           Machine(Config{}, std::move(state)),
                                           log_,
                                           metrics_,
                                           std::move(entries),
                                           DriverOptions{});
        driver_->start();
        turn();
        add_routes(router_, *driver_, ApiOptions{});
        add_operator_routes(router_, *driver_);
    }

    void turn() {
        for (int i = 0; i < 20; ++i) {
            log_.finish();
            loop_.poll();
        }
    }

    std::string etag_of(const std::string& participant) {
        auto answer = call(Method::get, "/v1/participants/" + participant);
        return std::string(answer.headers.find("ETag").value_or("\"0\""));
    }

    http::Response call(Method method,
                        const std::string& target,
                        const std::string& body = "",
                        const std::string& if_match = "") {
        http::Request request;
        request.method = method;
        request.target = target;
        std::size_t mark = target.find('?');
        request.path = target.substr(0, mark);
        if (mark != std::string::npos) {
            std::string query = target.substr(mark + 1);
            std::size_t equals = query.find('=');
            request.query.push_back({query.substr(0, equals), query.substr(equals + 1)});
        }
        if (!body.empty()) request.headers.add("Content-Type", "application/json");
        if (!if_match.empty()) request.headers.add("If-Match", if_match);
        request.body = body;
        auto port = std::make_shared<http::FakeResponsePort>();
        router_.dispatch(std::move(request), port->sink());
        turn();
        EXPECT_TRUE(port->answered) << target;
        return port->response;
    }

    // A transfer whose branch in the south ends in an answer that no participant may give.
    std::string parked() {
        participants_[1]->answer = [this](const protocol::Item& item, auto& on_result) {
            protocol::ItemResult result = participants_[1]->usual(item);
            if (item.op == ItemOp::commit) result.status = ItemStatus::aborted;
            on_result(result);
        };
        http::Response answer =
            call(Method::post,
                 "/v1/transactions",
                 R"({"wait":"decided","branches":[{"participant":"north","work":[{"sql":"a"}]},)"
                 R"({"participant":"south","work":[{"sql":"b"}]}]})");
        EXPECT_EQ(answer.status, 202) << answer.body;
        std::size_t at = answer.body.find("\"id\":\"") + 6;
        return answer.body.substr(at, 48);
    }
    std::string tag_of(const std::string& id) {
        return std::string(
            *call(Method::get, "/v1/transactions/" + id + "/why").headers.find("ETag"));
    }

    async::EventLoop loop_;
    FakeLog log_;
    FakeMetrics metrics_;
    std::vector<FakeParticipant*> participants_;
    std::unique_ptr<Driver> driver_;
    http::Router router_;
};

bool has(const http::Response& response, std::string_view text) {
    return response.body.find(text) != std::string::npos;
}

TEST_F(OperatorApiTest, WhyShowsTheRecordsTheGidAndWhatIsSafe) {
    std::string id = parked();
    http::Response why = call(Method::get, "/v1/transactions/" + id + "/why");
    EXPECT_EQ(why.status, 200);
    EXPECT_TRUE(has(why, "\"state\":\"parked\"")) << why.body;
    EXPECT_TRUE(has(why, "\"gid\":\"1415008070_")) << why.body;
    EXPECT_TRUE(has(why, "\"record\":\"decision\"") || has(why, "decision")) << why.body;
    EXPECT_TRUE(has(why, "then resolve the branch")) << why.body;
    EXPECT_EQ(call(Method::get, "/v1/transactions/nonsense/why").status, 404);
}

TEST_F(OperatorApiTest, AParkedBranchIsResolvedAndTheOddEndForgotten) {
    std::string id = parked();
    std::string path = "/v1/transactions/" + id;
    std::string body = R"({"branch":2,"outcome":"committed","reason":"found in the books"})";
    http::Response unseen = call(Method::post, path + "/resolve", body);
    EXPECT_EQ(unseen.status, 428);
    EXPECT_TRUE(has(unseen, "If-Match")) << unseen.body;
    EXPECT_EQ(call(Method::post, path + "/resolve", body, "\"0\"").status, 412);
    EXPECT_EQ(call(Method::post, path + "/resolve", body, "soon").status, 412);
    http::Response done = call(Method::post, path + "/resolve", body, tag_of(id));
    EXPECT_EQ(done.status, 200) << done.body;
    EXPECT_TRUE(has(done, "\"outcome\":\"heuristic-commit\"")) << done.body;
    EXPECT_TRUE(has(done, "operator: found in the books")) << done.body;
    EXPECT_TRUE(has(call(Method::get, "/v1/transactions"), id));
    http::Response seen =
        call(Method::post, path + "/forget", R"({"reason":"checked"})", tag_of(id));
    EXPECT_EQ(seen.status, 200) << seen.body;
    EXPECT_FALSE(has(call(Method::get, "/v1/transactions"), id));
    EXPECT_TRUE(has(call(Method::get, path), "\"outcome\":\"heuristic-commit\""));
    EXPECT_EQ(metrics_.started, 1) << "what was forgotten has not begun anew";
}

TEST_F(OperatorApiTest, ADryRunLeavesEverythingAsItIs) {
    std::string id = parked();
    std::string tag = tag_of(id);
    http::Response dry = call(Method::post,
                              "/v1/transactions/" + id + "/resolve",
                              R"({"branch":2,"outcome":"aborted","reason":"x","dry_run":true})",
                              tag);
    EXPECT_EQ(dry.status, 200) << dry.body;
    EXPECT_EQ(tag_of(id), tag);
}

TEST_F(OperatorApiTest, BadBodiesNameTheField) {
    std::string id = parked();
    std::string path = "/v1/transactions/" + id + "/resolve";
    std::string tag = tag_of(id);
    auto refused = [&](const std::string& body, std::string_view field) {
        http::Response answer = call(Method::post, path, body, tag);
        EXPECT_GE(answer.status, 400) << body;
        EXPECT_LT(answer.status, 500) << body;
        EXPECT_TRUE(has(answer, field)) << answer.body;
    };
    refused(R"({"outcome":"committed","reason":"x"})", "branch");
    refused(R"({"branch":2,"outcome":"maybe","reason":"x"})", "outcome");
    refused(R"({"branch":2,"outcome":"committed"})", "reason");
    refused(R"({"branch":2,"outcome":"committed","reason":""})", "reason");
    refused(R"({"branch":7,"outcome":"committed","reason":"x"})", "branch");
    refused(R"({"branch":2,"outcome":"committed","reason":"x","why":1})", "why");
}

TEST_F(OperatorApiTest, ARetiredParticipantGetsNoNewWork) {
    EXPECT_EQ(call(Method::delete_, "/v1/participants/nobody?reason=x").status, 404);
    EXPECT_EQ(call(Method::delete_, "/v1/participants/south", "", etag_of("south")).status, 422);
    EXPECT_EQ(call(Method::delete_, "/v1/participants/south?reason=sold").status, 428);
    EXPECT_EQ(call(Method::delete_, "/v1/participants/south?reason=sold", "", "\"1\"").status, 412);
    http::Response seen = call(Method::get, "/v1/participants/south");
    EXPECT_TRUE(has(seen, "\"unfinished_branches\":0")) << seen.body;
    http::Response done =
        call(Method::delete_, "/v1/participants/south?reason=sold", "", etag_of("south"));
    EXPECT_EQ(done.status, 200) << done.body;
    EXPECT_TRUE(has(done, "\"retired\":true")) << done.body;
    EXPECT_TRUE(has(call(Method::get, "/v1/participants/south"), "\"retired\":true"));
    http::Response work = call(Method::post,
                               "/v1/transactions",
                               R"({"branches":[{"participant":"south","work":[{"sql":"b"}]}]})");
    EXPECT_EQ(work.status, 422) << work.body;
}

TEST_F(OperatorApiTest, NothingIsReboundWhenNothingHasChanged) {
    http::Response answer = call(Method::post,
                                 "/v1/participants/south/rebind",
                                 R"({"reason":"pg_upgrade"})",
                                 etag_of("south"));
    EXPECT_EQ(answer.status, 409);
    EXPECT_TRUE(has(answer, "nothing has to be accepted")) << answer.body;
}

TEST_F(OperatorApiTest, ARefusedLogIsAcceptedByTheNameOfWhoRefusesIt) {
    auto accept = [this](const std::string& name, const std::string& body) {
        return call(
            Method::post, "/v1/participants/" + name + "/accept-restore", body, etag_of(name));
    };
    std::string why = R"({"reason":"the disk was lost"})";
    EXPECT_EQ(accept("north", why).status, 409) << "nothing was restored";
    participants_[0]->refusal = "log_went_back";
    driver_->submit(ParticipantSeen{driver_->number_of("north"), participants_[0]->info});
    turn();
    ASSERT_TRUE(driver_->machine().stopped());
    EXPECT_EQ(call(Method::post,
                   "/v1/transactions",
                   R"({"branches":[{"participant":"north","work":[{"sql":"a"}]}]})")
                  .status,
              503);
    EXPECT_EQ(accept("nobody", why).status, 404);
    EXPECT_EQ(accept("north", R"({"reason":""})").status, 422);
    EXPECT_EQ(accept("north", R"({"because":"x"})").status, 400);
    http::Response other = accept("south", why);
    EXPECT_EQ(other.status, 409);
    EXPECT_TRUE(has(other, "participant north has refused this log")) << other.body;
    EXPECT_EQ(accept("north", R"({"reason":"x","dry_run":true})").status, 200);
    EXPECT_EQ(log_.count<protocol::RestoreRecord>(), 1U) << "the refusal";
    EXPECT_EQ(accept("north", why).status, 200);
    ASSERT_EQ(log_.count<protocol::RestoreRecord>(), 2U);
    const auto& record = std::get<protocol::RestoreRecord>(log_.appended.back());
    EXPECT_TRUE(record.accepted);
    EXPECT_EQ(record.reason, "operator: the disk was lost");
    EXPECT_TRUE(driver_->machine().stopped()) << "the next start goes on";
}

}  // namespace
}  // namespace twofold::coordinator
