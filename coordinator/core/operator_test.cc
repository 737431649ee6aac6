// What a person decides: resolving a branch, acknowledging, retiring and rebinding a participant.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::Decision;
using protocol::Outcome;
using protocol::ParticipantNumber;

constexpr std::uint64_t kTicket = 90;

Script committing() {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    return s;
}

std::uint64_t version_of(const Script& s) { return s.machine.query(s.txn).report.version; }

ResolveBranch resolve(const Script& s, std::uint16_t branch, Decision found) {
    ResolveBranch input;
    input.ticket = Ticket(kTicket);
    input.txn = s.txn;
    input.branch = branch;
    input.found = found;
    input.version = version_of(s);
    input.reason = "seen in the database";
    return input;
}

Acknowledge acknowledge(const Script& s) {
    return {Ticket(kTicket), s.txn, version_of(s), "the books were corrected"};
}

std::uint64_t version_at(const Script& s, std::uint16_t participant) {
    return s.machine.look_at(ParticipantNumber(participant))->version;
}

RetireParticipant retire(const Script& s, const std::string& why) {
    return {Ticket(kTicket), ParticipantNumber(2), why, false, version_at(s, 2)};
}

RebindParticipant rebind(const Script& s) {
    return {Ticket(kTicket), ParticipantNumber(2), "pg_upgrade", false, version_at(s, 2)};
}

// Branch 1 committed; branch 2 answers what no participant may answer.
Script parked() {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("nonsense", s.reply(2, aborted)).expect({"alarm protocol_violation at 2"});
    return s;
}

Script ended_as_hazard() {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("nobody can prove it", s.reply(2, hazard, "no_witness"));
    s.when("durable", s.durable()).expect_one("finished t1.1 heuristic-hazard");
    return s;
}

TEST(Resolve, a_parked_branch_ends_on_a_persons_word_once_it_is_durable) {
    Script s = parked();
    s.when("a person looked", resolve(s, 2, Decision::commit))
        .expect({"force given up 2 1.1",
                 "alarm heuristic at 2",
                 "force outcome t1.1/2.1 heuristic-commit"});
    s.when("durable", s.durable())
        .expect({"append end t1.1 heuristic-commit",
                 "finished t1.1 heuristic-commit",
                 "answer 1 finished heuristic-commit",
                 "answer 90 done heuristic-commit"});
    TransactionReport report = s.machine.query(s.txn).report;
    EXPECT_TRUE(report.branches[1].by_operator);
    EXPECT_EQ(report.branches[1].evidence, "operator: seen in the database");
}

TEST(Resolve, the_opposite_of_the_decision_is_mixed) {
    Script s = parked();
    s.when("a person looked", resolve(s, 2, Decision::abort))
        .expect_one("force outcome t1.1/2.1 heuristic-abort");
    TransactionReport early = s.machine.query(s.txn).report;
    EXPECT_EQ(early.outcome, Outcome::committed) << "what may be lost is not told";
    EXPECT_EQ(early.branches[1].outcome, Outcome::unknown);
    EXPECT_TRUE(early.branches[1].evidence.empty());
    s.when("durable", s.durable()).expect_one("answer 90 done heuristic-mixed");
}

TEST(Resolve, an_unreachable_branch_is_not_driven_any_more) {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("nothing", s.failed(2, CallOutcome::unknown));
    s.when("a person looked", resolve(s, 2, Decision::commit)).expect_none("send");
    s.when("durable", s.durable()).expect_one("finished t1.1 heuristic-commit");
    s.when("it is back", s.seen(2)).quiet();
    s.when("late", s.reply(2, committed)).quiet();
}

TEST(Resolve, an_answer_that_contradicts_a_persons_word_is_told_once) {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("a person looked", resolve(s, 2, Decision::abort));
    s.when("what says nothing", s.reply(2, unknown)).quiet();
    s.when("meanwhile", s.reply(2, committed)).expect({"alarm heuristic at 2"});
    s.when("durable", s.durable()).expect_one("finished t1.1 heuristic-mixed");
    s.when("once more", s.reply(2, committed)).quiet();
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, Outcome::heuristic_mixed);
}

TEST(Resolve, a_late_answer_contradicts_it_too_but_only_from_its_own_database) {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("a person looked", resolve(s, 2, Decision::commit));
    s.when("durable", s.durable()).expect_one("finished t1.1 heuristic-commit");
    s.when("another database", s.reply(2, heuristic_abort, {}, [](protocol::ItemResult& result) {
         result.identity.fields[0] += "9";
     })).quiet();
    s.when("late", s.reply(2, heuristic_abort)).expect({"alarm heuristic at 2"});
}

TEST(Resolve, what_is_still_prepared_is_to_be_ended_there_first) {
    Script s = parked();
    auto why = s.machine.explain(s.txn);
    ASSERT_TRUE(why.has_value());
    const std::string& safe = why->branches[1].advice.safe;
    EXPECT_NE(safe.find("Still prepared there: do not resolve, commit it"), std::string::npos);
    Script t;
    t.when("work comes", t.submit({1, 2}));
    t.when("yes", t.reply(1, yes));
    t.when("no", t.reply(2, no));
    why = t.machine.explain(t.txn);
    ASSERT_TRUE(why.has_value());
    EXPECT_NE(why->branches[0].advice.safe.find("roll it back there"), std::string::npos);
}

TEST(Resolve, nothing_is_done_for_a_version_that_has_changed) {
    Script s = parked();
    ResolveBranch old = resolve(s, 2, Decision::commit);
    --old.version;
    s.when("a person looked at an older report", old)
        .expect({"answer 90 changed committed (bad_request)"});
}

TEST(Resolve, a_dry_run_changes_nothing) {
    Script s = parked();
    ResolveBranch dry = resolve(s, 2, Decision::commit);
    dry.dry_run = true;
    s.when("to see", dry).expect({"answer 90 done committed"});
    EXPECT_EQ(s.machine.query(s.txn).report.branches[1].state, "parked");
}

TEST(Resolve, needs_a_reason_and_a_branch_that_waits_for_its_end) {
    Script s = parked();
    ResolveBranch mute = resolve(s, 2, Decision::commit);
    mute.reason.clear();
    s.when("without a reason", mute).expect({"answer 90 invalid (bad_request)"});
    mute.reason = std::string("a\0b", 3);
    s.when("one that ends in the middle", mute).expect({"answer 90 invalid (bad_request)"});
    s.when("no such branch", resolve(s, 7, Decision::commit))
        .expect({"answer 90 invalid committed (bad_request)"});
    s.when("an ended branch", resolve(s, 1, Decision::commit))
        .expect({"answer 90 wrong_state committed (bad_request)"});
    ResolveBranch forged = resolve(s, 2, Decision::commit);
    forged.txn.bytes[30] ^= 1;
    s.when("a forged id", forged).expect_one("answer 90 not_found (bad_request)");
}

TEST(Resolve, branches_without_a_decision_are_left_alone) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("too early", resolve(s, 1, Decision::commit))
        .expect({"answer 90 wrong_state (bad_request)"});
}

TEST(Resolve, a_one_phase_branch_that_nobody_can_settle) {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1})).expect({"send one_phase t1.1/1.1 to 1"});
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    s.when("a person looked", resolve(s, 1, Decision::commit))
        .expect_one("force outcome t1.1/1.1 heuristic-commit");
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, Outcome::unknown);
    const auto covered = s.machine.checkpoint();
    EXPECT_TRUE(std::ranges::any_of(covered, [](const protocol::Record& record) {
        auto* end = std::get_if<protocol::EndRecord>(&record);
        return end != nullptr && end->outcome == Outcome::heuristic_commit;
    }));
    s.when("durable", s.durable()).expect_one("answer 1 finished heuristic-commit");
}

TEST(Resolve, an_inquiry_is_never_answered_abort_below_what_was_given_up) {
    Script s = parked();
    s.when("a person looked", resolve(s, 2, Decision::abort));
    auto given_up = std::ranges::count_if(s.machine.checkpoint(), [](const auto& record) {
        return std::holds_alternative<protocol::GivenUpRecord>(record);
    });
    EXPECT_EQ(given_up, 1);
    // Not while that is being forced, and not until it is forgotten: the person's word may have
    // been acted on.
    s.when("it is back, and still prepared", s.inquire(2, s.key(2)))
        .expect({"alarm resolved_branch_in_doubt at 2", "inquiry t1.1/2.1 expired"});
    s.when("durable", s.durable()).expect_one("finished t1.1 heuristic-mixed");
    s.when("once is enough", s.inquire(2, s.key(2))).expect({"inquiry t1.1/2.1 expired"});
    s.when("the other one", s.inquire(1, s.key(1))).expect({"inquiry t1.1/1.1 commit with proof"});
    s.when("booked by hand", acknowledge(s)).expect_one("force acknowledged t1.1");
    s.when("durable", s.durable()).expect_one("answer 90 done heuristic-mixed");
    s.when("still prepared", s.inquire(2, s.key(2)))
        .expect({"alarm finished_branch_in_doubt at 2", "inquiry t1.1/2.1 expired"});
}

TEST(Resolve, an_aborted_branch_that_a_person_found_committed_is_not_told_abort) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("no", s.reply(2, no)).expect_one("send abort t1.1/1.1 to 1");
    s.when("nothing", s.failed(1, CallOutcome::unknown));
    s.when("a person looked", resolve(s, 1, Decision::commit))
        .expect_one("force outcome t1.1/1.1 heuristic-commit");
    s.when("it is back, and still prepared", s.inquire(1, s.key(1)))
        .expect({"alarm resolved_branch_in_doubt at 1", "inquiry t1.1/1.1 expired"});
}

// A new attempt was made, because the participant restarted before it saw the work.
Script with_replaced_attempt() {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(2, yes));
    s.infos[1].epoch = 2;
    s.when("it was started since",
           s.reply(1,
                   refused,
                   protocol::reason::kStaleParticipantEpoch,
                   [](protocol::ItemResult& r) { r.executed = false; }))
        .expect_one("send abort t1.1/1.1 to 1");
    s.when("yes", s.reply_to(protocol::ItemOp::execute_prepare, s.key(1, 2), 1, yes));
    s.when("durable", s.decided()).expect_one("send commit t1.1/1.2 to 1");
    return s;
}

TEST(Resolve, a_replaced_attempt_that_was_committed_is_against_the_decision) {
    Script s = with_replaced_attempt();
    s.when("committed", s.reply_to(protocol::ItemOp::commit, s.key(1, 2), 1, committed));
    s.when("committed", s.reply(2, committed));
    s.when("the first was committed by hand",
           s.reply_to(protocol::ItemOp::abort, s.key(1), 1, heuristic_commit))
        .expect({"alarm heuristic at 1", "force outcome t1.1/1.1 heuristic-commit"});
    s.when("durable", s.durable())
        .expect({"append end t1.1 heuristic-mixed",
                 "finished t1.1 heuristic-mixed",
                 "answer 1 finished heuristic-mixed"});
    TransactionReport report = s.machine.query(s.txn).report;
    ASSERT_EQ(report.branches.size(), 3U) << "a person sees which one";
    EXPECT_EQ(report.branches[2].outcome, Outcome::heuristic_commit);
}

TEST(Acknowledged, it_leaves_the_list_and_keeps_its_outcome) {
    Script s = ended_as_hazard();
    EXPECT_EQ(s.machine.list({}).size(), 1U);
    s.when("seen", acknowledge(s)).expect({"force given up 2 1.1", "force acknowledged t1.1"});
    s.when("durable", s.durable()).expect({"answer 90 done heuristic-hazard"});
    EXPECT_TRUE(s.machine.list({}).empty());
    EXPECT_EQ(s.machine.query(s.txn).report.outcome, Outcome::heuristic_hazard);
    // A state, not an outcome.
    EXPECT_EQ(s.machine.query(s.txn).report.state, "heuristic");
    Acknowledge again{Ticket(91), s.txn, 0, "once more"};
    s.when("again", again).expect({"answer 91 done heuristic-hazard"});
}

// Both are on their way to the disk when the horizon passes it; a checkpoint that repeats the
// second would be about something that it does not have.
TEST(Acknowledged, twice_while_the_horizon_passes_it_is_in_no_checkpoint) {
    Config config;
    config.outcomes_max = 16;
    Script s(2, config);
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    s.when("nobody can prove it", s.reply(2, hazard, "no_witness"));
    s.when("durable", s.durable()).expect_one("finished t1.1 heuristic-hazard");
    protocol::TxnId odd = s.txn;
    Acknowledge seen = acknowledge(s);
    s.when("seen", seen).expect_one("force acknowledged t1.1");
    Input first = s.durable();
    auto is_forced = [&s] {
        return std::ranges::any_of(s.effects, [](const Effect& effect) {
            auto* forced = std::get_if<AppendForced>(&effect);
            return forced != nullptr &&
                   std::holds_alternative<protocol::HorizonRecord>(forced->record);
        });
    };
    while (!is_forced()) {
        s.when("work comes", s.submit({1}));
        s.when("done", s.reply(1, read_only));
    }
    Input horizon = s.durable();
    s.when("seen once more", seen).expect_one("force acknowledged t1.1");
    s.when("durable", first).expect_one("answer 90 done heuristic-hazard");
    s.when("durable", horizon);
    EXPECT_GT(s.machine.horizon(), odd.position());
    EXPECT_TRUE(std::ranges::none_of(s.machine.checkpoint(), [](const protocol::Record& record) {
        return std::holds_alternative<protocol::AcknowledgedRecord>(record);
    }));
}

TEST(Acknowledged, only_what_ended_oddly) {
    Script s = parked();
    s.when("not ended", acknowledge(s)).expect({"answer 90 wrong_state committed (bad_request)"});
    Script t = committing();
    t.when("committed", t.reply(1, committed));
    t.when("committed", t.reply(2, committed));
    t.when("as decided", acknowledge(t)).expect({"answer 90 wrong_state committed (bad_request)"});
}

TEST(Retired, its_branches_become_hazards_and_it_gets_no_new_work) {
    Script s = committing();
    s.when("committed", s.reply(1, committed));
    s.when("retired", retire(s, "its disk burned"))
        .expect({"force given up 2 1.2",
                 "alarm hazard at 2",
                 "force outcome t1.1/2.1 heuristic-hazard",
                 "force participant 2 p2 retired"});
    s.when("new work meanwhile", s.submit({1, 2})).expect_one("answer 2 invalid (bad_request)");
    s.when("it is there after all", s.inquire(2, s.key(2)))
        .expect({"alarm resolved_branch_in_doubt at 2", "inquiry t1.1/2.1 expired"});
}

TEST(Retired, undecided_work_is_aborted_first) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("retired", retire(s, "its disk burned"))
        .expect_one("send abort t1.1/1.1 to 1")
        .expect_one("answer 1 finished aborted (participant_unavailable)")
        .expect_one("force outcome t1.1/2.1 heuristic-hazard")
        .expect_one("force participant 2 p2 retired");
    s.when("durable", s.durable()).expect_one("answer 90 done");
}

TEST(Retired, not_while_a_commit_decision_is_being_forced) {
    Script s;
    s.when("work comes", s.submit({1, 2}));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes)).expect_one("propose commit t1.1 1.1 2.1");
    s.when("retired", retire(s, "its disk burned"))
        .expect({"answer 90 wrong_state (participant_unavailable)"});
}

TEST(Rebound, the_other_database_is_accepted_when_nothing_is_open) {
    Script s;
    s.when("nothing to accept", rebind(s)).expect({"answer 90 wrong_state (bad_request)"});
    s.infos[2].identity.fields[0] += "9";
    s.when("another database answers", s.seen(2)).expect({"alarm identity_mismatch at 2"});
    s.when("accepted", rebind(s))
        .expect({"force given up 2 1.1", "append position 2 none", "force participant 2 p2"});
    s.when("durable", s.durable()).expect({"registered 2", "answer 90 done"});
    s.when("seen again", s.seen(2)).quiet();
    s.when("work", s.submit({1, 2})).expect_one("send execute_prepare t1.1/2.1 to 2");
}

// One mechanism for everything that a person decides about a participant.
TEST(Participants, nothing_is_decided_for_a_version_that_has_changed) {
    Script s;
    RetireParticipant old = retire(s, "idle as far as I can see");
    EXPECT_EQ(s.machine.look_at(ParticipantNumber(2))->unfinished, 0U);
    s.when("work comes meanwhile", s.submit({1, 2}));
    EXPECT_EQ(s.machine.look_at(ParticipantNumber(2))->unfinished, 1U);
    s.when("retired", old).expect({"answer 90 changed (bad_request)"});
    old.dry_run = true;
    s.when("to see", old).expect({"answer 90 changed (bad_request)"});
    s.when("refused", s.reply(2, no));
    s.when("aborted", s.reply(1, aborted));
    s.when("nothing is left of it", old).expect({"answer 90 done"});

    s.infos[2].identity.fields[0] += "9";
    s.when("another database answers", s.seen(2));
    RebindParticipant seen = rebind(s);
    s.infos[2].identity.fields[0] += "9";
    s.when("and a third one", s.seen(2));
    s.when("the second was meant", seen).expect({"answer 90 changed (bad_request)"});
    s.when("the third, then", rebind(s)).expect_one("force participant 2 p2");
}

// Kept for those who ask later: whichever decision comes next, and in checkpoints.
TEST(Participants, what_persons_decided_stays_in_the_log) {
    Script s;
    s.infos[2].identity.fields[0] += "9";
    s.when("another database answers", s.seen(2));
    s.when("accepted", rebind(s));
    s.when("retired, too", retire(s, "sold"));
    protocol::ParticipantRecord newest;  // both are on their way to the disk
    for (const protocol::Record& record : s.machine.checkpoint()) {
        auto* participant = std::get_if<protocol::ParticipantRecord>(&record);
        if (participant != nullptr && participant->number.value == 2) newest = *participant;
    }
    EXPECT_TRUE(newest.retired);
    EXPECT_EQ(newest.identity, s.infos[2].identity);
    EXPECT_EQ(newest.decisions,
              (std::vector<std::string>{"rebound by an operator: pg_upgrade",
                                        "retired by an operator: sold"}));
}

TEST(Rebound, not_while_branches_of_the_former_database_are_unfinished) {
    Script s = committing();
    s.infos[2].identity.fields[0] += "9";
    s.when("another database answers", s.seen(2)).expect({"alarm identity_mismatch at 2"});
    s.when("one branch is open", rebind(s)).expect({"answer 90 wrong_state (bad_request)"});
    s.when("a person looked", resolve(s, 2, Decision::commit));
    s.when("durable", s.durable());
    s.when("now", rebind(s)).expect_one("force participant 2 p2");
}

// A checkpoint that comes while the record is being forced follows it in the log.
TEST(Rebound, a_checkpoint_does_not_bring_the_position_of_the_former_database_back) {
    Script s;
    s.infos[2].position = {1, 50};
    s.when("it is seen", s.seen(2));
    s.infos[2].identity.fields[0] += "9";
    s.when("another database answers", s.seen(2));
    s.when("accepted", rebind(s)).expect_one("append position 2 none");
    EXPECT_TRUE(std::ranges::none_of(s.machine.checkpoint(), [](const protocol::Record& record) {
        return std::holds_alternative<protocol::PositionRecord>(record);
    }));
}

TEST(Rebound, another_participant_is_not_accepted) {
    Script s;
    s.infos[2].uuid.bytes[0] ^= 1;
    s.when("another participant answers", s.seen(2)).expect({"alarm identity_mismatch at 2"});
    s.when("no", rebind(s)).expect({"answer 90 wrong_state (bad_request)"});
}

// It may have become durable; nobody who waits is left without an answer.
TEST(Operator, who_waits_is_answered_when_the_machine_stops) {
    Script s;
    s.when("a person retires one", retire(s, "sold"));
    Input durable = s.durable();
    s.when("it is seen", s.seen(1));
    s.when("another start has spoken there", s.offer_answered(1, protocol::reason::kSenderConflict))
        .expect_one("answer " + std::to_string(kTicket) + " cannot_tell (log_went_back)");
    s.when("it becomes durable", durable).quiet();
}

}  // namespace
}  // namespace twofold::coordinator
