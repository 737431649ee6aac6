// Who is there, under which identity, and who is not.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ParticipantNumber;
using protocol::ParticipantRecord;
namespace reason = protocol::reason;

void Machine::Impl::handle(ParticipantSeen& input) {
    Participant* participant = directory_.find(input.number);
    if (participant == nullptr) return;
    const protocol::ParticipantInfo& info = input.info;
    const Enlistment& at = *participant->enlistment;
    bool same = info.uuid == at.uuid && info.identity == at.identity;
    if (!same && !config_.sabotage.skip_identity_check) {
        participant->found = Enlistment{input.number, info.uuid, info.identity};
        if (std::exchange(participant->mismatched, true)) {
            offer_over(input.number);  // an answer had said so before it was seen
            return;
        }
        alarm("identity_mismatch",
              {},
              input.number,
              directory_.name_of(input.number) + ": enlisted was " + at.identity.text() + " (" +
                  at.uuid.text() + "), found " + info.identity.text() + " (" + info.uuid.text() +
                  ")");
        identity_changed(input.number, *participant);
        offer_over(input.number);  // what it has heard, it has not heard there
        return;
    }
    participant->seen = true;
    participant->reachable = true;
    participant->one_phase = info.one_phase;
    participant->keys = info.keys;
    participant->read_only = info.read_only;
    participant->exclusive = info.exclusive;
    participant->position = std::max(participant->position, info.position);
    // Its epochs are kept in its database: a recovery to an earlier time shows by them alone.
    if (info.epoch < input.known_epoch) went_back(input.number, {});
    if (info.epoch > participant->epoch) {
        participant->epoch = info.epoch;
        lost_sessions(input.number, info.epoch);
    }
    slots_.set_capacity(input.number, info.exclusive ? 1 : info.slots);
    if (participant->mismatched) identity_restored(input.number, *participant);
    // It is there: whoever waits for it need not wait for a timer.
    for (const BranchRef& ref : std::set<BranchRef>(participant->sleeping)) {
        Transaction* txn = find(ref.position);
        Branch* branch = txn != nullptr ? find_branch(*txn, ref.branch, ref.attempt) : nullptr;
        if (branch == nullptr || branch->retry_timer.value == 0) continue;
        branch->delay = config_.retry_min;
        wake(*txn, *branch);
    }
    // Idle or not, it hears our marks, and we hear when somebody newer has spoken there.
    offer(input.number, false);
}

std::uint32_t Machine::Impl::participant_epoch(ParticipantNumber number) const {
    const Participant* participant = directory_.find(number);
    return participant != nullptr ? participant->epoch : 0;
}

// New work would only wait for its deadline and hold other participants' slots meanwhile.
void Machine::Impl::handle(ParticipantLost& input) {
    Participant* participant = directory_.find(input.number);
    if (participant == nullptr) return;
    participant->reachable = false;
    for (protocol::IdPosition position : slots_.waiting_at(input.number)) {
        Transaction* txn = find(position);
        TWOFOLD_ASSERT(txn != nullptr, "who waits for slots is in memory");
        std::uint16_t blamed = 0;
        for (const Branch& branch : txn->branches) {
            if (branch.at->number == input.number) blamed = branch.branch;
        }
        decide_abort(*txn,
                     make_reason(reason::kUnavailable,
                                 "participant " + directory_.name_of(input.number) +
                                     " cannot be reached: " + input.why),
                     blamed);
    }
    offer_over(input.number);
}

void Machine::Impl::handle(RegisterParticipant& input) {
    const ParticipantRecord* known = directory_.find_by_uuid(input.uuid);
    for (const auto& [token, forcing] : forcing_) {
        auto* pending = std::get_if<ParticipantRecord>(&forcing.record);
        if (pending != nullptr && pending->uuid == input.uuid) return;  // it is on its way
    }
    ParticipantRecord record;
    record.uuid = input.uuid;
    record.name = input.name;
    record.identity = input.identity;
    if (known == nullptr) {
        auto number = directory_.next_number();
        // Numbers that are being forced are taken, too.
        for (const auto& [token, forcing] : forcing_) {
            auto* pending = std::get_if<ParticipantRecord>(&forcing.record);
            if (pending == nullptr || !number || pending->number < *number) continue;
            if (pending->number.value == 0xffff)
                number.reset();
            else
                number->value = static_cast<std::uint16_t>(pending->number.value + 1);
        }
        if (!number) {
            alarm("directory_full", {}, {}, "all participant numbers are taken");
            return;
        }
        record.number = *number;
        // The log may be a copy from before it was registered: it has a say, too.
        if (!may_presume()) offers_.emplace(*number, 0);
    } else if (known->identity != input.identity && !config_.sabotage.skip_identity_check) {
        Participant& participant = directory_.at(known->number);
        participant.found = Enlistment{known->number, input.uuid, input.identity};
        if (std::exchange(participant.mismatched, true)) return;
        alarm("identity_mismatch",
              {},
              known->number,
              known->name + ": registered was " + known->identity.text() + ", found " +
                  input.identity.text());
        identity_changed(known->number, participant);
        offer_over(known->number);
        return;
    } else if (known->name == input.name) {
        emit(ParticipantRegistered{known->uuid, known->number});
        return;
    } else {
        record.number = known->number;
        record.retired = known->retired;
        record.decisions = known->decisions;
    }
    force(std::move(record));
}

void Machine::Impl::participant_recorded(const ParticipantRecord& record) {
    const Participant* known = directory_.find(record.number);
    bool bound = known != nullptr && known->enlistment->identity != record.identity;
    directory_.put(record);
    if (record.retired) offer_over(record.number);
    Participant& participant = directory_.at(record.number);
    participant.retiring = false;
    if (bound) {  // a person accepted the other database: its positions are another's
        participant.mismatched = false;
        participant.went_back = false;
        participant.found.reset();
        participant.forget_position();
        participant.epoch = 0;
    }
    emit(ParticipantRegistered{record.uuid, record.number});
}

// ---- when a participant is not who or what it was -------------------------------------

std::vector<BranchRef> Machine::Impl::outstanding_at(ParticipantNumber number) {
    std::vector<BranchRef> out;
    for (const auto& [position, count] : directory_.at(number).outstanding) {
        Transaction* txn = find(position);
        TWOFOLD_ASSERT(txn != nullptr, "what is outstanding is in memory");
        for (const Branch& branch : txn->branches) {
            if (branch.at->number == number && is_outstanding(branch.state)) {
                out.push_back({position, branch.branch, branch.attempt});
            }
        }
    }
    return out;
}

// Another database answers: nothing may be sent there. What is undecided is aborted; what is
// decided waits for the right database or a person.
void Machine::Impl::identity_changed(ParticipantNumber number, Participant& participant) {
    TWOFOLD_ASSERT(participant.mismatched, "set before: it keeps decisions from being sent");
    for (const BranchRef& ref : outstanding_at(number)) {
        Transaction* txn = find(ref.position);
        Branch* branch = find_branch(*txn, ref.branch, ref.attempt);
        switch (branch->state) {
            case BranchState::enlisted:
            case BranchState::preparing:
            case BranchState::yes:
                // While the commit decision is being forced nothing can be decided: it is parked
                // when the log has answered.
                if (txn->state == TransactionState::proposing) break;
                decide_abort(*txn,
                             make_reason(reason::kIdentityMismatch,
                                         "another database answers for participant " +
                                             directory_.name_of(number)),
                             ref.branch);
                break;
            case BranchState::one_phase:
                settle(*txn,
                       *branch,
                       make_reason(reason::kIdentityMismatch,
                                   "another database answers for the participant"));
                break;
            case BranchState::settling:
            case BranchState::committing:
            case BranchState::aborting:
                park(*txn, *branch, ParkedBecause::identity, "another database answers");
                break;
            default: break;
        }
    }
    // Nobody will be sent there; who waits for its slots waits for nothing.
    for (protocol::IdPosition position : slots_.waiting_at(number)) {
        decide_abort(
            *find(position),
            make_reason(reason::kIdentityMismatch,
                        "another database answers for participant " + directory_.name_of(number)),
            0);
    }
}

void Machine::Impl::identity_restored(ParticipantNumber number, Participant& participant) {
    participant.mismatched = false;
    for (const BranchRef& ref : outstanding_at(number)) {
        Transaction* txn = find(ref.position);
        resume(*txn, *find_branch(*txn, ref.branch, ref.attempt));
    }
}

// The participant restarted: what interactive branches had executed there is gone.
void Machine::Impl::lost_sessions(ParticipantNumber number, std::uint32_t epoch) {
    for (const BranchRef& ref : outstanding_at(number)) {
        Transaction* txn = find(ref.position);
        const Branch* branch = find_branch(*txn, ref.branch, ref.attempt);
        if (branch->state != BranchState::enlisted || branch->participant_epoch >= epoch) continue;
        decide_abort(*txn,
                     make_reason(reason::kBranchLost,
                                 "participant " + directory_.name_of(number) +
                                     " restarted: the branch's work is lost"),
                     ref.branch);
    }
}

}  // namespace twofold::coordinator
