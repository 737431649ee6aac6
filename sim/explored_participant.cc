// A participant's process of the exhaustive search: its machine, in front of a database that does
// one thing after the other, when the search lets it.
#include "base/assert.h"
#include "protocol/json.h"
#include "sim/explored_world.h"
#include "sim/mix.h"
#include "sim/work.h"

#include <utility>

namespace twofold::sim {

using participant::Effect;
using participant::Input;
using participant::ReplyTicket;

ExploredWorld::ParticipantProcess::ParticipantProcess(std::uint16_t number)
    : machine(participant::Config{}), database(number) {}

void ExploredWorld::start_participant(std::uint16_t number) {
    ParticipantProcess& me = participant(number);
    participant::Config config;
    config.sabotage = exploration_->participant;
    me.machine = participant::Machine(config);
    me.history = mix_text(me.life, me.database.text());
    step_participant(number, participant::ResourceStarted{me.database.start()}, "start");
    Message look;
    look.participant = number;
    look.text = "look at " + std::to_string(number);
    post(std::move(look));
}

void ExploredWorld::step_participant(std::uint16_t number, Input input, const std::string& text) {
    ParticipantProcess& me = participant(number);
    me.history = mix_text(me.history, text);
    participant::Effects effects;
    me.machine.step(std::move(input), effects);
    for (Effect& effect : effects) perform(number, me, std::move(effect));
    // A death between these and what follows is the same as one before or after both.
    bool is_dull = !me.asked.empty() &&
                   (std::holds_alternative<participant::PersistSender>(me.asked.front()) ||
                    std::holds_alternative<participant::ListPrepared>(me.asked.front()));
    if (is_dull) operate(number);
}

void ExploredWorld::perform(std::uint16_t number, ParticipantProcess& me, Effect&& effect) {
    if (auto* sent = std::get_if<participant::SendReply>(&effect)) {
        Message message;
        message.kind = Message::Kind::result;
        if (sent->result.status == protocol::ItemStatus::aborted) {
            me.aborted.insert(sent->result.key);
        }
        protocol::append_item_result(message.text, sent->result);
        message.body = std::make_shared<const Message::Body>(std::move(sent->result));
        reply(number, me, sent->ticket.value, std::move(message));
    } else if (auto* offered = std::get_if<participant::AnswerOffer>(&effect)) {
        Message message;
        message.kind = Message::Kind::offer_reply;
        protocol::append_offer_reply(message.text, offered->reply);
        message.body = std::make_shared<const Message::Body>(std::move(offered->reply));
        reply(number, me, offered->ticket.value, std::move(message));
    } else if (auto* inquiry = std::get_if<participant::SendInquiry>(&effect)) {
        Message message;
        message.kind = Message::Kind::inquiry;
        message.participant = number;
        message.life = me.life;
        protocol::InquiryRequest request{me.database.uuid(),
                                         me.database.identity(),
                                         me.database.epoch(),
                                         me.database.position(),
                                         std::move(inquiry->senders),
                                         std::move(inquiry->items)};
        protocol::append_inquiry_request(message.text, request);
        message.body = std::make_shared<const Message::Body>(std::move(request));
        post(std::move(message));
    } else if (auto* timer = std::get_if<participant::ArmTimer>(&effect)) {
        me.timers[timer->timer.value] = now_ + timer->delay_min.count();
    } else if (auto* alarm = std::get_if<participant::RaiseAlarm>(&effect)) {
        complain("alarm of " + std::to_string(number) + ", " + alarm->code + ": " + alarm->text);
    } else if (!std::holds_alternative<participant::NoteMarks>(effect)) {
        me.asked.push_back(std::move(effect));
    }
}

void ExploredWorld::reply(std::uint16_t number,
                          ParticipantProcess& me,
                          std::uint64_t ticket,
                          Message answer) {
    auto request = me.waiting.extract(ticket);
    if (request.empty() || request.mapped().is_copy) return;
    answer.participant = number;
    answer.call = request.mapped().call;
    answer.life = request.mapped().life;
    answer.text += " call " + std::to_string(answer.call);
    post(std::move(answer));
}

// ---- the database ---------------------------------------------------------------------

void ExploredWorld::operate(std::uint16_t number) {
    ParticipantProcess& me = participant(number);
    Effect effect = std::move(me.asked.front());
    me.asked.erase(me.asked.begin());
    step_participant(number, operate(number, me, effect), "database");
}

Input ExploredWorld::operate(std::uint16_t number, ParticipantProcess& me, const Effect& effect) {
    using protocol::ItemOp;
    if (const auto* work = std::get_if<participant::RunAndPrepare>(&effect)) {
        protocol::WorkStatus vote = exploration_->votes[number - 1U];
        if (me.aborted.contains(work->work.key)) complain("work is done after its abort");
        return participant::WorkDone{work->work.key, me.database.run_and_prepare(work->work, vote)};
    }
    if (const auto* commit = std::get_if<participant::CommitPrepared>(&effect)) {
        const protocol::FinishRequest& request = commit->request;
        if (!is_durable_commit(*coordinator_, request.key.group)) {
            complain("a branch is committed without a durable decision");
        }
        return participant::FinishDone{request.key, ItemOp::commit, me.database.commit(request)};
    }
    if (const auto* abort = std::get_if<participant::RollbackPrepared>(&effect)) {
        const protocol::FinishRequest& request = abort->request;
        return participant::FinishDone{request.key, ItemOp::abort, me.database.roll_back(request)};
    }
    if (const auto* sender = std::get_if<participant::PersistSender>(&effect)) {
        me.database.persist(sender->sender);
        return participant::SenderPersisted{sender->sender, true, {}};
    }
    if (const auto* cancelled = std::get_if<participant::CancelWork>(&effect)) {
        return participant::CancelDone{cancelled->key, true};
    }
    bool is_list = std::holds_alternative<participant::ListPrepared>(effect);
    TWOFOLD_ASSERT(is_list, "the search has no one-phase and no interactive work");
    return participant::Listed{true, me.database.listing()};
}

// ---- life -----------------------------------------------------------------------------

void ExploredWorld::crash_participant(std::uint16_t number) {
    ParticipantProcess& me = participant(number);
    ++me.life;
    me.asked.clear();
    me.timers.clear();
    for (const auto& [ticket, request] : std::exchange(me.waiting, {})) lose(request);
    start_participant(number);
    look_now();
}

void ExploredWorld::deliver_to_participant(const Message& message) {
    using Kind = Message::Kind;
    std::uint16_t number = message.participant;
    ParticipantProcess& me = participant(number);
    bool is_reply = message.kind == Kind::inquiry_reply || message.kind == Kind::inquiry_failed;
    if (is_reply) {
        if (message.life != me.life) return;
        if (message.kind == Kind::inquiry_failed) {
            return step_participant(number, participant::InquiryFailed{}, message.text);
        }
        return step_participant(
            number,
            participant::InquiryAnswered{std::get<protocol::InquiryReply>(*message.body)},
            message.text);
    }
    const auto& batch = std::get<protocol::BatchRequest>(*message.body);
    ReplyTicket ticket(me.next_ticket++);
    me.waiting[ticket.value] = message;
    std::string text =
        message.text + " of " + std::to_string(message.life) + (message.is_copy ? " again" : "");
    if (batch.items.empty()) {
        return step_participant(number,
                                participant::SenderSeen{batch.sender,
                                                        batch.participant,
                                                        batch.identity,
                                                        batch.low_water,
                                                        batch.horizon,
                                                        ticket},
                                text);
    }
    step_participant(number,
                     participant::ItemReceived{ticket,
                                               batch.sender,
                                               batch.participant,
                                               batch.identity,
                                               batch.low_water,
                                               batch.horizon,
                                               batch.items.front()},
                     text);
}

}  // namespace twofold::sim
