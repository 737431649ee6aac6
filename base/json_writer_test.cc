#include "base/json_writer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace twofold::base {
namespace {

TEST(JsonWriter, members_and_elements_get_their_commas) {
    std::string out = "{";
    json::text(out, "a", "b\"c");
    json::number(out, "n", 7);
    json::big_number(out, "big", ~std::uint64_t{0});
    json::flag(out, "yes", true);
    json::array(out, "list", std::vector<int>{1, 2}, [](std::string& to, int value) {
        to += std::to_string(value);
    });
    json::raw(out, "object", "{}");
    out += '}';
    EXPECT_EQ(out,
              R"({"a":"b\"c","n":7,"big":"18446744073709551615","yes":true,)"
              R"("list":[1,2],"object":{}})");
}

TEST(JsonWriter, a_foreign_name_is_escaped) {
    std::string out = "{";
    json::foreign_text(out, "a\"b", "c");
    json::foreign_text(out, "{", "\\");
    out += '}';
    EXPECT_EQ(out, R"({"a\"b":"c","{":"\\"})");
}

}  // namespace
}  // namespace twofold::base
