#include "base/log.h"

#include <gtest/gtest.h>

namespace twofold::base {
namespace {

TEST(Log, AClientsTextCannotForgeALine) {
    std::string line = format_log_line(
        LogLevel::warning, "event", "a\"b\n{\"level\":\"error\"}", {{"name", "x\ty\x01"}}, "now");
    EXPECT_EQ(line,
              "{\"ts\":\"now\",\"level\":\"warning\",\"event\":\"event\",\"msg\":"
              "\"a\\\"b\\n{\\\"level\\\":\\\"error\\\"}\",\"name\":\"x\\ty\\u0001\"}");
}

TEST(Log, InvalidUtf8IsReplaced) {
    std::string out;
    append_json_string(out, "\xc3\xa9 \xff \xc3( \xed\xa0\x80 \xf0\x9f\x98\x80");
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(out,
              "\"\xc3\xa9 " + bad + " " + bad + "( " + bad + bad + bad + " \xf0\x9f\x98\x80\"");
}

TEST(Log, LongValuesAreCut) {
    std::string line =
        format_log_line(LogLevel::info, "e", "m", {{"long", std::string(10'000, 'x')}}, "now");
    EXPECT_LT(line.size(), 700U);
}

}  // namespace
}  // namespace twofold::base
