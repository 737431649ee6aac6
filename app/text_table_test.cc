#include "app/text_table.h"

#include <gtest/gtest.h>

namespace twofold::app {
namespace {

TEST(TextTable, ColumnsAreAsWideAsTheirWidestCell) {
    EXPECT_EQ(text_table({"ID", "STATE"}, {{"a", "committed"}, {"longer", "x"}}),
              "ID      STATE\n"
              "a       committed\n"
              "longer  x\n");
    EXPECT_EQ(text_table({"ID", "STATE"}, {}), "ID  STATE\n");
}

TEST(TextTable, EmptyAndMissingCellsAreDashes) {
    EXPECT_EQ(text_table({"A", "B"}, {{"", "1"}, {"2"}}), "A  B\n-  1\n2  -\n");
}

TEST(TextTable, WidthCountsCharactersNotBytes) {
    EXPECT_EQ(text_table({"A", "B"}, {{"é", "1"}, {"ab", "2"}}), "A   B\né   1\nab  2\n");
}

TEST(TextTable, NothingThatATerminalWouldObeyGetsThrough) {
    EXPECT_EQ(printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
    EXPECT_EQ(printable("\xC2\x9B"
                        "2J é"),
              "?2J é");
    EXPECT_EQ(text_table({"A"}, {{"x\ny"}}), "A\nx?y\n");
}

TEST(TextFields, AreAlignedAndLeaveOutWhatIsEmpty) {
    EXPECT_EQ(text_fields({{"id", "x"}, {"state", ""}, {"outcome", "committed"}}),
              "id       x\noutcome  committed\n");
}

TEST(Counted, KnowsOneAndMany) {
    EXPECT_EQ(counted(0, "problem"), "0 problems");
    EXPECT_EQ(counted(1, "problem"), "1 problem");
}

}  // namespace
}  // namespace twofold::app
