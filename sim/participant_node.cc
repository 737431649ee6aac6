#include "sim/participant_node.h"

#include "sim/coordinator_node.h"

#include <utility>

namespace twofold::sim {

namespace {
// Longer than most transactions take, shorter than some: sessions end by time, too.
constexpr std::uint32_t kSessionMs = 1'000;
}  // namespace

using participant::ReplyTicket;
using protocol::BranchKey;
using protocol::ItemOp;

ParticipantNode::ParticipantNode(Cluster& cluster, std::uint32_t index)
    : cluster_(cluster), world_(cluster.world), index_(index), serves_(index) {}

void ParticipantNode::say(const std::string& what) const {
    if (world_.tracing()) world_.say("participant" + std::to_string(index_), what);
}

// ---- life -----------------------------------------------------------------------------------

void ParticipantNode::start() {
    if (alive()) return;
    process_ = world_.spawn();
    participant::Config config;
    config.inquiry_interval = std::chrono::milliseconds(cluster_.options.inquiry_interval / 1000);
    config.in_doubt_age = std::chrono::milliseconds(cluster_.options.in_doubt_age / 1000);
    config.retry_max = std::chrono::milliseconds(cluster_.options.retry_max / 1000);
    config.sabotage = cluster_.sabotage.participant;
    machine_.emplace(config);
    say("starts");
    start_resource();
}

void ParticipantNode::start_resource() {
    database().start(process_, [this](base::Result<protocol::ResourceStart> start) {
        if (!start.has_value()) {
            world_.after(world_.between(ms(50), ms(200)), process_, [this] { start_resource(); });
            return;
        }
        epoch_ = start.value().epoch;
        step(participant::ResourceStarted{std::move(start.value())});
    });
}

void ParticipantNode::kill() {
    if (!alive()) return;
    say("dies");
    ModelDatabase::Unheard unheard = database().unheard_by(process_);
    world_.reached_if(unheard.running, Situation::participant_dies_before_prepare);
    world_.reached_if(unheard.prepared, Situation::participant_dies_after_prepare);
    world_.reached_if(unheard.committed, Situation::participant_dies_after_commit);
    world_.kill(process_);
    database().client_died(process_);
    machine_.reset();
    tickets_.clear();
    offers_.clear();
    senders_.clear();
    enlisted_.clear();
}

// ---- requests -------------------------------------------------------------------------------

std::optional<protocol::ParticipantInfo> ParticipantNode::info() const {
    if (!alive() || !machine_->ready()) return std::nullopt;
    protocol::ParticipantInfo info;
    info.uuid = database().uuid();
    info.name = "participant" + std::to_string(serves_);
    info.identity = database().identity();
    info.epoch = epoch_;
    info.position = database().position();
    info.slots = database().slots();
    info.exclusive = database().exclusive();
    info.one_phase = database().offers_one_phase();
    return info;
}

void ParticipantNode::receive_offer(const protocol::BatchRequest& batch, OfferAnswer reply) {
    ReplyTicket ticket(next_ticket_++);
    offers_.emplace(ticket, std::move(reply));
    step(participant::SenderSeen{
        batch.sender, batch.participant, batch.identity, batch.low_water, batch.horizon, ticket});
}

void ParticipantNode::receive_batch(const protocol::BatchRequest& batch, const ResultReply& reply) {
    cluster_.checkers.on_batch_received(batch);
    for (const protocol::Item& item : batch.items) {
        cluster_.checkers.note_arrival(item, serves_, epoch_, batch.sender);
        ReplyTicket ticket(next_ticket_++);
        tickets_.emplace(ticket,
                         [reply](const participant::SendReply& sent) { reply(sent.result); });
        if (item.op != ItemOp::commit && item.op != ItemOp::abort) {
            senders_.insert_or_assign(item.key, batch.sender);
        }
        step(participant::ItemReceived{ticket,
                                       batch.sender,
                                       batch.participant,
                                       batch.identity,
                                       batch.low_water,
                                       batch.horizon,
                                       item});
        if (!alive()) return;
    }
}

void ParticipantNode::enlist(std::uint32_t operation,
                             const protocol::TxnId& txn,
                             Action then,
                             Action failed) {
    struct State {
        bool done = false;
    };
    auto state = std::make_shared<State>();
    std::uint64_t session = (std::uint64_t{epoch_} << 32U) | next_session_++;
    auto on_answer = [this, state, txn, then = std::move(then)](
                         const coordinator::Answer& answer,
                         protocol::ParticipantNumber number,
                         const protocol::SenderStamp& sender) {
        if (std::exchange(state->done, true)) return;
        if (answer.kind != coordinator::AnswerKind::enlisted) return;
        for (const coordinator::BranchReport& branch : answer.report.branches) {
            if (branch.participant != number) continue;
            enlisted_[txn] = {{txn, branch.branch, branch.attempt}, epoch_, sender};
        }
        if (enlisted_.contains(txn)) then();
    };
    ProcessId me = process_;
    protocol::ParticipantUuid uuid = database().uuid();
    cluster_.net.send(address(), kCoordinatorAddress, kWorld, [=, this, epoch = epoch_] {
        CoordinatorNode* coordinator = cluster_.coordinator();
        if (coordinator == nullptr) return;
        auto number = coordinator->number_of(uuid);
        if (!number.has_value()) return;
        coordinator->request(
            operation,
            [=](coordinator::Ticket ticket) {
                return coordinator::Enlist{ticket, txn, *number, epoch, session, {}};
            },
            [this, me, on_answer, number, coordinator](const coordinator::Answer& answer) {
                cluster_.net.send(kCoordinatorAddress,
                                  address(),
                                  me,
                                  [on_answer, answer, number, sender = coordinator->stamp()] {
                                      on_answer(answer, *number, sender);
                                  });
            });
    });
    world_.after(ms(500), process_, [state, failed = std::move(failed)] {
        if (!std::exchange(state->done, true)) failed();
    });
}

void ParticipantNode::execute(std::uint32_t operation,
                              const protocol::TxnId& txn,
                              std::uint32_t sequence,
                              protocol::JsonText work,
                              ExecuteAnswer reply) {
    if (!alive() || !machine_->ready()) return;
    auto known = enlisted_.find(txn);
    if (known == enlisted_.end()) {
        // Work of a later sequence belongs to a session that an earlier life had.
        if (sequence != 1) return;
        enlist(
            operation,
            txn,
            [this, operation, txn, sequence, work, reply] {
                execute(operation, txn, sequence, work, reply);
            },
            [] {});
        return;
    }
    cluster_.checkers.note_execute(known->second.key);
    ReplyTicket ticket(next_ticket_++);
    tickets_.emplace(ticket, [reply = std::move(reply)](const participant::SendReply& sent) {
        if (sent.execute.has_value()) reply(sent.execute->status);
    });
    step(participant::ExecuteReceived{ticket,
                                      known->second.key,
                                      known->second.epoch,
                                      sequence,
                                      std::move(work),
                                      {},
                                      kSessionMs,
                                      known->second.sender});
}

// ---- effects --------------------------------------------------------------------------------

void ParticipantNode::step(participant::Input input) {
    participant::Effects effects;
    machine_->step(std::move(input), effects);
    for (participant::Effect& effect : effects) {
        std::visit(
            [this](auto&& alternative) {
                handle(std::forward<decltype(alternative)>(alternative));
            },
            std::move(effect));
    }
}

protocol::SenderStamp ParticipantNode::sender_of(const BranchKey& key) const {
    auto found = senders_.find(key);
    if (found != senders_.end()) return found->second;
    // Interactive work: the application sent it, the coordinator echoed its enlistment.
    return {key.group.incarnation(), ~protocol::Epoch{0}, 0, 0};
}

void ParticipantNode::work_done(const BranchKey& key, const protocol::WorkResult& result) {
    step(participant::WorkDone{key, result});
}

void ParticipantNode::handle(participant::RunAndPrepare&& effect) {
    BranchKey key = effect.work.key;
    cluster_.checkers.on_work_started(serves_, key, sender_of(key));
    say("runs " + short_text(key));
    database().execute_prepare(
        process_, std::move(effect.work), [this, key](auto result) { work_done(key, result); });
}

void ParticipantNode::handle(participant::RunOnePhase&& effect) {
    BranchKey key = effect.work.key;
    cluster_.checkers.on_work_started(serves_, key, sender_of(key));
    say("runs one-phase " + short_text(key));
    database().one_phase(
        process_, std::move(effect.work), [this, key](auto result) { work_done(key, result); });
}

void ParticipantNode::handle(participant::ExecuteWork&& effect) {
    BranchKey key = effect.work.key;
    std::uint32_t sequence = effect.sequence;
    cluster_.checkers.on_work_started(serves_, key, sender_of(key));
    say("executes " + short_text(key) + " #" + std::to_string(sequence));
    database().execute(
        process_, std::move(effect.work), sequence == 1, [this, key, sequence](auto result) {
            step(participant::ExecuteDone{key, sequence, std::move(result)});
        });
}

void ParticipantNode::handle(participant::PrepareExecuted&& effect) {
    BranchKey key = effect.key;
    database().prepare_executed(
        process_, key, std::move(effect.gid), [this, key](auto result) { work_done(key, result); });
}

void ParticipantNode::handle(participant::CancelWork&& effect) {
    BranchKey key = effect.key;
    database().cancel(process_, key, [this, key](bool confirmed) {
        step(participant::CancelDone{key, confirmed});
    });
}

std::function<void(protocol::FinishResult)> ParticipantNode::finish_done(const BranchKey& key,
                                                                         ItemOp op) {
    return [this, key, op](protocol::FinishResult result) {
        step(participant::FinishDone{key, op, std::move(result)});
    };
}

void ParticipantNode::handle(participant::CommitPrepared&& effect) {
    auto done = finish_done(effect.request.key, ItemOp::commit);
    database().commit(process_, std::move(effect.request), std::move(done));
}

void ParticipantNode::handle(participant::RollbackPrepared&& effect) {
    auto done = finish_done(effect.request.key, ItemOp::abort);
    database().rollback(process_, std::move(effect.request), std::move(done));
}

void ParticipantNode::handle(participant::SettleOnePhase&& effect) {
    database().settle_one_phase(process_,
                                effect.key,
                                effect.idempotency,
                                finish_done(effect.key, ItemOp::settle_one_phase));
}

void ParticipantNode::handle(participant::PersistSender&& effect) {
    database().persist_sender(process_, effect.sender, [this, effect](bool succeeded) {
        step(participant::SenderPersisted{effect.sender, succeeded});
    });
}

void ParticipantNode::handle(participant::NoteMarks&& effect) {
    database().note_marks(effect.incarnation, effect.low_water, effect.horizon);
}

void ParticipantNode::handle(participant::ListPrepared&&) {
    database().list(process_, [this](auto listed) {
        participant::Listed input;
        input.known = listed.has_value();
        if (listed.has_value()) input.prepared = std::move(listed.value());
        step(std::move(input));
    });
}

void ParticipantNode::handle(participant::SendInquiry&& effect) {
    protocol::InquiryRequest request{database().uuid(),
                                     database().identity(),
                                     epoch_,
                                     database().position(),
                                     std::move(effect.senders),
                                     std::move(effect.items)};
    say("inquires about " + std::to_string(request.items.size()));
    if (cluster_.options.foreign_coordinator) ask_foreign(request);
    auto done = std::make_shared<bool>(false);
    ProcessId me = process_;
    auto on_reply = [this, done](const protocol::InquiryReply& reply) {
        if (!std::exchange(*done, true)) step(participant::InquiryAnswered{reply});
    };
    cluster_.net.send(address(), kCoordinatorAddress, kWorld, [this, me, request, on_reply] {
        CoordinatorNode* coordinator = cluster_.coordinator();
        if (coordinator == nullptr) return;
        coordinator->inquire(request, [this, me, on_reply](const protocol::InquiryReply& reply) {
            cluster_.net.send(
                kCoordinatorAddress, address(), me, [on_reply, reply] { on_reply(reply); });
        });
    });
    world_.after(ms(700), process_, [this, done] {
        if (!std::exchange(*done, true)) step(participant::InquiryFailed{});
    });
}

// A coordinator of another incarnation: it has never heard of these branches, and must not matter.
void ParticipantNode::ask_foreign(const protocol::InquiryRequest& request) {
    protocol::InquiryReply reply;
    reply.sender.incarnation.bytes.fill(0xfe);
    reply.sender.epoch = 1;
    for (const protocol::InquiryItem& item : request.items) {
        reply.items.push_back({item.key, protocol::InquiryAnswer::cannot_tell, std::nullopt});
    }
    world_.after(world_.between(us(200), ms(4)), process_, [this, reply = std::move(reply)] {
        step(participant::InquiryAnswered{reply});
    });
}

// No person of the simulation decides a branch here.
void ParticipantNode::handle(participant::AskCoordinators&& /*effect*/) {}
void ParticipantNode::handle(participant::AnswerResolve&& /*effect*/) {}

void ParticipantNode::handle(participant::SendReply&& effect) {
    auto reply = tickets_.extract(effect.ticket);
    if (reply.empty()) return;
    if (!effect.execute.has_value()) cluster_.checkers.on_result_sent(serves_, effect.result);
    if (world_.tracing() && !effect.execute.has_value()) {
        say("answers " + std::string(to_string(effect.result.op)) + " " +
            short_text(effect.result.key) + ": " + std::string(to_string(effect.result.status)) +
            (effect.result.reason.empty() ? "" : " (" + effect.result.reason.code + ")"));
    }
    reply.mapped()(effect);
}

void ParticipantNode::handle(participant::AnswerOffer&& effect) {
    auto reply = offers_.extract(effect.ticket);
    if (!reply.empty()) reply.mapped()(effect.reply);
}

void ParticipantNode::handle(participant::ArmTimer&& effect) {
    Time rate = cluster_.clock_rate(address());
    Time low = static_cast<Time>(effect.delay_min.count()) * rate;
    Time high = static_cast<Time>(effect.delay_max.count()) * rate;
    world_.after(world_.between(low, std::max(low, high)), process_, [this, timer = effect.timer] {
        bool differs = cluster_.clock_rate(address()) != cluster_.clock_rate(kCoordinatorAddress);
        world_.reached_if(differs, Situation::clocks_run_at_different_rates);
        step(participant::TimerFired{timer});
    });
}

void ParticipantNode::handle(participant::RaiseAlarm&& effect) {
    say("ALARM " + effect.code + " " + short_text(effect.key) + ": " + effect.text);
    cluster_.on_alarm(effect.code, effect.key.group);
}

}  // namespace twofold::sim
