// A log that participants refuse stays refused until a person accepts it; after that what it cannot
// know is shown, and never presumed.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::coordinator {
namespace {

using protocol::Outcome;
using protocol::ParticipantNumber;
using protocol::RestoreRecord;
namespace reason = protocol::reason;

Config named_start() {
    Config config;
    config.start_nonce = 77;
    config.start_position = 500;
    return config;
}

RecoveredState second_start() {
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    return state;
}

AcceptRestore accept(const Script& s,
                     std::uint16_t participant,
                     std::string why = "the disk was lost") {
    ParticipantNumber number(participant);
    auto view = s.machine.look_at(number);
    return {Ticket(70), number, std::move(why), false, view ? view->version : 0};
}

Input refusal(const Script& s, std::uint16_t participant, protocol::SenderStamp known) {
    Input answer = s.offer_answered(participant, reason::kSenderConflict);
    known.incarnation = s.machine.incarnation();
    std::get<OfferAnswered>(answer).reply->known = known;
    return answer;
}

// Stopped by participant 1, which has heard of epoch 6 and position 900.
Script stopped() {
    Script s(second_start(), named_start(), false);
    s.when("north is seen", s.seen(1));
    s.when("it has heard much more", refusal(s, 1, {{}, 6, 5, 900}))
        .expect({"alarm log_went_back at 1", "force restore refused above epoch 6"});
    return s;
}

// What the start after an acceptance finds: ids up to epoch 6 may be lost.
RecoveredState accepted_start() {
    RecoveredState state = second_start();
    state.epochs[7] = epoch_record(7);
    state.epoch = 7;
    state.accepted = RestoreRecord{true, ParticipantNumber(1), 6, 10'000, "log_went_back", "why"};
    return state;
}

protocol::TxnId id_of(protocol::Epoch epoch, protocol::Sequence sequence) {
    protocol::EpochRecord record = epoch_record(epoch);
    return make_txn_id(
        record.incarnation, epoch, sequence, ParticipantNumber{}, base::KeyedHash(record.key));
}

// Of a lost start that took the same epoch as one of the log: another key made its tag.
protocol::TxnId namesake_of(const protocol::TxnId& id) {
    return make_txn_id(id.incarnation(),
                       id.epoch(),
                       id.sequence(),
                       id.participant(),
                       base::KeyedHash(epoch_record(99).key));
}

TEST(Restored, a_refusal_outlives_a_restart) {
    Script s = stopped();
    RecoveredState state = second_start();
    state.epochs[3] = epoch_record(3);
    state.epoch = 3;
    state.refused = std::get<RestoreRecord>(s.machine.checkpoint().back());
    EXPECT_EQ(state.refused->epoch, 6U);
    EXPECT_EQ(state.refused->position, 900U);
    Script next(state, named_start(), false);
    next.expect({"alarm log_went_back at 1"});
    EXPECT_TRUE(next.machine.stopped());
    EXPECT_EQ(next.machine.not_ready().code, reason::kLogWentBack);
    EXPECT_NE(next.machine.not_ready().message.find("restored from a copy"), std::string::npos);
    next.when("north is seen", next.seen(1)).quiet();
    next.when("work comes", next.submit({1, 2})).expect({"answer 1 cannot_tell (log_went_back)"});
}

// The right log, put back, is at an older start than the copies that came meanwhile.
TEST(Restored, a_stopped_start_does_not_raise_itself_by_its_answers) {
    Script s = stopped();
    s.when("south asks", s.inquire(2, {id_of(1, 1), 2, 1}))
        .expect({"inquiry t1.1/2.1 cannot_tell"});
    const auto& sender = std::get<AnswerInquiry>(s.effects.back()).reply.sender;
    EXPECT_EQ(sender.epoch, 1U);
    EXPECT_EQ(sender.start_nonce, 0U);
    EXPECT_EQ(sender.position, 0U);
    EXPECT_EQ(sender.start_position, 0U);
}

TEST(Restored, what_others_have_heard_is_noted_too) {
    Script s = stopped();
    s.when("south knows less", refusal(s, 2, {{}, 5, 5, 800})).quiet();
    s.when("south knows more", refusal(s, 2, {{}, 8, 5, 700}))
        .expect({"force restore refused above epoch 8"});
}

// Forced, it would leave no epoch for any later start of this log.
TEST(Restored, nonsense_is_not_noted) {
    const std::vector<protocol::SenderStamp> claims{{{}, 0xffffffff, 5, 0},
                                                    {{}, 6, 5, ~std::uint64_t{0}},
                                                    {{}, 1'000'003, 5, 0},
                                                    {{{1, 2, 3}}, 6, 5, 900}};
    for (const protocol::SenderStamp& claim : claims) {
        Script s(second_start(), named_start(), false);
        s.when("north is seen", s.seen(1));
        Input says = refusal(s, 1, claim);
        if (claim.incarnation != protocol::Incarnation{}) {
            std::get<OfferAnswered>(says).reply->known.incarnation = claim.incarnation;
        }
        s.when("it refuses", says)
            .expect({"alarm log_went_back at 1", "force restore refused above epoch 0"});
        s.when("once more", says).quiet();
        s.when("accepted", accept(s, 1)).expect({"force restore accepted above epoch 1002"});
    }
    Script s(second_start(), named_start(), false);
    s.when("north is seen", s.seen(1));
    s.when("it is far ahead", refusal(s, 1, {{}, 1'000'002, 5, 0}))
        .expect_one("force restore refused above epoch 1000002");
}

TEST(Restored, a_log_without_epochs_left_is_not_accepted) {
    RecoveredState state = second_start();
    RestoreRecord refused{false, ParticipantNumber(1), 0xffffffff, 5, "log_went_back", "why"};
    for (bool is_epoch : {true, false}) {
        if (!is_epoch) refused.position = std::uint64_t{1} << 63U;
        if (!is_epoch) refused.epoch = 6;
        state.refused = refused;
        Script s(state, named_start(), false);
        s.when("accepted", accept(s, 1)).expect({"answer 70 wrong_state (bad_request)"});
    }
}

TEST(Restored, a_person_accepts_the_log) {
    Script s = stopped();
    s.when("without a reason", accept(s, 1, "")).expect({"answer 70 invalid (bad_request)"});
    s.when("the wrong one", accept(s, 2)).expect({"answer 70 wrong_state (bad_request)"});
    AcceptRestore dry = accept(s, 1);
    dry.version ^= 1;
    s.when("it was looked at before south told more", dry)
        .expect({"answer 70 changed (bad_request)"});
    dry = accept(s, 1);
    dry.dry_run = true;
    s.when("it would do", dry).expect({"answer 70 done"});
    s.when("accepted", accept(s, 1)).expect({"force restore accepted above epoch 6"});
    auto records = s.machine.checkpoint();
    const auto& record = std::get<RestoreRecord>(records.back());
    EXPECT_TRUE(record.accepted);
    EXPECT_GT(record.position, 900U);
    EXPECT_EQ(record.reason, "operator: the disk was lost");
    s.when("it is durable", s.durable()).expect({"answer 70 done"});
    EXPECT_TRUE(s.machine.stopped()) << "only the next start goes on";
    EXPECT_NE(s.machine.not_ready().message.find("start this coordinator again"),
              std::string::npos);
    s.when("once more", accept(s, 1)).expect({"answer 70 done"});
}

TEST(Restored, who_does_not_say_what_it_has_heard_is_left_far_behind) {
    Script s(second_start(), named_start(), false);
    s.when("north is seen", s.seen(1));
    s.when("it refuses", s.offer_answered(1, reason::kStaleSender));
    s.when("accepted", accept(s, 1)).expect({"force restore accepted above epoch 1002"});
}

TEST(Restored, there_is_nothing_to_accept) {
    Script s;
    s.when("accepted", accept(s, 1)).expect({"answer 70 wrong_state (bad_request)"});
    s.when("accepted", accept(s, 9)).expect({"answer 70 not_found (bad_request)"});
}

TEST(Restored, the_start_after_it_is_above_everything_that_was_heard) {
    Script s(accepted_start(), named_start());
    EXPECT_EQ(s.machine.stamp(600).position, 10'600U);
    EXPECT_EQ(s.machine.stamp(600).start_position, 10'500U);
    EXPECT_EQ(s.machine.stamp(0).position, 0U);
    EXPECT_TRUE(s.machine.not_ready().empty());
}

TEST(Restored, what_may_be_lost_is_listed_and_never_presumed) {
    Script s(accepted_start(), named_start());
    protocol::TxnId known = id_of(1, 4);  // of an epoch of the log
    protocol::TxnId lost = id_of(5, 1);   // of one that the log knows nothing of
    for (const protocol::TxnId& id : {known, lost}) {
        Answer told = s.machine.query(id);
        EXPECT_EQ(told.kind, AnswerKind::expired);
        EXPECT_EQ(told.reason.code, reason::kLogWentBack);
    }
    s.when("north asks", s.inquire(1, {lost, 1, 1}))
        .expect({"alarm expired_branch_in_doubt at 1",
                 "append outcome t5.1/1.1 heuristic-hazard",
                 "append end t5.1 heuristic-hazard",
                 "inquiry t5.1/1.1 expired"});
    s.when("south asks", s.inquire(2, {lost, 2, 1}))
        .expect({"alarm expired_branch_in_doubt at 2",
                 "append outcome t5.1/1.1 heuristic-hazard",
                 "append outcome t5.1/2.1 heuristic-hazard",
                 "append end t5.1 heuristic-hazard",
                 "inquiry t5.1/2.1 expired"});
    Machine::ListFilter all;
    auto listed = s.machine.list(all);
    ASSERT_EQ(listed.size(), 1U);
    EXPECT_EQ(listed[0].txn, lost);
    EXPECT_EQ(listed[0].outcome, Outcome::heuristic_hazard);
    EXPECT_EQ(listed[0].branches.size(), 2U);
    EXPECT_EQ(listed[0].branches[0].evidence, kLostWithTheLog);
    s.when("a person has seen it", Acknowledge{Ticket(71), lost, listed[0].version, "booked"});
    s.when("durable", s.durable()).expect_one("answer 71 done heuristic-hazard");
    s.when("north asks again", s.inquire(1, {lost, 1, 1}))
        .expect({"alarm expired_branch_in_doubt at 1", "inquiry t5.1/1.1 expired"});
    EXPECT_TRUE(s.machine.list(all).empty());
}

// What the log knows of its own ids says nothing of lost ones with the same position.
TEST(Restored, a_lost_id_is_not_told_the_outcome_of_its_namesake) {
    protocol::TxnId committed = id_of(2, 4);
    protocol::TxnId aborted = id_of(2, 5);
    RecoveredState state = accepted_start();
    state.outcomes.set_committed({2, 4});
    protocol::SettledKey key;
    key.position = aborted.position();
    key.reason = reason::kClientAbort;
    state.keys.settle(key, true);
    Script s(state, named_start());
    EXPECT_EQ(s.machine.query(committed).report.outcome, Outcome::committed);
    EXPECT_EQ(s.machine.query(aborted).report.outcome, Outcome::aborted);
    for (const protocol::TxnId& id : {committed, aborted}) {
        EXPECT_EQ(s.machine.query(namesake_of(id)).kind, AnswerKind::expired);
    }
    s.when("north asks", s.inquire(1, {namesake_of(committed), 1, 1}))
        .expect({"alarm expired_branch_in_doubt at 1",
                 "append outcome t2.4/1.1 heuristic-hazard",
                 "append end t2.4 heuristic-hazard",
                 "inquiry t2.4/1.1 expired"});
    s.when("and about the other", s.inquire(1, {committed, 1, 1}))
        .expect({"alarm finished_branch_in_doubt at 1", "inquiry t2.4/1.1 expired"});
}

// A number that the lost part of the log had given may be another participant's now: that one has
// no witness, and would forbid the id.
TEST(Restored, who_was_added_later_is_not_asked_about_a_lost_id) {
    RecoveredState state = accepted_start();
    state.epochs[7].last_participant = ParticipantNumber(1);
    auto id_at = [](std::uint16_t participant) {
        protocol::EpochRecord record = epoch_record(2);
        return make_txn_id(
            record.incarnation, 2, 4, ParticipantNumber(participant), base::KeyedHash(record.key));
    };
    Script s(state, named_start());
    s.when("a client asks", OutcomeRequest{Ticket(1), id_at(2), {}})
        .expect({"answer 1 expired (log_went_back)"});
    s.when("and nobody", OutcomeRequest{Ticket(2), id_at(9), {}})
        .expect({"answer 2 expired (log_went_back)"});
    s.when("of the other", OutcomeRequest{Ticket(3), id_at(1), {}})
        .expect({"send settle_one_phase t2.4/1.1 to 1"});
}

// Some of it ended otherwise in the log, and that is not the whole of it.
TEST(Restored, what_is_listed_beside_an_odd_end_is_a_hazard_in_memory_too) {
    protocol::TxnId id = id_of(2, 4);
    RecoveredState state = accepted_start();
    state.heuristic[id] = Outcome::heuristic_commit;
    state.branch_outcomes[id] = {
        {{id, 1, 1}, ParticipantNumber(1), Outcome::heuristic_commit, "seen", true}};
    Script s(state, named_start());
    s.when("south asks", s.inquire(2, {id, 2, 1}))
        .expect_one("append end t2.4 heuristic-hazard")
        .expect_one("inquiry t2.4/2.1 expired");
    EXPECT_EQ(s.machine.query(id).report.outcome, Outcome::heuristic_hazard);
}

// Its mark may be that of a start which knew nothing of this commit.
TEST(Restored, finished_earlier_proves_no_commit) {
    protocol::TxnId id = id_of(2, 4);
    RecoveredState state = accepted_start();
    protocol::DecisionRecord& decision = state.unfinished_commits[id].decision;
    decision.group = id;
    for (std::uint16_t i = 1; i <= 2; ++i) {
        protocol::BranchRecord branch;
        branch.branch = i;
        branch.attempt = 1;
        branch.participant = ParticipantNumber(i);
        branch.uuid = participant_info(i).uuid;
        branch.identity = participant_info(i).identity;
        decision.branches.push_back(branch);
    }
    Script s(state, named_start());
    s.expect({"send commit t2.4/1.1 to 1", "send commit t2.4/2.1 to 2"});
    s.when("north did it", s.reply(1, protocol::ItemStatus::committed));
    s.when("south had finished it", s.reply(2, protocol::ItemStatus::finished_earlier))
        .expect_one("alarm hazard at 2");
    s.when("durable", s.durable()).expect_one("append end t2.4 heuristic-hazard");
    EXPECT_EQ(s.machine.query(id).report.branches[1].evidence, kFinishedElsewhere);
}

// What its own start had decided to abort nobody can have committed.
TEST(Restored, an_abort_of_the_log_is_driven) {
    protocol::TxnId id = id_of(2, 4);
    RecoveredState state = accepted_start();
    protocol::PreparingRecord& record = state.undecided[id];
    record.group = id;
    protocol::BranchRecord branch;
    branch.branch = 1;
    branch.attempt = 1;
    branch.participant = ParticipantNumber(1);
    branch.uuid = participant_info(1).uuid;
    branch.identity = participant_info(1).identity;
    record.branches.push_back(branch);
    state.aborted.insert(id);
    Script s(state, named_start());
    s.expect({"send abort t2.4/1.1 to 1"});
    std::size_t aborts = 0;
    for (const protocol::Record& kept : s.machine.checkpoint()) {
        const auto* decision = std::get_if<protocol::DecisionRecord>(&kept);
        if (decision == nullptr) continue;
        EXPECT_EQ(decision->decision, protocol::Decision::abort);
        EXPECT_EQ(decision->branches.size(), 1U);
        ++aborts;
    }
    EXPECT_EQ(aborts, 1U) << "the next start knows it, too";
    s.when("north asks", s.inquire(1, {id, 1, 1})).expect({"inquiry t2.4/1.1 abort"});
}

TEST(Restored, an_abort_that_a_client_heard_under_its_key_is_told_to_participants) {
    protocol::TxnId id = id_of(2, 4);
    RecoveredState state = accepted_start();
    protocol::SettledKey key;
    key.position = id.position();
    key.reason = reason::kClientAbort;
    state.keys.settle(key, true);
    Script s(state, named_start());
    s.when("north asks", s.inquire(1, {id, 1, 1})).expect({"inquiry t2.4/1.1 abort"});
    EXPECT_EQ(s.machine.query(id).report.outcome, Outcome::aborted);
}

// While a lost id is listed, nothing else of its position comes into memory.
TEST(Restored, a_listed_id_keeps_its_place) {
    protocol::TxnId one_phase = make_txn_id(epoch_record(2).incarnation,
                                            2,
                                            4,
                                            ParticipantNumber(1),
                                            base::KeyedHash(epoch_record(2).key));
    Script s(accepted_start(), named_start());
    s.when("north asks", s.inquire(1, {namesake_of(id_of(2, 4)), 1, 1}))
        .expect_one("inquiry t2.4/1.1 expired");
    s.when("a client asks", OutcomeRequest{Ticket(1), one_phase, {}})
        .expect({"answer 1 cannot_tell (participant_unavailable)"});
    s.when("another asks", CommitRequest{Ticket(2), one_phase, WaitFor::applied, {}, {}})
        .expect({"answer 2 cannot_tell (participant_unavailable)"});
    auto listed = s.machine.list({});
    ASSERT_EQ(listed.size(), 1U);
    s.when("a person has seen it", Acknowledge{Ticket(71), listed[0].txn, listed[0].version, "ok"});
    s.when("durable", s.durable());
    s.when("the client asks", OutcomeRequest{Ticket(3), one_phase, {}})
        .expect({"send settle_one_phase t2.4/1.1 to 1"});
}

TEST(Restored, two_ended_ids_of_one_position_do_not_stop_the_start) {
    RecoveredState state = accepted_start();
    for (const protocol::TxnId& id : {id_of(2, 4), namesake_of(id_of(2, 4))}) {
        state.heuristic[id] = Outcome::heuristic_hazard;
        protocol::BranchOutcomeRecord odd;
        odd.key = {id, 1, 1};
        odd.participant = ParticipantNumber(1);
        odd.outcome = Outcome::heuristic_hazard;
        state.branch_outcomes[id].push_back(odd);
    }
    Script s(state, named_start());
    EXPECT_EQ(s.machine.list({}).size(), 1U);
    for (const auto& [id, outcome] : state.heuristic) {
        EXPECT_EQ(s.machine.query(id).report.outcome, Outcome::heuristic_hazard);
    }
}

// ---- a participant whose database was restored ------------------------------------------------

// Its position and its epoch have gone back with it.
Script restored_database() {
    Script s;
    s.infos[1].epoch = 8;
    s.infos[1].position = {1, 50};
    s.when("it is seen", s.seen(1));
    s.when("work comes", s.submit({1, 2}));
    s.infos[1].epoch = 3;
    s.when("it was restored", s.reply(1, protocol::ItemStatus::no, {}, [](protocol::ItemResult& r) {
         r.position = {1, 40};
     })).expect_one("alarm participant_went_back at 1");
    return s;
}

TEST(RestoredDatabase, works_again_in_its_lower_epoch) {
    Script s = restored_database();
    s.when("accepted", accept(s, 1)).expect_one("force given up 1 1.2");
    s.when("durable", s.durable()).expect_one("answer 70 done");
    s.when("it is not known yet in which epoch it is", s.submit({1}))
        .expect_one("answer 2 finished aborted (participant_unavailable)");
    s.when("it is seen", s.seen(1)).quiet();
    s.when("work comes", s.submit({1})).expect_one("send execute_prepare t1.3/1.1 to 1");
    EXPECT_EQ(s.all_sent.back().item.participant_epoch, 3U);
}

TEST(RestoredDatabase, what_was_found_outlives_a_restart) {
    Script s = restored_database();
    EXPECT_EQ(std::ranges::count_if(s.effects,
                                    [](const Effect& effect) {
                                        auto* append = std::get_if<Append>(&effect);
                                        return append != nullptr &&
                                               std::holds_alternative<protocol::PositionRecord>(
                                                   append->record);
                                    }),
              1);
}

bool has_position(const Machine& machine, std::uint16_t participant) {
    return std::ranges::any_of(machine.checkpoint(), [&](const protocol::Record& record) {
        auto* position = std::get_if<protocol::PositionRecord>(&record);
        return position != nullptr && position->participant.value == participant;
    });
}

// A checkpoint that comes while the acceptance is being forced follows it in the log.
TEST(RestoredDatabase, a_checkpoint_does_not_bring_the_old_position_back) {
    Script s = restored_database();
    EXPECT_TRUE(has_position(s.machine, 1));
    s.when("accepted", accept(s, 1)).expect_one("append position 1 none");
    EXPECT_FALSE(has_position(s.machine, 1));
}

// A point-in-time recovery begins a new timeline: only the epoch tells.
TEST(RestoredDatabase, an_epoch_that_went_back_since_it_was_asked_tells_it) {
    Script s;
    s.infos[1].epoch = 8;
    s.infos[1].position = {1, 50};
    s.when("it is seen", s.seen(1));
    s.infos[1].epoch = 3;
    s.infos[1].position = {2, 40};
    Input late = s.seen(1);
    std::get<ParticipantSeen>(late).known_epoch = 3;
    s.when("the late answer to an older look", late).quiet();
    Input seen = s.seen(1);
    std::get<ParticipantSeen>(seen).known_epoch = s.machine.participant_epoch(ParticipantNumber(1));
    s.when("it was restored", seen)
        .expect({"alarm participant_went_back at 1", "append position 1"});
    s.when("once more", seen).quiet();
    s.when("work comes", s.submit({1}))
        .expect_one("answer 1 finished aborted (participant_unavailable)");
    s.when("accepted", accept(s, 1)).expect_one("force given up 1 1.2");
    s.when("durable", s.durable()).expect_one("answer 70 done");
    std::get<ParticipantSeen>(seen).known_epoch = s.machine.participant_epoch(ParticipantNumber(1));
    s.when("it is seen", seen).quiet();
    s.when("work comes", s.submit({1})).expect_one("send execute_prepare t1.2/1.1 to 1");
}

TEST(Restored, new_work_is_as_always) {
    Script s(accepted_start(), named_start());
    for (std::uint16_t i = 1; i <= 2; ++i) s.when("it is seen", s.seen(i));
    s.when("work comes", s.submit({1, 2}))
        .expect({"append preparing t7.1",
                 "send execute_prepare t7.1/1.1 to 1",
                 "send execute_prepare t7.1/2.1 to 2"});
    s.when("an abort is asked for", s.inquire(1, {id_of(7, 9), 1, 1}))
        .expect_one("alarm log_went_back at 1");
}

}  // namespace
}  // namespace twofold::coordinator
