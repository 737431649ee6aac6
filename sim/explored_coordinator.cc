// The coordinator's process of the exhaustive search: its machine, a log of which only the forced
// part is sure to survive, and calls.
#include "base/assert.h"
#include "protocol/json.h"
#include "recovery/core/fold.h"
#include "sim/explored_world.h"
#include "sim/mix.h"
#include "sim/work.h"

#include <utility>

namespace twofold::sim {

using coordinator::AnswerKind;
using protocol::ParticipantNumber;

namespace {

constexpr std::int64_t kLookInterval = 1'000;
constexpr std::uint64_t kClient = 1;  // its ticket

protocol::EpochRecord epoch_record(protocol::Epoch epoch) {
    protocol::EpochRecord record;
    record.incarnation.bytes = {'e', 'x', 'h', 'a', 'u', 's', 't', 'i', 'v', 'e'};
    record.epoch = epoch;
    record.key[0] = static_cast<std::uint8_t>(epoch);
    return record;
}

coordinator::RecoveredState first_state(std::uint16_t participants) {
    coordinator::RecoveredState state;
    protocol::EpochRecord epoch = epoch_record(1);
    state.incarnation = epoch.incarnation;
    state.epoch = 1;
    state.epochs[1] = epoch;
    for (std::uint16_t i = 1; i <= participants; ++i) {
        ExploredDatabase database(i);
        state.participants[ParticipantNumber(i)] = {ParticipantNumber(i),
                                                    database.uuid(),
                                                    "p" + std::to_string(i),
                                                    database.identity(),
                                                    false};
    }
    return state;
}

coordinator::Config make_config(const Exploration& exploration,
                                protocol::Epoch epoch,
                                std::uint64_t start_position) {
    coordinator::Config config;
    config.sabotage = exploration.coordinator;
    config.undelivered_alarm = coordinator::Milliseconds{0};
    config.start_nonce = epoch;
    config.start_position = start_position;
    return config;
}

std::string item_text(const protocol::Item& item) {
    return std::string(to_string(item.op)) + " " + short_text(item.key);
}

}  // namespace

ExploredWorld::ExploredWorld(const Exploration& exploration)
    : exploration_(std::make_shared<const Exploration>(exploration)), left_(exploration.budget) {
    auto participants = static_cast<std::uint16_t>(exploration.votes.size());
    coordinator::RecoveredState state = first_state(participants);
    std::vector<protocol::Record> log = checkpoint_records(state);
    coordinator::Machine machine(make_config(exploration, 1, 0), std::move(state));
    coordinator_ = std::make_shared<CoordinatorProcess>(std::move(machine));
    coordinator_->log = std::move(log);
    coordinator_->durable = coordinator_->log.size();
    for (std::uint16_t i = 1; i <= participants; ++i) {
        participants_.push_back(std::make_shared<ParticipantProcess>(i));
        start_participant(i);
    }
    coordinator::Effects effects;
    coordinator_->machine.start(effects);
    for (coordinator::Effect& effect : effects) perform(*coordinator_, std::move(effect));
    settle_down();
    coordinator::SubmitOneShot submit;
    submit.ticket = coordinator::Ticket(kClient);
    for (std::uint16_t i = 1; i <= participants; ++i) {
        submit.branches.push_back(
            {ParticipantNumber(i), std::make_shared<const std::string>("[]"), {}});
    }
    client_waits_ = true;
    step_coordinator(std::move(submit), "submit");
}

// Everybody has met everybody: the interesting part comes after.
void ExploredWorld::settle_down() {
    const Budget budget = std::exchange(left_, {});
    look_at_all(coordinator());
    for (auto next = choices(); !next.empty() && next[0].kind != Choice::Kind::next_timer;
         next = choices()) {
        take(next[0]);
    }
    left_ = budget;
}

void ExploredWorld::step_coordinator(coordinator::Input input, const std::string& text) {
    CoordinatorProcess& me = coordinator();
    me.history = mix_text(me.history, text);
    coordinator::Effects effects;
    me.machine.step(std::move(input), effects);
    for (coordinator::Effect& effect : effects) perform(me, std::move(effect));
    begin_force(me);
}

void ExploredWorld::perform(CoordinatorProcess& me, coordinator::Effect&& effect) {
    if (auto* append = std::get_if<coordinator::Append>(&effect)) {
        me.log.push_back(std::move(append->record));
    } else if (auto* forced = std::get_if<coordinator::AppendForced>(&effect)) {
        me.log.push_back(std::move(forced->record));
        me.waiting.emplace_back(coordinator::Durable{forced->token});
    } else if (auto* propose = std::get_if<coordinator::Propose>(&effect)) {
        me.waiting.emplace_back(
            coordinator::Decided{propose->record.group, propose->record.decision});
        me.log.emplace_back(std::move(propose->record));
    } else if (auto* sent = std::get_if<coordinator::Send>(&effect)) {
        send(me, *sent);
    } else if (auto* offered = std::get_if<coordinator::Offer>(&effect)) {
        offer(me, *offered);
    } else if (auto* timer = std::get_if<coordinator::ArmTimer>(&effect)) {
        me.timers[timer->timer.value] = now_ + timer->delay_min.count();
    } else if (auto* cancelled = std::get_if<coordinator::CancelTimer>(&effect)) {
        me.timers.erase(cancelled->timer.value);
    } else if (auto* answer = std::get_if<coordinator::Answer>(&effect)) {
        note_answer(me, *answer);
    } else if (auto* inquiry = std::get_if<coordinator::AnswerInquiry>(&effect)) {
        auto asked = me.inquiries.extract(inquiry->ticket.value);
        if (asked.empty()) return;
        Message message = std::move(asked.mapped());
        message.kind = Message::Kind::inquiry_reply;
        protocol::append_inquiry_reply(message.text = "", inquiry->reply);
        message.body = std::make_shared<const Message::Body>(std::move(inquiry->reply));
        post(std::move(message));
    } else if (auto* alarm = std::get_if<coordinator::RaiseAlarm>(&effect)) {
        complain("alarm " + alarm->code + ": " + alarm->text);
    } else {
        bool is_seal = std::holds_alternative<coordinator::Seal>(effect);
        TWOFOLD_ASSERT(!is_seal, "one transaction fills no sealed file");
    }
}

bool ExploredWorld::is_durable_commit(const CoordinatorProcess& me,
                                      const protocol::TxnId& group) const {
    for (std::size_t i = 0; i < me.durable; ++i) {
        const auto* decision = std::get_if<protocol::DecisionRecord>(&me.log[i]);
        bool is_commit = decision != nullptr && decision->group == group &&
                         decision->decision == protocol::Decision::commit;
        if (is_commit) return true;
        // A checkpoint may hold only the end of it.
        if (std::holds_alternative<protocol::OutcomesRecord>(me.log[i])) return true;
    }
    return false;
}

void ExploredWorld::note_answer(const CoordinatorProcess& me, const coordinator::Answer& answer) {
    if (answer.ticket.value != kClient) return;
    if (!std::exchange(client_waits_, false)) return complain("the client is answered twice");
    bool is_final = answer.kind == AnswerKind::finished || answer.kind == AnswerKind::decided;
    if (!is_final) return;
    told_ = answer.report.outcome;
    bool committed = told_ == protocol::Outcome::committed;
    if (committed && answer.report.recorded && !is_durable_commit(me, txn_)) {
        complain("the client is told committed before the decision is durable");
    }
}

// ---- messages -------------------------------------------------------------------------

protocol::BatchRequest ExploredWorld::new_batch(const CoordinatorProcess& me,
                                                std::uint16_t to) const {
    protocol::BatchRequest batch;
    batch.sender = me.machine.stamp(me.first_lsn + me.durable);
    const auto& enlisted = me.machine.participants().at(ParticipantNumber(to));
    batch.participant = enlisted.uuid;
    batch.identity = enlisted.identity;
    batch.low_water = me.machine.low_water(ParticipantNumber(to));
    batch.horizon = me.machine.horizon();
    return batch;
}

void ExploredWorld::send(CoordinatorProcess& me, const coordinator::Send& effect) {
    const protocol::Item& item = effect.item;
    txn_ = item.key.group;
    if (item.op == protocol::ItemOp::commit && !is_durable_commit(me, txn_)) {
        complain("a commit is sent before its decision is durable");
    }
    Message message;
    message.kind = Message::Kind::item;
    message.participant = effect.participant.value;
    message.call = me.next_call++;
    message.life = me.life;
    message.text = item_text(item) + " to " + std::to_string(message.participant) + " call " +
                   std::to_string(message.call);
    me.calls[message.call] = {message.participant, item.key, item.op, 0};
    protocol::BatchRequest batch = new_batch(me, message.participant);
    batch.items.push_back(item);
    message.body = std::make_shared<const Message::Body>(std::move(batch));
    post(std::move(message));
}

void ExploredWorld::offer(CoordinatorProcess& me, const coordinator::Offer& effect) {
    Message message;
    message.kind = Message::Kind::offer;
    message.participant = effect.participant.value;
    message.call = me.next_call++;
    message.life = me.life;
    message.text =
        "offer to " + std::to_string(message.participant) + " call " + std::to_string(message.call);
    Call call;
    call.participant = message.participant;
    call.offer = effect.offer;
    me.calls[message.call] = call;
    message.body = std::make_shared<const Message::Body>(new_batch(me, message.participant));
    post(std::move(message));
}

void ExploredWorld::look_at_all(CoordinatorProcess& me) {
    me.next_look = now_ + kLookInterval;
    for (std::uint16_t number = 1; number <= count(); ++number) {
        Message look;
        look.participant = number;
        look.text = "look at " + std::to_string(number);
        post(std::move(look));
    }
}

void ExploredWorld::deliver_to_coordinator(const Message& message) {
    using Kind = Message::Kind;
    ParticipantNumber number(message.participant);
    if (message.kind == Kind::look) {
        const ParticipantProcess& peer = at(message.participant);
        protocol::ParticipantInfo info;
        info.uuid = peer.database.uuid();
        info.name = "p" + std::to_string(message.participant);
        info.identity = peer.database.identity();
        info.epoch = peer.database.epoch();
        info.position = peer.database.position();
        info.slots = 100;
        info.one_phase = false;
        if (!peer.machine.ready()) {
            return step_coordinator(coordinator::ParticipantLost{number, "not ready"}, "lost");
        }
        std::string text;
        protocol::append_participant_info(text, info);
        return step_coordinator(coordinator::ParticipantSeen{number, std::move(info)}, text);
    }
    if (message.kind == Kind::inquiry) {
        CoordinatorProcess& me = coordinator();
        std::uint64_t ticket = me.next_ticket++;
        me.inquiries[ticket] = message;
        return step_coordinator(
            coordinator::Inquire{coordinator::Ticket(ticket),
                                 std::get<protocol::InquiryRequest>(*message.body)},
            message.text);
    }
    if (message.life != coordinator_->life || message.is_copy) return;
    auto call = coordinator().calls.extract(message.call);
    if (call.empty()) return;
    if (message.kind == Kind::result) {
        step_coordinator(coordinator::Reply{number, std::get<protocol::ItemResult>(*message.body)},
                         message.text);
    } else if (message.kind == Kind::failed) {
        step_coordinator(coordinator::CallFailed{number,
                                                 call.mapped().key,
                                                 call.mapped().op,
                                                 protocol::CallOutcome::unknown,
                                                 "no answer"},
                         message.text);
    } else {
        const auto* reply = std::get_if<protocol::OfferReply>(message.body.get());
        coordinator::OfferAnswered answered{number, call.mapped().offer, std::nullopt};
        if (reply != nullptr) answered.reply = *reply;
        step_coordinator(std::move(answered), message.text);
    }
}

// ---- the log --------------------------------------------------------------------------

void ExploredWorld::begin_force(CoordinatorProcess& me) {
    if (me.forcing > 0 || me.waiting.empty()) return;
    me.forcing = me.log.size();
    me.forced = std::exchange(me.waiting, {});
}

void ExploredWorld::finish_force() {
    CoordinatorProcess& me = coordinator();
    me.durable = std::exchange(me.forcing, 0);
    for (coordinator::Input& input : std::exchange(me.forced, {})) {
        step_coordinator(std::move(input), "forced");
    }
    begin_force(coordinator());
}

// Death, and recovery: what was forced is there, and `lazy` records more. Who waits for an answer
// gets none. What is on its way to participants may still arrive.
void ExploredWorld::crash_coordinator(std::size_t lazy) {
    const CoordinatorProcess& old = *coordinator_;
    recovery::Fold fold;
    std::uint64_t history = mix(1, old.first_lsn);
    std::uint64_t lsn = old.first_lsn;
    for (std::size_t i = 0; i < old.durable + lazy; ++i) {
        base::Bytes bytes = protocol::encode_record(old.log[i]);
        history = mix_text(history, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        auto applied = fold.apply(++lsn, old.log[i]);
        if (!applied.has_value()) return complain("the log is refused: " + applied.error().text());
    }
    protocol::Epoch epoch = old.machine.epoch() + 1;
    auto state = std::move(fold).finish(epoch_record(epoch));
    if (!state.has_value()) return complain("the log is refused: " + state.error().text());
    std::vector<protocol::Record> log = checkpoint_records(state.value());
    coordinator::Machine machine(make_config(*exploration_, epoch, lsn), std::move(state.value()));
    auto next = std::make_shared<CoordinatorProcess>(std::move(machine));
    next->log = std::move(log);
    next->first_lsn = lsn;
    next->durable = next->log.size();
    next->life = old.life + 1;
    next->history = mix(history, next->life);
    std::vector<Message> kept;
    std::vector<Message> waiting;
    for (const auto& [ticket, inquiry] : old.inquiries) waiting.push_back(inquiry);
    for (Message& message : std::exchange(messages_, {})) {
        bool is_for_participant = message.kind <= Message::Kind::inquiry_failed;
        if (is_for_participant)
            kept.push_back(std::move(message));
        else if (message.kind == Message::Kind::inquiry)
            waiting.push_back(std::move(message));
    }
    messages_ = std::move(kept);
    client_waits_ = false;
    coordinator_ = std::move(next);
    for (const Message& inquiry : waiting) lose(inquiry);
    coordinator::Effects effects;
    coordinator_->machine.start(effects);
    coordinator_->machine.step(coordinator::AddressesLookedAt{}, effects);
    for (coordinator::Effect& effect : effects) perform(*coordinator_, std::move(effect));
    begin_force(*coordinator_);
    look_at_all(*coordinator_);
    look_now();
}

}  // namespace twofold::sim
