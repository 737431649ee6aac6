#include "app/participant_registry.h"

#include "async/event_loop.h"
#include "wal/memory_file.h"

#include <gtest/gtest.h>

#include <string>

namespace twofold::app {
namespace {

protocol::ParticipantUuid uuid_of(std::uint8_t id) {
    protocol::ParticipantUuid uuid;
    uuid.bytes.fill(id);
    return uuid;
}

class ParticipantRegistryTest : public ::testing::Test {
protected:
    void keep(const std::string& name, const std::string& url, std::uint8_t id) {
        ASSERT_TRUE(registry_.keep(name, url, uuid_of(id)).has_value());
    }
    // Its number goes up with every file that was written.
    [[nodiscard]] std::string file() const {
        const auto names = disk_.names();
        return names.size() == 1 ? *names.begin() : std::to_string(names.size()) + " files";
    }

    async::EventLoop loop_;
    CoordinatorConfig config_;
    wal::MemoryDisk disk_;
    ParticipantRegistry registry_{loop_, config_, disk_.directory()};
};

TEST_F(ParticipantRegistryTest, WhatIsKeptAlreadyIsNotWrittenAgain) {
    keep("east", "http://127.0.0.1:8433", 3);
    keep("west", "http://127.0.0.1:8434", 4);
    EXPECT_EQ(file(), "participants-0000000002.json");
    keep("east", "http://127.0.0.1:8433", 3);
    keep("west", "http://127.0.0.1:8434", 4);
    EXPECT_EQ(file(), "participants-0000000002.json") << "written, although nothing has changed";
    keep("east", "http://127.0.0.1:8435", 3);
    EXPECT_EQ(file(), "participants-0000000003.json");

    ParticipantRegistry after_a_start(loop_, config_, disk_.directory());
    ASSERT_TRUE(after_a_start.load().has_value());
    ASSERT_TRUE(after_a_start.keep("west", "http://127.0.0.1:8434", uuid_of(4)).has_value());
    EXPECT_EQ(file(), "participants-0000000003.json");
}

}  // namespace
}  // namespace twofold::app
