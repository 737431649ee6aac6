// Helpers of the store's tests: a temporary folder, branches with ids that look real, and a plain
// SQLite connection as any other program would open one.
#pragma once

#include "participant/sqlite/store.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

struct sqlite3;

namespace twofold::participant::sqlite::test {

class TempFolder {
public:
    TempFolder();
    ~TempFolder();
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

// Another program: default settings, no function and no setting of ours.
class Plain {
public:
    explicit Plain(const std::string& path);
    ~Plain();
    Plain(const Plain&) = delete;
    Plain& operator=(const Plain&) = delete;

    // The error message; empty = it worked.
    [[nodiscard]] std::string try_exec(const std::string& sql);
    void exec(const std::string& sql) { EXPECT_EQ(try_exec(sql), "") << sql; }
    // All rows as "a|b" lines; NULL, types of values and blobs are visible.
    [[nodiscard]] std::string query(const std::string& sql);
    // Content of every user table and of sqlite_sequence.
    [[nodiscard]] std::string dump();
    [[nodiscard]] sqlite3* handle() const { return handle_; }

private:
    sqlite3* handle_ = nullptr;
};

// Creates an owned (0600) file and runs the script in it.
void make_database(const std::string& path, const std::string& script);

[[nodiscard]] StoreOptions options_for(const std::string& path);
// Opens and starts; ends the test when that fails.
[[nodiscard]] std::unique_ptr<Store> open_store(StoreOptions options);
[[nodiscard]] inline std::unique_ptr<Store> open_store(const std::string& path) {
    return open_store(options_for(path));
}

// The uuid that every store of the tests is created with.
[[nodiscard]] protocol::ParticipantUuid test_uuid();
// Branch 1, attempt 1 of transaction `sequence`.
[[nodiscard]] protocol::BranchKey key_of(std::uint64_t sequence);
[[nodiscard]] protocol::BranchWork work_of(std::uint64_t sequence, const std::string& json);
// Work of plain statements without parameters.
[[nodiscard]] protocol::BranchWork sql_work(std::uint64_t sequence,
                                            const std::vector<std::string>& statements);
[[nodiscard]] protocol::FinishRequest finish_of(std::uint64_t sequence);

// Prepares and expects yes.
void prepare(Store& store, std::uint64_t sequence, const std::vector<std::string>& statements);
void commit(Store& store, std::uint64_t sequence);

// Runs `child` in a new process and returns its wait status.
int in_child(const std::function<void()>& child);

}  // namespace twofold::participant::sqlite::test
