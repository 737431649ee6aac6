#include "base/rng.h"
#include "coordinator/core/small_world.h"
#include "recovery/core/fold_script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::recovery {
namespace {

using coordinator::epoch_record;
using coordinator::Fate;
using coordinator::SmallWorld;
using protocol::Outcome;
using protocol::ParticipantNumber;
using protocol::Record;
using protocol::TxnId;

protocol::BranchOutcomeRecord hazard_of(const TxnId& id) {
    return {{id, 1, 1}, ParticipantNumber(1), Outcome::heuristic_hazard, "gone", false};
}

// Older programs set the bit of a one-phase id that had ended on a person's word, when its
// participant proved the commit later. The record stands.
TEST(Fold, an_odd_one_phase_id_with_a_bit_stays_odd) {
    for (std::uint16_t one_phase : {std::uint16_t{1}, std::uint16_t{0}}) {
        TxnId id = make_id(1, 1, one_phase);
        coordinator::OutcomeMemory outcomes;
        outcomes.set_committed(id.position());
        auto log = base_log();
        for (auto& bits : outcomes.loose_records({}, outcomes.loose())) log.emplace_back(bits);
        log.emplace_back(hazard_of(id));
        log.emplace_back(protocol::EndRecord{id, Outcome::heuristic_hazard});
        auto state = fold_all(log, 2);
        EXPECT_EQ(state.has_value(), one_phase != 0);
        if (!state.has_value()) continue;
        EXPECT_EQ(state.value().heuristic.at(id), Outcome::heuristic_hazard);
        EXPECT_TRUE(fold_all(checkpoint_records(state.value()), 3).has_value());
    }
}

TEST(Fold, a_commit_without_end_is_driven_again) {
    auto log = base_log();
    log.emplace_back(preparing_of(make_id(1, 1)));
    log.emplace_back(commit_of(make_id(1, 1)));
    auto state = fold_all(log, 2);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    ASSERT_EQ(state.value().unfinished_commits.size(), 1U);
    EXPECT_EQ(state.value().unfinished_commits.begin()->second.decision, commit_of(make_id(1, 1)));
    EXPECT_TRUE(state.value().undecided.empty());
    EXPECT_EQ(state.value().epoch, 2U);
}

TEST(Fold, an_end_leaves_a_bit) {
    auto log = base_log();
    log.emplace_back(commit_of(make_id(1, 5)));
    log.emplace_back(protocol::EndRecord{make_id(1, 5), Outcome::committed});
    auto state = fold_all(log, 2);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    EXPECT_TRUE(state.value().unfinished_commits.empty());
    coordinator::OutcomeMemory expected;
    expected.set_committed({1, 5});
    EXPECT_EQ(state.value().outcomes, expected);
    EXPECT_EQ(state.value().outcomes.loose(), 1U);
}

TEST(Fold, without_a_decision_it_is_aborted) {
    auto log = base_log();
    log.emplace_back(preparing_of(make_id(1, 1)));
    auto state = fold_all(log, 2);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state.value().undecided.at(make_id(1, 1)), preparing_of(make_id(1, 1)));
}

TEST(Fold, logs_that_no_run_writes_are_refused) {
    auto refused = [](std::vector<Record> more, std::string_view label) {
        auto log = base_log();
        for (Record& record : more) log.push_back(std::move(record));
        auto state = fold_all(log, 2);
        ASSERT_FALSE(state.has_value()) << label;
        EXPECT_EQ(state.error().code, base::Errc::corrupt);
        EXPECT_NE(state.error().context.find(label), std::string::npos) << state.error().context;
    };
    TxnId id = make_id(1, 1);
    protocol::DecisionRecord abort = commit_of(id);
    abort.decision = protocol::Decision::abort;
    refused({commit_of(id), abort}, "decided twice");
    refused({commit_of(id), preparing_of(id)}, "prepared after its decision");
    refused({commit_of(make_id(1, 1, 1))}, "one_phase_committed");
    refused({protocol::EndRecord{id, Outcome::committed}}, "end_of_nothing");
    refused({commit_of(id), protocol::EndRecord{id, Outcome::committed}, commit_of(id)},
            "commit_after_its_end");
    refused({commit_of(make_id(7, 1))}, "unknown epoch");
    refused({protocol::IdempotentAbortRecord{make_id(7, 1), {}, "x"}}, "unknown epoch");
    refused({protocol::KeysRecord{0, {{{}, {7, 1}, {}, true, ""}}}}, "unknown epoch");
    refused({protocol::KeysRecord{1, {}}}, "has not begun");
    refused({protocol::KeyTurnRecord{3}, protocol::KeyTurnRecord{2}}, "go back");
    refused({protocol::SealedRecord{9, 0, 1}, protocol::SealedRecord{9, 0, 1}}, "named twice");
    refused({protocol::SealedRecord{9, 0, 1}, protocol::SealedOutcomesRecord{9, {1, 1}, 1}},
            "named twice");
    refused({protocol::SealedOutcomesRecord{9, {1, 1}, 1}}, "file 9 was not read");
    refused({protocol::OutcomesRecord{1, 5, {2}}}, "ids that there are not");
    refused({protocol::OutcomesRecord{1, ~std::uint64_t{7}, {2}}}, "ids that there are not");
    refused({protocol::OutcomeTurnRecord{2, {1, 5}}, protocol::OutcomeTurnRecord{2, {1, 5}}},
            "turns of outcomes go back");
    refused({protocol::OutcomeTurnRecord{2, {1, 5}}, protocol::OutcomeTurnRecord{3, {1, 4}}},
            "turns of outcomes go back");
    refused({protocol::OutcomesRecord{1, 0, {2}},
             protocol::KeysRecord{0, {{{}, {1, 1}, {}, false, "x"}}}},
            "its bit says committed");
    refused({protocol::HorizonRecord{{1, 9}}, protocol::HorizonRecord{{1, 8}}}, "goes back");
    refused({protocol::IdempotentAbortRecord{id, {}, "x"}, epoch_record(2)}, "not the highest");
    TxnId foreign = id;
    foreign.bytes[5] = 'x';  // of its incarnation
    refused({hazard_of(foreign)}, "of another log");
    TxnId twin = id;
    twin.bytes.back() ^= 1U;  // of its tag
    refused({commit_of(id), hazard_of(twin)}, "has its place");
    refused({preparing_of(id), commit_of(twin)}, "has its place");
    auto stranger = epoch_record(1);
    stranger.incarnation.bytes[0] = 'x';
    refused({stranger}, "another log");
    auto other_key = epoch_record(1);
    other_key.key[5] = 1;
    refused({other_key}, "two keys");
    protocol::ParticipantRecord reused{ParticipantNumber(1), {}, "x", {"small", {"9"}}, false};
    refused({reused}, "used again");
}

TEST(Fold, what_a_person_has_seen_goes_when_the_horizon_passes_it) {
    TxnId id = make_id(1, 3, 0);
    std::vector<Record> records{epoch_record(1), hazard_of(id)};
    records.emplace_back(protocol::EndRecord{id, Outcome::heuristic_hazard});
    records.emplace_back(protocol::AcknowledgedRecord{id, "seen"});
    auto kept = fold_all(records, 2);
    ASSERT_TRUE(kept.has_value()) << kept.error().text();
    EXPECT_EQ(kept.value().heuristic.count(id), 1U);
    EXPECT_EQ(kept.value().acknowledged.at(id), "seen");
    records.emplace_back(protocol::HorizonRecord{{1, 4}});
    auto gone = fold_all(records, 2);
    ASSERT_TRUE(gone.has_value()) << gone.error().text();
    EXPECT_TRUE(gone.value().heuristic.empty());
    EXPECT_TRUE(gone.value().acknowledged.empty());
}

// ---- a log that was restored from a copy ------------------------------------------------

protocol::RestoreRecord restore(bool accepted, protocol::Epoch epoch, std::uint64_t position) {
    return {accepted, ParticipantNumber(1), epoch, position, "log_went_back", "why"};
}

TEST(Fold, an_acceptance_covers_the_refusals_before_it) {
    auto log = base_log();
    log.emplace_back(restore(false, 6, 900));
    log.emplace_back(restore(false, 4, 950));
    auto refused = fold_all(log, 2);
    ASSERT_TRUE(refused.has_value()) << refused.error().text();
    ASSERT_TRUE(refused.value().refused.has_value());
    EXPECT_EQ(refused.value().refused->epoch, 6U);
    EXPECT_EQ(refused.value().refused->position, 950U);
    log.emplace_back(restore(true, 6, 5'000));
    auto accepted = fold_all(log, 7);
    ASSERT_TRUE(accepted.has_value()) << accepted.error().text();
    EXPECT_FALSE(accepted.value().refused.has_value());
    EXPECT_EQ(accepted.value().accepted, restore(true, 6, 5'000));
    log.emplace_back(restore(false, 9, 1));
    auto again = fold_all(log, 8);
    ASSERT_TRUE(again.has_value()) << again.error().text();
    EXPECT_TRUE(again.value().refused.has_value());
    auto folded = fold_all(checkpoint_records(again.value()), 9);
    ASSERT_TRUE(folded.has_value()) << folded.error().text();
    EXPECT_EQ(folded.value().refused, again.value().refused);
    EXPECT_EQ(folded.value().accepted, again.value().accepted);
}

// The numbers that were given before a start are known afterwards, through checkpoints too.
TEST(Fold, an_epoch_notes_the_newest_participant_before_it) {
    auto log = base_log();
    auto second = fold_all(log, 2);
    ASSERT_TRUE(second.has_value()) << second.error().text();
    EXPECT_EQ(second.value().epochs.at(2).last_participant, ParticipantNumber(2));
    log = checkpoint_records(second.value());
    auto added = std::get<protocol::ParticipantRecord>(*std::ranges::find_if(log, [](auto& record) {
        return std::holds_alternative<protocol::ParticipantRecord>(record);
    }));
    added.number = ParticipantNumber(3);
    log.emplace_back(added);
    auto third = fold_all(log, 3);
    ASSERT_TRUE(third.has_value()) << third.error().text();
    EXPECT_EQ(third.value().epochs.at(2).last_participant, ParticipantNumber(2));
    EXPECT_EQ(third.value().epochs.at(3).last_participant, ParticipantNumber(3));
}

// It may have been committed after the copy was made.
TEST(Fold, what_an_accepted_log_does_not_call_committed_is_a_hazard) {
    TxnId id = make_id(1, 1);
    auto log = base_log();
    log.emplace_back(preparing_of(id));
    log.emplace_back(restore(true, 6, 5'000));
    log.emplace_back(epoch_record(7));
    log.emplace_back(preparing_of(make_id(7, 1)));
    auto state = fold_all(log, 8);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    EXPECT_EQ(state.value().heuristic.at(id), Outcome::heuristic_hazard);
    ASSERT_EQ(state.value().branch_outcomes.at(id).size(), 2U);
    EXPECT_EQ(state.value().branch_outcomes.at(id)[1].evidence, coordinator::kLostWithTheLog);
    EXPECT_EQ(state.value().undecided.size(), 1U) << "of after the acceptance";
    auto folded = fold_all(checkpoint_records(state.value()), 9);
    ASSERT_TRUE(folded.has_value()) << folded.error().text();
    EXPECT_EQ(folded.value().heuristic, state.value().heuristic);
    EXPECT_EQ(folded.value().branch_outcomes, state.value().branch_outcomes);
}

// Only its own start could have committed it, and that one has decided: whether the copy was made
// before or after, and through the checkpoint of the start that was refused.
TEST(Fold, what_an_accepted_log_calls_aborted_is_aborted) {
    TxnId decided = make_id(1, 1);
    TxnId keyed = make_id(1, 2);
    TxnId open = make_id(1, 3);
    auto log = base_log();
    for (const TxnId& id : {decided, keyed, open}) log.emplace_back(preparing_of(id));
    log.emplace_back(protocol::DecisionRecord{
        decided, protocol::Decision::abort, {{decided, std::nullopt, {}}}, two_branches(), "no"});
    log.emplace_back(protocol::IdempotentAbortRecord{keyed, {{7}, {8}}, "deadline"});
    auto refused = fold_all(log, 2);
    ASSERT_TRUE(refused.has_value()) << refused.error().text();
    EXPECT_EQ(refused.value().aborted, (std::set<TxnId>{decided}));
    for (std::vector<Record> base : {log, checkpoint_records(refused.value())}) {
        base.emplace_back(restore(true, 6, 5'000));
        auto state = fold_all(base, 7);
        ASSERT_TRUE(state.has_value()) << state.error().text();
        ASSERT_EQ(state.value().heuristic.size(), 1U);
        EXPECT_EQ(state.value().heuristic.begin()->first, open);
        EXPECT_EQ(state.value().undecided.size(), 2U);
        EXPECT_EQ(state.value().undecided.at(decided), preparing_of(decided));
        EXPECT_EQ(state.value().undecided.at(keyed), preparing_of(keyed));
        auto folded = fold_all(checkpoint_records(state.value()), 8);
        ASSERT_TRUE(folded.has_value()) << folded.error().text();
        EXPECT_EQ(folded.value().undecided, state.value().undecided);
        EXPECT_EQ(folded.value().aborted, state.value().aborted);
    }
}

TEST(Fold, what_it_calls_committed_is_committed) {
    auto log = base_log();
    log.emplace_back(commit_of(make_id(1, 1)));
    log.emplace_back(restore(true, 6, 5'000));
    auto state = fold_all(log, 7);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    EXPECT_EQ(state.value().unfinished_commits.size(), 1U);
}

// One was acknowledged, and the other one listed after it: the start must not refuse that log.
TEST(Fold, lost_ids_may_have_one_place) {
    TxnId id = make_id(1, 1);
    TxnId lost = make_txn_id(id.incarnation(), 1, 1, {}, base::KeyedHash(epoch_record(99).key));
    auto log = base_log();
    log.emplace_back(restore(true, 6, 5'000));
    for (const TxnId& each : {lost, id}) {
        log.emplace_back(hazard_of(each));
        log.emplace_back(protocol::EndRecord{each, Outcome::heuristic_hazard});
        if (each == lost) log.emplace_back(protocol::AcknowledgedRecord{each, "seen"});
    }
    auto state = fold_all(log, 7);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    EXPECT_EQ(state.value().heuristic.size(), 2U);
    auto folded = fold_all(checkpoint_records(state.value()), 8);
    ASSERT_TRUE(folded.has_value()) << folded.error().text();
    EXPECT_EQ(folded.value().heuristic, state.value().heuristic);
}

// It is listed although an id of the log with the same position was committed.
TEST(Fold, a_lost_id_is_not_its_namesake) {
    TxnId id = make_id(1, 1);
    TxnId lost = make_txn_id(id.incarnation(), 1, 1, {}, base::KeyedHash(epoch_record(99).key));
    auto log = base_log();
    log.emplace_back(commit_of(id));
    log.emplace_back(protocol::EndRecord{id, Outcome::committed});
    log.emplace_back(restore(true, 6, 5'000));
    protocol::BranchOutcomeRecord found;
    found.key = {lost, 1, 1};
    found.participant = ParticipantNumber(1);
    found.outcome = Outcome::heuristic_hazard;
    log.emplace_back(found);
    log.emplace_back(protocol::EndRecord{lost, Outcome::heuristic_hazard});
    auto state = fold_all(log, 7);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    EXPECT_EQ(state.value().heuristic.count(lost), 1U);
    EXPECT_TRUE(state.value().outcomes.is_committed({1, 1}));
    auto folded = fold_all(checkpoint_records(state.value()), 8);
    ASSERT_TRUE(folded.has_value()) << folded.error().text();
    EXPECT_EQ(folded.value().heuristic, state.value().heuristic);
}

// ---- checkpoints ----------------------------------------------------------------------

void add_key(RecoveredState& state, const TxnId& id, bool committed) {
    protocol::SettledKey key;
    key.idempotency.key_hash[0] = static_cast<std::uint8_t>(id.sequence());
    key.idempotency.key_hash[1] = static_cast<std::uint8_t>(id.epoch());
    key.position = id.position();
    key.participant = id.participant();
    key.committed = committed;
    if (!committed) key.reason = "because";
    state.keys.settle(key, true);
}

RecoveredState random_state(base::SeededRng& rng) {
    RecoveredState state = coordinator::first_start(2);
    state.epochs[2] = epoch_record(2);
    state.horizon = {1, rng.below(40)};
    state.outcomes.move_horizon(state.horizon);
    for (std::uint32_t turn = 3; turn < 3 + rng.below(5); ++turn) {
        coordinator::add_turn(state.turns, {turn, {1, turn}});
    }
    if (rng.below(2) == 0) state.keys.turn(7);
    for (protocol::Epoch epoch = 1; epoch <= 2; ++epoch) {
        for (protocol::Sequence sequence = 1; sequence < 60; ++sequence) {
            bool above = protocol::IdPosition{epoch, sequence} >= state.horizon;
            TxnId id = make_id(epoch, sequence, rng.below(5) == 0 ? 1 : 0);
            bool one_phase = id.participant().value != 0;
            switch (rng.below(9)) {
                case 0:
                    if (above) {
                        state.outcomes.set_committed({epoch, sequence});
                        if (!one_phase && rng.below(2) == 0) {
                            add_key(state, id, true);
                        }
                    }
                    break;
                case 1:
                    if (!one_phase) state.unfinished_commits[id].decision = commit_of(id);
                    break;
                case 2:
                    if (!one_phase) {
                        auto& group = state.unfinished_commits[id];
                        group.decision = commit_of(id);
                        group.branch_outcomes[{id, 1, 1}] = hazard_of(id);
                    }
                    break;
                case 3:
                    if (!one_phase) state.undecided[id] = preparing_of(id);
                    if (!one_phase && rng.below(2) == 0) state.aborted.insert(id);
                    break;
                case 4:
                    state.heuristic[id] = Outcome::heuristic_mixed;
                    state.branch_outcomes[id] = {hazard_of(id)};
                    if (!one_phase && rng.below(2) == 0) add_key(state, id, true);
                    if (above && rng.below(2) == 0) state.acknowledged[id] = "seen";
                    break;
                case 5: add_key(state, id, false); break;
                default: break;
            }
        }
    }
    state.given_up[ParticipantNumber(1)] = {1, 3};
    state.positions[ParticipantNumber(2)] = {1, 77};
    return state;
}

TEST(Checkpoint, folding_it_gives_the_same_state) {
    base::SeededRng rng(3);
    for (int round = 0; round < 300; ++round) {
        RecoveredState state = random_state(rng);
        auto again = fold_all(checkpoint_records(state), 3);
        ASSERT_TRUE(again.has_value()) << again.error().text();
        state.epoch = 3;
        state.epochs[3] = epoch_record(3);
        state.epochs[3].last_participant = ParticipantNumber(2);
        EXPECT_EQ(again.value(), state) << "round " << round;
    }
}

TEST(Checkpoint, only_the_newest_turns_are_kept) {
    auto log = base_log();
    for (std::uint32_t turn = 1; turn <= 100; ++turn) {
        log.emplace_back(protocol::OutcomeTurnRecord{turn, {1, turn}});
    }
    auto state = fold_all(log, 2);
    ASSERT_TRUE(state.has_value()) << state.error().text();
    EXPECT_EQ(state.value().turns.size(), coordinator::kTurnsPerRetention + 1);
    EXPECT_EQ(state.value().turns.back().number, 100U);
    auto again = fold_all(checkpoint_records(state.value()), 3);
    ASSERT_TRUE(again.has_value()) << again.error().text();
    EXPECT_EQ(again.value().turns, state.value().turns);
}

TEST(Checkpoint, many_outcomes_take_several_records) {
    RecoveredState state = coordinator::first_start(1);
    for (std::uint64_t i = 1; i < 1'300'001; i += 3) state.outcomes.set_committed({1, i});
    state.outcomes.set_committed({1, 1'300'000});
    auto records = checkpoint_records(state);
    auto again = fold_all(records, 2);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again.value().outcomes, state.outcomes);
    for (const Record& record : records) EXPECT_LT(encode_record(record).size(), 4'096U);
}

// ---- crashes --------------------------------------------------------------------------

struct Crash {
    std::size_t step = 0;
    std::size_t lazy = 0;
    std::size_t message = 0;
    Fate fate = Fate::arrives;
    bool checkpoint = false;
    bool sealing = false;  // every outcome, when it comes
};

// One transaction over three participants; the coordinator dies after so many steps, the next life
// recovers from what survived. True while there is still something to interrupt.
bool run_until_crash(const Crash& crash) {
    coordinator::Config config;
    if (crash.sealing) config.outcome_words_per_file = 1;
    SmallWorld world(3, config);
    world.plan(crash.message, crash.fate);
    world.submit({1, 2, 3});
    world.submit({2, 3});
    world.stop_after(crash.step);
    bool finished = world.run();
    std::vector<Record> survived = world.surviving(std::min(crash.lazy, world.unforced()));
    if (crash.checkpoint) survived = world.machine.checkpoint();
    auto state = fold_all(survived, 2, world.sealed);
    EXPECT_TRUE(state.has_value()) << state.error().text();
    if (!state.has_value()) return false;
    world.restart(std::move(state).value());
    EXPECT_TRUE(world.run());
    EXPECT_EQ(world.check(), std::vector<std::string>())
        << "crash at step " << crash.step << " with " << crash.lazy << " lazy records, message "
        << crash.message << " " << to_string(crash.fate) << "\n"
        << ::testing::PrintToString(world.trace);
    return !finished;
}

TEST(Crash, at_every_step_with_every_lazy_tail) {
    for (std::size_t lazy = 0; lazy < 6; ++lazy) {
        std::size_t step = 0;
        while (run_until_crash({.step = step, .lazy = lazy})) ++step;
        EXPECT_GT(step, 10U);
    }
}

TEST(Crash, at_every_step_while_a_message_goes_wrong) {
    for (std::size_t message = 0; message < 10; ++message) {
        for (std::size_t fate = 1; fate < coordinator::kFates; ++fate) {
            for (std::size_t lazy : {std::size_t{0}, std::size_t{100}}) {
                std::size_t step = 0;
                while (run_until_crash(
                    {.step = step, .lazy = lazy, .message = message, .fate = Fate(fate)})) {
                    ++step;
                }
            }
        }
    }
}

TEST(Crash, a_checkpoint_at_every_step_holds_everything) {
    for (std::size_t message = 0; message < 8; ++message) {
        for (std::size_t fate = 0; fate < coordinator::kFates; ++fate) {
            std::size_t step = 0;
            while (run_until_crash(
                {.step = step, .message = message, .fate = Fate(fate), .checkpoint = true})) {
                ++step;
            }
        }
    }
}

TEST(Crash, a_checkpoint_and_its_files_hold_everything) {
    std::size_t step = 0;
    while (run_until_crash({.step = step, .checkpoint = true, .sealing = true})) ++step;
    EXPECT_GT(step, 10U);
    for (std::size_t lazy = 0; lazy < 6; ++lazy) {
        step = 0;
        while (run_until_crash({.step = step, .lazy = lazy, .sealing = true})) ++step;
    }
}

}  // namespace
}  // namespace twofold::recovery
