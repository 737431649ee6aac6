#include "app/directory_file.h"

#include "wal/memory_file.h"

#include <gtest/gtest.h>

namespace twofold::app {
namespace {

DirectoryEntry entry(std::string name, std::uint8_t id) {
    DirectoryEntry made{std::move(name), "http://127.0.0.1:" + std::to_string(8430 + id), {}};
    made.uuid.bytes.fill(id);
    return made;
}

std::string names_after_start(wal::Directory& directory) {
    DirectoryFile file(directory);
    auto loaded = file.load();
    if (!loaded.has_value()) return loaded.error().context;
    std::string names;
    for (const DirectoryEntry& one : loaded.value()) names += one.name + "=" + one.url + ";";
    return names;
}

TEST(DirectoryFile, KeepsWhatWasPut) {
    wal::MemoryDisk disk;
    EXPECT_EQ(names_after_start(disk.directory()), "");
    DirectoryFile file(disk.directory());
    ASSERT_TRUE(file.load().has_value());
    ASSERT_TRUE(file.store({entry("south", 2)}).has_value());
    ASSERT_TRUE(file.store({entry("south", 2), entry("east", 3)}).has_value());
    EXPECT_EQ(names_after_start(disk.directory()),
              "south=http://127.0.0.1:8432;east=http://127.0.0.1:8433;");
    EXPECT_EQ(disk.names().size(), 1U) << "the older file is gone";
}

TEST(DirectoryFile, DamageIsNamed) {
    wal::MemoryDisk disk;
    std::string text = R"({"participants":[{"name":"south"}]})";
    disk.put("participants-0000000003.json", {text.begin(), text.end()});
    std::string problem = names_after_start(disk.directory());
    EXPECT_NE(problem.find("participants-0000000003.json"), std::string::npos) << problem;
    EXPECT_NE(problem.find("url"), std::string::npos) << problem;
}

TEST(DirectoryFile, WhatAnInterruptedWriteLeftIsReplaced) {
    wal::MemoryDisk disk;
    disk.put("participants.tmp", {1, 2, 3});
    DirectoryFile file(disk.directory());
    ASSERT_TRUE(file.load().has_value());
    ASSERT_TRUE(file.store({entry("south", 2)}).has_value());
    EXPECT_EQ(names_after_start(disk.directory()), "south=http://127.0.0.1:8432;");
}

}  // namespace
}  // namespace twofold::app
