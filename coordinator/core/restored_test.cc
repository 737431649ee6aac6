// A log that participants refuse stays refused until a person accepts it; after that what it cannot
// know is shown, and never presumed.
#include "coordinator/core/script.h"

#include <gtest/gtest.h>

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

TEST(Restored, what_others_have_heard_is_noted_too) {
    Script s = stopped();
    s.when("south knows less", refusal(s, 2, {{}, 5, 5, 800})).quiet();
    s.when("south knows more", refusal(s, 2, {{}, 8, 5, 700}))
        .expect({"force restore refused above epoch 8"});
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
