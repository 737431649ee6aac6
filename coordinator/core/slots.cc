#include "coordinator/core/slots.h"

#include "base/assert.h"
#include "base/planted_bug.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

void SlotTable::set_capacity(Participant participant, std::uint32_t slots) {
    Queue& queue = queues_[participant];
    queue.capacity = slots;
    serve(participant, queue);
}

bool SlotTable::request(Owner owner, std::span<const Participant> participants) {
    TWOFOLD_ASSERT(!waiting_.contains(owner), "slots are requested once");
    Request request{.order = next_order_++, .lacking = {}, .held = {}};
    for (Participant participant : participants) {
        Queue& queue = queues_[participant];
        bool is_free = queue.waiting.empty() && queue.has_room();
        if (is_free || TWOFOLD_PLANTED_BUG("coordinator.slots_without_end")) {
            ++queue.used;
            request.held.push_back(participant);
        } else {
            queue.waiting.emplace(request.order, owner);
            request.lacking.push_back(participant);
        }
    }
    if (request.lacking.empty()) return true;
    waiting_.emplace(owner, std::move(request));
    return false;
}

void SlotTable::occupy(Participant participant) { ++queues_[participant].used; }

void SlotTable::release(Participant participant) {
    Queue& queue = queues_[participant];
    TWOFOLD_ASSERT(queue.used > 0, "a slot is released once");
    --queue.used;
    serve(participant, queue);
}

// Takes the owner out of the queues; what it held comes back to be released.
std::vector<SlotTable::Participant> SlotTable::withdraw(Owner owner) {
    std::vector<Participant> held;
    auto granted = std::find_if(
        granted_.begin(), granted_.end(), [&](const Granted& g) { return g.owner == owner; });
    if (granted != granted_.end()) {
        held = std::move(granted->held);
        granted_.erase(granted);
    }
    auto found = waiting_.find(owner);
    if (found == waiting_.end()) return held;
    for (Participant participant : found->second.lacking) {
        queues_[participant].waiting.erase(found->second.order);
    }
    held = std::move(found->second.held);
    waiting_.erase(found);
    return held;
}

void SlotTable::cancel(Owner owner) {
    for (Participant participant : withdraw(owner)) release(participant);
}

void SlotTable::serve(Participant participant, Queue& queue) {
    while (!queue.waiting.empty() && queue.has_room()) {
        Owner owner = queue.waiting.begin()->second;
        queue.waiting.erase(queue.waiting.begin());
        ++queue.used;
        Request& request = waiting_.at(owner);
        std::erase(request.lacking, participant);
        request.held.push_back(participant);
        if (!request.lacking.empty()) continue;
        granted_.push_back({owner, std::move(request.held)});
        waiting_.erase(owner);
    }
}

std::vector<SlotTable::Owner> SlotTable::take_granted() {
    std::vector<Owner> out;
    out.reserve(granted_.size());
    for (const Granted& granted : granted_) out.push_back(granted.owner);
    granted_.clear();
    return out;
}

std::vector<SlotTable::Owner> SlotTable::waiting_at(Participant participant) const {
    std::vector<Owner> out;
    for (const auto& [owner, request] : waiting_) {
        bool wants = false;
        for (Participant p : request.lacking) wants = wants || p == participant;
        for (Participant p : request.held) wants = wants || p == participant;
        if (wants) out.push_back(owner);
    }
    return out;
}

std::uint32_t SlotTable::used(Participant participant) const {
    auto found = queues_.find(participant);
    return found == queues_.end() ? 0 : found->second.used;
}

}  // namespace twofold::coordinator
