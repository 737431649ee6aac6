// What stands between coordinator and participants lies: the transaction ends right all the same,
// nothing is called committed that is not, the processes survive, and a person is told where it
// hurts.
#include "integration/failing_proxy.h"

#include "integration/fixture.h"

#include <csignal>
#include <iostream>
#include <sstream>

namespace twofold::integration {
namespace {

using Kind = NetworkFault::Kind;
using std::chrono::milliseconds;

// Which messages are spoilt.
enum class Phase : std::uint8_t { prepare, commit };

void PrintTo(Phase phase, std::ostream* out) {
    *out << (phase == Phase::prepare ? "prepare" : "commit");
}

struct Case {
    std::string name;
    NetworkFault fault;
    bool harmless = false;  // only late or twice: the transaction commits
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

NetworkFault undelivered(NetworkFault fault) {
    fault.delivered = false;
    return fault;
}

std::vector<Case> cases() {
    NetworkFault cut{.kind = Kind::cut};
    NetworkFault swallow{.kind = Kind::swallow};
    NetworkFault garbage{.kind = Kind::garbage};
    NetworkFault html{.kind = Kind::html};
    NetworkFault html404{.kind = Kind::html, .status = 404};
    NetworkFault redirect{.kind = Kind::redirect, .location = "http://127.0.0.1:1/"};
    return {
        {"latency", {.kind = Kind::latency, .delay = milliseconds(120)}, true},
        {"trickle", {.kind = Kind::trickle, .delay = milliseconds(5)}, true},
        {"duplicate", {.kind = Kind::duplicate}, true},
        {"answer_late", {.kind = Kind::hold, .delay = milliseconds(400)}, true},
        {"answer_too_late", {.kind = Kind::hold, .delay = milliseconds(4000)}},
        {"cut_request", undelivered(cut)},
        {"cut_answer", cut},
        {"swallow_request", undelivered(swallow)},
        {"swallow_answer", swallow},
        {"garbage_request", undelivered(garbage)},
        {"garbage_answer", garbage},
        {"redirect", undelivered(redirect)},
        {"html_200", undelivered(html)},
        {"html_200_answer", html},
        {"html_404", undelivered(html404)},
        {"html_404_answer", html404},
    };
}

class Network : public ClusterTest,
                public ::testing::WithParamInterface<std::tuple<Case, Phase, Databases>> {
protected:
    void SetUp() override {
        auto made = FailingProxy::create();
        ASSERT_TRUE(made.has_value()) << made.error().text();
        proxy_ = std::move(made.value());
    }

    // "stock" is behind the proxy, for the coordinator.
    void start_behind_proxy(Databases databases) {
        ParticipantSpec orders{.name = "orders"};
        ParticipantSpec stock{.name = "stock", .seen_at = proxy_->port()};
        if (databases == Databases::mixed)
            stock.postgres_dsn = PostgresPair::instance().fresh_dsn(1);
        ASSERT_NO_FATAL_FAILURE(create(ClusterSpec{
            .participants = {orders, stock}, .coordinator_yaml = "undelivered_alarm: 300ms\n"}));
        proxy_->set_target(cluster().participant_port(1));
        ASSERT_TRUE(cluster().start_all()) << cluster().logs();
    }

    // The alarm of a decision that could not be told, with its participant.
    bool alarmed_about_stock() {
        std::istringstream lines(cluster().coordinator().output());
        for (std::string line; std::getline(lines, line);) {
            bool alarm = line.find("decision_undelivered") != std::string::npos;
            if (alarm && line.find("\"participant\":\"stock\"") != std::string::npos) return true;
        }
        return false;
    }

    std::unique_ptr<FailingProxy> proxy_;
};

TEST_P(Network, LiesAndTheTransactionEndsRight) {
    const auto& [one, phase, databases] = GetParam();
    ASSERT_NO_FATAL_FAILURE(start_behind_proxy(databases));
    ASSERT_EQ(transfer().status, 200) << told_.back().reply.summary();
    NetworkFault fault = one.fault;
    fault.only_with = phase == Phase::prepare ? "\"execute_prepare\"" : "\"op\":\"commit\"";
    proxy_->set(fault);
    RestReply reply = transfer({.deadline_ms = 1500});
    EXPECT_GE(proxy_->struck(), 1U) << "nothing was spoilt, so nothing was shown";
    if (one.harmless) {
        EXPECT_EQ(reply.status, 200) << reply.summary();
    } else if (phase == Phase::prepare) {
        EXPECT_EQ(reply.status, 409) << reply.summary();
        EXPECT_EQ(reply.text_at("code"), "transaction_aborted");
        // When its time is over nobody has refused: then the missing answer is the reason.
        bool is_late = reply.text_at("reason.code") == "deadline_exceeded";
        EXPECT_TRUE(is_late || reply.text_at("participant") == "stock") << reply.summary();
    } else {
        EXPECT_EQ(reply.status, 202) << reply.summary();
        EXPECT_EQ(reply.text_at("decision"), "commit");
        // An answer that comes within the call's own deadline is late, and nothing has failed.
        EXPECT_TRUE(fault.kind == Kind::hold ||
                    wait_until([this] { return alarmed_about_stock(); }))
            << "nobody was told whose fault it is";
    }
    proxy_->heal();
    expect_consistent();
    EXPECT_TRUE(cluster().coordinator().running());
    EXPECT_TRUE(cluster().participant(1).running());
    EXPECT_TRUE(wait_until([this] { return transfer({.deadline_ms = 2000}).status == 200; }));
    EXPECT_EQ(client().metric("twofold_alarms_total{code=\"hazard\"}"), 0);
}

std::string case_name(const ::testing::TestParamInfo<Network::ParamType>& test) {
    const auto& [one, phase, databases] = test.param;
    return one.name + (phase == Phase::prepare ? "_at_prepare_" : "_at_commit_") +
           databases_name(databases);
}

INSTANTIATE_TEST_SUITE_P(OnSqlite,
                         Network,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(Phase::prepare, Phase::commit),
                                            ::testing::Values(Databases::sqlite)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(OnPostgres,
                         Network,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(Phase::prepare, Phase::commit),
                                            ::testing::Values(Databases::mixed)),
                         case_name);

// The other direction: branches in doubt ask, and somebody else answers.
class Inquiries : public ClusterTest, public ::testing::WithParamInterface<Case> {};

TEST_P(Inquiries, AreNotAnsweredByAnybodyElse) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    auto proxy = FailingProxy::create();
    ASSERT_TRUE(proxy.has_value()) << proxy.error().text();
    ASSERT_NO_FATAL_FAILURE(
        create(Databases::sqlite, ClusterSpec{.coordinator_seen_at = proxy.value()->port()}));
    proxy.value()->set_target(cluster().coordinator_port());
    ASSERT_TRUE(cluster().start_all()) << cluster().logs();
    ASSERT_TRUE(cluster().start_coordinator({{"TWOFOLD_CRASH_AT", "coord_after_decision_forced"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    std::ignore = transfer();
    auto status = cluster().coordinator().wait(kPatience);
    ASSERT_TRUE(status && status->killed_by(SIGKILL)) << cluster().logs();

    proxy.value()->set(GetParam().fault);
    EXPECT_TRUE(wait_until([&proxy] { return proxy.value()->struck() >= 6; }));
    EXPECT_EQ(cluster().prepared_left(), 2) << "somebody has decided without the coordinator";
    proxy.value()->heal();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    expect_consistent();
    EXPECT_EQ(bank_transfers(cluster().database(0)).value().size(), 1U) << "it was decided commit";
}

std::vector<Case> inquiry_cases() {
    std::vector<Case> chosen;
    for (Case& one : cases()) {
        if (!one.fault.delivered && one.fault.kind != Kind::swallow)
            chosen.push_back(std::move(one));
    }
    return chosen;
}

INSTANTIATE_TEST_SUITE_P(Fault,
                         Inquiries,
                         ::testing::ValuesIn(inquiry_cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace twofold::integration
