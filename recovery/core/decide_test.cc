#include "recovery/core/decide.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace twofold::recovery {
namespace {

Facts facts_from(unsigned bits) {
    auto bit = [bits](unsigned i) { return ((bits >> i) & 1U) != 0; };
    return {bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7)};
}

std::string describe(const Facts& f) {
    return std::string(f.commit ? "commit " : "") + (f.abort ? "abort " : "") +
           (f.preparing ? "preparing " : "") + (f.end ? "end " : "") +
           (f.remembered ? "remembered " : "") + (f.branch_outcome ? "branch_outcome " : "") +
           (f.one_phase ? "one_phase " : "") + (f.above_horizon ? "above_horizon" : "");
}

TEST(Decide, every_combination_has_exactly_one_row) {
    for (unsigned bits = 0; bits < 256; ++bits) {
        Facts facts = facts_from(bits);
        std::string labels;
        int found = 0;
        for (const Row& row : decision_table()) {
            if (!matches(row, facts)) continue;
            ++found;
            labels += std::string(row.label) + " ";
        }
        EXPECT_EQ(found, 1) << describe(facts) << ": " << labels;
    }
}

TEST(Decide, every_row_is_used_and_has_its_own_label) {
    std::set<std::string_view> labels;
    for (const Row& row : decision_table()) {
        ASSERT_EQ(row.when.size(), 8U) << row.label;
        EXPECT_TRUE(labels.insert(row.label).second) << row.label;
        bool used = false;
        for (unsigned bits = 0; bits < 256; ++bits) used = used || matches(row, facts_from(bits));
        EXPECT_TRUE(used) << row.label;
    }
}

// What must be true of the whole table, said once more and differently.
TEST(Decide, laws_of_the_table) {
    for (unsigned bits = 0; bits < 256; ++bits) {
        Facts facts = facts_from(bits);
        Action action = decide(facts).action;
        std::string which = describe(facts);
        if (action == Action::redrive_commit || action == Action::remember_committed) {
            EXPECT_TRUE(facts.commit || facts.remembered) << which;
            EXPECT_FALSE(facts.abort) << which;
        }
        if (action == Action::drive_abort) {
            EXPECT_FALSE(facts.commit || facts.remembered || facts.end) << which;
        }
        if (facts.commit && !facts.end) {
            EXPECT_TRUE(action == Action::redrive_commit || action == Action::refuse_inconsistent)
                << which;
        }
        if (facts.branch_outcome) {
            EXPECT_NE(action, Action::forget) << which;
            EXPECT_NE(action, Action::remember_committed) << which;
        }
        if (facts.commit && facts.abort) {
            EXPECT_EQ(action, Action::refuse_inconsistent) << which;
        }
    }
}

}  // namespace
}  // namespace twofold::recovery
