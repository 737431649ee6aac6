// Many seeds, in shards so that they run side by side; and the simulator's own promise: the same
// seed is the same run, in another process too.
#include "base/assert.h"
#include "sim/run.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>

namespace twofold::sim {
namespace {

constexpr std::uint64_t kSeedsPerShard = 2'500;

class Seeds : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Seeds, NoCheckFindsAnything) {
    std::uint64_t first = GetParam() * kSeedsPerShard + 1;
    for (std::uint64_t seed = first; seed < first + kSeedsPerShard; ++seed) {
        std::string context = "simulation, seed " + std::to_string(seed);
        base::set_assertion_context(context.c_str());
        RunReport report = run_seed(seed);
        base::set_assertion_context(nullptr);
        ASSERT_FALSE(report.violation.has_value())
            << "seed " << seed << ": " << report.violation->checker << ": "
            << report.violation->text << "\n"
            << options_from_seed(seed).text() << "\nreplay: twofold-sim --seed " << seed
            << " --trace";
    }
}

INSTANTIATE_TEST_SUITE_P(Shards, Seeds, testing::Range<std::uint64_t>(0, 8));

TEST(Determinism, ATracedRunIsTheSameRun) {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        RunReport plain = run_seed(seed);
        RunReport traced = run_seed(seed, {}, [](const std::string&) {});
        ASSERT_EQ(plain.hash, traced.hash) << "seed " << seed;
        ASSERT_EQ(plain.events, traced.events) << "seed " << seed;
    }
}

// What another process prints for the same seeds.
std::string output_of(const std::string& command) {
    std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string out;
    char buffer[256];
    while (pipe != nullptr && fgets(buffer, sizeof buffer, pipe.get()) != nullptr) out += buffer;
    return out;
}

TEST(Determinism, SameHashInAnotherProcess) {
    std::string command = std::string(TWOFOLD_SIM_PROGRAM) + " --seeds 1..300";
    std::string first = output_of(command);
    std::string second = output_of(command);
    EXPECT_NE(first.find("sim: ok seeds=300"), std::string::npos) << first;
    EXPECT_EQ(first, second);
}

// Seeds at which a check once complained, whoever was to blame.
TEST(Regression, SeedsThatOnceFailed) {
    for (std::uint64_t seed :
         {451U, 1'715U, 2'145U, 4'317U, 4'966U, 12'311U, 13'142U, 16'420U, 17'104U, 32'447U}) {
        RunReport report = run_seed(seed);
        EXPECT_FALSE(report.violation.has_value())
            << "seed " << seed << ": " << report.violation->checker << ": "
            << report.violation->text;
    }
}

// What docs/testing.md says a simulation goes through, it goes through.
TEST(Situations, AllAreReached) {
    constexpr std::uint64_t kSeeds = 6'000;
    SituationHits hits{};
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        RunReport report = run_seed(seed);
        for (std::size_t i = 0; i < hits.size(); ++i) hits[i] += report.hits[i];
    }
    for (std::size_t i = 0; i < hits.size(); ++i) {
        EXPECT_GT(hits[i], 0U) << kSituations[i].name << ": " << kSituations[i].what;
    }
}

TEST(Volume, RunsAreBusy) {
    RunReport sum;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        RunReport report = run_seed(seed);
        sum.events += report.events;
        sum.crashes += report.crashes;
        sum.commits += report.commits;
        sum.committed += report.committed;
        sum.aborted += report.aborted;
    }
    // A simulation in which nothing happens finds nothing.
    EXPECT_GT(sum.events / 200, 200U);
    EXPECT_GT(sum.crashes, 200U);
    EXPECT_GT(sum.commits, 200U);
    EXPECT_GT(sum.committed, 400U);
    EXPECT_GT(sum.aborted, 100U);
}

}  // namespace
}  // namespace twofold::sim
