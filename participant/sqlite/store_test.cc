// The way of a branch through the store: votes, ends, repeats, counts.
#include "participant/sqlite/store.h"

#include "participant/sqlite/test_store.h"

#include <gmock/gmock.h>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::FinishStatus;
using protocol::WorkStatus;
using ::testing::HasSubstr;
namespace reason = protocol::reason;

constexpr const char* kAccounts =
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, owner TEXT UNIQUE, balance INTEGER NOT NULL"
    " CHECK (balance >= 0));"
    "INSERT INTO accounts VALUES (1, 'ann', 100), (2, 'bob', 50);";

class StoreTest : public ::testing::Test {
protected:
    StoreTest() : path_(folder_.file("bank.db")) {
        make_database(path_, kAccounts);
        store_ = open_store(path_);
    }

    void reopen() {
        store_.reset();
        store_ = open_store(path_);
    }
    std::string balances() {
        return Plain(path_).query("SELECT id, balance FROM accounts ORDER BY id");
    }
    protocol::WorkResult run(std::uint64_t sequence, const std::string& json) {
        return store_->execute_prepare(work_of(sequence, json));
    }

    TempFolder folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, PreparedChangesAreInvisibleUntilCommit) {
    prepare(*store_, 1, {"UPDATE accounts SET balance = balance - 30 WHERE id = 1"});
    EXPECT_EQ(balances(), "1|100\n2|50");
    commit(*store_, 1);
    EXPECT_EQ(balances(), "1|70\n2|50");
}

TEST_F(StoreTest, RollbackLeavesNothing) {
    prepare(*store_, 1, {"DELETE FROM accounts"});
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::aborted);
    EXPECT_EQ(balances(), "1|100\n2|50");
    EXPECT_EQ(Plain(path_).query("SELECT * FROM _tc_lock"), "");
}

TEST_F(StoreTest, PreparedBranchSurvivesReopening) {
    prepare(*store_, 1, {"INSERT INTO accounts VALUES (3, 'cy', 7)"});
    store_.reset();
    auto store = Store::open(options_for(path_));
    ASSERT_TRUE(store.has_value());
    auto start = store.value()->start();
    ASSERT_TRUE(start.has_value());
    ASSERT_EQ(start.value().prepared.size(), 1U);
    EXPECT_EQ(start.value().prepared[0].key, key_of(1));
    EXPECT_EQ(start.value().prepared[0].proof->xid, 1U);
    EXPECT_EQ(start.value().epoch, 2U);
    commit(*store.value(), 1);
    EXPECT_EQ(balances(), "1|100\n2|50\n3|7");
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
