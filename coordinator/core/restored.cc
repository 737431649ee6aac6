// The log was restored from a copy. A participant that has heard more of it than it holds refuses
// us: from then on nothing is said, by this start and by every later one, until a person has
// accepted the log as it is. The start after that goes on above everything that anybody has heard,
// and what it cannot know of the time before is shown to a person, never presumed.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace twofold::coordinator {

using protocol::InquiryAnswer;
using protocol::Outcome;
using protocol::ParticipantNumber;
using protocol::RestoreRecord;
using protocol::SenderStamp;
using protocol::TxnId;
namespace reason = protocol::reason;

namespace {
// No log gets so long. The next acceptance adds to it.
constexpr std::uint64_t kPositionsMax = std::uint64_t{1} << 62U;
}  // namespace

// ---- refused ------------------------------------------------------------------------------

// What the log's positions are told as: above all that were told before a restored log was
// accepted.
SenderStamp Machine::Impl::stamp(std::uint64_t durable_position) const {
    std::uint64_t base = accepted_ ? accepted_->position : 0;
    auto told = [base](std::uint64_t position) { return position == 0 ? 0 : base + position; };
    return {incarnation_,
            epoch_,
            config_.start_nonce,
            told(durable_position),
            told(config_.start_position)};
}

// What a participant says of a start of ours, if that can be: nonsense that is forced to the log
// would be in the way of every later start.
SenderStamp Machine::Impl::plausible(const SenderStamp& known) const {
    constexpr protocol::Epoch kEpochsAhead = 1'000'000;
    bool is_near = known.epoch <= epoch_ || known.epoch - epoch_ <= kEpochsAhead;
    bool is_ours = known.incarnation == incarnation_ && is_near && known.position < kPositionsMax;
    return is_ours ? known : SenderStamp{};
}

// From here on whatever we said could contradict what others were told.
void Machine::Impl::stop(const TxnId& txn,
                         ParticipantNumber number,
                         const protocol::Reason& why,
                         const SenderStamp& claimed) {
    if (is_stopped()) return;
    SenderStamp known = plausible(claimed);
    bool newer = why.code == reason::kStaleSender;
    RestoreRecord record;
    record.participant = number;
    record.epoch = known.epoch;
    record.position = known.position;
    record.code = newer ? reason::kStaleSender : reason::kLogWentBack;
    std::string who = "participant " + directory_.name_of(number);
    record.reason =
        newer ? who +
                    " has heard from a newer start of this coordinator: another one runs, or the "
                    "log was restored from a copy. This one has stopped"
              : "the log was restored from a copy: " + who +
                    " has heard from a start of this coordinator that this log does not know. "
                    "This one has stopped; put the newest log back, or accept this one";
    stopped_ = make_reason(record.code, record.reason);
    refused_ = record;
    alarm(record.code, txn, number, record.reason + " (" + why.code + ": " + why.message + ")");
    force(std::move(record));
    // What a person has asked for may have become durable: the next start knows.
    for (auto& [token, forcing] : forcing_) {
        Ticket ticket = std::exchange(forcing.ticket, {});
        if (ticket.value != 0) answer_plain(ticket, AnswerKind::cannot_tell, stopped_);
    }
    for (auto& [position, other] : transactions_) {
        for (const Waiter& waiter : other->waiters) {
            answer(waiter.ticket, AnswerKind::cannot_tell, *other, stopped_);
        }
        other->waiters.clear();
    }
    for (Inquire& inquiry : std::exchange(held_inquiries_, {})) handle(inquiry);
    for (const auto& work : std::exchange(held_work_, {})) {
        Ticket ticket = std::visit([](const auto& request) { return request.ticket; }, work);
        answer_plain(ticket, AnswerKind::cannot_tell, stopped_);
    }
}

// A former start was refused, and nobody has accepted its log since.
void Machine::Impl::stay_stopped() {
    stopped_ = make_reason(refused_->code, refused_->reason);
    alarm(refused_->code, {}, refused_->participant, refused_->reason);
}

// Requests are told to ask again elsewhere or later, everything else is ignored.
void Machine::Impl::step_stopped(Input& input) {
    if (auto* inquire = std::get_if<Inquire>(&input)) return handle(*inquire);
    if (auto* accept = std::get_if<AcceptRestore>(&input)) return accept_log(*accept);
    if (auto* durable = std::get_if<Durable>(&input)) return accepted_log(*durable);
    if (auto* offered = std::get_if<OfferAnswered>(&input)) return note_heard(*offered);
    std::visit(
        [this]<class Alternative>(const Alternative& request) {
            constexpr bool kIsRequest = requires { request.ticket; };
            if constexpr (kIsRequest) {
                answer_plain(request.ticket, AnswerKind::cannot_tell, stopped_);
            }
        },
        input);
}

// Others that were asked at the same time may have heard even more.
void Machine::Impl::note_heard(const OfferAnswered& input) {
    if (!input.reply || !refused_) return;
    SenderStamp known = plausible(input.reply->known);
    if (known.epoch <= refused_->epoch && known.position <= refused_->position) return;
    refused_->epoch = std::max(refused_->epoch, known.epoch);
    refused_->position = std::max(refused_->position, known.position);
    force(*refused_);
}

// ---- accepted -----------------------------------------------------------------------------

void Machine::Impl::accept_log(const AcceptRestore& input) {
    // Nobody knows what they have heard that could not be asked: there is room for it.
    constexpr std::uint64_t kPositions = std::uint64_t{1} << 40U;
    constexpr protocol::Epoch kEpochs = 1'000;
    constexpr protocol::Epoch kEpochLast = std::numeric_limits<protocol::Epoch>::max() - 1'000'000;
    if (find_record(input.ticket, input.participant, input.reason) == nullptr) return;
    if (!refused_) {  // it is being accepted, or was: only a start is missing
        answer_plain(input.ticket, AnswerKind::done, {});
        return;
    }
    if (input.participant != refused_->participant) {
        answer_plain(
            input.ticket,
            AnswerKind::wrong_state,
            make_reason(reason::kBadRequest,
                        "not this one, but participant " +
                            directory_.name_of(refused_->participant) + " has refused this log"));
        return;
    }
    if (refuse_changed(input.ticket, input.participant, input.version)) return;
    if (input.dry_run) {
        answer_plain(input.ticket, AnswerKind::done, {});
        return;
    }
    RestoreRecord record = *refused_;
    record.accepted = true;
    record.reason = "operator: " + input.reason;
    record.epoch = std::max(record.epoch, epoch_);
    if (refused_->epoch == 0) record.epoch += kEpochs;  // it did not say
    std::uint64_t heard = std::max(record.position, accepted_ ? accepted_->position : 0);
    record.position = heard + kPositions;
    bool has_epochs = record.epoch >= epoch_ && record.epoch < kEpochLast;
    if (!has_epochs || heard >= 2 * kPositionsMax) {
        answer_plain(input.ticket,
                     AnswerKind::wrong_state,
                     make_reason(reason::kBadRequest,
                                 "this log has no epochs or positions left above what was heard: "
                                 "begin a new log"));
        return;
    }
    force(std::move(record), {}, input.ticket);
}

void Machine::Impl::accepted_log(const Durable& input) {
    auto found = forcing_.find(input.token);
    if (found == forcing_.end()) return;
    const auto* record = std::get_if<RestoreRecord>(&found->second.record);
    if (record == nullptr) return;
    Ticket ticket = found->second.ticket;
    if (record->accepted) {
        refused_.reset();
        accepted_ = *record;
        stopped_ = make_reason(reason::kLogWentBack,
                               "the restored log was accepted: start this coordinator again; it "
                               "goes on in an epoch above " +
                                   std::to_string(record->epoch));
    }
    forcing_.erase(found);
    if (ticket.value != 0) answer_plain(ticket, AnswerKind::done, {});
}

// ---- what the log cannot know ---------------------------------------------------------------

// Made before the log was accepted: no record of it means nothing.
bool Machine::Impl::may_be_lost(const TxnId& id) const {
    if (config_.sabotage.presume_after_restore) return false;
    return accepted_ && id.incarnation() == incarnation_ && id.epoch() <= accepted_->epoch;
}

// Of a one-phase id that was made with a key of this log. Numbers that the lost part of the log had
// given are given again, to others: those cannot tell how it ended. What was given before the start
// after the id's own one is what that one had given as well.
bool Machine::Impl::names_known_participant(const TxnId& id) const {
    auto next = epochs_.upper_bound(id.epoch());
    bool is_given = next == epochs_.end() || id.participant() <= next->second.last_participant;
    return is_given && directory_.find(id.participant()) != nullptr;
}

// Shown until a person has seen it. Appended only: a participant that is in doubt asks again.
InquiryAnswer Machine::Impl::answer_lost(const protocol::BranchKey& key, ParticipantNumber number) {
    alarm_in_doubt("expired_branch_in_doubt",
                   key,
                   number,
                   "a participant holds a branch of before the log was restored, and nobody can "
                   "tell whether its transaction was committed");
    if (!old_heuristic_.contains(key.group)) list_lost(key, number);
    return InquiryAnswer::expired;
}

void Machine::Impl::list_lost(const protocol::BranchKey& key, ParticipantNumber number) {
    const TxnId& id = key.group;
    Transaction* txn = find(id);
    if (txn == nullptr) {
        // By an id that the other log did not know. Nobody can tell which tags the lost one gave:
        // its last starts may have taken epochs of this one's.
        bool taken = find(id.position()) != nullptr;
        if (taken || transactions_.size() >= config_.transactions_max) return;
        txn = &create(id);
        txn->recovered = true;
        txn->logged = true;
        txn->sent = true;
        txn->results_lost = true;
        txn->members.push_back({id, std::nullopt, {}});
        enter(*txn, TransactionState::heuristic);
    }
    if (find_branch(*txn, key.branch, key.attempt) != nullptr) return;
    txn->ended_as = Outcome::heuristic_hazard;  // whatever was known of its other branches
    Branch branch;
    branch.branch = key.branch;
    branch.attempt = key.attempt;
    branch.at = directory_.at(number).enlistment;
    branch.outcome = Outcome::heuristic_hazard;
    branch.evidence = kLostWithTheLog;
    txn->branches.push_back(std::move(branch));
    enter(*txn, txn->branches.back(), BranchState::heuristic);
    emit(Changed{id, txn->version});
    for (const Branch& lost : txn->branches) {
        emit(Append{protocol::BranchOutcomeRecord{{id, lost.branch, lost.attempt},
                                                  lost.at->number,
                                                  lost.outcome,
                                                  lost.evidence,
                                                  lost.by_operator}});
    }
    emit(Append{protocol::EndRecord{id, Outcome::heuristic_hazard}});
}

// ---- a participant whose database was restored ------------------------------------------------

// From now on its positions count anew. What it may have lost is not told to it as aborted.
void Machine::Impl::handle(AcceptRestore& input) {
    if (find_record(input.ticket, input.participant, input.reason) == nullptr) return;
    Participant& participant = directory_.at(input.participant);
    if (!participant.went_back) {
        answer_plain(input.ticket,
                     AnswerKind::wrong_state,
                     make_reason(reason::kBadRequest,
                                 "nothing was restored as far as is known: the participant accepts "
                                 "this log, and its database has not gone back"));
        return;
    }
    if (refuse_changed(input.ticket, input.participant, input.version)) return;
    if (input.dry_run) {
        answer_plain(input.ticket, AnswerKind::done, {});
        return;
    }
    // At once: a checkpoint that comes before the rest is durable follows this record.
    participant.forget_position();
    emit(Append{protocol::PositionRecord{input.participant, {}}});
    force(decided_record(input.participant, "restored database accepted", input.reason));
    force(protocol::GivenUpRecord{input.participant, next_position()}, {}, input.ticket);
}

// Its restored database was accepted.
void Machine::Impl::restore_accepted(ParticipantNumber number, Ticket ticket) {
    Participant& participant = directory_.at(number);
    participant.went_back = false;
    participant.forget_position();
    // Its epochs count anew, too: from the one in which it is seen next.
    participant.epoch = 0;
    participant.seen = false;
    participant.reachable = false;
    for (const BranchRef& ref : outstanding_at(number)) {
        find_branch(*find(ref.position), ref.branch, ref.attempt)->position_at_send = {};
    }
    answer_plain(ticket, AnswerKind::done, {});
}

}  // namespace twofold::coordinator
