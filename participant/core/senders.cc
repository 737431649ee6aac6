// Who may speak: the fence's judgement of a sender, and what follows from it.
#include "base/assert.h"
#include "participant/core/machine_impl.h"

#include <utility>

namespace twofold::participant {

using protocol::ItemOp;

namespace {

struct IncarnationOf {
    protocol::Incarnation operator()(const ItemReceived& i) const { return i.sender.incarnation; }
    protocol::Incarnation operator()(const SenderSeen& i) const { return i.sender.incarnation; }
    protocol::Incarnation operator()(const InquiryAnswered& i) const {
        return i.reply.sender.incarnation;
    }
    protocol::Incarnation operator()(const ExecuteReceived& i) const {
        return i.key.group.incarnation();
    }
};

}  // namespace

// accepted, wait, or why not.
Fence::Admission Machine::Impl::admit(const protocol::SenderStamp& sender) {
    Fence::Admission admission = fence_.admit(sender);
    switch (admission) {
        case Fence::Admission::accepted:
        case Fence::Admission::wait: return admission;
        case Fence::Admission::persist:
            emit(PersistSender{fence_.newest(sender.incarnation)});
            return Fence::Admission::wait;
        case Fence::Admission::stale:
            if (config_.sabotage.accept_stale_sender) return Fence::Admission::accepted;
            return admission;
        case Fence::Admission::conflict:
        case Fence::Admission::went_back:
            if (config_.sabotage.accept_copied_log) return Fence::Admission::accepted;
            alarm_copied_log(sender, admission);
            return admission;
    }
    TWOFOLD_UNREACHABLE("admission");
}

protocol::Reason Machine::Impl::why_refused(Fence::Admission admission) {
    switch (admission) {
        case Fence::Admission::stale:
            return make_reason(protocol::reason::kStaleSender,
                               "a newer process of this coordinator has spoken");
        case Fence::Admission::conflict:
            return make_reason(protocol::reason::kSenderConflict,
                               "another start of this coordinator has spoken under the same epoch: "
                               "one of the two runs on a copy of the log");
        case Fence::Admission::went_back:
            return make_reason(protocol::reason::kLogWentBack,
                               "the log of this coordinator ends before what an earlier start of "
                               "it has told: it was restored from a copy");
        default: TWOFOLD_UNREACHABLE("not a refusal");
    }
}

// Once for each start; no more than a person can look at.
void Machine::Impl::alarm_copied_log(const protocol::SenderStamp& sender,
                                     Fence::Admission admission) {
    constexpr std::size_t kStartsMax = 1'000;
    if (alarmed_senders_.size() >= kStartsMax) return;
    if (!alarmed_senders_.insert({sender.incarnation, sender.epoch, sender.start_nonce}).second) {
        return;
    }
    protocol::SenderStamp newest = fence_.newest(sender.incarnation);
    protocol::Reason why = why_refused(admission);
    emit(RaiseAlarm{why.code,
                    {},
                    why.message + " (coordinator " + sender.incarnation.text() + ", epoch " +
                        std::to_string(sender.epoch) + ", its log was read up to " +
                        std::to_string(sender.start_position) + "; heard before: epoch " +
                        std::to_string(newest.epoch) + ", position " +
                        std::to_string(newest.position) + ")"});
}

void Machine::Impl::wait_in_fence(Fence::Waiting input) {
    protocol::Incarnation incarnation = std::visit(IncarnationOf{}, input);
    if (!fence_.has_room(incarnation)) return refuse_waiting(input, {});
    fence_.wait(incarnation, std::move(input));
}

void Machine::Impl::refuse_waiting(const Fence::Waiting& input, const protocol::Reason& why) {
    protocol::Reason plain = make_reason(protocol::reason::kNotReady,
                                         "the coordinator's start could not be made durable");
    if (const auto* item = std::get_if<ItemReceived>(&input)) {
        // Decisions and one-phase work must stay unknown, whatever it was.
        bool is_plain_work =
            item->item.op == ItemOp::execute_prepare || item->item.op == ItemOp::prepare;
        const protocol::Reason& said = is_plain_work && !why.empty() ? why : plain;
        refuse(*item, said.code, said.message);
    } else if (const auto* offer = std::get_if<SenderSeen>(&input)) {
        answer_offer(*offer, std::move(plain));
    } else if (const auto* execute = std::get_if<ExecuteReceived>(&input)) {
        reply_execute(execute->ticket,
                      execute->key,
                      {execute->sequence, ExecuteStatus::refused},
                      std::move(plain),
                      nullptr);
    }
}

void Machine::Impl::on(SenderSeen&& input) {
    if (!ready_) {
        return answer_offer(input,
                            make_reason(protocol::reason::kNotReady, "the database is not ready"));
    }
    if (!is_addressed(input.addressed_uuid, input.addressed_identity)) {
        return answer_offer(input,
                            make_reason(protocol::reason::kIdentityMismatch,
                                        "this is " + uuid_.text() + " at " + identity_.text()));
    }
    Fence::Admission admission = admit(input.sender);
    if (admission == Fence::Admission::wait) return wait_in_fence(std::move(input));
    if (admission != Fence::Admission::accepted) {
        return answer_offer(input, why_refused(admission));
    }
    note_marks(input.sender, {input.low_water, input.horizon});
    answer_offer(input, {});
}

void Machine::Impl::answer_offer(const SenderSeen& input, protocol::Reason why) {
    if (input.ticket == ReplyTicket()) return;
    protocol::OfferReply reply;
    reply.participant = uuid_;
    reply.identity = identity_;
    reply.accepted = why.empty();
    reply.reason = std::move(why);
    reply.known = fence_.newest(input.sender.incarnation);
    emit(AnswerOffer{input.ticket, std::move(reply)});
}

void Machine::Impl::on(SenderPersisted&& input) {
    bool is_new_start = input.succeeded && !fence_.is_durable(input.sender);
    if (is_new_start && !config_.sabotage.accept_stale_sender) {
        refuse_waiting_work_below(input.sender.incarnation, input.sender.epoch);
    }
    for (Fence::Waiting& waiting : fence_.persisted(input)) {
        if (!input.succeeded) {
            refuse_waiting(waiting, input.reason);
            continue;
        }
        std::visit([this](auto& alternative) { on(std::move(alternative)); }, waiting);
    }
    if (is_new_start) ask_about_older_epochs(input.sender.incarnation, input.sender.epoch);
}

// Not with every message: a position is worth a write now and then. What is lost in a crash makes a
// copy of the log harder to recognise, nothing else.
void Machine::Impl::persist_grown_senders() {
    constexpr std::uint32_t kTicks = 12;
    if (++sender_ticks_ % kTicks != 0) return;
    for (const protocol::SenderStamp& sender : fence_.take_grown()) emit(PersistSender{sender});
}

}  // namespace twofold::participant
