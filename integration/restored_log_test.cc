// The coordinator's log directory is copied, life goes on, and the copy is put in its place: no
// participant follows it, nothing is aborted that was committed, and a person can go on with it.
#include "integration/fixture.h"

#include <filesystem>

namespace twofold::integration {
namespace {

namespace fs = std::filesystem;

class RestoredLog : public ClusterTest {
protected:
    [[nodiscard]] std::string copy() { return cluster().directory() + "/copy-of-the-log"; }

    void copy_log() { fs::copy(cluster().log_directory(), copy(), fs::copy_options::recursive); }

    void restore_copy() {
        cluster().coordinator().kill();
        fs::remove_all(cluster().log_directory());
        fs::copy(copy(), cluster().log_directory(), fs::copy_options::recursive);
        fs::permissions(cluster().log_directory(), fs::perms::owner_all);
    }

    void start_refused() {
        ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
        EXPECT_TRUE(wait_until([this] {
            RestReply ready = client().get("/readyz");
            return ready.status == 503 &&
                   ready.text.find("restored from a copy") != std::string::npos;
        })) << client().get("/readyz").summary()
            << cluster().logs();
        EXPECT_GE(client().metric("twofold_alarms_total"), 1);
    }

    RestReply accept(const std::string& participant, const std::string& body) {
        std::string path = "/v1/participants/" + participant;
        RestOptions as_seen;
        as_seen.headers.emplace_back(
            "If-Match", std::string(client().get(path).headers.find("ETag").value_or("")));
        return client().post(path + "/accept-restore", body, as_seen);
    }

    // By the participants that refuse it, one after the other, each followed by a start.
    void accept_log() {
        for (int i = 0; i < 4; ++i) {
            bool accepted = false;
            for (std::size_t index = 0; index < cluster().size(); ++index) {
                RestReply reply =
                    accept(cluster().spec(index).name,
                           R"({"reason": "the disk was lost, this is the newest copy"})");
                accepted = accepted || reply.status == 200;
            }
            ASSERT_TRUE(accepted) << cluster().logs();
            EXPECT_NE(client().get("/readyz").text.find("start this coordinator again"),
                      std::string::npos)
                << client().get("/readyz").summary();
            cluster().coordinator().kill();
            ASSERT_TRUE(cluster().start_coordinator()) << cluster().logs();
            if (wait_until([this] { return client().ready(); }, std::chrono::seconds(10))) return;
        }
        FAIL() << "it is still refused: " << client().get("/readyz").summary();
    }
};

TEST_F(RestoredLog, IsRefusedUntilAPersonAcceptsIt) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    ASSERT_EQ(transfer().status, 200);
    copy_log();
    for (int i = 0; i < 5; ++i) ASSERT_EQ(transfer().status, 200);
    // The original was started once more, so that the copy takes an epoch that was used.
    cluster().coordinator().kill();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    ASSERT_EQ(transfer().status, 200);
    std::string last = told_.back().reply.text_at("id");

    restore_copy();
    ASSERT_NO_FATAL_FAILURE(start_refused());
    EXPECT_EQ(client().get("/v1/transactions/" + last).status, 503);
    RestReply work = transfer({.reference = "not-now"});
    EXPECT_EQ(work.status, 503) << work.summary();
    EXPECT_EQ(work.text_at("retryable"), "true") << work.summary();
    told_.pop_back();
    // Restarts do not help, however many.
    for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(start_refused());

    RestReply bad = accept("orders", "{}");
    EXPECT_EQ(bad.status, 400) << bad.summary();
    ASSERT_NO_FATAL_FAILURE(accept_log());
    ASSERT_TRUE(cluster().wait_participants_up()) << cluster().logs();
    RestReply forgotten = client().get("/v1/transactions/" + last);
    EXPECT_EQ(forgotten.status, 410) << forgotten.summary();
    RestReply none = accept("orders", R"({"reason": "x"})");
    EXPECT_EQ(none.status, 409) << none.summary();

    // Everything that was committed is there, and work goes on, over another restart, too.
    std::vector<Told> before = std::exchange(told_, {});
    ASSERT_EQ(transfer().status, 200);
    cluster().coordinator().kill();
    ASSERT_NO_FATAL_FAILURE(start_missing());
    ASSERT_EQ(transfer().status, 200);
    expect_consistent();
    for (std::size_t index = 0; index < cluster().size(); ++index) {
        auto ledger = bank_transfers(cluster().database(index));
        ASSERT_TRUE(ledger.has_value()) << ledger.error().text();
        for (const Told& told : before) {
            EXPECT_TRUE(ledger.value().contains(told.transfer.reference))
                << told.transfer.reference << " in " << cluster().spec(index).name;
        }
    }
}

// The newest log, put back, is accepted without a person.
TEST_F(RestoredLog, TheNewestLogIsPutBack) {
    ASSERT_NO_FATAL_FAILURE(start(Databases::sqlite));
    copy_log();
    for (int i = 0; i < 3; ++i) ASSERT_EQ(transfer().status, 200);
    cluster().coordinator().kill();
    std::string newest = cluster().directory() + "/newest-log";
    fs::rename(cluster().log_directory(), newest);
    fs::copy(copy(), cluster().log_directory(), fs::copy_options::recursive);
    fs::permissions(cluster().log_directory(), fs::perms::owner_all);
    ASSERT_NO_FATAL_FAILURE(start_refused());
    cluster().coordinator().kill();
    fs::remove_all(cluster().log_directory());
    fs::rename(newest, cluster().log_directory());
    ASSERT_NO_FATAL_FAILURE(start_missing());
    EXPECT_TRUE(wait_until([this] { return client().ready(); }));
    ASSERT_EQ(transfer().status, 200);
    expect_consistent();
}

// A commit that one side has heard of and the other has not: the restored log knows nothing of it.
TEST_F(RestoredLog, ABranchThatItCannotKnowIsListedAndHeld) {
    TWOFOLD_NEEDS_CRASH_POINTS();
    ASSERT_NO_FATAL_FAILURE(start(Databases::mixed));
    std::size_t held = cluster().database(0).kind() == DatabaseKind::postgres ? 0 : 1;
    std::size_t other = 1 - held;
    ASSERT_EQ(transfer().status, 200);
    copy_log();
    ASSERT_TRUE(cluster().start_participant(held, {{"TWOFOLD_CRASH_AT", "part_before_commit"}}));
    ASSERT_TRUE(cluster().wait_participants_up());
    RestReply decided = transfer({.from = other, .to = held, .deadline_ms = 1500});
    ASSERT_EQ(decided.status, 202) << decided.summary();
    std::string id = decided.text_at("id");
    auto left = bank_transfers(cluster().database(other));
    ASSERT_TRUE(left.has_value() && left.value().contains(told_.back().transfer.reference));

    restore_copy();
    ASSERT_TRUE(cluster().start_participant(held)) << cluster().logs();
    ASSERT_NO_FATAL_FAILURE(start_refused());
    ASSERT_NO_FATAL_FAILURE(accept_log());
    ASSERT_TRUE(wait_until([this, &id] {
        // Others may be among them: what the copy knew as decided, and its participants had ended.
        RestReply list = client().get("/v1/transactions?state=heuristic");
        return list.text.find("\"id\":\"" + id + "\"") != std::string::npos;
    })) << cluster().logs();
    RestReply shown = client().get("/v1/transactions/" + id);
    EXPECT_EQ(shown.text_at("outcome"), "heuristic-hazard") << shown.summary();
    EXPECT_EQ(cluster().prepared_left(), 1) << "nobody guesses";
    // Other work goes on beside it.
    EXPECT_EQ(submit({branch(other, {statement(other, "SELECT 1")})}).status, 200);

    // The person looks at the other side's books, and commits by hand.
    auto gid = cluster().database(held).texts("SELECT gid FROM pg_prepared_xacts");
    ASSERT_TRUE(gid.has_value() && gid.value().size() == 1);
    ASSERT_TRUE(cluster()
                    .database(held)
                    .query("COMMIT PREPARED '" + *gid.value().begin() + "'")
                    .has_value());
    RestReply now = client().get("/v1/transactions/" + id);
    RestReply seen =
        client().post("/v1/transactions/" + id + "/forget",
                      R"({"reason": "the money had left the other side: committed by hand"})",
                      {.headers = {{"If-Match", std::string(*now.headers.find("ETag"))}}});
    EXPECT_EQ(seen.status, 200) << seen.summary();
    told_.clear();
    ASSERT_EQ(transfer().status, 200);
    expect_consistent();
}

}  // namespace
}  // namespace twofold::integration
