// A start shows itself. Before it presumes anything about what former starts left (an abort that no
// record names), every participant that can be reached has made this start durable, so that no
// older one is obeyed there any more, and has had the chance to say that our log is not what it
// was: restored from a copy, it no longer knows what was decided after the copy was made, and what
// it would call aborted may be committed elsewhere.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ParticipantNumber;
using protocol::SenderStamp;
namespace reason = protocol::reason;

bool refuses_our_start(std::string_view code) {
    return code == reason::kStaleSender || code == reason::kSenderConflict ||
           code == reason::kLogWentBack;
}

// They are offered our start when they are seen. At the first start nothing was left by former
// ones.
void Machine::Impl::await_offers() {
    if (epochs_.begin()->first >= epoch_) return;
    // A copy of the log may be older than a participant: who is not known is found by its address.
    offers_.emplace(kAddresses, 0);
    for (const auto& [number, record] : directory_.records()) {
        if (!record.retired) offers_.emplace(number, 0);
    }
}

void Machine::Impl::offer(ParticipantNumber number, bool wait) {
    std::uint64_t id = ++last_offer_;
    auto awaited = offers_.find(number);
    // The first one's answer is awaited: looks may come more often than offers end.
    if (awaited != offers_.end()) {
        if (awaited->second == 0) awaited->second = id;
    } else if (wait) {
        offers_.emplace(number, id);
    }
    emit(Offer{number, id});
}

void Machine::Impl::handle(OfferAnswered& input) {
    const Participant* participant = directory_.find(input.participant);
    if (participant == nullptr) return;
    if (input.reply.has_value()) {
        const protocol::OfferReply& reply = *input.reply;
        const Enlistment& at = *participant->enlistment;
        bool ours = reply.participant == at.uuid && reply.identity == at.identity;
        if (ours && !reply.accepted && refuses_our_start(reply.reason.code)) {
            stop({}, input.participant, reply.reason, reply.known);
            return;
        }
    }
    auto awaited = offers_.find(input.participant);
    if (awaited != offers_.end() && input.offer >= awaited->second) offer_over(input.participant);
}

// It has accepted us, or cannot be asked now.
void Machine::Impl::offer_over(ParticipantNumber number) {
    if (offers_.erase(number) == 0 || !offers_.empty()) return;
    std::vector<protocol::IdPosition> held;
    for (const auto& [position, txn] : transactions_) {
        if (txn->recovered && txn->state == TransactionState::aborting) held.push_back(position);
    }
    for (protocol::IdPosition position : held) {
        Transaction& txn = *find(position);
        for (Branch& branch : txn.branches) {
            if (branch.state == BranchState::aborting && branch.retry_timer.value == 0) {
                drive(txn, branch);
            }
        }
        answer_ready_waiters(txn);
        finish_if_done(txn);
    }
    for (Inquire& inquiry : std::exchange(held_inquiries_, {})) handle(inquiry);
    for (auto& work : std::exchange(held_work_, {})) {
        std::visit([this](auto& request) { handle(request); }, work);
    }
}

// True: new work waits, or was answered because too much of it does. What it would do under a log
// that went back nobody could finish, and its keys may have been used before.
bool Machine::Impl::held(std::variant<SubmitOneShot, Begin> input) {
    if (may_presume()) return false;
    if (held_work_.size() < config_.transactions_max) {
        held_work_.push_back(std::move(input));
    } else {
        Ticket ticket = std::visit([](const auto& request) { return request.ticket; }, input);
        answer_plain(ticket, AnswerKind::overloaded, not_ready());
    }
    return true;
}

protocol::Reason Machine::Impl::not_ready() const {
    if (is_stopped()) return stopped_;
    if (may_presume()) return {};
    protocol::ParticipantNumber awaited = offers_.rbegin()->first;
    std::string whom = awaited == kAddresses ? "whoever answers at the configured addresses"
                                             : "participant " + directory_.name_of(awaited);
    return make_reason(reason::kNotReady,
                       "the coordinator has just started and shows itself to " + whom +
                           " before it concludes anything from its log; ask again soon");
}

// Aborted because the log says nothing else, or only that it was being prepared.
bool Machine::Impl::is_presumed(const Transaction& txn) const {
    return txn.recovered && txn.state == TransactionState::aborting && !may_presume();
}

// ---- signs that the log went back ----------------------------------------------------

// What a participant says that it has heard of us. Anybody can claim that: it is asked whether it
// still accepts us, and only its refusal counts.
void Machine::Impl::note_known_senders(const protocol::InquiryRequest& request) {
    const protocol::ParticipantRecord* record = directory_.find_by_uuid(request.participant);
    bool doubtful = std::ranges::any_of(
        request.senders, [this](const SenderStamp& known) { return contradicts_us(known); });
    if (record == nullptr && doubtful) {
        protocol::BranchKey about;
        if (!request.items.empty()) about = request.items.front().key;
        alarm_in_doubt("log_went_back",
                       about,
                       {},
                       "a participant that this log does not know has heard more of it than it "
                       "holds: was it restored? Enter the participant into the configuration");
    }
    if (record == nullptr || record->identity != request.identity || record->retired) return;
    if (doubtful && !offers_.contains(record->number)) offer(record->number, true);
}

bool Machine::Impl::contradicts_us(const SenderStamp& known) const {
    if (known.incarnation != incarnation_) return false;
    if (known.epoch > epoch_) return true;
    bool is_position_unread =
        config_.start_position != 0 && known.position > stamp(0).start_position;
    if (known.epoch == epoch_) {
        // Told by a former start, if it has not noted one of ours.
        if (known.start_nonce == 0 && is_position_unread) return true;
        bool both = known.start_nonce != 0 && config_.start_nonce != 0;
        return both && known.start_nonce != config_.start_nonce;
    }
    return is_position_unread;
}

}  // namespace twofold::coordinator
