// For tests of the REST interface: the real router, driver and machine over fake ports, on a loop
// that is polled by hand. Participants "north" and "south" vote yes unless told otherwise; "west"
// is configured and was never reached.
#pragma once

#include "async/event_loop.h"
#include "coordinator/api.h"
#include "coordinator/fake_ports.h"
#include "http/fake_response_port.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace twofold::coordinator {

class ApiFixture : public ::testing::Test {
protected:
    // What came back; `port` goes on living for answers that come later.
    struct Call {
        std::shared_ptr<http::FakeResponsePort> port;

        [[nodiscard]] bool answered() const { return port->answered; }
        [[nodiscard]] int status() const { return port->answered ? port->response.status : 0; }
        [[nodiscard]] std::string header(std::string_view name) const {
            return std::string(port->response.headers.find(name).value_or("(none)"));
        }
        [[nodiscard]] boost::json::object body() const {
            return boost::json::parse(port->response.body).as_object();
        }
        // A member as text: strings without quotes.
        [[nodiscard]] std::string member(std::string_view name) const {
            boost::json::object all = body();
            const boost::json::value* value = all.if_contains(name);
            if (value == nullptr) return "(none)";
            return value->is_string() ? std::string(value->as_string())
                                      : boost::json::serialize(*value);
        }
        // "409 wrong_state", "200 committed" or, without an outcome, the state: "201 active".
        [[nodiscard]] std::string brief() const {
            if (!answered()) return "no answer";
            std::string word = member("code");
            if (word == "(none)") word = member("outcome");
            if (word == "(none)" || word == "unknown") word = member("state");
            return std::to_string(status()) + " " + word;
        }
    };
    struct Field {
        std::string name;
        std::string value;
    };

    void SetUp() override { start(first_state(), Config{}); }

    [[nodiscard]] static RecoveredState first_state() {
        RecoveredState state;
        state.epoch = 1;
        state.epochs[1] = protocol::EpochRecord{{}, 1, {}};
        return state;
    }

    void start(RecoveredState state, Config config, const ApiOptions& options = {}) {
        router_ = http::Router();
        driver_.reset();
        participants_.clear();
        std::vector<ParticipantEntry> entries;
        for (std::uint8_t id = 1; id <= 3; ++id) {
            auto participant = std::make_unique<FakeParticipant>(id);
            participant->answer_as_usual();
            participant->info.one_phase = false;
            participant->down = id == 3;
            participants_.push_back(participant.get());
            entries.push_back({id == 1   ? "north"
                               : id == 2 ? "south"
                                         : "west",
                               std::move(participant)});
        }
        driver_ = std::make_unique<Driver>(loop_,
                                           Machine(config, std::move(state)),
                                           log_,
                                           metrics_,
                                           std::move(entries),
                                           DriverOptions{});
        driver_->start();
        turn();
        add_routes(router_, *driver_, options);
        ASSERT_NE(driver_->find_participant("north")->number.value, 0U);
    }

    void turn() {
        for (int i = 0; i < 20; ++i) loop_.poll();
    }
    Call call(http::Method method,
              const std::string& target,
              std::string body = {},
              const std::vector<Field>& fields = {}) {
        http::Request request;
        request.method = method;
        request.target = target;
        std::size_t mark = target.find('?');
        request.path = target.substr(0, mark);
        if (mark != std::string::npos) {
            std::size_t equals = target.find('=', mark);
            request.query.push_back(
                {target.substr(mark + 1, equals - mark - 1), target.substr(equals + 1)});
        }
        if (!body.empty()) request.headers.add("Content-Type", "application/json");
        request.body = std::move(body);
        for (const Field& field : fields) request.headers.add(field.name, field.value);
        Call made{std::make_shared<http::FakeResponsePort>()};
        router_.dispatch(std::move(request), made.port->sink());
        turn();
        return made;
    }
    Call post(const std::string& target,
              std::string body = {},
              const std::vector<Field>& fields = {}) {
        return call(http::Method::post, target, std::move(body), fields);
    }
    Call get(const std::string& target) { return call(http::Method::get, target); }

    // The path of a new interactive transaction.
    std::string begin(const std::string& body = "{}") {
        Call begun = post("/v1/transactions", body);
        EXPECT_EQ(begun.brief(), "201 active");
        return begun.header("Location");
    }
    // What was sent to a participant, in order.
    std::vector<protocol::Item> sent(std::size_t participant, protocol::ItemOp op) const {
        std::vector<protocol::Item> found;
        for (const auto& batch : participants_[participant]->batches) {
            for (const auto& item : batch.items) {
                if (item.op == op) found.push_back(item);
            }
        }
        return found;
    }
    std::size_t count(std::size_t participant, protocol::ItemOp op) const {
        return sent(participant, op).size();
    }

    async::EventLoop loop_;
    FakeLog log_;
    FakeMetrics metrics_;
    http::Router router_;
    std::vector<FakeParticipant*> participants_;
    std::unique_ptr<Driver> driver_;
};

}  // namespace twofold::coordinator
