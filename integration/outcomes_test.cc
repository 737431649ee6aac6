// How long a real coordinator tells outcomes, over restarts: committed, then expired, and never
// anything else.
#include "integration/fixture.h"
#include "integration/run_cli.h"

#include <chrono>

namespace twofold::integration {
namespace {

class Outcomes : public ClusterTest {
protected:
    void restart_coordinator() {
        cluster().coordinator().kill();
        ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
        ASSERT_TRUE(cluster().wait_participants_up()) << cluster().logs();
    }
    RestReply told(const std::string& id) { return client().get("/v1/transactions/" + id); }
    // Its log has a horizon.
    bool has_forgotten() {
        return run_cli({"wal", "dump", "--dir", cluster().log_directory()})
            .out_has("horizon position=");
    }
};

TEST_F(Outcomes, AreToldUntilTheirTimeIsOver) {
    ASSERT_NO_FATAL_FAILURE(
        start(Databases::sqlite, {.coordinator_yaml = "outcome_retention: 3s\n"}));
    RestReply first = transfer();
    ASSERT_EQ(first.status, 200) << first.summary();
    std::string id = first.text_at("id");
    ASSERT_TRUE(wait_until([this] { return has_forgotten(); }, std::chrono::seconds(30)))
        << cluster().logs();
    for (int i = 0; i < 2; ++i) {
        ASSERT_NO_FATAL_FAILURE(restart_coordinator());
        RestReply expired = told(id);
        EXPECT_EQ(expired.status, 410) << expired.summary();
        EXPECT_EQ(expired.text_at("code"), "transaction_expired") << expired.summary();
    }
    told_.clear();  // of the first one nothing more is told
    RestReply second = transfer();
    ASSERT_EQ(second.status, 200) << second.summary();
    ASSERT_NO_FATAL_FAILURE(restart_coordinator());
    RestReply known = told(second.text_at("id"));
    EXPECT_EQ(known.status, 200) << known.summary();
    EXPECT_EQ(known.text_at("outcome"), "committed") << known.summary();
}

}  // namespace
}  // namespace twofold::integration
