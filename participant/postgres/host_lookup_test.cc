#include "participant/postgres/host_lookup.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace twofold::participant::postgres {
namespace {

std::vector<std::string> known(const std::string& host) {
    if (host == "two.example") return {"10.0.0.1", "fd00::1"};
    if (host == "one.example") return {"10.0.0.2"};
    return {};
}

TEST(HostLookup, AddressesAndSocketsAreLeftAlone) {
    for (const char* host : {"", "10.0.0.1", "::1", "/run/postgresql", "@abstract"}) {
        EXPECT_FALSE(needs_lookup({{"host", host}})) << host;
    }
    EXPECT_FALSE(needs_lookup({{"host", "one.example"}, {"hostaddr", "10.0.0.9"}}));
    EXPECT_TRUE(needs_lookup({{"host", "one.example"}}));
    EXPECT_TRUE(needs_lookup({{"host", "10.0.0.1,one.example"}}));
}

TEST(HostLookup, EveryAddressOfAHostIsTriedInOrder) {
    auto found = with_addresses({{"host", "two.example,/run/postgresql,one.example"},
                                 {"port", "1,2,3"},
                                 {"dbname", "orders"}},
                                known);
    ASSERT_TRUE(found.has_value());
    const ConnectionParameters wanted = {
        {"host", "two.example,two.example,/run/postgresql,one.example"},
        {"hostaddr", "10.0.0.1,fd00::1,,10.0.0.2"},
        {"port", "1,1,2,3"},
        {"dbname", "orders"}};
    EXPECT_EQ(found.value(), wanted);
}

TEST(HostLookup, OnePortIsForAllHosts) {
    auto found = with_addresses({{"host", "one.example,two.example"}, {"port", "5"}}, known);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found.value().at("port"), "5,5,5");
    EXPECT_FALSE(with_addresses({{"host", "one.example"}}, known).value().contains("port"));
}

TEST(HostLookup, ANameWithoutAnAddressIsLeftOutAndNoneAtAllIsAnError) {
    auto found = with_addresses({{"host", "gone.example,one.example"}}, known);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found.value().at("host"), "one.example");
    auto none = with_addresses({{"host", "gone.example"}}, known);
    ASSERT_FALSE(none.has_value());
    EXPECT_EQ(none.error().code, base::Errc::unavailable);
    EXPECT_NE(none.error().context.find("gone.example"), std::string::npos);
    auto ports = with_addresses({{"host", "one.example"}, {"port", "1,2"}}, known);
    ASSERT_FALSE(ports.has_value());
    EXPECT_EQ(ports.error().code, base::Errc::invalid_argument);
}

TEST(HostLookup, TheSystemIsAskedOnAnotherThreadAndEqualQuestionsShareTheAnswer) {
    async::EventLoop loop;
    HostLookup lookup(loop);
    int answers = 0;
    for (int i = 0; i < 3; ++i) {
        lookup.complete({{"host", "localhost"}}, [&](base::Result<ConnectionParameters> found) {
            EXPECT_TRUE(found.has_value());
            EXPECT_FALSE(found.value().at("hostaddr").empty());
            if (++answers == 3) loop.stop();
        });
    }
    EXPECT_EQ(answers, 0) << "answered inside of the call";
    loop.run();
    EXPECT_EQ(answers, 3);
    bool at_once = false;
    lookup.complete({{"host", "127.0.0.1"}},
                    [&](const auto& found) { at_once = found.has_value(); });
    EXPECT_TRUE(at_once);
}

}  // namespace
}  // namespace twofold::participant::postgres
