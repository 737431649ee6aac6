// Looking at participants: who answers at an address, who cannot be reached, and offers to them.
#include "base/crash_point.h"
#include "base/log.h"
#include "coordinator/driver_peer.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using base::log_event;
using base::LogLevel;
using std::chrono::milliseconds;

void Driver::look_at(Peer& peer) {
    if (peer.looking || cut_off_) return;
    peer.looking = true;
    peer.known_epoch = machine_.participant_epoch(peer.status.number);
    const ParticipantPort* asked = peer.port.get();
    peer.port->fetch_info(
        [this, &peer, asked, call = peer.calls](base::Result<protocol::ParticipantInfo> info) {
            if (asked != peer.port.get()) return;  // an address that it has no more
            peer.looking = false;
            if (!cut_off_) on_info(peer, std::move(info));
        });
}

// Who is in no entry of the configuration cannot be asked. One that has another name there is
// recognised when it answers: until every address was looked at, it may be behind any of them.
void Driver::report_missing() {
    if (missing_reported_) return;
    bool is_open = std::ranges::any_of(
        peers_, [](const auto& peer) { return peer->status.number.value == 0 && !peer->looked; });
    if (is_open) return;
    missing_reported_ = true;
    for (const auto& [number, record] : machine_.participants()) {
        bool is_there = by_number_.contains(number) ||
                        std::ranges::any_of(peers_, [&uuid = record.uuid](const auto& peer) {
                            return peer->status.info.epoch != 0 && peer->status.info.uuid == uuid;
                        });
        if (is_there) continue;
        submit(ParticipantLost{number, "this participant is not in the configuration"});
    }
    submit(AddressesLookedAt{});
}

void Driver::schedule_look(Peer& peer, milliseconds delay) {
    peer.timer->start(delay, [this, &peer] { look_at(peer); });
}

void Driver::on_info(Peer& peer, base::Result<protocol::ParticipantInfo> info) {
    if (!info.has_value()) {
        peer_failed(peer, info.error().context);
        return;
    }
    bool is_registered = peer.status.number.value != 0;
    if (!is_registered && peer.put && *peer.put != info.value().uuid) {
        peer_failed(peer,
                    "participant " + info.value().uuid.text() + " answers there; put was " +
                        peer.put->text());
        return;
    }
    bool was_up = peer.status.up;
    peer.status.up = is_registered;
    peer.status.problem.clear();
    peer.status.info = info.value();
    peer.outbox->set_batching(info.value().batch);
    metrics_.participant_up(peer.status.name, true);
    if (!was_up) {
        if (peer.status.up) tell_participant(peer);
        log_event(LogLevel::info,
                  "participant_up",
                  "participant answers",
                  {{"participant", peer.status.name},
                   {"identity", info.value().identity.text()},
                   {"epoch", info.value().epoch}});
    }
    if (peer.status.number.value != 0) {
        const auto& enlisted = machine_.participants().at(peer.status.number);
        if (enlisted.uuid != info.value().uuid || enlisted.identity != info.value().identity) {
            peer.status.problem = "another database answers at this address: enlisted was " +
                                  enlisted.identity.text() + " (" + enlisted.uuid.text() +
                                  "), found " + info.value().identity.text() + " (" +
                                  info.value().uuid.text() + ")";
        }
        submit(ParticipantSeen{peer.status.number, info.value(), peer.known_epoch});
    } else {
        peer.status.problem = "it answers and is being registered";
        TWOFOLD_CRASH_POINT(coord_before_registered);
        submit(RegisterParticipant{info.value().uuid, peer.status.name, info.value().identity});
    }
    peer.looked = true;
    report_missing();
    schedule_look(peer, options_.info_interval);
}

// Without batches there is nothing to send: it learns of us with its first item.
void Driver::handle(Offer&& effect) {
    auto found = by_number_.find(effect.participant);
    const protocol::ParticipantInfo* info =
        found != by_number_.end() ? &found->second->status.info : nullptr;
    // It was never seen, and has asked us something: the look offers our start, or says that it
    // cannot be reached.
    if (info != nullptr && info->epoch == 0) return look_at(*found->second);
    if (info == nullptr || !info->batch) {
        submit(OfferAnswered{effect.participant, effect.offer, std::nullopt});
        return;
    }
    Peer& peer = *found->second;
    protocol::BatchRequest batch;
    complete(peer, batch);
    TWOFOLD_CRASH_POINT(coord_before_offer_sent);
    peer.port->offer(
        batch,
        options_.offer_deadline,
        [this, effect, call = peer.calls](base::Result<protocol::OfferReply> answered) {
            OfferAnswered input{effect.participant, effect.offer, std::nullopt};
            if (answered.has_value()) input.reply = std::move(answered.value());
            submit(std::move(input));
        });
}

void Driver::peer_failed(Peer& peer, const std::string& why) {
    bool was_up = std::exchange(peer.status.up, false);
    peer.status.problem = why;
    if (was_up) {
        tell_participant(peer);
        log_event(LogLevel::warning,
                  "participant_down",
                  why,
                  {{"participant", peer.status.name}, {"url", peer.status.url}});
    }
    metrics_.participant_up(peer.status.name, false);
    if (peer.status.number.value != 0) submit(ParticipantLost{peer.status.number, why});
    peer.looked = true;
    report_missing();
    schedule_look(peer, options_.info_retry_interval);
}

void Driver::tell_participant(const Peer& peer) {
    Event event;
    event.kind = Event::Kind::participant;
    event.name = peer.status.name;
    event.up = peer.status.up;
    event.text = peer.status.problem;
    events_.add(std::move(event));
}

}  // namespace twofold::coordinator
