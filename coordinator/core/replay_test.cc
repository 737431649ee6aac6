// One-phase work under idempotency keys over restarts of the coordinator: the log does not know
// these keys, only the participant does. Nothing is answered under a key that the key's work could
// contradict, and nothing is done twice.
#include "coordinator/core/replay_script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::ItemResult;
namespace reason = protocol::reason;

TEST(Replay, what_the_key_has_committed_is_the_answer_and_the_new_id_says_that_it_did_nothing) {
    protocol::TxnId original = id_of_first_start();
    Script s = submitted();
    protocol::TxnId repeated = s.txn;
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"answer 1 finished committed", "finished t2.1 aborted"});
    EXPECT_EQ(last_answer(s).report.txn, original);
    EXPECT_TRUE(last_answer(s).report.results_lost);
    EXPECT_TRUE(last_answer(s).repeated);
    auto report = s.machine.query(repeated).report;
    EXPECT_EQ(report.outcome, protocol::Outcome::aborted);
    EXPECT_EQ(report.answered_by, original);
    EXPECT_TRUE(report.key_open) << "the abort is that of the id";
    EXPECT_EQ(s.machine.query(original).report.outcome, protocol::Outcome::committed);
    s.when("once more", s.submit({1}, keyed())).expect({"answer 2 finished committed"});
    EXPECT_EQ(last_answer(s).report.txn, original);
    s.when("with another body", s.submit({1}, keyed(2)))
        .expect({"answer 3 invalid (idempotency_key_conflict)"});
    s.txn = repeated;
    s.when("somebody waits for the new id", s.outcome())
        .expect({"answer 4 finished aborted (idempotency_key_replayed) key_open"});
}

TEST(Replay, says_at_its_branch_that_a_failover_may_lose_it) {
    protocol::TxnId original = id_of_first_start();
    Script s = submitted();
    s.when("it was done before", s.reply(1, committed, reason::kNotReplicated, by(original)))
        .expect({"answer 1 finished committed", "finished t2.1 aborted"});
    ASSERT_EQ(last_answer(s).report.branches.size(), 1U);
    EXPECT_EQ(last_answer(s).report.branches[0].reason.code, reason::kNotReplicated);
    EXPECT_EQ(last_answer(s).report.branches[0].state, "committed");
}

TEST(Replay, is_found_by_settling_too) {
    protocol::TxnId original = id_of_first_start();
    Script s = submitted();
    s.when("no answer", s.failed(1, CallOutcome::unknown))
        .expect({"send settle_one_phase t2.1/1.1 to 1"});
    EXPECT_TRUE(s.all_sent.back().item.idempotency.has_value());
    s.when("the client changes its mind", s.abort()).quiet();
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"answer 1 finished committed",
                 "finished t2.1 aborted",
                 "answer 2 finished aborted (idempotency_key_replayed) key_open"});
}

TEST(Replay, an_old_id_says_for_ever_that_it_did_nothing) {
    protocol::TxnId original = id_of_first_start();
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epochs[3] = epoch_record(3);
    state.epoch = 3;
    protocol::TxnId repeated = submitted().txn;
    Script s(std::move(state), {});
    s.txn = repeated;
    s.when("a client asks", s.outcome()).expect({"send settle_one_phase t2.1/1.1 to 1"});
    EXPECT_FALSE(s.all_sent.back().item.idempotency.has_value());
    s.when("its participant still knows", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"finished t2.1 aborted",
                 "answer 1 finished aborted (idempotency_key_replayed) key_open"});
    EXPECT_EQ(last_answer(s).report.answered_by, original);
}

TEST(Replay, of_another_request_is_a_conflict_and_leaves_the_key_alone) {
    for (protocol::ItemStatus status : {aborted, refused}) {
        Script s = restarted();
        s.when("another body comes", s.submit({1}, keyed(2)));
        s.when("the key is taken", s.reply(1, status, reason::kKeyConflict, [](ItemResult& r) {
             r.executed = false;
         })).expect({"finished t2.1 aborted", "answer 1 invalid (idempotency_key_conflict)"});
        s.when("the first body comes", s.submit({1}, keyed(1)))
            .expect({"send one_phase t2.2/1.1 to 1"});
    }
}

TEST(Replay, an_abort_counts_for_the_key_when_the_participant_says_so) {
    Script s = submitted();
    s.when("it fails", s.reply(1, aborted, reason::kConstraint, [](ItemResult& r) {
         r.key_free = true;
     })).expect({"finished t2.1 aborted", "force idempotent abort t2.1"});
    s.when("durable", s.durable()).expect({"answer 1 finished aborted (constraint_violation)"});
    EXPECT_FALSE(s.machine.query(s.txn).report.key_open);
}

// Nothing was heard from the participant: an earlier id may have committed.
TEST(Replay, an_abort_that_says_nothing_of_the_key_is_no_answer_to_it) {
    Script s = submitted();
    s.when("it was not sent", s.failed(1, CallOutcome::not_sent))
        .expect({"finished t2.1 aborted", "answer 1 unsettled (participant_unavailable)"});
    EXPECT_TRUE(s.machine.query(s.txn).report.key_open);
    s.when("the client repeats", s.submit({1}, keyed())).expect({"send one_phase t2.2/1.1 to 1"});
}

TEST(Replay, a_refusal_that_says_nothing_of_the_key_is_settled) {
    Script s = submitted();
    s.when("there is no room", s.reply(1, unknown, reason::kSlotsExhausted))
        .expect({"send settle_one_phase t2.1/1.1 to 1"});
    s.when("nobody has the key", s.reply(1, aborted, {}, [](ItemResult& r) {
         r.key_free = true;
     })).expect({"finished t2.1 aborted", "force idempotent abort t2.1"});
    s.when("durable", s.durable()).expect({"answer 1 finished aborted (prepared_slots_exhausted)"});
}

TEST(Replay, an_unreachable_participant_leaves_the_key_open) {
    Script s = restarted();
    s.when("it is lost", s.lost(1));
    s.when("the client repeats", s.submit({1}, keyed()))
        .expect({"answer 1 unsettled (participant_unavailable)", "finished t2.1 aborted"});
}

TEST(Replay, the_first_start_has_no_earlier_ids) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}, keyed()));
    s.when("it was not sent", s.failed(1, CallOutcome::not_sent))
        .expect({"finished t1.1 aborted", "force idempotent abort t1.1"});
}

// The key is over here, but its commit is still known to the participant, which would tell later.
TEST(Replay, a_start_that_has_forgotten_keys_is_like_a_later_one) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}, keyed()));
    s.when("it is done", s.reply(1, committed)).expect_one("answer 1 finished committed");
    for (std::uint32_t turn = 1; turn <= 5; ++turn) {
        // The timer of the outcomes was armed after that of the keys, once.
        s.when("a quarter of the lifetime", turn == 1 ? s.deadline() : s.timer());
        s.expect_one("force key turn " + std::to_string(turn));
        s.when("durable", s.durable());
    }
    s.when("the client repeats", s.submit({1}, keyed())).expect({"send one_phase t1.2/1.1 to 1"});
    s.when("it was not sent", s.failed(1, CallOutcome::not_sent))
        .expect({"finished t1.2 aborted", "answer 2 unsettled (participant_unavailable)"});
}

// What was one-phase in the former start may be two-phase now, and has a key all the same.
TEST(Replay, two_phase_work_of_one_branch_looks_for_the_key) {
    protocol::TxnId original = id_of_first_start();
    Script s = restarted();
    s.infos[1].one_phase = false;
    s.when("it does one-phase no more", s.seen(1));
    s.when("the client repeats", s.submit({1}, keyed()))
        .expect_one("send execute_prepare t2.1/1.1 to 1");
    EXPECT_TRUE(s.all_sent.back().item.idempotency.has_value());
    protocol::TxnId repeated = s.txn;
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect_one("answer 1 finished committed");
    EXPECT_EQ(s.machine.query(repeated).report.outcome, protocol::Outcome::aborted);
    s.when("another client", s.submit({2}, keyed(2)));
    EXPECT_EQ(last_answer(s).kind, AnswerKind::invalid);
}

TEST(Replay, two_phase_work_beside_running_work_of_the_key_is_no_answer_to_it) {
    Script s = restarted();
    s.infos[1].one_phase = false;
    s.when("it does one-phase no more", s.seen(1));
    s.when("the client repeats", s.submit({1}, keyed()));
    s.when("the key's first work runs still",
           s.reply(1, refused, reason::kKeyInProgress, [](ItemResult& r) { r.executed = false; }))
        .expect_one("answer 1 unsettled (idempotency_key_in_progress)");
}

TEST(Replay, participants_that_know_no_keys_get_keyed_work_in_two_phases) {
    Script s;
    s.infos[1].one_phase = true;
    s.infos[1].keys = false;
    s.when("it can do one-phase", s.seen(1));
    s.when("work with a key", s.submit({1}, keyed()))
        .expect_one("send execute_prepare t1.1/1.1 to 1");
    EXPECT_FALSE(s.all_sent.back().item.idempotency.has_value());
    s.when("work without a key", s.submit({1})).expect({"send one_phase t1.2/1.1 to 1"});
}

// Its waiter has gone, and other transactions end meanwhile: a repetition must not find it gone.
TEST(Replay, a_repetition_while_its_abort_is_being_forced_waits_for_that) {
    Config config;
    config.reports_max = 1;
    Script s(2, config);
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    BeginOptions options = keyed();
    options.answer_within = Milliseconds{5};
    s.when("work comes", s.submit({1}, options));
    s.when("it fails", s.reply(1, no, reason::kLockTimeout))
        .expect({"finished t1.1 aborted", "force idempotent abort t1.1"});
    Input forced = s.durable();
    s.when("the disk stands still", s.timer())
        .expect({"answer 1 undecided aborted (lock_timeout) key_open"});
    s.when("other work comes", s.submit({1}));
    s.when("it is done", s.reply(1, committed));
    s.when("the client repeats", s.submit({1}, keyed())).quiet();
    s.when("the disk goes on", forced).expect({"answer 3 finished aborted (lock_timeout)"});
}

// After a restart only the participant has the key of a one-phase commit, for two hours.
TEST(Replay, keys_that_live_longer_than_at_participants_get_two_phases) {
    for (bool lasts : {true, false}) {
        Config config;
        config.key_lifetime = std::chrono::minutes(lasts ? 96 : 100);
        Script s(2, config);
        s.infos[1].one_phase = true;
        s.when("it can do one-phase", s.seen(1));
        s.when("work with a key", s.submit({1}, keyed()))
            .expect_one(lasts ? "send one_phase t1.1/1.1 to 1"
                              : "send execute_prepare t1.1/1.1 to 1");
        s.when("work without a key", s.submit({1})).expect({"send one_phase t1.2/1.1 to 1"});
    }
}

// ---- databases that do one-phase work no more ------------------------------------------

TEST(Rerun, what_cannot_be_one_phase_goes_on_in_two_phases) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}, keyed()));
    protocol::TxnId first = s.txn;
    s.when("it cannot",
           s.reply(
               1, aborted, reason::kOnePhaseUnavailable, [](ItemResult& r) { r.executed = false; }))
        .expect({"finished t1.1 aborted",
                 "append preparing t1.2",
                 "send execute_prepare t1.2/1.1 to 1"});
    EXPECT_EQ(s.machine.query(first).report.answered_by, s.txn);
    s.when("a repetition waits for the second", s.submit({1}, keyed())).quiet();
    s.when("yes", s.reply(1, yes)).expect({"propose commit t1.2 1.1"});
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed)).expect_one("answer 1 finished committed");
    EXPECT_EQ(last_answer(s).report.txn, s.txn);
    s.when("more work", s.submit({1})).expect_one("send execute_prepare t1.3/1.1 to 1");
}

// Nobody may have been told the old id: without a key nothing leads from it to the new one.
TEST(Rerun, only_while_the_request_waits_or_has_a_key) {
    for (bool has_key : {false, true}) {
        Script s;
        s.infos[1].one_phase = true;
        s.when("it can do one-phase", s.seen(1));
        BeginOptions options = has_key ? keyed() : BeginOptions{};
        options.answer_within = Milliseconds{5};
        s.when("work comes", s.submit({1}, options));
        s.when("the client waits no longer", s.timer()).expect({"answer 1 undecided"});
        s.when("it cannot", s.reply(1, aborted, reason::kOnePhaseUnavailable, [](ItemResult& r) {
             r.executed = false;
         })).expect_one(has_key ? "send execute_prepare t1.2/1.1 to 1" : "finished t1.1 aborted");
        if (!has_key) s.when("more work", s.submit({1})).expect_one("append preparing t1.2");
    }
}

void newer_epoch(ItemResult& result) {
    result.executed = false;
    result.participant_epoch = 2;
}

Script restarted_participant(const BeginOptions& options = {}) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}, options));
    s.when("it was started since", s.reply(1, unknown, reason::kStaleParticipantEpoch, newer_epoch))
        .expect({"send settle_one_phase t1.1/1.1 to 1"});
    return s;
}

TEST(Rerun, after_a_restart_of_the_participant_once_the_first_id_is_forbidden) {
    for (const BeginOptions& options : {BeginOptions{}, keyed()}) {
        Script s = restarted_participant(options);
        protocol::TxnId first = s.txn;
        s.when("nothing has run", s.reply(1, aborted, {}, newer_epoch))
            .expect({"finished t1.1 aborted", "send one_phase t1.2/1.1 to 1"});
        EXPECT_EQ(s.all_sent.back().item.participant_epoch, 2U);
        EXPECT_TRUE(s.all_sent.back().item.work);
        EXPECT_EQ(s.machine.query(first).report.answered_by, s.txn);
        s.when("committed", s.reply(1, committed, {}, newer_epoch))
            .expect({"finished t1.2 committed", "answer 1 finished committed"});
        EXPECT_EQ(last_answer(s).report.txn, s.txn);
    }
}

TEST(Rerun, not_when_the_first_id_has_committed_before_the_restart) {
    Script s = restarted_participant();
    s.when("its witness is there", s.reply(1, committed, {}, newer_epoch))
        .expect({"finished t1.1 committed", "answer 1 finished committed"});
}

TEST(Rerun, not_when_the_client_has_changed_its_mind) {
    Script s = restarted_participant();
    s.when("the client aborts", s.abort()).quiet();
    s.when("nothing has run", s.reply(1, aborted, {}, newer_epoch))
        .expect({"finished t1.1 aborted",
                 "answer 1 finished aborted (stale_participant_epoch)",
                 "answer 2 finished aborted (stale_participant_epoch)"});
}

TEST(Rerun, not_after_the_deadline) {
    Script s = restarted_participant(keyed());
    s.when("the deadline passes", s.deadline())
        .expect({"answer 1 undecided (stale_participant_epoch)"});
    s.when("nothing has run", s.reply(1, aborted, {}, newer_epoch))
        .expect({"finished t1.1 aborted"});
}

TEST(Rerun, keeps_the_deadline) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}));
    s.when("it cannot", s.reply(1, aborted, reason::kOnePhaseUnavailable, [](ItemResult& r) {
        r.executed = false;
    }));
    s.when("the deadline passes", s.deadline())
        .expect_one("answer 1 finished aborted (deadline_exceeded)");
}

// ---- commits that changed nothing -----------------------------------------------------

// What the next start finds, of a log that is this machine's checkpoint only.
RecoveredState after(const Machine& machine) {
    RecoveredState state = second_start();
    for (const protocol::Record& record : machine.checkpoint()) {
        if (const auto* keys = std::get_if<protocol::KeysRecord>(&record)) {
            state.keys.restore(*keys, true);
        }
        if (const auto* outcomes = std::get_if<protocol::OutcomesRecord>(&record)) {
            state.outcomes.restore(*outcomes, true);
        }
    }
    return state;
}

Script without_reports() {
    Config config;
    config.reports_max = 1;
    Script s(2, config);
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    return s;
}

// So that the one before it is known by its bit only.
void commit_another(Script& s) {
    s.when("other work comes", s.submit({1}));
    s.when("it is done", s.reply(1, committed));
}

TEST(Unrecorded, a_one_phase_commit_that_changed_nothing_leaves_nothing_in_a_checkpoint) {
    Script s = without_reports();
    s.when("work comes", s.submit({1}, keyed()));
    protocol::TxnId id = s.txn;
    s.when("it only reads", s.reply(1, committed, {}, [](ItemResult& r) {
         r.recorded = false;
     })).expect_one("answer 1 finished committed unrecorded");
    commit_another(s);
    protocol::TxnId recorded = s.txn;
    Answer known = s.machine.query(id);
    EXPECT_EQ(known.report.outcome, protocol::Outcome::committed);
    EXPECT_FALSE(known.report.recorded) << "nothing more is known of it later";
    Machine next({}, after(s.machine));
    EXPECT_EQ(next.query(id).kind, AnswerKind::cannot_tell) << "only its participant could tell";
    EXPECT_EQ(next.query(recorded).report.outcome, protocol::Outcome::committed);
    EXPECT_TRUE(next.query(recorded).report.recorded);
}

TEST(Unrecorded, the_key_of_reads_in_several_databases_is_answered_as_before) {
    Script s = without_reports();
    s.when("work comes", s.submit({1, 2}, keyed()));
    protocol::TxnId id = s.txn;
    s.when("it only reads", s.reply(1, read_only));
    s.when("it only reads", s.reply(2, read_only))
        .expect_one("answer 1 finished committed unrecorded");
    Script next(after(s.machine), {}, false);
    next.when("before anybody was greeted", next.submit({1, 2}, keyed()))
        .expect({"answer 1 finished committed unrecorded"});
    next.when("they are greeted", next.offer_answered(1));
    next.when("they are greeted", next.offer_answered(2));
    next.when("once more", next.submit({1, 2}, keyed()))
        .expect({"answer 2 finished committed unrecorded"});
    EXPECT_EQ(last_answer(next).report.txn, id);
    EXPECT_TRUE(last_answer(next).reason.empty());
    EXPECT_FALSE(next.machine.query(id).report.recorded);
}

}  // namespace
}  // namespace twofold::coordinator
