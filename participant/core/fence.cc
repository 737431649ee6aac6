#include "participant/core/fence.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

using protocol::SenderStamp;

namespace {

// 0: not noted, or not told.
bool may_be_same(std::uint64_t nonce, std::uint64_t other) {
    return nonce == 0 || other == 0 || nonce == other;
}

}  // namespace

void Fence::restore(const std::map<protocol::Incarnation, SenderStamp>& durable) {
    for (const auto& [incarnation, stamp] : durable) {
        Sender& sender = senders_[incarnation];
        if (stamp.epoch < sender.seen.epoch) continue;  // this process has heard newer ones
        sender.durable = {stamp.epoch, stamp.start_nonce, stamp.position};
        if (stamp.epoch == sender.seen.epoch) continue;
        std::uint64_t position = std::max(stamp.position, sender.seen.position);
        sender.seen = {stamp.epoch, stamp.start_nonce, position};
    }
}

Fence::Admission Fence::judge(const Known& seen, const SenderStamp& stamp) {
    if (stamp.epoch == 0 || stamp.epoch < seen.epoch) return Admission::stale;
    if (stamp.epoch == seen.epoch) {
        if (!may_be_same(seen.nonce, stamp.start_nonce)) return Admission::conflict;
        // Positions come with nonces. Without one, what is known was told by older starts.
        bool is_first_told = seen.nonce == 0 && stamp.start_nonce != 0;
        if (!is_first_told) return Admission::accepted;
    }
    // A start never tells less than it has read. 0: it says nothing about its log.
    std::uint64_t read = stamp.start_position != 0 ? stamp.start_position : stamp.position;
    return read != 0 && read < seen.position ? Admission::went_back : Admission::accepted;
}

Fence::Admission Fence::admit(const SenderStamp& stamp) {
    Sender& sender = senders_[stamp.incarnation];
    Known& seen = sender.seen;
    Admission admission = judge(seen, stamp);
    if (admission != Admission::accepted) return admission;
    if (stamp.epoch > seen.epoch) {
        seen.epoch = stamp.epoch;
        seen.nonce = stamp.start_nonce;
    } else if (seen.nonce == 0) {
        seen.nonce = stamp.start_nonce;  // becomes durable later: nobody waits for it
    }
    seen.position = std::max(seen.position, stamp.position);
    const Known& durable = sender.durable;
    if (stamp.epoch == durable.epoch && may_be_same(durable.nonce, stamp.start_nonce)) {
        sender.has_spoken = true;
        return Admission::accepted;
    }
    if (std::exchange(sender.persisting, true)) return Admission::wait;
    return Admission::persist;
}

bool Fence::is_durable(const SenderStamp& stamp) const {
    auto found = senders_.find(stamp.incarnation);
    if (found == senders_.end()) return false;
    const Known& durable = found->second.durable;
    return stamp.epoch == durable.epoch && stamp.start_nonce == durable.nonce;
}

SenderStamp Fence::stamp_of(const protocol::Incarnation& incarnation, const Known& known) {
    return {incarnation, known.epoch, known.nonce, known.position};
}

SenderStamp Fence::newest(const protocol::Incarnation& incarnation) const {
    auto found = senders_.find(incarnation);
    return stamp_of(incarnation, found == senders_.end() ? Known{} : found->second.seen);
}

void Fence::wait(const protocol::Incarnation& incarnation, Waiting input) {
    senders_[incarnation].waiting.push_back(std::move(input));
}

bool Fence::has_room(const protocol::Incarnation& incarnation) const {
    auto found = senders_.find(incarnation);
    return found == senders_.end() || found->second.waiting.size() < waiting_max_;
}

std::vector<Fence::Waiting> Fence::persisted(const SenderPersisted& input) {
    Sender& sender = senders_[input.sender.incarnation];
    sender.persisting = false;
    if (input.succeeded && input.sender.epoch >= sender.durable.epoch) {
        sender.durable = {input.sender.epoch, input.sender.start_nonce, input.sender.position};
    }
    return std::exchange(sender.waiting, {});
}

std::vector<SenderStamp> Fence::take_grown() {
    std::vector<SenderStamp> grown;
    for (auto& [incarnation, sender] : senders_) {
        const Known& seen = sender.seen;
        const Known& durable = sender.durable;
        bool has_grown = seen.position > durable.position || seen.nonce != durable.nonce;
        if (seen.epoch != durable.epoch || !has_grown || sender.persisting) continue;
        sender.persisting = true;
        grown.push_back(stamp_of(incarnation, sender.seen));
    }
    return grown;
}

void Fence::abandon(ReplyTicket ticket) {
    for (auto& [incarnation, sender] : senders_) {
        for (Waiting& waiting : sender.waiting) {
            if (auto* item = std::get_if<ItemReceived>(&waiting)) {
                if (item->ticket == ticket) item->ticket = ReplyTicket();
            } else if (auto* offer = std::get_if<SenderSeen>(&waiting)) {
                if (offer->ticket == ticket) offer->ticket = ReplyTicket();
            } else if (auto* execute = std::get_if<ExecuteReceived>(&waiting)) {
                if (execute->ticket == ticket) execute->ticket = ReplyTicket();
            }
        }
    }
}

bool Fence::raise_marks(const protocol::Incarnation& incarnation, const SenderMarks& marks) {
    SenderMarks& known = senders_[incarnation].marks;
    known.horizon = std::max(known.horizon, marks.horizon);
    if (marks.low_water <= known.low_water) return false;
    known.low_water = marks.low_water;
    return true;
}

SenderMarks Fence::marks(const protocol::Incarnation& incarnation) const {
    auto found = senders_.find(incarnation);
    return found == senders_.end() ? SenderMarks{} : found->second.marks;
}

bool Fence::has_spoken(const protocol::Incarnation& incarnation) const {
    auto found = senders_.find(incarnation);
    return found != senders_.end() && found->second.has_spoken;
}

}  // namespace twofold::participant
