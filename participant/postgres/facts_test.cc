// What the design rests on, asked of the server itself. When one of these fails on a new version,
// the place that relies on it must be looked at.
#include "participant/postgres/postgres_fixture.h"

#include <thread>

namespace twofold::participant::postgres {
namespace {

class Facts : public PostgresTest {};

TEST_F(Facts, PrepareInAFailedTransactionSaysRollback) {
    RawSession session(dsn_);
    EXPECT_EQ(session.last({"BEGIN", "SELECT 1/0", "PREPARE TRANSACTION 'a'"}), "ROLLBACK");
    EXPECT_EQ(prepared_count(), 0);
}

TEST_F(Facts, TheStatusOfATransactionIsKnownByItsNumber) {
    RawSession session(dsn_);
    auto prepare = [&](const std::string& gid) {
        Reply reply = session.run({"BEGIN",
                                   "UPDATE account SET balance = 1 WHERE id = 1",
                                   "SELECT pg_current_xact_id_if_assigned()",
                                   "PREPARE TRANSACTION '" + gid + "'"});
        return reply.results[2].text(0, 0);
    };
    std::string xid = prepare("a");
    std::string status = "SELECT pg_xact_status('" + xid + "')";
    EXPECT_EQ(sql(status), "in progress");
    EXPECT_EQ(session.last({"COMMIT PREPARED 'a'"}), "COMMIT PREPARED");
    EXPECT_EQ(sql(status), "committed");
    xid = prepare("b");
    EXPECT_EQ(session.last({"ROLLBACK PREPARED 'b'"}), "ROLLBACK PREPARED");
    EXPECT_EQ(sql("SELECT pg_xact_status('" + xid + "')"), "aborted");
    EXPECT_EQ(session.last({"SELECT pg_xact_status('99999999')"}), "22023");
}

TEST_F(Facts, ErrorsOfFinishing) {
    RawSession session(dsn_);
    session.run({"BEGIN", "UPDATE account SET balance = 1", "PREPARE TRANSACTION 'a'"});
    EXPECT_EQ(session.last({"BEGIN", "SELECT pg_current_xact_id()", "PREPARE TRANSACTION 'a'"}),
              "42710");
    sql("DO $$BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN END$$");
    RawSession stranger(server_->dsn(database_, "stranger"));
    EXPECT_EQ(stranger.last({"COMMIT PREPARED 'a'"}), "42501");
    RawSession elsewhere(server_->dsn("postgres", "app"));
    EXPECT_EQ(elsewhere.last({"COMMIT PREPARED 'a'"}), "0A000");
    EXPECT_EQ(session.last({"BEGIN", "COMMIT PREPARED 'a'"}), "25001");
    session.run({"ROLLBACK"});
    EXPECT_EQ(session.last({"COMMIT PREPARED 'a'"}), "COMMIT PREPARED");
    EXPECT_EQ(session.last({"COMMIT PREPARED 'a'"}), "42704");
    EXPECT_EQ(session.last({"ROLLBACK PREPARED 'a'"}), "42704");
    std::string too_long(200, 'x');
    EXPECT_EQ(session.last({"BEGIN", "PREPARE TRANSACTION '" + too_long + "'"}), "22023");
}

TEST_F(Facts, OnlyWritesAndRowLocksGetANumber) {
    RawSession session(dsn_);
    auto assigned = [&](const std::string& statement) {
        Reply reply = session.run({"BEGIN",
                                   statement,
                                   "SELECT pg_current_xact_id_if_assigned() IS NOT NULL",
                                   "ROLLBACK"});
        return reply.results[2].text(0, 0);
    };
    EXPECT_EQ(assigned("SELECT * FROM account"), "f");
    EXPECT_EQ(assigned("UPDATE account SET balance = 1 WHERE id = 99"), "f");
    EXPECT_EQ(assigned("INSERT INTO account SELECT 5, 5 WHERE false"), "f");
    EXPECT_EQ(assigned("SELECT pg_notify('a', 'b')"), "f");
    EXPECT_EQ(assigned("SELECT pg_advisory_xact_lock(1)"), "f");
    EXPECT_EQ(assigned("SELECT * FROM account FOR UPDATE"), "t");
    EXPECT_EQ(assigned("SELECT * FROM account FOR SHARE"), "t");
    EXPECT_EQ(assigned("UPDATE account SET balance = 1 WHERE id = 1"), "t");
}

TEST_F(Facts, APreparedReaderTakesASlotAndANumber) {
    RawSession session(dsn_);
    EXPECT_EQ(session.last({"BEGIN", "SELECT * FROM account", "PREPARE TRANSACTION 'a'"}),
              "PREPARE TRANSACTION");
    EXPECT_EQ(prepared_count(), 1);
    EXPECT_NE(sql("SELECT transaction FROM pg_prepared_xacts WHERE gid = 'a'"), "0");
}

TEST_F(Facts, WhatCannotBePrepared) {
    RawSession session(dsn_);
    for (const char* statement : {"CREATE TEMP TABLE t (a int)", "LISTEN a", "NOTIFY a"}) {
        EXPECT_EQ(session.last({"BEGIN", statement, "PREPARE TRANSACTION 'a'"}), "0A000")
            << statement;
        session.run({"ROLLBACK"});
    }
}

// Advisory locks of the session stay with it after PREPARE; those of the transaction go with the
// prepared transaction.
TEST_F(Facts, AdvisoryLocksAcrossPrepare) {
    RawSession session(dsn_);
    session.run({"BEGIN",
                 "SELECT pg_advisory_lock(1), pg_advisory_xact_lock(2)",
                 "UPDATE account SET balance = 1",
                 "PREPARE TRANSACTION 'a'"});
    std::string locks =
        "SELECT string_agg(objid || CASE WHEN pid IS NULL THEN 'p' ELSE 's' END, ',' ORDER BY "
        "objid) "
        "FROM pg_locks WHERE locktype = 'advisory'";
    EXPECT_EQ(sql(locks), "1s,2p");
    session.run({"DISCARD ALL"});
    EXPECT_EQ(sql(locks), "2p");
    session.run({"ROLLBACK PREPARED 'a'"});
    EXPECT_EQ(sql(locks), "");
}

TEST_F(Facts, SettingsOfTheSessionSurvivePrepare) {
    RawSession session(dsn_);
    Reply reply = session.run({"BEGIN",
                               "SELECT set_config('work_mem', '77MB', false)",
                               "UPDATE account SET balance = 1",
                               "PREPARE TRANSACTION 'a'",
                               "SELECT current_setting('work_mem')",
                               "DISCARD ALL",
                               "SELECT current_setting('work_mem')"});
    EXPECT_EQ(reply.results[4].text(0, 0), "77MB");
    EXPECT_EQ(reply.results[6].text(0, 0), "4MB");
}

TEST_F(Facts, WhoBlocksAWaiterIsFoundByItsTransaction) {
    RawSession holder(dsn_);
    holder.run({"BEGIN", "UPDATE account SET balance = 1", "PREPARE TRANSACTION 'holder'"});
    RawSession waiter(dsn_);
    waiter.send({"UPDATE account SET balance = 2 WHERE id = 1"});
    std::string blockers;
    ASSERT_TRUE(waiter.wait([&] {
        blockers =
            sql("SELECT pg_blocking_pids(pid) FROM pg_stat_activity WHERE wait_event_type = "
                "'Lock' AND datname = current_database()");
        return !blockers.empty();
    }));
    EXPECT_EQ(blockers, "{0}");
    EXPECT_EQ(
        sql("SELECT p.gid FROM pg_locks w JOIN pg_locks h ON h.locktype = 'transactionid' AND "
            "h.transactionid = w.transactionid AND h.granted AND h.pid IS NULL "
            "JOIN pg_prepared_xacts p ON p.transaction = h.transactionid "
            "WHERE NOT w.granted"),
        "holder");
}

TEST_F(Facts, CommitAndChainLeavesATransactionOpen) {
    RawSession session(dsn_);
    EXPECT_EQ(session.last({"BEGIN",
                            "UPDATE account SET balance = 1 WHERE id = 1",
                            "COMMIT AND CHAIN",
                            "UPDATE account SET balance = 2 WHERE id = 2",
                            "PREPARE TRANSACTION 'a'"}),
              "PREPARE TRANSACTION");
    EXPECT_EQ(balance(1), "1") << "the status check alone would not have noticed";
    EXPECT_EQ(balance(2), "100");
}

// Whoever is no superuser may read what an identity is made of.
TEST_F(Facts, AnOrdinaryRoleMayAskForTheIdentity) {
    RawSession session(dsn_);
    EXPECT_EQ(session.last({"SELECT system_identifier FROM pg_control_system()"}), "SELECT 1");
    EXPECT_EQ(session.last({"SELECT pg_walfile_name(pg_current_wal_lsn())"}), "SELECT 1");
    EXPECT_EQ(session.last({"SELECT pg_current_wal_insert_lsn()"}), "SELECT 1");
}

}  // namespace
}  // namespace twofold::participant::postgres
