// A participant answers under an idempotency key with the id that committed before: what the log
// and the memory say of that id already, and of ids that cannot be the one.
#include "coordinator/core/replay_script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::CallOutcome;
using protocol::ItemResult;
namespace reason = protocol::reason;

// What the start after the next finds: t1.1 had ended on a person's word, or as a hazard.
RecoveredState third_start(protocol::Outcome outcome, bool by_operator) {
    protocol::TxnId original = id_of_first_start();
    RecoveredState state = second_start();
    state.heuristic[original] = outcome;
    state.branch_outcomes[original] = {
        {{original, 1, 1}, protocol::ParticipantNumber(1), outcome, "seen", by_operator}};
    return state;
}

Script submitted_after(RecoveredState state) {
    Script s(std::move(state), {});
    s.infos[1].one_phase = true;
    s.when("one is seen", s.seen(1));
    s.when("the client repeats", s.submit({1}, keyed())).expect({"send one_phase t2.1/1.1 to 1"});
    return s;
}

bool has_bits(const Machine& machine) {
    return std::ranges::any_of(machine.checkpoint(), [](const protocol::Record& record) {
        return std::holds_alternative<protocol::OutcomesRecord>(record);
    });
}

TEST(Original, of_an_id_that_ended_on_a_persons_word_keeps_the_word_and_tells_that_it_was_wrong) {
    using protocol::Outcome;
    protocol::TxnId original = id_of_first_start();
    for (Outcome word : {Outcome::heuristic_abort, Outcome::heuristic_hazard}) {
        for (bool is_acknowledged : {false, true}) {
            RecoveredState state = third_start(word, true);
            if (is_acknowledged) state.acknowledged[original] = "operator: booked";
            Script s = submitted_after(std::move(state));
            std::string told(to_string(word));
            s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
                .expect(
                    {"alarm heuristic at 1", "answer 1 finished " + told, "finished t2.1 aborted"});
            EXPECT_EQ(last_answer(s).report.txn, original);
            EXPECT_FALSE(has_bits(s.machine)) << "the next start would not use the log";
            s.when("once more", s.submit({1}, keyed())).expect({"answer 2 finished " + told});
            EXPECT_EQ(last_answer(s).report.txn, original);
        }
    }
}

TEST(Original, of_an_id_whose_word_was_right_is_no_news) {
    protocol::TxnId original = id_of_first_start();
    Script s = submitted_after(third_start(protocol::Outcome::heuristic_commit, true));
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"answer 1 finished heuristic-commit", "finished t2.1 aborted"});
    EXPECT_FALSE(has_bits(s.machine));
}

// The id that a client asked for is settling, and the key's work proves how it ended.
Script settling_beside() {
    Script s = restarted();
    s.txn = id_of_first_start();
    s.when("another client asks for the first id", s.outcome())
        .expect({"send settle_one_phase t1.1/1.1 to 1"});
    s.when("no answer", s.failed(1, CallOutcome::unknown));
    s.when("the client repeats", s.submit({1}, keyed())).expect({"send one_phase t2.1/1.1 to 1"});
    return s;
}

TEST(Original, ends_the_original_that_is_being_settled) {
    protocol::TxnId original = id_of_first_start();
    Script s = settling_beside();
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"finished t1.1 committed",
                 "answer 1 finished committed",
                 "answer 2 finished committed",
                 "finished t2.1 aborted"});
}

TEST(Original, waits_for_a_persons_word_that_is_being_forced) {
    protocol::TxnId original = id_of_first_start();
    Script s = settling_beside();
    ResolveBranch word;
    word.ticket = Ticket(90);
    word.txn = original;
    word.branch = 1;
    word.version = s.machine.query(original).report.version;
    word.reason = "seen in the database";
    s.when("a person looked", word).expect_one("force outcome t1.1/1.1 heuristic-abort");
    Input forced = s.durable();
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"alarm heuristic at 1", "finished t2.1 aborted"});
    s.when("durable", forced)
        .expect({"append end t1.1 heuristic-abort",
                 "finished t1.1 heuristic-abort",
                 "answer 1 finished heuristic-abort (coordinator_restart)",
                 "answer 2 finished heuristic-abort (coordinator_restart)",
                 "answer 90 done heuristic-abort (coordinator_restart)"});
    EXPECT_FALSE(has_bits(s.machine));
}

TEST(Original, ends_the_original_that_was_parked) {
    protocol::TxnId original = id_of_first_start();
    Script s = restarted();
    s.txn = original;
    s.when("another client asks for the first id", s.outcome());
    s.when("nonsense", s.reply(1, refused, reason::kNotPrepared))
        .expect({"alarm protocol_violation at 1"});
    s.when("the client repeats", s.submit({1}, keyed()));
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect_one("finished t1.1 committed");
}

// Only its own one-phase ids can have committed under a key there.
TEST(Original, of_an_id_that_cannot_be_the_original_is_a_violation) {
    protocol::EpochRecord first = epoch_record(1);
    protocol::EpochRecord second = epoch_record(2);
    auto make = [](const protocol::EpochRecord& epoch, protocol::Sequence n, std::uint16_t at) {
        return make_txn_id(epoch.incarnation,
                           epoch.epoch,
                           n,
                           protocol::ParticipantNumber(at),
                           base::KeyedHash(epoch.key));
    };
    for (const protocol::TxnId& wrong :
         {make(first, 1, 0), make(first, 1, 2), make(second, 9, 1)}) {
        Script s = submitted();
        s.when("it names that", s.reply(1, committed, reason::kKeyReplayed, by(wrong)))
            .expect({"alarm protocol_violation at 1", "send settle_one_phase t2.1/1.1 to 1"});
        s.when("and again", s.reply(1, committed, reason::kKeyReplayed, by(wrong)))
            .expect({"alarm protocol_violation at 1"});
        EXPECT_FALSE(has_bits(s.machine));
        Script t = restarted();
        t.infos[1].one_phase = false;
        t.when("it does one-phase no more", t.seen(1));
        t.when("the client repeats", t.submit({1}, keyed()));
        t.when("it names that", t.reply(1, committed, reason::kKeyReplayed, by(wrong)))
            .expect_one("alarm protocol_violation at 1");
        EXPECT_FALSE(has_bits(t.machine));
    }
}

// Numbers of a lost log are given again: whom this log would ask about the id cannot tell.
TEST(Original, of_a_lost_log_is_the_answer_whoever_has_its_number_now) {
    protocol::EpochRecord first = epoch_record(1);
    protocol::TxnId original = make_txn_id(
        first.incarnation, 1, 1, protocol::ParticipantNumber(2), base::KeyedHash(first.key));
    RecoveredState state = second_start();
    state.accepted = protocol::RestoreRecord{
        true, protocol::ParticipantNumber(1), 1, 10, "log_went_back", "why"};
    Script s(state, {});
    s.infos[1].one_phase = true;
    s.when("it is seen", s.seen(1));
    s.txn = original;
    s.when("a client asks", s.outcome()).expect({"send settle_one_phase t1.1/1.1 to 2"});
    s.when("the client repeats", s.submit({1}, keyed())).expect({"send one_phase t2.1/1.1 to 1"});
    s.when("it was done before", s.reply(1, committed, reason::kKeyReplayed, by(original)))
        .expect({"answer 2 finished committed", "finished t2.1 aborted"});
    EXPECT_FALSE(has_bits(s.machine));
}

// Its abort was told under another key: with a bit the log would contradict itself.
TEST(Original, of_an_id_that_was_told_as_aborted_is_a_violation) {
    Script s = submitted();
    s.when("it fails",
           s.reply(1, aborted, reason::kConstraint, [](ItemResult& r) { r.key_free = true; }));
    s.when("durable", s.durable()).expect({"answer 1 finished aborted (constraint_violation)"});
    protocol::TxnId told = s.txn;
    BeginOptions other = keyed();
    other.idempotency->key_hash.fill(8);
    s.when("another request", s.submit({1}, other)).expect({"send one_phase t2.2/1.1 to 1"});
    s.when("it names that", s.reply(1, committed, reason::kKeyReplayed, by(told)))
        .expect_one("alarm protocol_violation at 1");
    EXPECT_FALSE(has_bits(s.machine));
    EXPECT_EQ(s.machine.query(told).report.outcome, protocol::Outcome::aborted);
}

}  // namespace
}  // namespace twofold::coordinator
