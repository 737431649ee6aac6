// Tests of the tests: every deliberate bug that can show in a world this small is noticed by it.
// The others are for the simulator, or have a test that names them.
#include "coordinator/core/small_world.h"
#include "recovery/core/fold.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::recovery {
namespace {

using coordinator::Config;
using coordinator::Fate;
using coordinator::Sabotage;
using coordinator::SmallWorld;

RecoveredState recover_from(const std::vector<protocol::Record>& records) {
    Fold fold;
    for (const protocol::Record& record : records) {
        EXPECT_TRUE(fold.apply(1, record).has_value());
    }
    return std::move(fold).finish(coordinator::epoch_record(2)).value();
}

// One message goes wrong, and the coordinator dies after so many steps, or not at all.
bool all_is_well(const Config& config, std::size_t message, Fate fate, std::size_t step) {
    SmallWorld world(3, config);
    world.plan(message, fate);
    world.plan(message + 2, fate);
    world.submit({1, 2, 3});
    world.submit({2, 3});
    world.stop_after(step);
    if (!world.run()) {
        world.restart(recover_from(world.surviving(2)));
        world.submit({1, 2});
        world.run();
    }
    return world.check().empty();
}

bool is_noticed(void (*plant)(Sabotage&)) {
    Config config;
    plant(config.sabotage);
    for (std::size_t message = 0; message < 12; ++message) {
        for (std::size_t fate = 0; fate < coordinator::kFates; ++fate) {
            for (std::size_t step = 3; step < 40; step += 2) {
                if (!all_is_well(config, message, Fate(fate), step)) return true;
            }
            if (!all_is_well(config, message, Fate(fate), 100'000)) return true;
        }
    }
    return false;
}

TEST(Sabotage, nothing_is_noticed_without) {
    EXPECT_FALSE(is_noticed([](Sabotage&) {}));
}

TEST(Sabotage, is_noticed) {
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.send_commit_before_decided = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.answer_before_decided = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.commit_without_all_votes = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.treat_unknown_prepare_as_yes = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.end_before_all_acks = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.forget_unfinished_on_recovery = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.reuse_sequence_after_restart = true; }));
    EXPECT_TRUE(is_noticed([](Sabotage& s) { s.accept_stale_epoch_vote = true; }));
}

}  // namespace
}  // namespace twofold::recovery
