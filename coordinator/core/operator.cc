// What a person decides about things that the program must not decide: how a branch ended that
// nobody can prove, that an odd end was seen, that a participant will never come back, that another
// database is the right one. Each is forced to the log before it counts, with the person's reason.
#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "coordinator/core/machine_impl.h"
#include "protocol/person_reason.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::Decision;
using protocol::Outcome;
using protocol::ParticipantNumber;
using protocol::ParticipantRecord;
using protocol::TxnId;
namespace reason = protocol::reason;

namespace {

std::string word_of(const std::string& why) { return "operator: " + why; }

// Told its decision, or asked how it ended, and has not answered in a way that ends it.
bool can_be_resolved(BranchState state) {
    return state == BranchState::parked || state == BranchState::committing ||
           state == BranchState::aborting || state == BranchState::settling;
}

Branch* to_resolve(Transaction& txn, std::uint16_t number, std::uint16_t attempt) {
    Branch* found = nullptr;
    for (Branch& branch : txn.branches) {
        if (branch.branch != number || (attempt != 0 && branch.attempt != attempt)) continue;
        if (found == nullptr || can_be_resolved(branch.state)) found = &branch;
    }
    return found;
}

}  // namespace

bool Machine::Impl::refuse_reason(Ticket ticket, const std::string& why) {
    if (protocol::is_person_reason(why)) return false;
    answer_plain(ticket,
                 AnswerKind::invalid,
                 make_reason(reason::kBadRequest, std::string(protocol::kPersonReasonRule)));
    return true;
}

// nullptr: it was answered.
Transaction* Machine::Impl::find_as_seen(Ticket ticket,
                                         const TxnId& id,
                                         std::uint64_t version,
                                         const std::string& why) {
    if (refuse_reason(ticket, why)) return nullptr;
    Transaction* txn = find(id);
    if (txn == nullptr) {
        Answer known = answer_forgotten(id);
        known.ticket = ticket;
        if (known.kind == AnswerKind::finished) {
            known.kind = AnswerKind::wrong_state;
            known.reason = make_reason(reason::kBadRequest,
                                       "the transaction ended as " +
                                           std::string(to_string(known.report.outcome)) +
                                           ", and nothing about it is open");
        }
        emit(std::move(known));
        return nullptr;
    }
    if (txn->version == version) return txn;
    answer(ticket,
           AnswerKind::changed,
           *txn,
           make_reason(reason::kBadRequest,
                       "the transaction has changed since version " + std::to_string(version) +
                           ": look at version " + std::to_string(txn->version)));
    return nullptr;
}

// ---- transactions ---------------------------------------------------------------------

void Machine::Impl::handle(ResolveBranch& input) {
    Transaction* txn = find_as_seen(input.ticket, input.txn, input.version, input.reason);
    if (txn == nullptr) return;
    Branch* branch = to_resolve(*txn, input.branch, input.attempt);
    if (branch == nullptr) {
        answer(
            input.ticket,
            AnswerKind::invalid,
            *txn,
            make_reason(reason::kBadRequest,
                        "branch: the transaction has no branch " + std::to_string(input.branch)));
        return;
    }
    if (!can_be_resolved(branch->state)) {
        answer(input.ticket,
               AnswerKind::wrong_state,
               *txn,
               make_reason(reason::kBadRequest,
                           "branch " + std::to_string(branch->branch) + " is " +
                               std::string(to_string(branch->state)) +
                               ": only one that was told its decision and has not ended can be "
                               "resolved"));
        return;
    }
    if (input.dry_run) {
        answer(input.ticket, AnswerKind::done, *txn);
        return;
    }
    branch->outcome =
        input.found == Decision::commit ? Outcome::heuristic_commit : Outcome::heuristic_abort;
    branch->by_operator = true;
    branch->evidence = word_of(input.reason);
    give_up(branch->at->number, txn->position);
    force_outcome(*txn, *branch, input.ticket);
}

// As it will be when everything that is on its way is durable, with one more decision of a person:
// a record replaces the one before it.
ParticipantRecord Machine::Impl::decided_record(ParticipantNumber number,
                                                const std::string& decision,
                                                const std::string& why) {
    constexpr std::size_t kDecisionsMax = 100;  // they are in every checkpoint
    ParticipantRecord record = directory_.records().at(number);
    for (const auto& [token, forcing] : forcing_) {
        auto* pending = std::get_if<ParticipantRecord>(&forcing.record);
        if (pending != nullptr && pending->number == number) record = *pending;
    }
    if (record.decisions.size() >= kDecisionsMax) record.decisions.erase(record.decisions.begin());
    record.decisions.push_back(decision + " by an operator: " + why);
    return record;
}

// From now on abort is never presumed at or below this id there.
void Machine::Impl::give_up(ParticipantNumber number, protocol::IdPosition newest) {
    auto known = given_up_.find(number);
    if (known != given_up_.end() && known->second >= newest) return;
    force(protocol::GivenUpRecord{number, newest});
}

void Machine::Impl::handle(Acknowledge& input) {
    if (acknowledged_.contains(input.txn) && !input.reason.empty()) {  // the same again
        Answer known = answer_forgotten(input.txn);
        known.ticket = input.ticket;
        known.kind = AnswerKind::done;
        emit(std::move(known));
        return;
    }
    Transaction* txn = find_as_seen(input.ticket, input.txn, input.version, input.reason);
    if (txn == nullptr) return;
    if (txn->state != TransactionState::heuristic) {
        answer(input.ticket,
               AnswerKind::wrong_state,
               *txn,
               make_reason(reason::kBadRequest,
                           "the transaction is " + std::string(to_string(txn->state)) +
                               ": only one that ended as heuristic is acknowledged"));
        return;
    }
    // Later only the outcome is remembered, and then nothing: abort must not be presumed of it.
    for (const Branch& branch : txn->branches) {
        if (branch.state == BranchState::heuristic) give_up(branch.at->number, txn->position);
    }
    force(protocol::AcknowledgedRecord{txn->id, word_of(input.reason)},
          {txn->position, 0, 0},
          input.ticket);
}

// Its outcome is still told to whoever asks; its report goes.
void Machine::Impl::acknowledgement_recorded(const protocol::AcknowledgedRecord& record,
                                             Ticket ticket) {
    Transaction* txn = find(record.txn);
    if (txn == nullptr) {  // two persons at once
        Answer known = answer_forgotten(record.txn);
        known.ticket = ticket;
        known.kind = AnswerKind::done;
        emit(std::move(known));
        return;
    }
    RecoveredState saved;
    save_transaction(*txn, saved);
    old_heuristic_.merge(saved.heuristic);
    old_branch_outcomes_.merge(saved.branch_outcomes);
    acknowledged_[txn->id] = record.reason;
    // Who still holds a branch of it is told of anew.
    std::erase_if(alarmed_branches_,
                  [&](const auto& told) { return told.first.group == record.txn; });
    answer(ticket, AnswerKind::done, *txn);
    emit(Changed{txn->id, ++txn->version, {}, true});
    erase(*txn);
}

void Machine::Impl::forget_acknowledged() {
    std::erase_if(acknowledged_, [this](const auto& entry) {
        if (entry.first.position() >= outcomes_.horizon()) return false;
        old_heuristic_.erase(entry.first);
        old_branch_outcomes_.erase(entry.first);
        return true;
    });
}

// ---- participants ---------------------------------------------------------------------

// nullptr: it was answered.
const ParticipantRecord* Machine::Impl::find_record(Ticket ticket,
                                                    ParticipantNumber number,
                                                    const std::string& why) {
    if (refuse_reason(ticket, why)) return nullptr;
    auto found = directory_.records().find(number);
    if (found != directory_.records().end()) return &found->second;
    answer_plain(ticket,
                 AnswerKind::not_found,
                 make_reason(reason::kBadRequest, "this participant does not exist"));
    return nullptr;
}

// Not a counter: it must mean the same after a restart, and nothing that is of no interest may
// change it.
std::optional<Machine::ParticipantView> Machine::Impl::look_at(ParticipantNumber number) const {
    auto record = directory_.records().find(number);
    if (record == directory_.records().end()) return std::nullopt;
    const Participant& participant = *directory_.find(number);
    ParticipantView view;
    view.enlisted = record->second.identity;
    view.mismatched = participant.mismatched;
    base::Bytes bytes;
    base::ByteWriter out(bytes);
    out.string(view.enlisted.text());
    bool is_other = participant.mismatched && participant.found;
    out.string(is_other ? participant.found->identity.text() : "");
    out.raw(is_other ? participant.found->uuid.bytes : record->second.uuid.bytes);
    out.u8(record->second.retired ? 1 : 0);
    out.u8(participant.went_back ? 1 : 0);
    out.u32(refused_ ? refused_->epoch : 0);
    out.u64(refused_ ? refused_->position : 0);
    for (const auto& [position, count] : participant.outstanding) {
        out.u32(position.epoch);
        out.u64(position.sequence);
        out.u32(count);
        view.unfinished += count;
    }
    view.version = (std::uint64_t{view.unfinished} << 32U) | base::crc32c(bytes);
    return view;
}

bool Machine::Impl::refuse_changed(Ticket ticket, ParticipantNumber number, std::uint64_t version) {
    std::uint64_t now = look_at(number)->version;
    if (now == version) return false;
    answer_plain(ticket,
                 AnswerKind::changed,
                 make_reason(reason::kBadRequest,
                             "what is at stake at " + directory_.name_of(number) +
                                 " has changed since version " + std::to_string(version) +
                                 ": look at version " + std::to_string(now)));
    return true;
}

void Machine::Impl::handle(RetireParticipant& input) {
    const ParticipantRecord* record = find_record(input.ticket, input.participant, input.reason);
    if (record == nullptr) return;
    for (const BranchRef& ref : outstanding_at(input.participant)) {
        if (find(ref.position)->state != TransactionState::proposing) continue;
        answer_plain(input.ticket,
                     AnswerKind::wrong_state,
                     make_reason(reason::kUnavailable,
                                 "a commit decision with a branch there is being forced: again"));
        return;
    }
    if (record->retired) {
        answer_plain(input.ticket, AnswerKind::done, {});
        return;
    }
    if (refuse_changed(input.ticket, input.participant, input.version)) return;
    if (input.dry_run) {
        answer_plain(input.ticket, AnswerKind::done, {});
        return;
    }
    directory_.at(input.participant).retiring = true;
    give_up(input.participant, next_position());
    ParticipantRecord retired = decided_record(input.participant, "retired", input.reason);
    retired.retired = true;
    give_up_branches(input.participant, input.reason);
    force(std::move(retired), {}, input.ticket);
}

// What is undecided is aborted. How any branch there ended, or will, can be proved by nobody.
void Machine::Impl::give_up_branches(ParticipantNumber number, const std::string& why) {
    protocol::Reason abort = make_reason(
        reason::kUnavailable, "participant " + directory_.name_of(number) + " was retired");
    for (protocol::IdPosition position : slots_.waiting_at(number)) {
        decide_abort(*find(position), abort, 0);
    }
    for (const BranchRef& ref : outstanding_at(number)) {
        Transaction* txn = find(ref.position);
        Branch* branch = find_branch(*txn, ref.branch, ref.attempt);
        if (branch->state == BranchState::one_phase) {
            settle(*txn, *branch, abort);
        } else if (!can_be_resolved(branch->state) && branch->state != BranchState::recording) {
            decide_abort(*txn, abort, ref.branch);
        }
    }
    for (const BranchRef& ref : outstanding_at(number)) {
        Transaction* txn = find(ref.position);
        Branch* branch = find_branch(*txn, ref.branch, ref.attempt);
        if (branch->state == BranchState::recording) continue;
        branch->outcome = Outcome::heuristic_hazard;
        branch->by_operator = true;
        branch->evidence = word_of("the participant was retired: " + why);
        force_outcome(*txn, *branch, {});
    }
}

void Machine::Impl::handle(RebindParticipant& input) {
    const ParticipantRecord* record = find_record(input.ticket, input.participant, input.reason);
    if (record == nullptr) return;
    auto refuse = [&](std::string message) {
        answer_plain(input.ticket,
                     AnswerKind::wrong_state,
                     make_reason(reason::kBadRequest, std::move(message)));
    };
    Participant& participant = directory_.at(input.participant);
    if (record->retired || participant.retiring) return refuse("the participant is retired");
    if (!participant.mismatched || !participant.found) {
        return refuse("no other database answers there: nothing has to be accepted");
    }
    if (participant.found->uuid != record->uuid) {
        return refuse("participant " + participant.found->uuid.text() +
                      " answers there: another one, not this one with another database. Correct "
                      "its address");
    }
    std::size_t open = outstanding_at(input.participant).size();
    if (open > 0) {
        return refuse(std::to_string(open) +
                      " unfinished branches belong to the former database: resolve each of them "
                      "first");
    }
    if (refuse_changed(input.ticket, input.participant, input.version)) return;
    if (input.dry_run) {
        answer_plain(input.ticket, AnswerKind::done, {});
        return;
    }
    give_up(input.participant, next_position());
    // The other database counts its positions for itself. At once: a checkpoint that comes before
    // the rest is durable follows this record.
    participant.forget_position();
    emit(Append{protocol::PositionRecord{input.participant, {}}});
    ParticipantRecord bound = decided_record(input.participant, "rebound", input.reason);
    bound.identity = participant.found->identity;
    force(std::move(bound), {}, input.ticket);
}

}  // namespace twofold::coordinator
