// What participants in doubt are told. A wrong answer here breaks atomicity with nobody watching,
// so every row that is not proved is "cannot tell" or "expired", and never "abort".
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::Decision;
using protocol::InquiryAnswer;
using protocol::InquiryAnswerItem;
using protocol::InquiryItem;
using protocol::InquiryRequest;
using protocol::ParticipantNumber;
using protocol::TxnId;

void Machine::Impl::handle(Inquire& input) {
    if (!is_stopped()) {
        note_known_senders(input.request);
        // The answers may depend on what nobody may presume yet.
        if (!may_presume() && asks_about_former_starts(input.request)) {
            input.request.senders.clear();  // looked at once
            held_inquiries_.push_back(std::move(input));
            return;
        }
    }
    protocol::InquiryReply reply;
    reply.sender = stamp(0);
    reply.items.reserve(input.request.items.size());
    for (const InquiryItem& item : input.request.items) {
        if (is_stopped()) {
            reply.items.push_back({item.key, InquiryAnswer::cannot_tell, std::nullopt});
        } else {
            reply.items.push_back(answer_inquiry(input.request, item));
        }
    }
    emit(AnswerInquiry{input.ticket, std::move(reply)});
}

bool Machine::Impl::asks_about_former_starts(const InquiryRequest& request) const {
    return std::ranges::any_of(request.items, [this](const InquiryItem& item) {
        const TxnId& id = item.key.group;
        return id.incarnation() == incarnation_ && id.epoch() != id_epoch_;
    });
}

InquiryAnswerItem Machine::Impl::answer_inquiry(const InquiryRequest& request,
                                                const InquiryItem& item) {
    InquiryAnswerItem answer{item.key, InquiryAnswer::cannot_tell, std::nullopt};
    const TxnId& id = item.key.group;
    if (id.incarnation() != incarnation_) return answer;
    const protocol::ParticipantRecord* known = directory_.find_by_uuid(request.participant);
    ParticipantNumber number = known != nullptr ? known->number : ParticipantNumber{};
    // Of one that ended oddly before this start only the outcome is known, not who was to commit.
    const Transaction* txn = find(id);
    bool ended_before = txn != nullptr && txn->ended_as.has_value();
    if (txn != nullptr && !ended_before) return answer_known(*txn, request, item);

    bool later_than_us = id.epoch() > epoch_;
    bool never_issued = id.epoch() == id_epoch_ && id.sequence() >= next_sequence_;
    if (later_than_us || never_issued || !(issued_here(id) || may_be_lost(id))) {
        // It holds an id of our incarnation that we cannot have made: our log is older than that.
        alarm("log_went_back",
              id,
              number,
              "a participant holds a branch that this log knows nothing of: was it restored?");
        return answer;
    }
    if (id.participant().value != 0) return answer;  // one-phase: its own witness decides
    bool same_identity = known != nullptr && known->identity == request.identity;
    if (!same_identity && !config_.sabotage.skip_identity_check) {
        alarm("identity_mismatch", id, number, "another database asks in this participant's name");
        return answer;
    }
    // What is kept by positions is of the ids of this log, and of no others.
    bool is_known = issued_here(id) && (outcomes_.is_committed(id.position()) ||
                                        keys_.abort_reason(id.position()) != nullptr);
    if (may_be_lost(id) && !is_known) {
        answer.answer = answer_lost(item.key, number);
    } else if (ended_before) {
        alarm_finished(id, number);
        answer.answer = InquiryAnswer::expired;
    } else {
        answer.answer = answer_unknown(request, number, id);
    }
    return answer;
}

namespace {

// The database that asks is not an older copy of the one that we knew when the horizon was moved;
// what that position does not cover was given up then. Positions compare within one timeline only.
bool is_not_restored(const Participant& participant, const protocol::Position& asking) {
    const protocol::Position& known = participant.position;
    if (known == protocol::Position{}) return false;
    return asking.timeline == known.timeline && asking >= known;
}

}  // namespace

InquiryAnswerItem Machine::Impl::answer_known(const Transaction& txn,
                                              const InquiryRequest& request,
                                              const InquiryItem& item) {
    InquiryAnswerItem answer{item.key, InquiryAnswer::cannot_tell, std::nullopt};
    if (txn.id.participant().value != 0) return answer;
    if (is_undecided(txn.state)) {
        answer.answer = config_.sabotage.inquiry_abort_while_active ? InquiryAnswer::abort
                                                                    : InquiryAnswer::still_active;
        return answer;
    }
    if (txn.decision != Decision::commit) {
        answer.answer = InquiryAnswer::abort;
        return answer;
    }
    for (const Branch& branch : txn.branches) {
        if (branch.branch != item.key.branch || branch.attempt != item.key.attempt) continue;
        if (!branch.in_decision || branch.at->uuid != request.participant) continue;
        if (branch.at->identity != request.identity && !config_.sabotage.skip_identity_check) {
            alarm("identity_mismatch",
                  txn.id,
                  branch.at->number,
                  "another database asks for a branch that is to be committed");
            return answer;
        }
        answer.answer = InquiryAnswer::commit;
        answer.proof = branch.proof;
        return answer;
    }
    // A replaced attempt, or one that never voted: the decision does not name it.
    answer.answer = InquiryAnswer::abort;
    return answer;
}

void Machine::Impl::alarm_finished(const TxnId& id, ParticipantNumber number) {
    alarm("finished_branch_in_doubt",
          id,
          number,
          "a participant holds a branch that it had acknowledged: was its database restored?");
}

// Of an id that was issued here and is not in memory. Commit decisions that are not acknowledged by
// everybody are in memory, below the horizon too. So a branch in doubt is one of an abort, or comes
// from a copy of a database that is older than its own acknowledgement.
InquiryAnswer Machine::Impl::answer_unknown(const InquiryRequest& request,
                                            ParticipantNumber number,
                                            const TxnId& id) {
    protocol::IdPosition position = id.position();
    if (outcomes_.is_committed(position) || old_heuristic_.contains(id)) {
        alarm_finished(id, number);
        return InquiryAnswer::expired;
    }
    bool below = position < outcomes_.horizon();
    if (below && config_.sabotage.inquiry_abort_below_horizon) return InquiryAnswer::abort;
    auto given_up = given_up_.find(number);
    bool is_given_up = given_up != given_up_.end() && position <= given_up->second;
    const Participant* asking = directory_.find(number);
    if (asking != nullptr && asking->went_back) return InquiryAnswer::cannot_tell;
    // Presumed: no commit decision exists, and none can be made any more.
    if (!below && !is_given_up) return InquiryAnswer::abort;
    bool proved = asking != nullptr && is_not_restored(*asking, request.position);
    if (proved && !is_given_up) return InquiryAnswer::abort;
    alarm("expired_branch_in_doubt",
          id,
          number,
          "a participant holds a branch whose outcome is no longer remembered");
    return InquiryAnswer::expired;
}

}  // namespace twofold::coordinator
