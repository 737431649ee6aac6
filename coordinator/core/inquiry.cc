// What participants in doubt are told. A wrong answer here breaks atomicity with nobody watching,
// so every row that is not proved is "cannot tell" or "expired", and never "abort".
#include "base/planted_bug.h"
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
    // A stopped start says nothing that counts, and must not be the newest that was heard: the
    // right log, put back, has an older one. The first start of all is newer than nobody.
    reply.sender = is_stopped() ? protocol::SenderStamp{incarnation_, 1, 0, 0, 0} : stamp(0);
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
        alarm_in_doubt(
            "log_went_back",
            item.key,
            number,
            "a participant holds a branch that this log knows nothing of: was it restored?");
        return answer;
    }
    if (id.participant().value != 0) return answer;  // one-phase: its own witness decides
    bool same_identity = known != nullptr && known->identity == request.identity;
    if (!same_identity && !config_.sabotage.skip_identity_check) {
        alarm_in_doubt("identity_mismatch",
                       item.key,
                       number,
                       "another database asks in this participant's name");
        return answer;
    }
    // What is kept by positions is of the ids of this log, and of no others.
    bool is_known = issued_here(id) && (outcomes_.is_committed(id.position()) ||
                                        keys_.abort_reason(id.position()) != nullptr);
    if (may_be_lost(id) && !is_known) {
        answer.answer = answer_lost(item.key, number);
    } else if (ended_before) {
        alarm_finished(item.key, number);
        answer.answer = InquiryAnswer::expired;
    } else {
        answer.answer = answer_unknown(request, number, item.key);
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

// That the branch has ended oddly is in the log, or on its way: on a person's word, or on its
// participant's own. nullptr: it is not so.
const Branch* ended_oddly(const Transaction& txn,
                          const protocol::ParticipantUuid& asking,
                          const protocol::BranchKey& key) {
    for (const Branch& branch : txn.branches) {
        bool is_asked = branch.branch == key.branch && branch.attempt == key.attempt &&
                        branch.at->uuid == asking;
        bool is_odd =
            branch.state == BranchState::recording || branch.state == BranchState::heuristic;
        if (is_asked && is_odd) return &branch;
    }
    return nullptr;
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
    // Somebody may have acted on what the log says of it: the decision is not told over that.
    if (const Branch* odd = ended_oddly(txn, request.participant, item.key)) {
        alarm_in_doubt("resolved_branch_in_doubt",
                       item.key,
                       odd->at->number,
                       "branch " + std::to_string(odd->branch) + " is still prepared at " +
                           directory_.name_of(odd->at->number) + ", but recorded as " +
                           std::string(to_string(odd->outcome)) + " (" + odd->evidence +
                           "): it is not told the decision; a person must end it there");
        answer.answer = InquiryAnswer::expired;
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
            alarm_in_doubt("identity_mismatch",
                           item.key,
                           branch.at->number,
                           "another database asks for a branch that is to be committed");
            return answer;
        }
        answer.answer = InquiryAnswer::commit;
        answer.proof = branch.proof;
        return answer;
    }
    // A replaced attempt, or one that never voted: the decision does not name it.
    answer.answer = TWOFOLD_PLANTED_BUG("coordinator.commit_for_any_branch") ? InquiryAnswer::commit
                                                                             : InquiryAnswer::abort;
    return answer;
}

// Once for each branch and code: its participant asks again and again.
void Machine::Impl::alarm_in_doubt(std::string_view code,
                                   const protocol::BranchKey& key,
                                   ParticipantNumber number,
                                   std::string text) {
    constexpr std::size_t kBranchesMax = 10'000;
    if (alarmed_branches_.size() >= kBranchesMax) alarmed_branches_.clear();
    if (!alarmed_branches_.insert({key, std::string(code)}).second) return;
    alarm(code, key.group, number, std::move(text));
}

void Machine::Impl::alarm_finished(const protocol::BranchKey& key, ParticipantNumber number) {
    alarm_in_doubt(
        "finished_branch_in_doubt",
        key,
        number,
        "a participant holds a branch that it had acknowledged: was its database restored?");
}

// Of an id that was issued here and is not in memory. Commit decisions that are not acknowledged by
// everybody are in memory, below the horizon too. So a branch in doubt is one of an abort, or comes
// from a copy of a database that is older than its own acknowledgement.
InquiryAnswer Machine::Impl::answer_unknown(const InquiryRequest& request,
                                            ParticipantNumber number,
                                            const protocol::BranchKey& key) {
    const TxnId& id = key.group;
    protocol::IdPosition position = id.position();
    if (outcomes_.is_committed(position) || old_heuristic_.contains(id)) {
        alarm_finished(key, number);
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
    alarm_in_doubt("expired_branch_in_doubt",
                   key,
                   number,
                   "a participant holds a branch whose outcome is no longer remembered");
    return InquiryAnswer::expired;
}

}  // namespace twofold::coordinator
