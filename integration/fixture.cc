#include "integration/fixture.h"

#include "base/crash_point.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <set>
#include <utility>

namespace twofold::integration {

std::string databases_name(Databases databases) {
    switch (databases) {
        case Databases::sqlite: return "sqlite";
        case Databases::postgres: return "postgres";
        case Databases::mixed: break;
    }
    return "mixed";
}

void PrintTo(Databases databases, std::ostream* out) { *out << databases_name(databases); }

bool has_crash_points() { return !base::crash_points().empty(); }

void ClusterTest::TearDown() {
    if (HasFailure() && cluster_) {
        std::cerr << "The last words of the processes:\n" << cluster_->logs() << std::endl;
        for (const Told& told : told_) {
            if (told.reply.status == 200) continue;
            std::cerr << "told about " << told.transfer.reference << ": " << told.reply.summary()
                      << std::endl;
        }
    }
}

void ClusterTest::create(ClusterSpec spec) {
    auto made = Cluster::create(std::move(spec));
    ASSERT_TRUE(made.has_value()) << made.error().text();
    cluster_ = std::move(made.value());
}

void ClusterTest::create(Databases databases, ClusterSpec spec) {
    ParticipantSpec orders{.name = "orders"};
    ParticipantSpec stock{.name = "stock"};
    if (databases != Databases::sqlite) stock.postgres_dsn = PostgresPair::instance().fresh_dsn(1);
    if (databases == Databases::postgres)
        orders.postgres_dsn = PostgresPair::instance().fresh_dsn(0);
    spec.participants.insert(spec.participants.begin(), {orders, stock});
    create(std::move(spec));
}

void ClusterTest::start(ClusterSpec spec) {
    ASSERT_NO_FATAL_FAILURE(create(std::move(spec)));
    ASSERT_TRUE(cluster().start_all()) << cluster().logs();
}

void ClusterTest::start(Databases databases, ClusterSpec spec) {
    ASSERT_NO_FATAL_FAILURE(create(databases, std::move(spec)));
    ASSERT_TRUE(cluster().start_all()) << cluster().logs();
}

RestReply ClusterTest::transfer(Transfer wanted) {
    if (wanted.reference.empty()) wanted.reference = cluster().next_reference();
    RestReply reply = cluster().transfer(wanted);
    told_.push_back({wanted, reply});
    return reply;
}

void ClusterTest::remember(std::vector<Told> told) {
    std::ranges::move(told, std::back_inserter(told_));
}

void ClusterTest::start_missing() {
    for (std::size_t index = 0; index < cluster().size(); ++index) {
        if (cluster().participant(index).running()) continue;
        ASSERT_TRUE(cluster().start_participant(index)) << cluster().logs();
    }
    if (!cluster().coordinator().running()) {
        ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
    }
    ASSERT_TRUE(cluster().wait_participants_up()) << cluster().logs();
}

// What GET says now must agree with what was said then.
void ClusterTest::expect_answer_holds(const Told& told) {
    const RestReply& reply = told.reply;
    std::string id = reply.text_at(reply.status == 409 ? "transaction_id" : "id");
    if (id.empty()) return;
    RestReply now;
    bool final = wait_until([this, &id, &now] {
        now = client().get("/v1/transactions/" + id);
        return now.status == 200 && now.text_at("outcome") != "unknown";
    });
    EXPECT_TRUE(final) << id << " has no outcome: " << now.summary();
    bool committed = reply.status == 200 || reply.text_at("decision") == "commit";
    if (committed) EXPECT_EQ(now.text_at("outcome"), "committed") << reply.summary();
    if (reply.status == 409) EXPECT_EQ(now.text_at("outcome"), "aborted") << reply.summary();
}

void ClusterTest::expect_consistent() {
    EXPECT_TRUE(wait_until([this] { return cluster().prepared_left() == 0; }))
        << "prepared branches are left: " << cluster().prepared_left().value_or(-1);
    EXPECT_EQ(cluster().balance_sum(), cluster().expected_sum());
    std::vector<std::set<std::string>> ledgers;
    for (std::size_t index = 0; index < cluster().size(); ++index) {
        auto ledger = bank_transfers(cluster().database(index));
        ASSERT_TRUE(ledger.has_value()) << ledger.error().text();
        ledgers.push_back(std::move(ledger.value()));
    }
    for (const Told& told : told_) {
        const Transfer& one = told.transfer;
        bool left = ledgers[one.from].contains(one.reference);
        EXPECT_EQ(left, ledgers[one.to].contains(one.reference))
            << "the databases disagree about " << one.reference;
        bool committed = told.reply.status == 200 || told.reply.text_at("decision") == "commit";
        if (committed) EXPECT_TRUE(left) << one.reference << ": " << told.reply.summary();
        bool refused = told.reply.status >= 400;
        if (refused) EXPECT_FALSE(left) << one.reference << ": " << told.reply.summary();
        expect_answer_holds(told);
    }
}

std::string ClusterTest::statement(std::size_t index,
                                   std::string_view sql,
                                   std::string_view params_json,
                                   std::optional<int> expected_rows) {
    return statement_json(cluster().database(index).kind(), sql, params_json, expected_rows);
}

std::string ClusterTest::branch(std::size_t index,
                                const std::vector<std::string>& statements,
                                std::string_view more_members) {
    return branch_json(cluster().spec(index).name, statements, more_members);
}

RestReply ClusterTest::submit(const std::vector<std::string>& branches,
                              std::string_view more_members) {
    return cluster().submit(transaction_json(branches, more_members));
}

}  // namespace twofold::integration
