// The short form of twofold-images, and disks that forget, which it must notice.
#include "damage/log_images.h"
#include "damage/sqlite_images.h"

#include <gtest/gtest.h>

namespace twofold::damage {
namespace {

// Every so many calls; the whole is `make images`.
ImageOptions every(std::uint64_t calls) {
    ImageOptions options;
    options.cuts.every = calls;
    options.second_cut_one_in = 100;
    return options;
}

std::string texts(const ImageReport& report) {
    std::string all;
    for (const std::string& text : report.texts) all += text + "\n";
    return all;
}

TEST(Images, the_log_survives_power_cuts) {
    ImageReport report = log_images(every(3));
    EXPECT_EQ(report.violations, 0U) << texts(report);
    EXPECT_GT(report.images, 1'000U);
    EXPECT_GT(report.second_images, 300U);
}

TEST(Images, branches_in_sqlite_survive_power_cuts) {
    ImageReport report = sqlite_images(every(37));
    EXPECT_EQ(report.violations, 0U) << texts(report);
    EXPECT_GT(report.images, 300U);
    EXPECT_GT(report.second_images, 50U);
}

struct Forgetful {
    const char* name;
    DiskSabotage sabotage;
};

TEST(Images, forgetting_disks_are_noticed) {
    for (const Forgetful& disk : {Forgetful{"force", {.skip_force = true}},
                                  Forgetful{"folder", {.skip_directory_force = true}}}) {
        ImageOptions options = every(23);
        options.sabotage = disk.sabotage;
        EXPECT_GT(log_images(options).violations, 0U) << disk.name;
        options.cuts.every = 101;
        EXPECT_GT(sqlite_images(options).violations, 0U) << disk.name;
    }
}

}  // namespace
}  // namespace twofold::damage
