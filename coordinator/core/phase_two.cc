// Telling branches the decision, for ever if need be, and what becomes of those that do not follow.
#include "base/assert.h"
#include "base/planted_bug.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;
using protocol::Outcome;
namespace reason = protocol::reason;

// ---- answers in general ---------------------------------------------------------------

void Machine::Impl::handle(Reply& input) {
    ItemResult& result = input.result;
    Transaction* txn = find(result.key.group);
    if (txn == nullptr) return;  // late
    Branch* branch = find_branch(*txn, result.key.branch, result.key.attempt);
    if (branch == nullptr) return;
    compare_with_word(*txn, *branch, input);
    if (is_ended(txn->state)) return;
    if (!echo_fits(*txn, *branch, input)) return;
    if (result.status == ItemStatus::refused && refuses_our_start(result.reason.code)) {
        stop(txn->id, input.from, result.reason, {});
        return;
    }
    note_answer(*branch, result);
    bool was_told = is_being_told(branch->state);
    take_answer(*txn, *branch, result);
    // It has answered in a way that ends the telling: the next that is not delivered is news.
    if (was_told && !is_being_told(branch->state)) {
        directory_.at(branch->at->number).undelivered = false;
    }
}

void Machine::Impl::take_answer(Transaction& txn, Branch& branch, ItemResult& result) {
    if (note_key(txn, branch, result)) return;
    switch (branch.state) {
        case BranchState::preparing: on_vote(txn, branch, result); return;
        case BranchState::one_phase: on_one_phase_reply(txn, branch, result); return;
        case BranchState::settling: on_settle_reply(txn, branch, result); return;
        case BranchState::committing: on_commit_reply(txn, branch, result); return;
        case BranchState::aborting: on_abort_reply(txn, branch, result); return;
        // A duplicate, or an answer that was overtaken: it was counted, or counts no more.
        case BranchState::waiting:
        case BranchState::enlisted:
        case BranchState::yes:
        case BranchState::no:
        case BranchState::read_only:
        case BranchState::committed:
        case BranchState::aborted:
        case BranchState::recording:
        case BranchState::heuristic:
        case BranchState::parked: return;
    }
}

namespace {

// How the branch ended, as its participant says; nothing: it does not say.
std::optional<Outcome> definite_end(const ItemResult& result) {
    switch (result.status) {
        case ItemStatus::committed:
        case ItemStatus::heuristic_commit: return Outcome::heuristic_commit;
        case ItemStatus::aborted:
        case ItemStatus::heuristic_abort: return Outcome::heuristic_abort;
        default: return std::nullopt;
    }
}

}  // namespace

// The record keeps a person's word; but whoever acted on it must hear that it was wrong.
void Machine::Impl::compare_with_word(const Transaction& txn, Branch& branch, const Reply& input) {
    bool is_word = branch.by_operator && (branch.state == BranchState::recording ||
                                          branch.state == BranchState::heuristic);
    bool is_from_it = input.from == branch.at->number &&
                      input.result.participant == branch.at->uuid &&
                      input.result.identity == branch.at->identity;
    std::optional<Outcome> end = definite_end(input.result);
    if (!is_word || !is_from_it || !end || *end == branch.outcome) return;
    if (std::exchange(branch.contradicted, true)) return;
    alarm("heuristic",
          txn.id,
          branch.at->number,
          "branch " + std::to_string(branch.branch) + " is recorded as " +
              std::string(to_string(branch.outcome)) + " (" + branch.evidence + "), but " +
              directory_.name_of(branch.at->number) + " answers " +
              std::string(to_string(input.result.status)) + ": correct the data once more");
}

// What the participant says of the idempotency key. True: that was the answer.
bool Machine::Impl::note_key(Transaction& txn, Branch& branch, const ItemResult& result) {
    bool is_open = branch.state == BranchState::preparing ||
                   branch.state == BranchState::one_phase || branch.state == BranchState::settling;
    if (!is_open) return false;
    txn.key_confirmed = txn.key_confirmed || result.key_free;
    if (result.reason.code == reason::kKeyConflict) forget_key(txn);
    // An old id whose key is not known any more can have done nothing for that reason, too.
    bool is_replay =
        result.status == ItemStatus::committed && result.original && *result.original != txn.id;
    if (!is_replay) return false;
    if (can_be_original(*result.original, branch)) {
        replay(txn, branch, *result.original, result.reason);
    } else {
        impossible_original(txn, branch, result);
    }
    return true;
}

// Only the database that was enlisted can answer for a branch.
bool Machine::Impl::echo_fits(Transaction& txn, Branch& branch, const Reply& input) {
    if (input.from != branch.at->number) {
        alarm("protocol_violation",
              txn.id,
              input.from,
              "it answers for a branch of " + directory_.name_of(branch.at->number));
        return false;
    }
    if (config_.sabotage.skip_identity_check) return true;
    if (input.result.participant == branch.at->uuid &&
        input.result.identity == branch.at->identity) {
        return true;
    }
    wrong_database(txn,
                   branch,
                   "enlisted was " + branch.at->identity.text() + " (" + branch.at->uuid.text() +
                       "), but " + input.result.identity.text() + " (" +
                       input.result.participant.text() + ") answers");
    return false;
}

// An answer proves that the participant is there, and what its epoch and position are. A position
// behind the one that we knew when we asked proves that its database went back in time.
void Machine::Impl::note_answer(const Branch& branch, const ItemResult& result) {
    Participant& participant = directory_.at(branch.at->number);
    participant.reachable = participant.reachable || participant.seen;
    participant.epoch = std::max(participant.epoch, result.participant_epoch);
    const protocol::Position& now = result.position;
    // A late answer to something else may be older than what we last asked.
    if (now == protocol::Position{} || result.op != branch.last_op) return;
    bool back = now.timeline < branch.position_at_send.timeline ||
                (now.timeline == branch.position_at_send.timeline &&
                 now.value < branch.position_at_send.value);
    if (back && !TWOFOLD_PLANTED_BUG("coordinator.ignore_position")) {
        went_back(branch.at->number, result.key.group);
    }
    // Its database did something after it was asked, and read the position for that: newer than
    // every commit that was acknowledged before.
    bool worked = result.status == ItemStatus::yes || result.status == ItemStatus::committed;
    if (worked && now > branch.position_at_send) {
        auto& uncovered = participant.uncovered;
        while (!uncovered.empty() && uncovered.front().number <= branch.acknowledged_at_send) {
            uncovered.pop_front();
        }
    }
    participant.position = std::max(participant.position, now);
}

// The newest position comes into the log with the alarm: the next start must find out, too.
void Machine::Impl::went_back(protocol::ParticipantNumber number, const protocol::TxnId& txn) {
    Participant& participant = directory_.at(number);
    if (std::exchange(participant.went_back, true)) return;
    alarm("participant_went_back",
          txn,
          number,
          "its database is older than before: restored from a backup? It gets no new work");
    if (participant.position == participant.logged_position) return;
    participant.logged_position = participant.position;
    emit(Append{protocol::PositionRecord{number, participant.position}});
}

void Machine::Impl::wrong_database(Transaction& txn, Branch& branch, const std::string& text) {
    protocol::ParticipantNumber number = branch.at->number;
    Participant& participant = directory_.at(number);
    if (participant.mismatched) return;
    participant.mismatched = true;
    alarm("identity_mismatch", txn.id, number, directory_.name_of(number) + ": " + text);
    identity_changed(number, participant);
}

// ---- telling --------------------------------------------------------------------------

// Sends what the branch's state demands, unless another database would get it.
void Machine::Impl::drive(Transaction& txn, Branch& branch) {
    if (directory_.at(branch.at->number).mismatched && !config_.sabotage.skip_identity_check) {
        park(txn, branch, ParkedBecause::identity, "another database answers for the participant");
        return;
    }
    switch (branch.state) {
        case BranchState::committing: send(txn, branch, ItemOp::commit); return;
        case BranchState::aborting:
            if (is_presumed(txn)) return;  // offer_over() comes back to it
            send(txn, branch, ItemOp::abort);
            return;
        case BranchState::settling:
            send(txn, branch, branch.cancel_first ? ItemOp::abort : ItemOp::settle_one_phase);
            return;
        default: TWOFOLD_UNREACHABLE("only decisions and settlements are driven");
    }
}

void Machine::Impl::handle(CallFailed& input) {
    Transaction* txn = find(input.key.group);
    if (txn == nullptr || is_ended(txn->state)) return;
    Branch* branch = find_branch(*txn, input.key.branch, input.key.attempt);
    if (branch == nullptr || branch->at->number != input.participant) return;
    bool not_sent = input.outcome == protocol::CallOutcome::not_sent;
    std::uint16_t number = branch->branch;
    auto unavailable = [&] {
        return make_reason(reason::kUnavailable,
                           "participant " + directory_.name_of(input.participant) +
                               " cannot be reached: " + input.why);
    };
    switch (branch->state) {
        case BranchState::preparing:
            if (input.op != ItemOp::execute_prepare && input.op != ItemOp::prepare) return;
            if (!not_sent) {
                on_unanswered_vote(*txn, *branch, "no complete answer: " + input.why);
                return;
            }
            // An interactive branch exists although its prepare was never sent.
            if (input.op == ItemOp::execute_prepare) enter(*txn, *branch, BranchState::no);
            branch->reason = unavailable();
            decide_abort(*txn, unavailable(), number);
            return;
        case BranchState::one_phase:
            if (input.op != ItemOp::one_phase) return;
            if (not_sent) {
                one_phase_aborted(*txn, *branch, unavailable());
            } else {
                settle(*txn,
                       *branch,
                       make_reason(reason::kUnansweredPrepare, "no complete answer: " + input.why));
            }
            return;
        case BranchState::settling:
            if (input.op != ItemOp::one_phase) schedule_retry(*txn, *branch);
            return;
        case BranchState::committing:
            if (input.op == ItemOp::commit) schedule_retry(*txn, *branch);
            return;
        case BranchState::aborting:
            if (input.op == ItemOp::abort) schedule_retry(*txn, *branch);
            return;
        default: return;
    }
}

void Machine::Impl::on_commit_reply(Transaction& txn, Branch& branch, const ItemResult& result) {
    if (result.op != ItemOp::commit) return;  // a late vote
    branch.reason = result.reason;
    switch (result.status) {
        case ItemStatus::committed: acknowledged(txn, branch); return;
        case ItemStatus::heuristic_commit:
            alarm("heuristic",
                  txn.id,
                  branch.at->number,
                  "a person committed the branch before us, as was decided");
            acknowledged(txn, branch);
            return;
        case ItemStatus::finished_earlier: finished_before(txn, branch); return;
        case ItemStatus::heuristic_abort:
            record_outcome(txn, branch, Outcome::heuristic_abort, result);
            return;
        case ItemStatus::hazard:
            if (config_.sabotage.hazard_counts_as_committed) {
                acknowledged(txn, branch);
            } else {
                record_outcome(txn, branch, Outcome::heuristic_hazard, result);
            }
            return;
        case ItemStatus::unknown: schedule_retry(txn, branch); return;
        case ItemStatus::refused: on_refused_decision(txn, branch, result); return;
        case ItemStatus::yes:
        case ItemStatus::no:
        case ItemStatus::read_only:
        case ItemStatus::aborted:
            park(txn,
                 branch,
                 ParkedBecause::violation,
                 "commit was answered with " + std::string(to_string(result.status)));
            return;
    }
}

void Machine::Impl::on_abort_reply(Transaction& txn, Branch& branch, const ItemResult& result) {
    if (result.op != ItemOp::abort) {
        // A late yes changes nothing: the branch must be told again, and now it is there to listen.
        if (branch.retry_timer.value != 0) wake(txn, branch);
        return;
    }
    switch (result.status) {
        case ItemStatus::aborted:
        case ItemStatus::heuristic_abort: acknowledged(txn, branch); return;
        case ItemStatus::finished_earlier: finished_before(txn, branch); return;
        case ItemStatus::heuristic_commit:
            record_outcome(txn, branch, Outcome::heuristic_commit, result);
            return;
        case ItemStatus::hazard:
            record_outcome(txn, branch, Outcome::heuristic_hazard, result);
            return;
        case ItemStatus::unknown: schedule_retry(txn, branch); return;
        case ItemStatus::refused: on_refused_decision(txn, branch, result); return;
        case ItemStatus::yes:
        case ItemStatus::no:
        case ItemStatus::read_only:
        case ItemStatus::committed:
            park(txn,
                 branch,
                 ParkedBecause::violation,
                 "abort was answered with " + std::string(to_string(result.status)));
            return;
    }
}

void Machine::Impl::on_refused_decision(Transaction& txn,
                                        Branch& branch,
                                        const ItemResult& result) {
    const std::string& code = result.reason.code;
    if (code == reason::kIdentityMismatch) {
        wrong_database(txn, branch, "it refuses the identity that it was addressed with");
        return;
    }
    bool contradiction = code == reason::kProtocolViolation || code == reason::kNotPrepared ||
                         code == reason::kAfterAbort || code == reason::kBelowLowWater;
    if (contradiction) {
        park(txn, branch, ParkedBecause::violation, code + ": " + result.reason.message);
    } else {
        schedule_retry(txn, branch);
    }
}

// Said of ids below low water only. Ours is held down by this very branch, unless it was
// acknowledged to our former life, which did not live to note its END. Where the log was restored,
// another life may have raised the mark, which knew nothing of this commit.
void Machine::Impl::finished_before(Transaction& txn, Branch& branch) {
    if (txn.recovered && branch.state == BranchState::committing && may_be_lost(txn.id)) {
        branch.outcome = Outcome::heuristic_hazard;
        branch.evidence = kFinishedElsewhere;
        force_outcome(txn, branch, {});
    } else if (txn.recovered) {
        acknowledged(txn, branch);
    } else {
        park(txn, branch, ParkedBecause::violation, "finished earlier, but not acknowledged");
    }
}

void Machine::Impl::acknowledged(Transaction& txn, Branch& branch) {
    bool commit = branch.state == BranchState::committing;
    if (commit) note_commit(txn.position, branch.at->number);
    enter(txn, branch, commit ? BranchState::committed : BranchState::aborted);
    finish_if_done(txn);
}

void Machine::Impl::note_commit(protocol::IdPosition id, protocol::ParticipantNumber number) {
    constexpr std::size_t kUncoveredMax = 10'000;
    Participant& participant = directory_.at(number);
    participant.uncovered.push_back({++participant.acknowledged, id});
    if (participant.uncovered.size() <= kUncoveredMax) return;
    // It never says a position, or not for long: the older half is taken as one.
    auto& uncovered = participant.uncovered;
    auto middle = uncovered.begin() + kUncoveredMax / 2;
    protocol::IdPosition newest;
    for (auto ack = uncovered.begin(); ack != middle; ++ack) newest = std::max(newest, ack->id);
    uncovered.erase(uncovered.begin(), middle);
    uncovered.front().id = std::max(uncovered.front().id, newest);
}

// ---- retries --------------------------------------------------------------------------

// Decisions are retried for ever; only the pace slows down.
void Machine::Impl::schedule_retry(Transaction& txn, Branch& branch) {
    if (branch.retry_timer.value != 0) return;
    if (config_.sabotage.give_up_after_three_tries && branch.tries >= 3 &&
        branch.state != BranchState::settling) {
        acknowledged(txn, branch);
        return;
    }
    BranchRef ref{txn.position, branch.branch, branch.attempt};
    bool first = branch.undelivered_timer.value == 0 && !branch.undelivered;
    Milliseconds patience = config_.undelivered_alarm;
    if (first && patience.count() != 0) {
        branch.undelivered_timer = arm({TimerKind::undelivered, ref, {}}, patience, patience);
    }
    Milliseconds high = std::min(branch.delay * 2, config_.retry_max);
    Milliseconds low = std::min(branch.delay, high);
    branch.retry_timer = arm({TimerKind::retry, ref, {}}, low, high);
    branch.delay = std::min(branch.delay * 2, std::max(config_.retry_max / 2, config_.retry_min));
    directory_.at(branch.at->number).sleeping.insert(ref);
}

void Machine::Impl::wake(Transaction& txn, Branch& branch) {
    cancel(branch.retry_timer);
    drive(txn, branch);
}

// One alarm for a participant, however many wait for it: it is what a person must look after.
void Machine::Impl::on_undelivered(const Transaction& txn, Branch& branch) {
    branch.undelivered = true;
    Participant& participant = directory_.at(branch.at->number);
    if (std::exchange(participant.undelivered, true)) {
        // Should that be over before this branch is told, it is looked at again.
        Milliseconds patience = config_.undelivered_alarm;
        BranchRef ref{txn.position, branch.branch, branch.attempt};
        branch.undelivered_timer = arm({TimerKind::undelivered, ref, {}}, patience, patience);
        return;
    }
    std::string_view what = branch.state == BranchState::committing ? "commit"
                            : branch.state == BranchState::aborting ? "abort"
                                                                    : "the question how it ended";
    alarm("decision_undelivered",
          txn.id,
          branch.at->number,
          directory_.name_of(branch.at->number) + " has not acknowledged " + std::string(what) +
              " for " + std::to_string(config_.undelivered_alarm.count()) +
              " ms, and is told again for ever; unfinished transactions there: " +
              std::to_string(participant.outstanding.size()));
}

// ---- branches that need a person ------------------------------------------------------

void Machine::Impl::park(Transaction& txn,
                         Branch& branch,
                         ParkedBecause why,
                         const std::string& text) {
    branch.parked = why;
    enter(txn, branch, BranchState::parked);
    emit(Changed{txn.id, txn.version});
    if (why == ParkedBecause::identity) return;  // the alarm was raised for the participant
    alarm("protocol_violation",
          txn.id,
          branch.at->number,
          "branch " + std::to_string(branch.branch) + " is parked: " + text);
}

// The enlisted database is back: go on where the branch was parked.
void Machine::Impl::resume(Transaction& txn, Branch& branch) {
    if (branch.state != BranchState::parked || branch.parked != ParkedBecause::identity) return;
    branch.parked = ParkedBecause::not_parked;
    branch.delay = config_.retry_min;
    branch.undelivered = false;
    if (txn.state == TransactionState::settling) {
        enter(txn, branch, BranchState::settling);
    } else {
        enter(txn, branch, branch.in_decision ? BranchState::committing : BranchState::aborting);
    }
    drive(txn, branch);
}

// Ended against the decision, or nobody can prove how. That is made durable before anybody hears of
// it, so that no later answer can be a plain "committed".
void Machine::Impl::record_outcome(Transaction& txn,
                                   Branch& branch,
                                   Outcome outcome,
                                   const ItemResult& result) {
    branch.outcome = outcome;
    branch.evidence = result.reason.code + ": " + result.reason.message;
    force_outcome(txn, branch, {});
}

void Machine::Impl::force_outcome(Transaction& txn, Branch& branch, Ticket ticket) {
    txn.logged = true;
    cancel(branch.retry_timer);
    enter(txn, branch, BranchState::recording);
    alarm(branch.outcome == Outcome::heuristic_hazard ? "hazard" : "heuristic",
          txn.id,
          branch.at->number,
          "branch " + std::to_string(branch.branch) + " is " +
              std::string(to_string(branch.outcome)) + ": " + branch.evidence);
    protocol::BranchOutcomeRecord record;
    record.key = {txn.id, branch.branch, branch.attempt};
    record.participant = branch.at->number;
    record.outcome = branch.outcome;
    record.evidence = branch.evidence;
    record.by_operator = branch.by_operator;
    force(std::move(record), {txn.position, branch.branch, branch.attempt}, ticket);
}

void Machine::Impl::outcome_recorded(const BranchRef& ref) {
    Transaction* txn = find(ref.position);
    TWOFOLD_ASSERT(txn != nullptr, "a transaction stays until its branches have ended");
    Branch* branch = find_branch(*txn, ref.branch, ref.attempt);
    TWOFOLD_ASSERT(branch != nullptr, "an outcome belongs to a branch");
    enter(*txn, *branch, BranchState::heuristic);
    bool is_word = branch->by_operator && branch->outcome != Outcome::heuristic_hazard;
    if (txn->state == TransactionState::settling && is_word) {
        // It has no decision but its participant's: a person stands in for it.
        bool commit = branch->outcome == Outcome::heuristic_commit;
        txn->decision = commit ? protocol::Decision::commit : protocol::Decision::abort;
        if (commit) txn->reason = {};
    }
    emit(Changed{txn->id, txn->version});
    if (txn->state == TransactionState::settling) {
        end(*txn);
    } else {
        finish_if_done(*txn);
    }
}

}  // namespace twofold::coordinator
