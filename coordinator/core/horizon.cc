// Remembering outcomes, and forgetting them: by age, and earlier when there are too many.
//
// What a crash leaves:
//   after a file was sealed, before a checkpoint names it   a file that nobody needs: the bits come
//                                                           from the log once more
//   after a turn                                            the turn, or not: then ids live longer
//   before the horizon is durable                           the old one, with all bits and files
//   after it, before a checkpoint                           files that are named, and read, in vain
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::IdPosition;

// ---- remembering ----------------------------------------------------------------------

void Machine::Impl::remember_outcome(IdPosition position, bool recorded) {
    if (config_.sabotage.forget_late_outcomes && !sealed_outcomes_.empty()) {
        recorded = recorded && position > sealed_outcomes_.rbegin()->second.newest;
    }
    recorded ? outcomes_.set_committed(position) : outcomes_.set_unrecorded(position);
    time_outcomes();
    if (outcomes_.loose() >= config_.outcome_words_per_file) seal_outcomes();
}

// What is loose leaves the checkpoints for a file of its own.
void Machine::Impl::seal_outcomes() {
    Seal effect;
    effect.file = next_sealed_++;
    OutcomesCount count;
    for (protocol::OutcomesRecord& record :
         outcomes_.loose_records(outcomes_.horizon(), outcomes_.loose())) {
        count.add(record);
        effect.records.emplace_back(std::move(record));
    }
    outcomes_.forget_loose(outcomes_.loose());
    if (count.committed == 0) return;
    sealed_outcomes_.emplace(
        effect.file,
        protocol::SealedOutcomesRecord{effect.file,
                                       count.newest,
                                       count.committed,
                                       protocol::content_checksum(effect.records)});
    emit(std::move(effect));
}

// ---- age ------------------------------------------------------------------------------

void Machine::Impl::time_outcomes() {
    if (turn_timer_.value != 0) return;
    Milliseconds turn = std::max(
        config_.outcome_retention / static_cast<std::int64_t>(kTurnsPerRetention), Milliseconds{1});
    turn_timer_ = arm({TimerKind::turn, {}, {}}, turn, turn);
}

// A fixed part of the time for which outcomes are remembered is over.
void Machine::Impl::turn_outcomes() {
    turn_timer_ = TimerId{};
    std::uint32_t number = turns_.empty() ? 1 : turns_.back().number + 1;
    add_turn(turns_, {number, next_position()});
    emit(Append{turns_.back()});
    move_horizon();
    if (!outcomes_.is_empty()) time_outcomes();
}

// ---- forgetting -----------------------------------------------------------------------

void Machine::Impl::maybe_move_horizon() {
    std::uint64_t interval = std::clamp<std::uint64_t>(config_.outcomes_max / 64, 1, 4096);
    if (next_sequence_ % interval == 0) move_horizon();
}

void Machine::Impl::move_horizon() {
    if (forcing_horizon_) return;
    IdPosition limit = next_position();
    if (!undecided_.empty()) limit = std::min(limit, *undecided_.begin());
    // The ids before it were given so many turns ago.
    IdPosition aged = turns_.size() > kTurnsPerRetention ? turns_.front().next : IdPosition{};
    auto crowded = outcomes_.choose_horizon(next_position(), config_.outcomes_max);
    IdPosition horizon = std::min(std::max(aged, crowded.value_or(aged)), limit);
    if (horizon <= outcomes_.horizon()) {
        if (crowded) note_held_horizon();
        return;
    }
    horizon_held_ = false;
    if (horizon_rests_) {
        // It would pass ids of former starts, for the first time: not before the rest is over.
        if (rest_timer_.value == 0) {
            rest_timer_ =
                arm({TimerKind::rest, {}, {}}, config_.horizon_rest, config_.horizon_rest);
        }
        return;
    }
    note_early_horizon(horizon, aged);
    forcing_horizon_ = horizon;
    give_up_below(horizon);
    force(protocol::HorizonRecord{horizon});
}

// It is durable.
void Machine::Impl::horizon_moved(IdPosition horizon) {
    forcing_horizon_.reset();
    outcomes_.move_horizon(horizon);
    forget_files_below(horizon, sealed_outcomes_);
    forget_acknowledged();
}

// There are more outcomes than there is room for, and the oldest undecided transaction keeps them.
// Normally that is a one-phase transaction whose participant does not answer.
void Machine::Impl::note_held_horizon() {
    if (undecided_.empty() || std::exchange(horizon_held_, true)) return;
    const Transaction& txn = *find(*undecided_.begin());
    protocol::ParticipantNumber number;
    if (!txn.branches.empty()) number = txn.branches.front().at->number;
    alarm("horizon_held",
          txn.id,
          number,
          "the outcomes of newer transactions cannot be forgotten before this one has ended");
}

// There is no room for as many as come in the time for which they are to be remembered. Said again
// only after there was.
void Machine::Impl::note_early_horizon(IdPosition horizon, IdPosition aged) {
    bool is_early = horizon > aged;
    if (!std::exchange(horizon_early_, is_early) && is_early) {
        alarm("outcomes_forgotten_early",
              {},
              {},
              "outcomes are forgotten before their time, because more than " +
                  std::to_string(config_.outcomes_max) +
                  " came meanwhile; raise outcomes_max, or lower outcome_retention");
    }
}

// Below the horizon only the position tells a participant that never committed from an old copy of
// one that did. So positions become durable with it; and where they may be older than a commit,
// abort is never said again at or below that commit. What the start before this one had
// acknowledged may have been restored before we came: its commits are never covered.
void Machine::Impl::give_up_below(protocol::IdPosition horizon) {
    protocol::IdPosition old_limit = std::min(horizon, protocol::IdPosition{epoch_, 0});
    protocol::IdPosition old = outcomes_.newest_committed_below(old_limit);
    for (const auto& [number, record] : directory_.records()) {
        Participant& participant = directory_.at(number);
        if (participant.position != participant.logged_position) {
            participant.logged_position = participant.position;
            emit(Append{protocol::PositionRecord{number, participant.position}});
        }
        protocol::IdPosition newest = old;
        for (const auto& ack : participant.uncovered) {
            if (ack.id < horizon) newest = std::max(newest, ack.id);
        }
        auto known = given_up_.find(number);
        if (newest == protocol::IdPosition{}) continue;
        if (known != given_up_.end() && known->second >= newest) continue;
        given_up_[number] = newest;  // counts at once: it only makes answers more careful
        force(protocol::GivenUpRecord{number, newest});
    }
}

}  // namespace twofold::coordinator
