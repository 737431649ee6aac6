#include "app/server_look.h"

#include <gtest/gtest.h>

namespace twofold::app {
namespace {

constexpr const char* kText =
    "# HELP twofold_epoch Starts\n"
    "# TYPE twofold_epoch gauge\n"
    "twofold_epoch 3\n"
    "twofold_epoch_of_another 9\n"
    "twofold_build_info{role=\"coordinator\",version=\"0.1.0\"} 1\n"
    "twofold_alarms_total{code=\"identity\"} 2\n"
    "twofold_alarms_total{code=\"parked\"} 1\n";

TEST(Figures, AreSummedOverTheSamplesOfOneName) {
    Figures figures(kText);
    EXPECT_EQ(figures.sum("twofold_epoch"), 3);
    EXPECT_EQ(figures.sum("twofold_alarms_total"), 3);
    EXPECT_EQ(figures.sum("twofold_alarms_total", "code=\"parked\""), 1);
    EXPECT_EQ(figures.sum("twofold_nothing"), std::nullopt);
    EXPECT_EQ(Figures().sum("twofold_epoch"), std::nullopt);
}

TEST(Figures, HaveLabels) {
    Figures figures(kText);
    EXPECT_EQ(figures.label("twofold_build_info", "version"), "0.1.0");
    EXPECT_EQ(figures.label("twofold_build_info", "role"), "coordinator");
    EXPECT_EQ(figures.label("twofold_build_info", "ole"), "");
    std::map<std::string, double> alarms{{"identity", 2}, {"parked", 1}};
    EXPECT_EQ(figures.by_label("twofold_alarms_total", "code"), alarms);
}

}  // namespace
}  // namespace twofold::app
