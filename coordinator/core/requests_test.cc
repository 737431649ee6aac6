// Interactive transactions, keys, queries, inquiries, marks.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::IdPosition;
using protocol::ParticipantNumber;
namespace reason = protocol::reason;

Script active(std::uint16_t participants = 2) {
    Script s(participants);
    s.when("a client begins", s.begin()).expect({"answer 1 begun"});
    return s;
}

TEST(Interactive, enlist_and_commit) {
    Script s = active();
    s.when("it touches one", s.enlist(1)).expect({"answer 2 enlisted"});
    s.when("it touches two", s.enlist(2)).expect({"answer 3 enlisted"});
    s.when("one once more", s.enlist(1)).expect({"answer 4 enlisted"});
    EXPECT_EQ(std::get<Answer>(s.effects.back()).report.branches.size(), 2U);
    s.when("the client commits", s.commit(WaitFor::applied, {{ParticipantNumber(2), 3}}))
        .expect(
            {"append preparing t1.1", "send prepare t1.1/1.1 to 1", "send prepare t1.1/2.1 to 2"});
    EXPECT_EQ(std::get<Send>(s.effects.back()).item.expected_executes, 3U);
    s.when("too late", s.enlist(1)).expect({"answer 6 wrong_state (bad_request)"});
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes)).expect({"propose commit t1.1 1.1 2.1"});
    s.when("durable", s.decided());
    s.when("the client repeats", s.commit(WaitFor::decided)).expect({"answer 7 decided committed"});
    s.when("the client changes its mind", s.abort()).expect({"answer 8 opposite committed"});
    s.when("committed", s.reply(1, committed));
    s.when("committed", s.reply(2, committed)).expect_one("answer 5 finished committed");
}

TEST(Interactive, another_session_dooms_it) {
    Script s = active();
    s.when("it touches one", s.enlist(1, 7));
    s.when("from another session", s.enlist(1, 8))
        .expect({"append abort t1.1 1.1",
                 "send abort t1.1/1.1 to 1",
                 "answer 3 doomed aborted (branch_lost)"});
    s.when("the client commits", s.commit()).expect({"answer 4 finished aborted (branch_lost)"});
    s.when("it touches another", s.enlist(2)).expect({"answer 5 doomed aborted (branch_lost)"});
}

TEST(Interactive, another_epoch_dooms_it) {
    Script s = active();
    s.when("it touches one", s.enlist(1, 7, 1));
    s.when("after a restart", s.enlist(1, 7, 2))
        .expect_one("answer 3 doomed aborted (branch_lost)");
}

TEST(Interactive, a_restart_that_is_seen_dooms_it) {
    Script s = active();
    s.when("it touches one", s.enlist(1));
    s.infos[1].epoch = 2;
    s.when("it has restarted", s.seen(1)).expect_one("send abort t1.1/1.1 to 1");
    s.when("the client commits", s.commit()).expect({"answer 3 finished aborted (branch_lost)"});
}

TEST(Interactive, nothing_commits_trivially) {
    Script s = active();
    s.when("the client commits", s.commit())
        .expect({"finished t1.1 committed", "answer 2 finished committed unrecorded"});
}

TEST(Interactive, executes_at_a_participant_that_is_not_enlisted) {
    Script s = active();
    s.when("it touches one", s.enlist(1));
    s.when("the client commits", s.commit(WaitFor::applied, {{ParticipantNumber(2), 1}}))
        .expect_one("answer 3 finished aborted (executes_differ)");
}

TEST(Interactive, abort_and_then_commit_is_the_opposite) {
    Script s = active();
    s.when("it touches one", s.enlist(1));
    s.when("the client aborts", s.abort())
        .expect({"append abort t1.1 1.1",
                 "send abort t1.1/1.1 to 1",
                 "answer 3 finished aborted (client_abort)"});
    s.when("and again", s.abort()).expect({"answer 4 finished aborted (client_abort)"});
    s.when("and commits", s.commit()).expect({"answer 5 opposite aborted (client_abort)"});
}

TEST(Interactive, idle_for_too_long) {
    Script s;
    BeginOptions options;
    options.idle_deadline = Milliseconds(100);
    s.when("a client begins", s.begin(options));
    s.when("it touches one", s.enlist(1));
    s.when("nothing happens", s.timer()).expect_one("send abort t1.1/1.1 to 1");
}

TEST(Interactive, a_lost_prepare_of_executed_work_is_aborted_even_if_not_sent) {
    Script s = active();
    s.when("it touches one", s.enlist(1));
    s.when("it touches two", s.enlist(2));
    s.when("the client commits", s.commit());
    s.when("not sent", s.failed(1, CallOutcome::not_sent)).expect_one("send abort t1.1/1.1 to 1");
}

// ---- keys -----------------------------------------------------------------------------

BeginOptions keyed(std::uint8_t key, std::uint8_t fingerprint) {
    BeginOptions options;
    options.idempotency.emplace();
    options.idempotency->key_hash[0] = key;
    options.idempotency->fingerprint[0] = fingerprint;
    return options;
}

TEST(Keys, the_same_request_gets_the_same_answer) {
    Script s;
    s.when("work comes", s.submit({1, 2}, keyed(1, 1)));
    s.when("once more", s.submit({1, 2}, keyed(1, 1))).quiet();
    s.when("with another body", s.submit({1}, keyed(1, 2)))
        .expect({"answer 3 invalid (idempotency_key_conflict)"});
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    s.when("committed", s.reply(2, committed)).expect_one("answer 2 finished committed");
    s.when("and later", s.submit({1, 2}, keyed(1, 1))).expect({"answer 4 finished committed"});
}

TEST(Keys, an_abort_under_a_key_is_forced_before_it_is_told) {
    Script s;
    s.when("work comes", s.submit({1, 2}, keyed(1, 1)));
    s.when("no", s.reply(1, no, reason::kConstraint))
        .expect(
            {"append abort t1.1 2.1", "send abort t1.1/2.1 to 2", "force idempotent abort t1.1"});
    s.when("durable", s.durable()).expect({"answer 1 finished aborted (constraint_violation)"});
    s.when("once more", s.submit({1, 2}, keyed(1, 1)))
        .expect({"answer 2 finished aborted (constraint_violation)"});
}

TEST(Keys, a_query_says_nothing_before_the_key_is_durable) {
    Script s;
    s.when("work comes", s.submit({1, 2}, keyed(1, 1)));
    s.when("no", s.reply(1, no, reason::kConstraint));
    EXPECT_EQ(s.machine.query(s.txn).kind, AnswerKind::undecided);
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, protocol::Outcome::unknown);
    s.when("durable", s.durable());
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, protocol::Outcome::aborted);
}

TEST(Keys, replays_are_marked_and_a_full_memory_refuses_new_keys_only) {
    Config config;
    config.keys_max = 1;
    Script s(2, config);
    auto repeated = [&] { return std::get<Answer>(s.effects.back()).repeated; };
    s.when("a client begins", s.begin(keyed(1, 1))).expect({"answer 1 begun"});
    EXPECT_FALSE(repeated());
    s.when("once more", s.begin(keyed(1, 1))).expect({"answer 2 begun"});
    EXPECT_TRUE(repeated());
    s.when("under another key", s.begin(keyed(2, 1)))
        .expect({"answer 3 keys_exhausted (participant_unavailable)"});
    s.when("without a key", s.begin()).expect({"answer 4 begun"});
    s.when("with another body", s.begin(keyed(1, 2)))
        .expect({"answer 5 invalid (idempotency_key_conflict)"});
}

TEST(Keys, what_was_never_tried_may_be_tried_again) {
    Script s;
    s.when("it is lost", s.lost(2));
    s.when("work comes", s.submit({1, 2}, keyed(1, 1)))
        .expect_one("answer 1 unsettled (participant_unavailable)");
    s.when("it is back", s.seen(2));
    s.when("once more", s.submit({1, 2}, keyed(1, 1)))
        .expect_one("send execute_prepare t1.2/1.1 to 1");
}

TEST(Keys, are_forgotten_after_their_lifetime_and_not_before) {
    Config config;
    config.reports_max = 1;
    Script s(2, config);
    s.when("work comes", s.submit({1, 2}, keyed(1, 1)));
    TimerId keys = s.timers.back();
    for (int vote : {1, 2})
        s.when("read-only", s.reply(static_cast<std::uint16_t>(vote), read_only));
    for (int i = 0; i < 4; ++i) {
        s.when("a quarter of the lifetime", TimerFired{keys});
        s.when("durable", s.durable());
        keys = s.timers.back();
        s.when("once more", s.submit({1, 2}, keyed(1, 1)));
        s.expect({"answer " + std::to_string(i + 2) + " finished committed unrecorded"});
    }
    s.when("the last quarter", TimerFired{keys});
    s.when("durable", s.durable());
    s.when("once more", s.submit({1, 2}, keyed(1, 1))).expect_one("append preparing t1.2");
}

// ---- marks ----------------------------------------------------------------------------

TEST(Marks, low_water_waits_for_the_undecided_and_the_unacknowledged) {
    Script s(3);
    auto low = [&](std::uint16_t number) {
        return s.machine.low_water(ParticipantNumber(number)).sequence;
    };
    EXPECT_EQ(low(1), 1U);
    s.when("work comes", s.submit({1, 2}));
    EXPECT_EQ(low(1), 1U);
    EXPECT_EQ(low(3), 1U) << "undecided: it holds all";
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    EXPECT_EQ(low(3), 1U) << "proposed is undecided";
    s.when("durable", s.decided());
    EXPECT_EQ(low(1), 1U);
    EXPECT_EQ(low(3), 2U);
    s.when("committed", s.reply(1, committed));
    EXPECT_EQ(low(1), 2U);
    EXPECT_EQ(low(2), 1U);
    s.when("committed", s.reply(2, committed));
    EXPECT_EQ(low(2), 2U);
}

// Its participant is dead; the others must be able to forget.
TEST(Marks, an_unsettled_one_phase_holds_the_mark_of_its_participant_only) {
    Config config;
    config.outcomes_max = 16;
    Script s(2, config);
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}));
    protocol::BranchKey unsettled = s.key(1);
    EXPECT_EQ(s.machine.low_water(ParticipantNumber(2)), (IdPosition{1, 2}));
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    int alarms = 0;
    for (int i = 0; i < 40; ++i) {
        s.when("other work", s.submit({2}));
        s.when("done", s.reply(1, read_only));
        for (const Effect& effect : s.effects) {
            alarms += describe(effect) == "alarm horizon_held at 1" ? 1 : 0;
        }
        s.when("what is forced is durable", s.durable());
        EXPECT_LE(s.machine.horizon(), (IdPosition{1, 1})) << "its participant must still know it";
    }
    EXPECT_EQ(s.machine.low_water(ParticipantNumber(1)), (IdPosition{1, 1}));
    EXPECT_EQ(s.machine.low_water(ParticipantNumber(2)), (IdPosition{1, 42}));
    EXPECT_EQ(alarms, 1) << "a person is told once";
    s.when("it answers", s.reply_to(protocol::ItemOp::settle_one_phase, unsettled, 1, aborted));
    s.when("durable", s.durable());
    EXPECT_GT(s.machine.horizon(), (IdPosition{1, 1}));
    EXPECT_EQ(s.machine.low_water(ParticipantNumber(1)), (IdPosition{1, 42}));
}

// Taken into memory meanwhile, it would be below the horizon when its participant is asked, which
// would answer "finished earlier" for ever.
TEST(Marks, no_old_one_phase_is_settled_while_the_horizon_passes_it) {
    Script first;
    first.infos[1].one_phase = true;
    first.when("it can do one-phase", first.seen(1));
    first.when("work comes", first.submit({1}));
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    Config config;
    config.outcomes_max = 16;
    Script s(state, config);
    s.when("it is seen", s.seen(1));
    s.when("it is seen", s.seen(2));
    for (int i = 0; i < 17; ++i) {
        s.when("work comes", s.submit({2}));
        s.when("done", s.reply(1, read_only));
    }
    s.when("former starts have rested", s.timer());
    s.when("work comes", s.submit({2}));
    s.when("done", s.reply(1, read_only)).expect_one("force horizon 2.5");
    Input durable = s.durable();
    auto ask = [&] { return OutcomeRequest{Ticket(s.next_ticket++), first.txn, {}}; };
    s.when("a client asks", ask()).expect({"answer 19 cannot_tell (participant_unavailable)"});
    s.when("durable", durable).quiet();
    s.when("a client asks", ask()).expect({"answer 20 expired (bad_request)"});
}

TEST(Marks, the_horizon_moves_when_it_is_durable_and_stops_at_the_undecided) {
    Config config;
    config.outcomes_max = 16;
    Script s(2, config);
    s.when("a client begins", s.begin());
    for (int i = 0; i < 40; ++i) {
        s.when("work comes", s.submit({1, 2}));
        s.when("read-only", s.reply(1, read_only));
        s.when("read-only", s.reply(2, read_only));
        s.when("durable", s.durable());
    }
    EXPECT_LE(s.machine.horizon(), (IdPosition{1, 1})) << "the first one is undecided";
    Script t(2, config);
    protocol::TxnId first;
    for (int i = 0; i < 40; ++i) {
        t.when("work comes", t.submit({1, 2}));
        if (i == 0) first = t.txn;
        t.when("read-only", t.reply(1, read_only));
        t.when("read-only", t.reply(2, read_only));
    }
    EXPECT_EQ(t.machine.horizon(), IdPosition{}) << "not before it is durable";
    t.when("durable", t.durable()).quiet();
    EXPECT_GT(t.machine.horizon(), (IdPosition{1, 1}));
    EXPECT_LE(t.machine.horizon(), (IdPosition{1, 41}));
}

// Runs commits until the horizon wants to move; answers carry positions when asked to.
Script until_the_horizon_moves(bool with_positions) {
    Config config;
    config.outcomes_max = 16;
    Script s(2, config);
    std::uint64_t position = 10;
    auto at = [&](protocol::ItemResult& r) {
        if (with_positions) r.position = {1, ++position};
    };
    for (int i = 0; i < 17; ++i) {
        s.when("work comes", s.submit({1, 2}));
        s.when("yes", s.reply(1, yes, {}, at));
        s.when("yes", s.reply(2, read_only));
        s.when("durable", s.decided());
        s.when("committed", s.reply(1, committed, {}, at));
    }
    return s;
}

TEST(Marks, what_no_position_covers_is_given_up_with_the_horizon) {
    Script s = until_the_horizon_moves(false);
    s.expect_one("force horizon 1.4");
    s.expect_one("force given up 1 1.3");
    Script covered = until_the_horizon_moves(true);
    covered.expect_one("force horizon 1.4");
    covered.expect_one("append position 1");
    covered.expect_none("force given up");
}

// Forgotten with its END, and its last commit was acknowledged after the horizon had moved.
TEST(Marks, what_ends_below_the_horizon_is_given_up_before_its_end) {
    Config config;
    config.outcomes_max = 16;
    Script s(2, config);
    s.when("work comes", s.submit({1, 2}));
    protocol::BranchKey late = s.key(2);
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    for (int i = 0; i < 17; ++i) {
        s.when("other work", s.submit({1}));
        s.when("done", s.reply(1, read_only));
    }
    s.when("durable", s.durable());
    EXPECT_GT(s.machine.horizon(), (IdPosition{1, 1}));
    s.when("it commits at last", s.reply_to(protocol::ItemOp::commit, late, 2, committed))
        .expect({"force given up 2 1.1",
                 "append end t1.1 committed",
                 "finished t1.1 committed",
                 "answer 1 finished committed"});
}

TEST(Query, what_is_told_of_ids_that_are_not_in_memory) {
    Config config;
    config.reports_max = 1;
    Script s(2, config);
    std::vector<protocol::TxnId> ids;
    for (int i = 0; i < 3; ++i) {
        s.when("work comes", s.submit({1, 2}));
        ids.push_back(s.txn);
        s.when("yes", s.reply(1, i == 0 ? read_only : no));
        if (i == 0) s.when("read-only", s.reply(2, read_only));
        if (i != 0) s.when("gone", s.reply(2, aborted));
    }
    EXPECT_EQ(s.machine.query(ids[0]).kind, AnswerKind::finished);
    EXPECT_EQ(s.machine.query(ids[0]).report.outcome, protocol::Outcome::committed);
    EXPECT_EQ(s.machine.query(ids[1]).report.outcome, protocol::Outcome::aborted);
    protocol::TxnId forged = ids[1];
    forged.bytes[30] ^= 1U;
    EXPECT_EQ(s.machine.query(forged).kind, AnswerKind::not_found);
    protocol::TxnId foreign = ids[1];
    foreign.bytes[3] ^= 1U;
    EXPECT_EQ(s.machine.query(foreign).kind, AnswerKind::not_found);
    base::KeyedHash key(epoch_record(1).key);
    protocol::TxnId future =
        protocol::make_txn_id(epoch_record(1).incarnation, 1, 999, ParticipantNumber(0), key);
    EXPECT_EQ(s.machine.query(future).kind, AnswerKind::not_found);
}

TEST(Query, after_a_restart) {
    Script first;
    first.when("work comes", first.submit({1, 2}));
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    Answer answer = Machine({}, state).query(first.txn);
    EXPECT_EQ(answer.kind, AnswerKind::finished);
    EXPECT_EQ(answer.report.outcome, protocol::Outcome::aborted);
    EXPECT_FALSE(answer.report.recorded);
    state.horizon = {1, 2};
    EXPECT_EQ(Machine({}, state).query(first.txn).kind, AnswerKind::expired);
    state.outcomes.set_committed({1, 1});
    state.horizon = {};
    EXPECT_EQ(Machine({}, state).query(first.txn).report.outcome, protocol::Outcome::committed);
}

// ---- inquiries ------------------------------------------------------------------------

TEST(Inquiry, follows_the_course_of_a_transaction) {
    Script s(3);
    s.when("work comes", s.submit({1, 2}));
    s.when("asked", s.inquire(1, s.key(1))).expect({"inquiry t1.1/1.1 still_active"});
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("asked while it is forced", s.inquire(1, s.key(1)))
        .expect({"inquiry t1.1/1.1 still_active"});
    s.when("durable", s.decided());
    s.when("asked", s.inquire(1, s.key(1))).expect({"inquiry t1.1/1.1 commit with proof"});
    s.when("asked for another attempt", s.inquire(1, s.key(1, 2)))
        .expect({"inquiry t1.1/1.2 abort"});
    s.when("another asks", s.inquire(3, s.key(1))).expect({"inquiry t1.1/1.1 abort"});
    s.infos[1].identity.fields = {"other"};
    s.when("another database asks", s.inquire(1, s.key(1)))
        .expect({"alarm identity_mismatch at 1", "inquiry t1.1/1.1 cannot_tell"});
}

TEST(Inquiry, of_what_is_not_in_memory) {
    Script first;
    first.when("work comes", first.submit({1, 2}));
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    auto ask = [&](const RecoveredState& recovered, const protocol::BranchKey& key) {
        Script s(recovered, {});
        s.when("asked", s.inquire(1, key));
        return describe(s.effects.back());
    };
    EXPECT_EQ(ask(state, first.key(1)), "inquiry t1.1/1.1 abort");

    RecoveredState forgotten = state;
    forgotten.horizon = {1, 2};
    EXPECT_EQ(ask(forgotten, first.key(1)), "inquiry t1.1/1.1 expired");
    forgotten.positions[ParticipantNumber(1)] = {2, 50};
    auto from = [&](const protocol::Position& position) {
        Script s(forgotten, {});
        Input input = s.inquire(1, first.key(1));
        std::get<Inquire>(input).request.position = position;
        s.when("asked", std::move(input));
        return describe(s.effects.back());
    };
    EXPECT_EQ(from({2, 50}), "inquiry t1.1/1.1 abort") << "not restored: it never committed";
    EXPECT_EQ(from({2, 49}), "inquiry t1.1/1.1 expired") << "an older copy";
    EXPECT_EQ(from({3, 60}), "inquiry t1.1/1.1 expired") << "another timeline";
    RecoveredState ended = state;
    ended.outcomes.set_committed({1, 1});
    EXPECT_EQ(ask(ended, first.key(1)), "inquiry t1.1/1.1 expired");
    RecoveredState given_up = state;
    given_up.given_up[ParticipantNumber(1)] = {1, 1};
    EXPECT_EQ(ask(given_up, first.key(1)), "inquiry t1.1/1.1 expired");
    EXPECT_EQ(ask(first_start(2), first.key(1)), "inquiry t1.1/1.1 cannot_tell") << "never issued";

    protocol::BranchKey forged = first.key(1);
    forged.group.bytes[30] ^= 1U;
    EXPECT_EQ(ask(state, forged), "inquiry t1.1/1.1 cannot_tell");
    protocol::BranchKey foreign = first.key(1);
    foreign.group.bytes[3] ^= 1U;
    EXPECT_EQ(ask(state, foreign), "inquiry t1.1/1.1 cannot_tell");
    protocol::BranchKey later = first.key(1);
    later.group.bytes[15] = 9;  // epoch 9
    EXPECT_EQ(ask(state, later), "inquiry t9.1/1.1 cannot_tell");
}

// A restored database holds a branch that had committed; that the other one's end was odd is
// listed.
TEST(Inquiry, of_what_ended_oddly_before_this_start) {
    Script first;
    first.when("work comes", first.submit({1, 2}));
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    state.heuristic[first.txn] = protocol::Outcome::heuristic_hazard;
    protocol::BranchOutcomeRecord odd;
    odd.key = first.key(2);
    odd.participant = ParticipantNumber(2);
    odd.outcome = protocol::Outcome::heuristic_hazard;
    state.branch_outcomes[first.txn] = {odd};
    Script s(state, {});
    s.when("the other asks", s.inquire(1, first.key(1)))
        .expect({"alarm finished_branch_in_doubt at 1", "inquiry t1.1/1.1 expired"});
}

TEST(Query, versions_go_up_over_restarts_and_over_forgetting) {
    Config config;
    config.reports_max = 1;
    Script s(2, config);
    s.when("a client begins", s.begin());
    protocol::TxnId id = s.txn;
    std::uint64_t active = s.machine.query(id).report.version;
    s.when("it aborts", s.abort());
    std::uint64_t aborted = s.machine.query(id).report.version;
    EXPECT_GT(aborted, active);
    s.when("another begins", s.begin());
    s.when("and aborts", s.abort());
    std::uint64_t forgotten = s.machine.query(id).report.version;
    EXPECT_GT(forgotten, aborted);
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    UnfinishedGroup& group = state.unfinished_commits[id];
    group.decision.group = id;
    protocol::BranchRecord branch;
    branch.branch = branch.attempt = 1;
    branch.participant = ParticipantNumber(1);
    group.decision.branches.push_back(branch);
    EXPECT_GT(Machine({}, state).query(id).report.version, forgotten);
}

// ---- participants ---------------------------------------------------------------------

TEST(Directory, a_new_participant_is_forced_before_it_is_registered) {
    Script s(1);
    protocol::ParticipantInfo info = participant_info(2);
    RegisterParticipant input{info.uuid, info.name, info.identity};
    s.when("it appears", input).expect({"force participant 2 p2"});
    s.when("again", input).quiet();
    s.when("a third",
           RegisterParticipant{participant_info(3).uuid, "p3", participant_info(3).identity})
        .expect({"force participant 3 p3"});
    s.when("durable", s.durable()).expect({"registered 3"});
    s.when("asked again",
           RegisterParticipant{participant_info(3).uuid, "p3", participant_info(3).identity})
        .expect({"registered 3"});
    info = participant_info(1);
    s.when("another database under a known uuid",
           RegisterParticipant{info.uuid, "p1", {"small", {"x"}}})
        .expect({"alarm identity_mismatch at 1"});
}

}  // namespace
}  // namespace twofold::coordinator
