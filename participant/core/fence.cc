#include "participant/core/fence.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

void Fence::restore(const std::map<protocol::Incarnation, protocol::Epoch>& durable) {
    for (const auto& [incarnation, epoch] : durable) {
        Sender& sender = senders_[incarnation];
        sender.durable = std::max(sender.durable, epoch);
        sender.seen = std::max(sender.seen, epoch);
    }
}

Fence::Admission Fence::admit(const protocol::SenderStamp& stamp) {
    Sender& sender = senders_[stamp.incarnation];
    if (stamp.epoch == 0 || stamp.epoch < sender.seen) return Admission::stale;
    if (stamp.epoch == sender.durable) {
        sender.has_spoken = true;
        return Admission::accepted;
    }
    sender.seen = stamp.epoch;
    if (sender.persisting) return Admission::wait;
    sender.persisting = true;
    return Admission::persist;
}

void Fence::wait(const protocol::Incarnation& incarnation, Waiting input) {
    senders_[incarnation].waiting.push_back(std::move(input));
}

bool Fence::has_room(const protocol::Incarnation& incarnation) const {
    auto found = senders_.find(incarnation);
    return found == senders_.end() || found->second.waiting.size() < waiting_max_;
}

std::vector<Fence::Waiting> Fence::persisted(const SenderPersisted& input) {
    Sender& sender = senders_[input.incarnation];
    sender.persisting = false;
    if (input.succeeded) {
        sender.durable = std::max(sender.durable, input.epoch);
        sender.seen = std::max(sender.seen, input.epoch);
    }
    return std::exchange(sender.waiting, {});
}

void Fence::abandon(ReplyTicket ticket) {
    for (auto& [incarnation, sender] : senders_) {
        for (Waiting& waiting : sender.waiting) {
            auto* item = std::get_if<ItemReceived>(&waiting);
            if (item != nullptr && item->ticket == ticket) item->ticket = ReplyTicket();
            auto* execute = std::get_if<ExecuteReceived>(&waiting);
            if (execute != nullptr && execute->ticket == ticket) execute->ticket = ReplyTicket();
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
