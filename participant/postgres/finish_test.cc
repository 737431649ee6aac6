// Phase 2 against what people and failures do to prepared transactions; one-phase branches.
#include "participant/postgres/postgres_fixture.h"

#include <gmock/gmock.h>

namespace twofold::participant::postgres {
namespace {

namespace reason = protocol::reason;
using protocol::FinishStatus;
using protocol::WorkStatus;
using ::testing::HasSubstr;

class Finish : public PostgresTest {};

TEST_F(Finish, ACommitByHandIsProved) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->prepare(key, debit());
    ASSERT_EQ(result.status, WorkStatus::prepared);
    sql("COMMIT PREPARED '" + one->gid(key) + "'");
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed);
    EXPECT_EQ(one->commit(key, result.proof).status, FinishStatus::committed) << "idempotent";
}

TEST_F(Finish, ARollbackByHandIsFound) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->prepare(key, debit());
    sql("ROLLBACK PREPARED '" + one->gid(key) + "'");
    auto finished = one->commit(key, result.proof);
    EXPECT_EQ(finished.status, FinishStatus::aborted);
    EXPECT_THAT(finished.reason.message, HasSubstr("aborted"));
}

TEST_F(Finish, ACommitByHandIsNoRollback) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->prepare(key, debit());
    sql("COMMIT PREPARED '" + one->gid(key) + "'");
    auto finished = one->rollback(key, result.proof);
    EXPECT_EQ(finished.status, FinishStatus::committed);
    EXPECT_THAT(finished.reason.message, HasSubstr("committed"));
    EXPECT_EQ(one->rollback(key, result.proof).status, FinishStatus::committed) << "idempotent";
    EXPECT_EQ(balance(1), "90");
}

TEST_F(Finish, ARollbackThatWasDoneBeforeIsProved) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->prepare(key, debit());
    EXPECT_EQ(one->rollback(key, result.proof).status, FinishStatus::aborted);
    EXPECT_EQ(one->rollback(key, result.proof).status, FinishStatus::aborted);
    EXPECT_EQ(one->rollback(key).status, FinishStatus::not_found) << "nobody knows of a promise";
}

TEST_F(Finish, ARollbackThatNothingProvesIsAHazard) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->prepare(key, debit());
    sql("COMMIT PREPARED '" + one->gid(key) + "'");
    protocol::ProofToken other = *result.proof;
    other.position.timeline = 2;
    auto finished = one->rollback(key, other);
    EXPECT_EQ(finished.status, FinishStatus::hazard);
    EXPECT_THAT(finished.reason.message, HasSubstr("no witness row"));
}

TEST_F(Finish, AWitnessTellsARollbackOnAnyTimeline) {
    PostgresOptions wanted = options();
    wanted.witness = true;
    auto one = sidecar(wanted);
    for (bool by_hand : {true, false}) {
        auto key = new_key();
        auto result = one->prepare(key, debit());
        sql((by_hand ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + one->gid(key) + "'");
        protocol::ProofToken other = *result.proof;
        other.position.timeline = 2;
        EXPECT_EQ(one->rollback(key, other).status,
                  by_hand ? FinishStatus::committed : FinishStatus::aborted);
    }
}

TEST_F(Finish, WithoutProofItIsAHazard) {
    auto one = sidecar();
    auto finished = one->commit(new_key());
    EXPECT_EQ(finished.status, FinishStatus::hazard);
    EXPECT_THAT(finished.reason.message, HasSubstr("no proof"));
    // A number that the server has not given out yet: the database is older than the vote.
    protocol::ProofToken future{.xid = 99'999'999, .position = {1, 1}};
    finished = one->commit(new_key(), future);
    EXPECT_EQ(finished.status, FinishStatus::hazard);
    EXPECT_THAT(finished.reason.message, HasSubstr("future"));
    EXPECT_EQ(one->counters().hazards, 2U);
}

TEST_F(Finish, AnotherTimelineProvesNothingButAWitnessDoes) {
    PostgresOptions wanted = options();
    wanted.witness = true;
    auto one = sidecar(wanted);
    auto key = new_key();
    auto result = one->prepare(key, debit());
    ASSERT_TRUE(result.proof->witness);
    sql("COMMIT PREPARED '" + one->gid(key) + "'");
    protocol::ProofToken other = *result.proof;
    other.position.timeline = 2;
    EXPECT_EQ(one->commit(key, other).status, FinishStatus::committed);
    sql("DELETE FROM twofold.witness");
    EXPECT_EQ(one->commit(key, other).status, FinishStatus::hazard);
    other = *result.proof;
    other.position.value = ~0ULL;  // the database went back behind the vote
    EXPECT_EQ(one->commit(key, other).status, FinishStatus::hazard);
}

TEST_F(Finish, WitnessesAreWrittenOnlyByBranchesThatWrite) {
    PostgresOptions wanted = options();
    wanted.witness = true;
    auto one = sidecar(wanted);
    EXPECT_EQ(one->prepare(new_key(), work({"SELECT 1"})).status, WorkStatus::read_only);
    auto key = new_key();
    ASSERT_EQ(one->prepare(key, debit()).status, WorkStatus::prepared);
    EXPECT_EQ(sql("SELECT count(*) FROM twofold.witness"), "0") << "not before the commit";
    EXPECT_EQ(one->commit(key).status, FinishStatus::committed);
    EXPECT_EQ(sql("SELECT gid FROM twofold.witness"), one->gid(key));
}

TEST_F(Finish, ABranchOfAnotherDatabaseIsNotOurs) {
    auto one = sidecar();
    auto key = new_key();
    static_cast<void>(
        server_->query("postgres",
                       "BEGIN; CREATE TABLE x (a int); PREPARE TRANSACTION '" + one->gid(key) + "'",
                       "postgres"));
    auto listed = one->list();
    ASSERT_TRUE(listed.has_value());
    EXPECT_TRUE(listed.value().empty());
    auto finished = one->commit(key);
    EXPECT_EQ(finished.status, FinishStatus::unknown);
    static_cast<void>(server_->query("postgres", "ROLLBACK PREPARED '" + one->gid(key) + "'"));
}

// ---- one-phase
// -----------------------------------------------------------------------------------

protocol::IdempotencyKey idempotency(std::uint8_t key, std::uint8_t fingerprint) {
    protocol::IdempotencyKey out;
    out.key_hash.fill(key);
    out.fingerprint.fill(fingerprint);
    return out;
}

class OnePhase : public PostgresTest {};

TEST_F(OnePhase, CommitsWithItsWitness) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->one_phase(key, debit(), idempotency(1, 1));
    ASSERT_EQ(result.status, WorkStatus::committed) << result.reason.message;
    EXPECT_TRUE(result.recorded);
    EXPECT_TRUE(result.proof->witness);
    EXPECT_EQ(balance(1), "90");
    EXPECT_EQ(sql("SELECT outcome FROM twofold.witness WHERE gid = '" + one->gid(key) + "'"),
              "committed");
    EXPECT_EQ(one->settle(key).status, FinishStatus::committed);
    EXPECT_EQ(prepared_count(), 0);
}

TEST_F(OnePhase, ReadersAreNotRecorded) {
    auto one = sidecar();
    auto result = one->one_phase(new_key(), work({"SELECT balance FROM account WHERE id = 1"}));
    ASSERT_EQ(result.status, WorkStatus::committed) << result.reason.message;
    EXPECT_FALSE(result.recorded);
    EXPECT_EQ(*result.results, R"([{"rows_affected":0,"columns":["balance"],"rows":[[100]]}])");
    EXPECT_EQ(sql("SELECT count(*) FROM twofold.witness"), "0");
}

TEST_F(OnePhase, RefusalsLeaveNothing) {
    auto one = sidecar();
    EXPECT_EQ(one->one_phase(new_key(), debit(1000)).reason.code, reason::kConstraint);
    auto result = one->one_phase(
        new_key(), R"([{"sql": "UPDATE account SET balance = 0", "expect": {"rows": 1}}])");
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kExpectationMissed);
    result = one->one_phase(
        new_key(), work({"UPDATE account SET balance = 0", "SELECT generate_series(1, 5000)"}));
    EXPECT_EQ(result.reason.code, reason::kNotAllowed);
    EXPECT_EQ(balance(1), "100");
    EXPECT_EQ(one->one_phase(new_key(), debit()).status, WorkStatus::committed);
}

TEST_F(OnePhase, AnswersFromTheWitnessOfTheSameKey) {
    auto one = sidecar();
    auto first = new_key();
    ASSERT_EQ(one->one_phase(first, debit(), idempotency(1, 1)).status, WorkStatus::committed);
    auto second = new_key();
    auto again = one->one_phase(second, debit(), idempotency(1, 1));
    EXPECT_EQ(again.status, WorkStatus::committed) << again.reason.message;
    EXPECT_EQ(again.original, first.group);
    EXPECT_EQ(balance(1), "90") << "once";
    EXPECT_EQ(one->settle(second).status, FinishStatus::aborted) << "that id has done nothing";
    auto other = one->one_phase(new_key(), debit(), idempotency(1, 2));
    EXPECT_EQ(other.status, WorkStatus::refused);
    EXPECT_EQ(other.reason.code, reason::kKeyConflict);
    EXPECT_EQ(one->one_phase(new_key(), debit(), idempotency(2, 2)).status, WorkStatus::committed);
    EXPECT_EQ(balance(1), "80");
}

// The work would fail, because it was done before: that is no answer to the key.
TEST_F(OnePhase, LooksForTheKeyBeforeTheWork) {
    auto one = sidecar();
    auto first = new_key();
    std::string once = work({"INSERT INTO account VALUES (9, 1)"});
    ASSERT_EQ(one->one_phase(first, once, idempotency(1, 1)).status, WorkStatus::committed);
    EXPECT_EQ(one->one_phase(new_key(), once, idempotency(1, 1)).original, first.group);
    auto refused = one->one_phase(new_key(), once, idempotency(2, 1));
    EXPECT_EQ(refused.reason.code, reason::kConstraint);
    EXPECT_TRUE(refused.key_free);
    EXPECT_FALSE(one->one_phase(new_key(), "[{}]", idempotency(2, 1)).key_free);
}

TEST_F(OnePhase, SettlingFindsTheKeysCommit) {
    auto one = sidecar();
    auto first = new_key();
    ASSERT_EQ(one->one_phase(first, debit(), idempotency(1, 1)).status, WorkStatus::committed);
    auto second = new_key();
    auto settled = one->settle(second, idempotency(1, 1));
    EXPECT_EQ(settled.status, FinishStatus::committed);
    EXPECT_EQ(settled.original, first.group);
    settled = one->settle(new_key(), idempotency(1, 2));
    EXPECT_EQ(settled.status, FinishStatus::aborted);
    EXPECT_EQ(settled.reason.code, reason::kKeyConflict);
    EXPECT_EQ(one->settle(new_key(), idempotency(2, 1)).status, FinishStatus::aborted);
    EXPECT_EQ(one->one_phase(second, debit()).reason.code, reason::kAfterAbort);
}

TEST_F(OnePhase, ATombstoneForbidsIt) {
    auto one = sidecar();
    auto key = new_key();
    EXPECT_EQ(one->settle(key).status, FinishStatus::aborted);
    EXPECT_EQ(one->settle(key).status, FinishStatus::aborted);
    auto result = one->one_phase(key, debit());
    EXPECT_EQ(result.status, WorkStatus::refused);
    EXPECT_EQ(result.reason.code, reason::kAfterAbort);
    EXPECT_EQ(balance(1), "100");
}

// The branch has written its witness row but waits for its COMMIT: nobody can say how it will end.
TEST_F(OnePhase, SettlingWaitsForOneThatIsCommitting) {
    auto one = sidecar();
    auto key = new_key();
    RawSession other(dsn_);
    other.run({"BEGIN",
               "INSERT INTO twofold.witness (gid, outcome) VALUES ('" + one->gid(key) +
                   "', 'committed')"});
    EXPECT_EQ(one->settle(key).status, FinishStatus::unknown);
    other.run({"COMMIT"});
    EXPECT_EQ(one->settle(key).status, FinishStatus::committed);
}

TEST_F(OnePhase, ALostAnswerIsSettled) {
    auto one = sidecar();
    auto key = new_key();
    auto result = one->one_phase(
        key,
        work({"UPDATE account SET balance = 1", "SELECT pg_terminate_backend(pg_backend_pid())"}));
    EXPECT_EQ(result.status, WorkStatus::unknown);
    EXPECT_TRUE(one->cancel(key).has_value());
    EXPECT_EQ(one->settle(key).status, FinishStatus::aborted);
    EXPECT_EQ(balance(1), "100");
}

TEST_F(OnePhase, CancelEndsIt) {
    auto one = sidecar();
    auto key = new_key();
    std::optional<protocol::WorkResult> result;
    one->begin(key, work({"UPDATE account SET balance = 1", "SELECT pg_sleep(20)"}), &result, true);
    ASSERT_TRUE(one->wait([&] {
        return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1";
    }));
    EXPECT_TRUE(one->cancel(key).has_value());
    EXPECT_EQ(result->status, WorkStatus::refused);
    EXPECT_EQ(one->settle(key).status, FinishStatus::aborted);
}

}  // namespace
}  // namespace twofold::participant::postgres
