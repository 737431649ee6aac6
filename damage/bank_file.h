// The database of the power-cut test: accounts, a ledger of what moved, and a text for each branch.
// A lost, doubled or half branch does not balance.
#pragma once

#include "base/result.h"
#include "damage/disk_history.h"
#include "participant/sqlite/store.h"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace twofold::damage {

inline constexpr const char* kBankName = "bank.db";

// A folder of its own, in memory where that exists, removed at the end.
class BankFolder {
public:
    BankFolder();
    ~BankFolder();
    BankFolder(const BankFolder&) = delete;
    BankFolder& operator=(const BankFolder&) = delete;

    // Makes the bank; what the file holds then.
    [[nodiscard]] Files make_bank();
    // Replaces everything in the folder.
    void put(const Files& files);
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string database() const { return path_ + "/" + kBankName; }

private:
    std::string path_;
};

// Opens and starts the store, through a VFS or, with an empty name, as the server does.
struct OpenedStore {
    std::unique_ptr<participant::sqlite::Store> store;
    protocol::ResourceStart start;
};
[[nodiscard]] base::Result<OpenedStore> open_store(const std::string& path, const std::string& vfs);

// Branch 1 of transaction `sequence`, and its work: three statements, each usable as a call of its
// own in an interactive branch.
[[nodiscard]] std::vector<std::string> bank_statements(std::uint64_t sequence);
[[nodiscard]] protocol::BranchWork bank_work(std::uint64_t sequence,
                                             const std::vector<std::string>& statements);
[[nodiscard]] protocol::FinishRequest finish_of(std::uint64_t sequence);

// Looks at the file as any program would. `problem` is empty when the books balance, every booked
// branch is whole, and SQLite finds the file sound.
struct Books {
    std::set<std::uint64_t> booked;
    std::string problem;
};
[[nodiscard]] Books read_books(const std::string& path);

// One statement by another connection: "PRAGMA wal_checkpoint(RESTART)" and the like.
[[nodiscard]] bool run_outside(const std::string& path,
                               const std::string& vfs,
                               const std::string& sql);

}  // namespace twofold::damage
