// What the tests share: a cluster whose processes' last words are printed when a test fails, the
// list of what clients were told, and the checks that must hold after any crash.
#pragma once

#include "integration/cluster.h"
#include "integration/load.h"
#include "integration/postgres_pair.h"

#include <gtest/gtest.h>

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

namespace twofold::integration {

enum class Databases { sqlite, postgres, mixed };

[[nodiscard]] std::string databases_name(Databases databases);
void PrintTo(Databases databases, std::ostream* out);  // found by GoogleTest

// Release builds have no crash points: tests that arm one are skipped there.
[[nodiscard]] bool has_crash_points();
#define TWOFOLD_NEEDS_CRASH_POINTS() \
    if (!has_crash_points()) GTEST_SKIP() << "this build has no crash points"

#define TWOFOLD_NEEDS_OWN_POSTGRES()                      \
    if (!PostgresPair::instance().why_not_ours().empty()) \
    GTEST_SKIP() << PostgresPair::instance().why_not_ours()

class ClusterTest : public ::testing::Test {
protected:
    void TearDown() override;

    // Two participants, "orders" and "stock", and a coordinator; all up on return.
    void start(Databases databases, ClusterSpec spec = {});
    void start(ClusterSpec spec);
    // Makes the cluster but starts nothing.
    void create(Databases databases, ClusterSpec spec = {});
    void create(ClusterSpec spec);

    [[nodiscard]] Cluster& cluster() { return *cluster_; }
    RestClient& client() { return cluster_->client(); }

    // Submits a transfer and remembers the answer for expect_consistent().
    RestReply transfer(Transfer wanted = {});
    // Everything is up again: waits until nothing is prepared, then checks the books from outside:
    // the sum, the same transfers on both sides, and every answer that a client was given.
    void expect_consistent();
    // Adds what the clients of a load were told.
    void remember(std::vector<Told> told);
    // Starts what does not run.
    void start_missing();

    // A statement for participant `index`.
    [[nodiscard]] std::string statement(std::size_t index,
                                        std::string_view sql,
                                        std::string_view params_json = "[]",
                                        std::optional<int> expected_rows = std::nullopt);
    [[nodiscard]] std::string branch(std::size_t index,
                                     const std::vector<std::string>& statements,
                                     std::string_view more_members = "");
    RestReply submit(const std::vector<std::string>& branches, std::string_view more_members = "");

    std::unique_ptr<Cluster> cluster_;
    std::vector<Told> told_;

private:
    void expect_answer_holds(const Told& told);
};

}  // namespace twofold::integration
