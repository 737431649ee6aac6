// The short form of twofold-corrupt, and readers with planted bugs, which the judge must notice.
#include "damage/corruption.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

namespace twofold::damage {
namespace {

constexpr std::uint64_t kSmallLogBytes = 256 << 10;

const std::vector<LogSample>& samples() {
    static const std::vector<LogSample> made = make_log_samples(kSmallLogBytes);
    return made;
}

std::string texts(const CorruptReport& report) {
    std::string all;
    for (const std::string& text : report.silent) all += text + "\n";
    return all;
}

TEST(Corruption, no_damage_is_silent) {
    // A prime: every bit of a byte and every place in a sector has its turn.
    CorruptReport report = corrupt(samples(), {.stride = 211});
    EXPECT_EQ(report.total.silent, 0U) << texts(report);
    EXPECT_TRUE(report.silent.empty()) << texts(report);
    EXPECT_GT(report.total.cases(), 50'000U);
    EXPECT_GT(report.total.refused, 0U);
    EXPECT_GT(report.total.complete, 0U);
    EXPECT_GT(report.total.excused, 0U);
    // No limit excuses a file that was cut, swapped, or is another log's.
    for (const char* kind : {"cut at a byte", "swapped", "of another log", "doubled"}) {
        EXPECT_EQ(report.kinds[kind].excused, 0U) << kind;
        EXPECT_GT(report.kinds[kind].refused, 0U) << kind;
    }
}

TEST(Corruption, the_samples_have_what_they_are_for) {
    ASSERT_EQ(samples().size(), 4U);
    for (const LogSample& sample : samples()) {
        EXPECT_GE(sample.batches.size(), 8U) << sample.name;
        EXPECT_GT(sample.older.size(), 8U) << sample.name;
        EXPECT_LT(sample.old_mark_batch, sample.batches.back().number) << sample.name;
    }
    const LogSample& running = samples().front();
    auto sealed = running.files.lower_bound("sealed-");
    EXPECT_TRUE(sealed != running.files.end() && sealed->first.starts_with("sealed-"));
}

TEST(Corruption, a_reader_that_ignores_the_mark_is_noticed) {
    CorruptReport report = corrupt(samples(), {.stride = 4001, .planted = Planted::ignore_mark});
    EXPECT_GT(report.total.silent, 0U);
}

TEST(Corruption, a_reader_that_trims_what_is_damaged_is_noticed) {
    CorruptReport report = corrupt(samples(), {.stride = 4001, .planted = Planted::trim});
    EXPECT_GT(report.total.silent, 0U);
}

TEST(Corruption, a_log_without_its_crc_is_noticed) {
    int status = std::system(TWOFOLD_CORRUPT_WITHOUT_CRC " --cases 4000 --size 200000 >/dev/null");
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
}

}  // namespace
}  // namespace twofold::damage
