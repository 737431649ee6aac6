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

TEST_F(StoreTest, ResultsComeWithTheVote) {
    auto result = run(1,
                      R"([{"sql":"SELECT id, owner FROM accounts WHERE id = ?","params":[2]},
        {"sql":"UPDATE accounts SET balance = balance + :by WHERE id = 1 RETURNING balance",
         "params":{"by":5},"expect":{"rows":1}}])");
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_EQ(*result.results,
              R"([{"rows_affected":0,"columns":["id","owner"],"rows":[[2,"bob"]]},)"
              R"({"rows_affected":1,"columns":["balance"],"rows":[[105]]}])");
}

TEST_F(StoreTest, ValuesKeepTheirTypes) {
    Plain(path_).exec("CREATE TABLE things (id INTEGER PRIMARY KEY, v)");
    auto result = run(1,
                      R"json([{"sql":"INSERT INTO things (v) VALUES (?),(?),(?),(?),(?),(?),(?)",
        "params":[9007199254740993,"9007199254740993",1.5,{"base64":"AP8="},null,true,"12.50"]},
        {"sql":"SELECT v FROM things"}])json");
    ASSERT_EQ(result.status, WorkStatus::prepared) << result.reason.message;
    EXPECT_THAT(*result.results,
                HasSubstr(R"([["9007199254740993"],["9007199254740993"],[1.5E0],)"
                          R"([{"base64":"AP8="}],[null],[1],["12.50"]])"));
    commit(*store_, 1);
    EXPECT_EQ(Plain(path_).query("SELECT v FROM things"),
              "9007199254740993\n'9007199254740993'\nr1.5\nx00ff\nNULL\n1\n'12.50'");
}

TEST_F(StoreTest, ReadOnlyCostsNoForce) {
    std::uint64_t before = store_->counters().forces;
    auto result = store_->execute_prepare(
        sql_work(1, {"SELECT * FROM accounts", "UPDATE accounts SET balance = 0 WHERE id = 99"}));
    EXPECT_EQ(result.status, WorkStatus::read_only);
    EXPECT_EQ(store_->counters().forces, before);
    EXPECT_EQ(store_->execute_prepare(work_of(2, "[]")).status, WorkStatus::read_only);
}

TEST_F(StoreTest, OneForcePerPrepareAndPerEnd) {
    prepare(*store_, 1, {"UPDATE accounts SET balance = 1"});
    commit(*store_, 1);
    std::uint64_t before = store_->counters().forces;
    prepare(*store_, 2, {"UPDATE accounts SET balance = 2"});
    EXPECT_EQ(store_->counters().forces, before + 1);
    commit(*store_, 2);
    EXPECT_EQ(store_->counters().forces, before + 2);
    commit(*store_, 2);
    EXPECT_EQ(store_->counters().forces, before + 2);
    static_cast<void>(store_->one_phase(sql_work(3, {"UPDATE accounts SET balance = 3"})));
    EXPECT_EQ(store_->counters().forces, before + 3);
    EXPECT_EQ(store_->counters().schema_reloads, 1U);
}

TEST_F(StoreTest, EndsCanBeRepeated) {
    prepare(*store_, 1, {"DELETE FROM accounts WHERE id = 2"});
    commit(*store_, 1);
    commit(*store_, 1);
    auto late_abort = store_->rollback(finish_of(1));
    EXPECT_EQ(late_abort.status, FinishStatus::committed);
    EXPECT_EQ(late_abort.reason.code, reason::kProtocolViolation);
    prepare(*store_, 2, {"DELETE FROM accounts WHERE id = 1"});
    EXPECT_EQ(store_->rollback(finish_of(2)).status, FinishStatus::aborted);
    EXPECT_EQ(store_->rollback(finish_of(2)).status, FinishStatus::aborted);
    EXPECT_EQ(store_->commit(finish_of(2)).status, FinishStatus::aborted);
    reopen();
    commit(*store_, 1);
    EXPECT_EQ(store_->commit(finish_of(2)).status, FinishStatus::aborted);
    EXPECT_EQ(balances(), "1|100");
}

TEST_F(StoreTest, PreparingAgainIsAnsweredYesWithoutRunning) {
    prepare(*store_, 1, {"UPDATE accounts SET balance = balance + 1 WHERE id = 1"});
    auto again = store_->execute_prepare(
        sql_work(1, {"UPDATE accounts SET balance = balance + 1 WHERE id = 1"}));
    EXPECT_EQ(again.status, WorkStatus::prepared);
    EXPECT_EQ(again.proof->xid, 1U);
    commit(*store_, 1);
    EXPECT_EQ(balances(), "1|101\n2|50");
    auto after = store_->execute_prepare(sql_work(1, {"DELETE FROM accounts"}));
    EXPECT_EQ(after.status, WorkStatus::refused);
    EXPECT_EQ(after.reason.code, reason::kProtocolViolation);
}

TEST_F(StoreTest, TombstoneForbidsALatePrepare) {
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::not_found);
    reopen();
    auto late = store_->execute_prepare(sql_work(1, {"DELETE FROM accounts"}));
    EXPECT_EQ(late.status, WorkStatus::refused);
    EXPECT_EQ(late.reason.code, reason::kAfterAbort);
    EXPECT_FALSE(late.executed);
    auto one_phase = store_->one_phase(sql_work(1, {"DELETE FROM accounts"}));
    EXPECT_EQ(one_phase.reason.code, reason::kAfterAbort);
}

TEST_F(StoreTest, CommitOfAnUnknownBranchIsHazard) {
    auto result = store_->commit(finish_of(7));
    EXPECT_EQ(result.status, FinishStatus::hazard);
    EXPECT_EQ(result.reason.code, reason::kNotPrepared);
}

TEST_F(StoreTest, OnlyOneBranchIsPreparedAtATime) {
    prepare(*store_, 1, {"UPDATE accounts SET balance = 1 WHERE id = 1"});
    auto second =
        store_->execute_prepare(sql_work(2, {"UPDATE accounts SET balance = 1 WHERE id = 2"}));
    EXPECT_EQ(second.status, WorkStatus::refused);
    EXPECT_EQ(second.reason.code, reason::kSlotsExhausted);
    EXPECT_FALSE(second.executed);
    EXPECT_EQ(store_->one_phase(sql_work(3, {"DELETE FROM accounts"})).reason.code,
              reason::kSlotsExhausted);
    commit(*store_, 1);
    prepare(*store_, 2, {"UPDATE accounts SET balance = 1 WHERE id = 2"});
}

TEST_F(StoreTest, OnePhaseLeavesAWitness) {
    auto result = store_->one_phase(sql_work(1, {"UPDATE accounts SET balance = 9 WHERE id = 1"}));
    ASSERT_EQ(result.status, WorkStatus::committed) << result.reason.message;
    EXPECT_TRUE(result.recorded);
    EXPECT_TRUE(result.proof->witness);
    EXPECT_EQ(balances(), "1|9\n2|50");
    reopen();
    EXPECT_EQ(store_->settle_one_phase(key_of(1)).status, FinishStatus::committed);
    EXPECT_EQ(store_->rollback(finish_of(1)).status, FinishStatus::committed);
    auto again = store_->one_phase(sql_work(1, {"UPDATE accounts SET balance = 0"}));
    EXPECT_EQ(again.status, WorkStatus::committed);
    EXPECT_EQ(balances(), "1|9\n2|50");
}

TEST_F(StoreTest, OnePhaseWithoutWritesIsNotRecorded) {
    std::uint64_t before = store_->counters().forces;
    auto result = store_->one_phase(sql_work(1, {"SELECT 1"}));
    EXPECT_EQ(result.status, WorkStatus::committed);
    EXPECT_FALSE(result.recorded);
    EXPECT_EQ(store_->counters().forces, before);
}

TEST_F(StoreTest, SettlingAnUnknownOnePhaseForbidsIt) {
    EXPECT_EQ(store_->settle_one_phase(key_of(1)).status, FinishStatus::aborted);
    EXPECT_EQ(store_->settle_one_phase(key_of(1)).status, FinishStatus::aborted);
    auto late = store_->one_phase(sql_work(1, {"DELETE FROM accounts"}));
    EXPECT_EQ(late.status, WorkStatus::refused);
    EXPECT_EQ(late.reason.code, reason::kAfterAbort);
    EXPECT_EQ(balances(), "1|100\n2|50");
}

class KeyTest : public StoreTest {
protected:
    static constexpr const char* kDebit = "UPDATE accounts SET balance = balance - 1 WHERE id = 1";

    static protocol::BranchWork keyed(std::uint64_t number,
                                      std::uint8_t fingerprint,
                                      const std::string& sql = kDebit) {
        auto work = sql_work(number, {sql});
        work.idempotency = protocol::IdempotencyKey{{1}, {fingerprint}};
        return work;
    }
};

TEST_F(KeyTest, TheSameRequestIsAnsweredWithTheFirstOnesCommit) {
    EXPECT_EQ(store_->one_phase(keyed(1, 2)).status, WorkStatus::committed);
    for (int i = 0; i < 2; ++i) {
        auto result = store_->one_phase(keyed(2, 2));
        EXPECT_EQ(result.status, WorkStatus::committed) << result.reason.message;
        EXPECT_EQ(result.original, key_of(1).group);
        EXPECT_FALSE(result.executed);
        EXPECT_EQ(balances(), "1|99\n2|50");
        reopen();
    }
    // The second id itself has done nothing.
    EXPECT_EQ(store_->settle_one_phase(key_of(2)).status, FinishStatus::aborted);
    EXPECT_EQ(store_->settle_one_phase(key_of(1)).status, FinishStatus::committed);
    auto prepared = store_->execute_prepare(keyed(3, 2));
    EXPECT_EQ(prepared.original, key_of(1).group) << "two-phase work looks for it, too";
    EXPECT_EQ(balances(), "1|99\n2|50");
}

TEST_F(KeyTest, AnotherRequestIsAConflict) {
    EXPECT_EQ(store_->one_phase(keyed(1, 2)).status, WorkStatus::committed);
    for (const auto& result :
         {store_->one_phase(keyed(2, 3)), store_->execute_prepare(keyed(3, 3))}) {
        EXPECT_EQ(result.status, WorkStatus::refused);
        EXPECT_EQ(result.reason.code, reason::kKeyConflict);
        EXPECT_FALSE(result.key_free);
    }
    EXPECT_EQ(balances(), "1|99\n2|50");
}

TEST_F(KeyTest, SettlingFindsTheKeysCommit) {
    EXPECT_EQ(store_->one_phase(keyed(1, 2)).status, WorkStatus::committed);
    auto settled = store_->settle_one_phase(key_of(2), keyed(2, 2).idempotency);
    EXPECT_EQ(settled.status, FinishStatus::committed);
    EXPECT_EQ(settled.original, key_of(1).group);
    settled = store_->settle_one_phase(key_of(3), keyed(3, 3).idempotency);
    EXPECT_EQ(settled.status, FinishStatus::aborted);
    EXPECT_EQ(settled.reason.code, reason::kKeyConflict);
    EXPECT_EQ(store_->one_phase(sql_work(2, {kDebit})).status, WorkStatus::refused)
        << "what was settled never runs";
    EXPECT_EQ(balances(), "1|99\n2|50");
}

TEST_F(KeyTest, ARefusalSaysWhetherTheKeyWasLookedFor) {
    auto result = store_->one_phase(keyed(1, 2, "UPDATE accounts SET balance = -1 WHERE id = 1"));
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_TRUE(result.key_free);
    result = store_->one_phase(keyed(1, 2, "not SQL"));
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_FALSE(result.key_free);
    EXPECT_FALSE(store_->one_phase(sql_work(1, {"UPDATE accounts SET balance = -1"})).key_free);
}

TEST_F(KeyTest, RowsWithAKeyAreKeptUntilItIsOld) {
    store_.reset();
    StoreOptions options = options_for(path_);
    std::int64_t now = 1'000'000;
    options.wall_ms = [&now] { return now; };
    options.limits.key_retention = std::chrono::milliseconds(1'000);
    store_ = Store::open(options).value();
    ASSERT_TRUE(store_->start().has_value());
    EXPECT_EQ(store_->one_phase(keyed(1, 2)).status, WorkStatus::committed);
    EXPECT_EQ(store_->one_phase(sql_work(2, {kDebit})).status, WorkStatus::committed);
    protocol::IdPosition horizon = key_of(9).group.position();
    store_->note_marks(key_of(1).group.incarnation(), horizon, horizon);
    auto witnesses = [&] { return Plain(path_).query("SELECT count(*) FROM _tc_witness"); };
    EXPECT_EQ(store_->one_phase(sql_work(10, {kDebit})).status, WorkStatus::committed);
    EXPECT_EQ(witnesses(), "2") << "that without a key has gone";
    now += 1'001;
    EXPECT_EQ(store_->one_phase(sql_work(11, {kDebit})).status, WorkStatus::committed);
    EXPECT_EQ(witnesses(), "2") << "that with the key, too";
}

// Files of the first version have the epoch only.
TEST_F(StoreTest, ASenderWithoutNonceIsReadAndCompleted) {
    protocol::Incarnation incarnation;
    incarnation.bytes.fill(7);
    Plain(path_).exec("INSERT INTO _tc_meta VALUES ('sender:" + incarnation.text() + "', 5)");
    auto start = store_->start();
    ASSERT_TRUE(start.has_value()) << start.error().text();
    EXPECT_EQ(start.value().senders.at(incarnation), (protocol::SenderStamp{incarnation, 5, 0, 0}));
    ASSERT_TRUE(store_->persist_sender({incarnation, 5, 9, 70}).has_value());
    EXPECT_EQ(store_->start().value().senders.at(incarnation),
              (protocol::SenderStamp{incarnation, 5, 9, 70}));
}

TEST_F(StoreTest, EpochAndSendersAreDurable) {
    protocol::Incarnation incarnation;
    incarnation.bytes.fill(7);
    constexpr std::uint64_t kNonce = ~0ULL;
    ASSERT_TRUE(store_->persist_sender({incarnation, 5, kNonce, 70}).has_value());
    ASSERT_TRUE(store_->persist_sender({incarnation, 3, 4, 60}).has_value());
    store_.reset();
    auto store = Store::open(options_for(path_));
    ASSERT_TRUE(store.has_value());
    auto early = store.value()->execute_prepare(sql_work(1, {"SELECT 1"}));
    EXPECT_EQ(early.reason.code, reason::kNotReady);
    auto start = store.value()->start();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start.value().epoch, 2U);
    EXPECT_EQ(start.value().senders.at(incarnation),
              (protocol::SenderStamp{incarnation, 5, kNonce, 70}));
    EXPECT_EQ(start.value().uuid, test_uuid());
    EXPECT_EQ(start.value().identity.text(), "sqlite:" + test_uuid().text());
    EXPECT_EQ(start.value().slots, 1U);
    EXPECT_TRUE(start.value().exclusive);
}

TEST_F(StoreTest, PositionCountsPreparesAndOnePhaseCommits) {
    EXPECT_EQ(store_->position(), (protocol::Position{1, 0}));
    prepare(*store_, 1, {"UPDATE accounts SET balance = 1"});
    commit(*store_, 1);
    static_cast<void>(store_->one_phase(sql_work(2, {"UPDATE accounts SET balance = 2"})));
    EXPECT_EQ(store_->position(), (protocol::Position{1, 2}));
    reopen();
    EXPECT_EQ(store_->position(), (protocol::Position{1, 2}));
}

TEST_F(StoreTest, ForgettingRidesOnOtherTransactions) {
    for (std::uint64_t i = 1; i <= 3; ++i) {
        prepare(*store_, i, {"UPDATE accounts SET balance = balance + 1"});
        commit(*store_, i);
    }
    static_cast<void>(store_->one_phase(sql_work(4, {"UPDATE accounts SET balance = 0"})));
    store_->note_marks(key_of(1).group.incarnation(), {1, 3}, {1, 2});
    prepare(*store_, 5, {"UPDATE accounts SET balance = 1"});
    Plain plain(path_);
    EXPECT_EQ(plain.query("SELECT sequence FROM _tc_done"), "3");
    EXPECT_EQ(plain.query("SELECT sequence FROM _tc_witness"), "4");
    store_->note_marks(key_of(1).group.incarnation(), {1, 5}, {1, 5});
    commit(*store_, 5);
    EXPECT_EQ(plain.query("SELECT sequence FROM _tc_done"), "5");
    EXPECT_EQ(plain.query("SELECT sequence FROM _tc_witness"), "");
}

// A coordinator that did not live to note the end of a commit tells it again. The row that would
// answer has gone, and whoever knew the mark may have died.
TEST_F(StoreTest, HowFarItHasForgottenIsKnownAfterARestart) {
    for (std::uint64_t i = 1; i <= 3; ++i) {
        prepare(*store_, i, {"UPDATE accounts SET balance = balance + 1"});
        commit(*store_, i);
    }
    protocol::Incarnation incarnation = key_of(1).group.incarnation();
    store_->note_marks(incarnation, {1, 3}, {1, 1});
    prepare(*store_, 4, {"UPDATE accounts SET balance = 1"});
    reopen();
    EXPECT_EQ(store_->start().value().forgotten.at(incarnation), (protocol::IdPosition{1, 3}));
    // An older mark removes nothing, and says nothing.
    store_->note_marks(incarnation, {1, 2}, {1, 1});
    commit(*store_, 4);
    EXPECT_EQ(store_->start().value().forgotten.at(incarnation), (protocol::IdPosition{1, 3}));
}

// What was forgotten stays forgotten: the next process must know that it was there.
TEST_F(StoreTest, HowFarItHasForgottenIsDurable) {
    protocol::Incarnation incarnation = key_of(1).group.incarnation();
    prepare(*store_, 1, {"UPDATE accounts SET balance = balance + 1"});
    commit(*store_, 1);
    store_->note_marks(incarnation, {1, 1}, {1, 1});
    prepare(*store_, 2, {"UPDATE accounts SET balance = balance + 1"});
    EXPECT_TRUE(store_->start().value().forgotten.empty()) << "nothing was below the mark";
    store_->note_marks(incarnation, {1, 2}, {1, 1});
    commit(*store_, 2);
    store_->note_marks(incarnation, {1, 3}, {1, 1});
    store_.reset();
    store_ = open_store(options_for(path_));
    EXPECT_EQ(store_->start().value().forgotten,
              (std::map<protocol::Incarnation, protocol::IdPosition>{{incarnation, {1, 2}}}));
}

TEST_F(StoreTest, ListGivesAgeAndProof) {
    store_.reset();
    std::int64_t now = 1'000;
    StoreOptions options = options_for(path_);
    options.wall_ms = [&now] { return now; };
    store_ = open_store(options);
    prepare(*store_, 1, {"DELETE FROM accounts"});
    now = 6'500;
    auto listed = store_->list();
    ASSERT_TRUE(listed.has_value());
    ASSERT_EQ(listed.value().size(), 1U);
    EXPECT_EQ(listed.value()[0].age_ms, 5'500U);
    EXPECT_EQ(listed.value()[0].gid, finish_of(1).gid);
}

TEST_F(StoreTest, ChangesCanBeReadAsSql) {
    prepare(
        *store_,
        1,
        {"UPDATE accounts SET owner = 'o''x' WHERE id = 1", "DELETE FROM accounts WHERE id = 2"});
    auto text = store_->describe_changes(finish_of(1).gid);
    ASSERT_TRUE(text.has_value());
    EXPECT_EQ(
        text.value(),
        "DELETE FROM \"accounts\" WHERE \"id\" = 1;\n"
        "DELETE FROM \"accounts\" WHERE \"id\" = 2;\n"
        "INSERT INTO \"accounts\" (\"id\", \"owner\", \"balance\") VALUES (1, 'o''x', 100);\n");
    EXPECT_EQ(Plain(path_).query("SELECT summary FROM _tc_prepared"),
              "'accounts: 2 keys, 1 rows after'");
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
