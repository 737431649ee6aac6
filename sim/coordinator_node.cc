#include "sim/coordinator_node.h"

#include "sim/coordinator_peer.h"
#include "sim/participant_node.h"

#include <utility>

namespace twofold::sim {

using coordinator::Answer;
using coordinator::Input;
using coordinator::Ticket;

CoordinatorNode::CoordinatorNode(Cluster& cluster, Address address)
    : cluster_(cluster), world_(cluster.world), address_(address), process_(world_.spawn()) {
    start_nonce_ = world_.rng().next();
    for (std::uint32_t i = 0; i < cluster.participants.size(); ++i) {
        auto peer = std::make_unique<Peer>();
        peer->index = i;
        peers_.push_back(std::move(peer));
    }
}

CoordinatorNode::~CoordinatorNode() = default;

std::string CoordinatorNode::name() const {
    return (zombie_ ? "zombie" : "coordinator") +
           (epoch_ == 0 ? std::string() : "." + std::to_string(epoch_));
}

void CoordinatorNode::say(const std::string& what) const {
    if (world_.tracing()) world_.say(name(), what);
}

// ---- life -----------------------------------------------------------------------------------

bool CoordinatorNode::alive() const { return world_.alive(process_); }

void CoordinatorNode::kill() {
    if (!alive()) return;
    say("dies");
    note_death();
    world_.kill(process_);
    ready_ = false;
    lock_.reset();
    writer_.reset();
    machine_.reset();
    tickets_.clear();
    inquiries_.clear();
    calls_.clear();
}

void CoordinatorNode::note_death() {
    if (zombie_ || cluster_.healed()) return;
    if (ready_) {
        cluster_.checkers.on_coordinator_death(*machine_);
    } else {
        world_.reached_if(cluster_.lives().size() > 1, Situation::coordinator_dies_in_recovery);
    }
}

void CoordinatorNode::die(const std::string& why) {
    say("ends itself: " + why);
    bool power = cluster_.disk.take_power_cut();
    kill();
    cluster_.coordinator_died(power);
}

void CoordinatorNode::become_zombie() {
    say("loses its disk and its address but lives on");
    zombie_ = true;
    address_ = kZombieAddress;
    lock_.reset();
    writer_.reset();
}

bool CoordinatorNode::idle() const {
    if (!ready_) return false;
    auto counts = machine_->counts();
    return counts.active == 0 && counts.in_doubt == 0 && counts.waiting == 0;
}

// ---- steps ----------------------------------------------------------------------------------

void CoordinatorNode::step(Input input) {
    inputs_.push_back(std::move(input));
    if (stepping_) return;
    stepping_ = true;
    std::size_t taken = 0;
    while (taken < inputs_.size()) {  // it grows meanwhile
        Input next = std::move(inputs_[taken++]);
        bool is_request = std::holds_alternative<coordinator::SubmitOneShot>(next);
        coordinator::Effects effects;
        machine_->step(std::move(next), effects);
        world_.reached_if(is_request && machine_->counts().waiting > 0,
                          Situation::one_shot_waits_for_slots);
        for (coordinator::Effect& effect : effects) execute(std::move(effect));
    }
    inputs_.clear();
    stepping_ = false;
    schedule_flush();
}

void CoordinatorNode::execute(coordinator::Effect&& effect) {
    std::visit(
        [this](auto&& alternative) { handle(std::forward<decltype(alternative)>(alternative)); },
        std::move(effect));
}

void CoordinatorNode::handle(coordinator::Append&& effect) { append(effect.record); }

void CoordinatorNode::handle(coordinator::AppendForced&& effect) {
    append(effect.record);
    waiting_for_log_.emplace_back(coordinator::Durable{effect.token});
}

void CoordinatorNode::handle(coordinator::Seal&& effect) {
    Sealing sealing;
    sealing.file = effect.file;
    for (const protocol::Record& record : effect.records) {
        sealing.records.push_back(protocol::encode_record(record));
    }
    sealing_.push_back(std::move(sealing));
}

void CoordinatorNode::handle(coordinator::Propose&& effect) {
    if (world_.tracing()) {
        say("proposes " + std::string(to_string(effect.record.decision)) + " of " +
            short_text(effect.record.group));
    }
    cluster_.checkers.on_proposed(effect.record.group);
    coordinator::Decided decided{effect.record.group, effect.record.decision};
    append(protocol::Record(std::move(effect.record)));
    if (cluster_.sabotage.reply_before_force) {
        step(decided);
        return;
    }
    waiting_for_log_.emplace_back(decided);
}

void CoordinatorNode::handle(coordinator::ArmTimer&& effect) {
    Time rate = cluster_.clock_rate(kCoordinatorAddress);
    Time low = static_cast<Time>(effect.delay_min.count()) * rate;
    Time high = static_cast<Time>(effect.delay_max.count()) * rate;
    std::uint64_t generation = ++timer_generation_;
    timers_.insert_or_assign(effect.timer, generation);
    world_.after(world_.between(low, std::max(low, high)),
                 process_,
                 [this, timer = effect.timer, generation] {
                     auto armed = timers_.find(timer);
                     if (armed == timers_.end() || armed->second != generation) return;
                     timers_.erase(armed);
                     step(coordinator::TimerFired{timer});
                 });
}

void CoordinatorNode::handle(coordinator::CancelTimer&& effect) { timers_.erase(effect.timer); }

void CoordinatorNode::handle(coordinator::Answer&& effect) {
    auto waiting = tickets_.extract(effect.ticket.value);
    std::uint32_t operation = waiting.empty() ? kNoOperation : waiting.mapped().operation;
    if (!waiting.empty()) {
        note_answer(effect);
        cluster_.checkers.on_answer(operation, effect, machine_->horizon());
        waiting.mapped().reply(effect);
    }
}

void CoordinatorNode::note_answer(const coordinator::Answer& answer) {
    if (answer.kind == coordinator::AnswerKind::overloaded && ready_) {
        bool full = machine_->counts().active >= cluster_.options.transactions_max;
        world_.reached_if(!room_ && !full, Situation::new_work_refused_for_want_of_log_space);
        world_.reached_if(full, Situation::new_work_refused_for_want_of_memory);
    }
    if (answer.kind != coordinator::AnswerKind::decided) return;
    for (const coordinator::BranchReport& branch : answer.report.branches) {
        auto peer = by_number_.find(branch.participant);
        bool is_away = peer != by_number_.end() && !can_reach(*peer->second);
        world_.reached_if(is_away, Situation::commit_answered_while_a_participant_is_away);
    }
}

void CoordinatorNode::handle(coordinator::AnswerInquiry&& effect) {
    auto waiting = inquiries_.extract(effect.ticket.value);
    if (waiting.empty()) return;
    if (!machine_->stopped()) effect.reply.sender = stamp();
    cluster_.checkers.on_inquiry_answered(effect.reply);
    waiting.mapped()(effect.reply);
}

void CoordinatorNode::handle(coordinator::Changed&&) {}

void CoordinatorNode::handle(coordinator::Finished&& effect) {
    cluster_.checkers.on_finished(effect);
    if (world_.tracing()) {
        say("finished " + short_text(effect.txn) + " " + std::string(to_string(effect.outcome)) +
            (effect.reason_code.empty() ? "" : " (" + effect.reason_code + ")"));
    }
}

void CoordinatorNode::handle(coordinator::RaiseAlarm&& effect) {
    say("ALARM " + effect.code + " " + short_text(effect.txn) + ": " + effect.text);
    cluster_.on_alarm(effect.code, effect.txn);
}

// ---- requests -------------------------------------------------------------------------------

void CoordinatorNode::request(std::uint32_t operation,
                              std::function<std::optional<Input>(Ticket)> make,
                              Reply reply) {
    world_.after(
        us(20), process_, [this, operation, make = std::move(make), reply = std::move(reply)] {
            if (!ready_) return;
            Ticket ticket(next_ticket_++);
            std::optional<Input> input = make(ticket);
            if (!input.has_value()) return;
            tickets_.emplace(ticket.value, Waiting{operation, reply});
            step(std::move(*input));
        });
}

void CoordinatorNode::query(std::uint32_t operation,
                            const protocol::TxnId& txn,
                            const Reply& reply) {
    world_.after(us(20), process_, [this, operation, txn, reply] {
        if (!ready_) return;
        Answer answer = machine_->query(txn);
        answer.report.txn = txn;
        cluster_.checkers.on_answer(operation, answer, machine_->horizon());
        reply(answer);
    });
}

void CoordinatorNode::inquire(protocol::InquiryRequest request,
                              std::function<void(const protocol::InquiryReply&)> reply) {
    world_.after(us(20), process_, [this, request = std::move(request), reply = std::move(reply)] {
        if (!ready_) return;
        Ticket ticket(next_ticket_++);
        inquiries_.emplace(ticket.value, reply);
        step(coordinator::Inquire{ticket, request});
    });
}

std::optional<protocol::ParticipantNumber> CoordinatorNode::number_of(
    const protocol::ParticipantUuid& uuid) const {
    if (!ready_) return std::nullopt;
    for (const auto& [number, record] : machine_->participants()) {
        if (record.uuid == uuid && !record.retired) return number;
    }
    return std::nullopt;
}

}  // namespace twofold::sim
