// The coordinator's shell towards participants: batches, answers, failures, looking who is there.
#include "sim/coordinator_node.h"
#include "sim/coordinator_peer.h"
#include "sim/participant_node.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

using protocol::CallOutcome;
using protocol::Item;
using protocol::ItemOp;

protocol::SenderStamp CoordinatorNode::stamp() const {
    return machine_->stamp(writer_ == nullptr ? 0 : writer_->durable_lsn());
}

// ---- looking --------------------------------------------------------------------------------

void CoordinatorNode::look_at(Peer& peer) {
    auto done = std::make_shared<bool>(false);
    Address to = Cluster::address_of(peer.index);
    std::uint32_t known_epoch = machine_->participant_epoch(peer.number);
    auto on_reply = [this, done, &peer, known_epoch](const protocol::ParticipantInfo& info) {
        if (std::exchange(*done, true)) return;
        on_info(peer, info, known_epoch);
        looked_at(peer);
    };
    cluster_.net.send(address_, to, kWorld, [this, to, &peer, on_reply] {
        ParticipantNode& node = *cluster_.participants[peer.index];
        if (!node.alive() || world_.paused(node.process())) return;
        auto info = node.info();
        if (!info.has_value()) return;
        cluster_.net.send(to, address_, process_, [on_reply, info] { on_reply(*info); });
    });
    world_.after(ms(400), process_, [this, done, &peer] {
        if (std::exchange(*done, true)) return;
        if (peer.number.value != 0) step(coordinator::ParticipantLost{peer.number, "no answer"});
        looked_at(peer);
    });
    Time again = cluster_.options.info_interval;
    world_.after(world_.between(again / 2, again), process_, [this, &peer] { look_at(peer); });
}

void CoordinatorNode::looked_at(Peer& peer) {
    if (std::exchange(peer.looked, true)) return;
    bool is_last = std::ranges::all_of(peers_, [](const auto& other) { return other->looked; });
    if (is_last) step(coordinator::AddressesLookedAt{});
}

void CoordinatorNode::on_info(Peer& peer,
                              const protocol::ParticipantInfo& info,
                              std::uint32_t known_epoch) {
    peer.info = info;
    if (peer.number.value != 0) {
        step(coordinator::ParticipantSeen{peer.number, info, known_epoch});
    } else if (info.uuid == cluster_.databases[peer.index]->uuid()) {
        // A first registration is looked at by a person: mixed-up addresses come later.
        step(coordinator::RegisterParticipant{info.uuid, info.name, info.identity});
    }
}

void CoordinatorNode::handle(coordinator::ParticipantRegistered&& effect) {
    for (auto& peer : peers_) {
        if (cluster_.databases[peer->index]->uuid() != effect.uuid) continue;
        peer->number = effect.number;
        by_number_[effect.number] = peer.get();
        step(coordinator::ParticipantSeen{effect.number, peer->info});
    }
}

// ---- sending --------------------------------------------------------------------------------

void CoordinatorNode::handle(coordinator::Send&& effect) {
    auto found = by_number_.find(effect.participant);
    if (found == by_number_.end()) {
        step(coordinator::CallFailed{effect.participant,
                                     effect.item.key,
                                     effect.item.op,
                                     CallOutcome::not_sent,
                                     "never seen"});
        return;
    }
    Peer& peer = *found->second;
    bool is_work = effect.item.op == ItemOp::execute_prepare || effect.item.op == ItemOp::prepare ||
                   effect.item.op == ItemOp::one_phase;
    (is_work ? peer.work : peer.decisions).push_back(std::move(effect.item));
    if (std::exchange(peer.send_scheduled, true)) return;
    world_.after(world_.between(us(10), us(400)), process_, [this, &peer] {
        peer.send_scheduled = false;
        if (!peer.decisions.empty()) send_batch(peer, std::exchange(peer.decisions, {}));
        if (!peer.work.empty()) send_batch(peer, std::exchange(peer.work, {}));
    });
}

protocol::BatchRequest CoordinatorNode::new_batch(const Peer& peer) const {
    protocol::BatchRequest batch;
    batch.sender = stamp();
    const auto& enlisted = machine_->participants().at(peer.number);
    batch.participant = enlisted.uuid;
    batch.identity = enlisted.identity;
    batch.low_water = machine_->low_water(peer.number);
    batch.horizon = machine_->horizon();
    if (cluster_.sabotage.stale_low_water) batch.low_water = {machine_->epoch() + 1, 0};
    return batch;
}

void CoordinatorNode::handle(coordinator::Offer&& effect) {
    auto done = std::make_shared<bool>(false);
    auto answer = [this, done, effect](std::optional<protocol::OfferReply> reply) {
        if (std::exchange(*done, true)) return;
        step(coordinator::OfferAnswered{effect.participant, effect.offer, std::move(reply)});
    };
    auto found = by_number_.find(effect.participant);
    if (found == by_number_.end()) {
        answer(std::nullopt);
        return;
    }
    Peer& peer = *found->second;
    auto batch = std::make_shared<const protocol::BatchRequest>(new_batch(peer));
    cluster_.checkers.on_batch_sent(*batch);
    Address to = Cluster::address_of(peer.index);
    cluster_.net.send(address_, to, kWorld, [this, to, batch, answer, &peer] {
        ParticipantNode& receiver = *cluster_.participants[peer.index];
        if (!receiver.alive()) return;
        world_.after(us(1), receiver.process(), [this, to, batch, answer, &receiver] {
            receiver.receive_offer(*batch, [this, to, answer](const auto& reply) {
                cluster_.net.send(to, address_, process_, [answer, reply] { answer(reply); });
            });
        });
    });
    world_.after(cluster_.options.call_timeout, process_, [answer] { answer(std::nullopt); });
}

bool CoordinatorNode::can_reach(const Peer& peer) const {
    Address to = Cluster::address_of(peer.index);
    return cluster_.participants[peer.index]->alive() && !cluster_.net.is_cut(address_, to) &&
           !cluster_.net.is_cut(to, address_);
}

void CoordinatorNode::send_batch(Peer& peer, std::vector<Item> items) {
    protocol::BatchRequest batch = new_batch(peer);
    batch.items = std::move(items);
    cluster_.checkers.on_batch_sent(batch);
    if (world_.tracing()) {
        for (const Item& item : batch.items) {
            say("sends " + std::string(to_string(item.op)) + " " + short_text(item.key) + " to " +
                std::to_string(peer.index));
        }
    }
    std::uint64_t id = next_call_++;
    calls_.emplace(id, Call{peer.index, batch.items});
    Address to = Cluster::address_of(peer.index);
    if (!can_reach(peer) && world_.chance(700)) {
        world_.after(
            ms(1), process_, [this, &peer, id] { end_call(peer, id, CallOutcome::not_sent); });
        return;
    }
    auto shared = std::make_shared<const protocol::BatchRequest>(std::move(batch));
    cluster_.net.send(address_, to, kWorld, [this, to, id, shared, &peer] {
        ParticipantNode& receiver = *cluster_.participants[peer.index];
        if (!receiver.alive()) return;
        world_.reached_if(zombie_, Situation::replaced_coordinator_goes_on);
        world_.after(us(1), receiver.process(), [this, to, id, shared, &peer, &receiver] {
            receiver.receive_batch(*shared, [this, to, id, &peer](const auto& result) {
                cluster_.net.send(to, address_, process_, [this, id, &peer, result] {
                    on_result(peer, id, result);
                });
            });
        });
    });
    world_.after(cluster_.options.call_timeout, process_, [this, &peer, id] {
        end_call(peer, id, CallOutcome::unknown);
    });
}

void CoordinatorNode::on_result(Peer& peer,
                                std::uint64_t call,
                                const protocol::ItemResult& result) {
    auto found = calls_.find(call);
    bool was_open = false;
    if (found != calls_.end()) {
        auto& open = found->second.open;
        auto item = std::ranges::find_if(open, [&](const Item& candidate) {
            return candidate.key == result.key && candidate.op == result.op;
        });
        was_open = item != open.end();
        if (was_open) open.erase(item);
        if (open.empty()) calls_.erase(found);
    }
    if (!was_open && !world_.chance(cluster_.options.replies_after_failure)) return;
    cluster_.checkers.on_result_received(result);
    step(coordinator::Reply{peer.number, result});
}

void CoordinatorNode::end_call(Peer& peer, std::uint64_t call, CallOutcome outcome) {
    auto ended = calls_.extract(call);
    if (ended.empty()) return;
    for (const Item& item : ended.mapped().open) {
        bool is_prepare = item.op == ItemOp::execute_prepare || item.op == ItemOp::prepare;
        bool is_unknown = outcome == CallOutcome::unknown;
        world_.reached_if(is_unknown && is_prepare, Situation::prepare_is_not_answered);
        world_.reached_if(is_unknown && item.op == ItemOp::commit,
                          Situation::commit_is_not_answered);
        if (cluster_.sabotage.cut_off_reply_as_success && item.op == ItemOp::commit) {
            protocol::ItemResult result;
            result.op = item.op;
            result.key = item.key;
            result.participant = peer.info.uuid;
            result.identity = peer.info.identity;
            result.participant_epoch = peer.info.epoch;
            result.status = protocol::ItemStatus::committed;
            step(coordinator::Reply{peer.number, result});
            continue;
        }
        step(coordinator::CallFailed{peer.number, item.key, item.op, outcome, "no answer"});
    }
    step(coordinator::ParticipantLost{peer.number, "no answer"});
}

}  // namespace twofold::sim
