// What may be on a disk after a power cut, by the model of disk_history.h.
#include "damage/disk_history.h"

#include "damage/power_cuts.h"

#include <gtest/gtest.h>

#include <set>

namespace twofold::damage {
namespace {

Survival keep(bool data, bool names) {
    return {.data = [data](std::size_t, std::uint64_t) { return data; },
            .name = [names](std::size_t) { return names; }};
}

base::Bytes filled(std::size_t size, std::uint8_t value) { return base::Bytes(size, value); }

DiskWalk at_end(const DiskHistory& history) {
    DiskWalk walk(history);
    while (walk.step()) continue;
    return walk;
}

TEST(DiskHistory, forced_bytes_need_a_forced_name) {
    DiskHistory history;
    auto file = history.create("a");
    history.write(file, 0, filled(4, 1));
    history.force(file);
    EXPECT_TRUE(at_end(history).image(keep(true, false)).empty());
    EXPECT_EQ(at_end(history).image(keep(false, true)).at("a"), filled(4, 1));
    history.force_directory();
    EXPECT_EQ(at_end(history).image(keep(false, false)).at("a"), filled(4, 1));
}

TEST(DiskHistory, a_write_is_torn_at_sectors_of_the_file) {
    DiskHistory history({{"a", filled(1536, 0)}});
    history.write(history.find("a"), 256, filled(1024, 7));
    Survival middle = keep(false, false);
    middle.data = [](std::size_t, std::uint64_t sector) { return sector == 1; };
    base::Bytes expected = filled(1536, 0);
    std::fill(expected.begin() + 512, expected.begin() + 1024, std::uint8_t{7});
    EXPECT_EQ(at_end(history).image(middle).at("a"), expected);
}

TEST(DiskHistory, a_sector_that_survives_has_the_earlier_writes_too) {
    DiskHistory history({{"a", filled(8, 0)}});
    history.write(history.find("a"), 0, filled(4, 1));
    history.write(history.find("a"), 4, filled(4, 2));
    Survival second = keep(false, false);
    second.data = [](std::size_t place, std::uint64_t) { return place == 1; };
    EXPECT_EQ(at_end(history).image(second).at("a"), (base::Bytes{1, 1, 1, 1, 2, 2, 2, 2}));
}

TEST(DiskHistory, a_name_that_was_lost_takes_what_was_done_to_it_along) {
    DiskHistory history;
    history.create("a");
    history.rename("a", "b");
    Survival rename_only = keep(true, true);
    rename_only.name = [](std::size_t place) { return place == 1; };
    EXPECT_TRUE(at_end(history).image(rename_only).empty());
    EXPECT_TRUE(at_end(history).image(keep(true, true)).contains("b"));
}

TEST(DiskHistory, a_file_may_have_grown_without_its_bytes) {
    DiskHistory history({{"a", filled(2, 1)}});
    history.write(history.find("a"), 2, filled(2, 9));
    Survival grown = keep(false, false);
    grown.sizes = true;
    EXPECT_EQ(at_end(history).image(grown).at("a"), (base::Bytes{1, 1, 0, 0}));
}

TEST(DiskHistory, a_truncate_is_lost_or_not) {
    DiskHistory history({{"a", filled(4, 1)}});
    history.truncate(history.find("a"), 1);
    EXPECT_EQ(at_end(history).image(keep(false, false)).at("a").size(), 4U);
    EXPECT_EQ(at_end(history).image(keep(true, true)).at("a").size(), 1U);
}

TEST(PowerCuts, few_calls_are_exhausted_and_no_state_comes_twice) {
    DiskHistory history;
    for (const char* name : {"a", "b", "c"}) history.create(name);
    std::set<std::set<std::string>> seen;
    CutOptions options{.random_per_point = 0};
    std::uint64_t made = for_each_power_cut(history, options, [&](const PowerCut& cut) {
        std::set<std::string> names;
        for (const auto& [name, content] : cut.files) names.insert(name);
        EXPECT_TRUE(seen.insert(names).second) << cut.text;
        return true;
    });
    EXPECT_EQ(made, 8U);
}

}  // namespace
}  // namespace twofold::damage
