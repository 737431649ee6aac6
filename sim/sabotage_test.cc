// The test of the tests: every deliberate bug must be noticed within a bounded number of seeds.
#include "sim/sabotage.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace twofold::sim {
namespace {

constexpr std::uint64_t kSeedsMax = 12'000;

class Sabotaged : public testing::TestWithParam<std::size_t> {};

std::string test_name(const testing::TestParamInfo<std::size_t>& info) {
    std::string name(all_sabotage()[info.param].name);
    for (char& c : name) {
        if (c == '.') c = '_';
    }
    return name;
}

TEST_P(Sabotaged, IsCaught) {
    const NamedSabotage& bug = all_sabotage()[GetParam()];
    auto caught = search(bug.name, 1, kSeedsMax);
    ASSERT_TRUE(caught.has_value())
        << bug.name << " (" << bug.what << ") was not noticed in " << kSeedsMax << " seeds";
    std::printf("%s: caught by %s after %llu seeds: %s\n",
                std::string(bug.name).c_str(),
                caught->by.c_str(),
                static_cast<unsigned long long>(caught->seeds),
                caught->text.c_str());
}

INSTANTIATE_TEST_SUITE_P(Bugs,
                         Sabotaged,
                         testing::Range<std::size_t>(0, all_sabotage().size()),
                         test_name);

}  // namespace
}  // namespace twofold::sim
