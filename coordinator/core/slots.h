// Who may hold a prepared branch where. A participant takes a limited number of prepared branches
// at a time (one in exclusive mode); a one-shot gets a slot at each of its participants before
// anything of it is sent anywhere, so that two transactions never wait for each other's.
//
// A request joins all of its queues in one step and each queue is served first come, first served.
// Why nobody waits for ever: of all waiting requests the oldest one is at the head of every queue
// that it is in, so what it lacks is held only by transactions that wait for nobody.
#pragma once

#include "protocol/ids.h"

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace twofold::coordinator {

class SlotTable {
public:
    using Participant = protocol::ParticipantNumber;
    using Owner = protocol::IdPosition;

    // 0: no limit. More may be in use than there are: what is prepared stays prepared.
    void set_capacity(Participant participant, std::uint32_t slots);

    // True: granted, go. False: the owner waits and will come out of take_granted() once.
    [[nodiscard]] bool request(Owner owner, std::span<const Participant> participants);
    // Takes a slot without asking: recovered and interactive branches.
    void occupy(Participant participant);
    // Gives one slot back.
    void release(Participant participant);
    // The owner waits no longer; slots that it got so far are given back.
    void cancel(Owner owner);

    // Owners that got their last slot since the last call, in the order of their requests.
    [[nodiscard]] std::vector<Owner> take_granted();
    [[nodiscard]] bool waits(Owner owner) const { return waiting_.contains(owner); }
    // Owners that wait and want a slot of this participant.
    [[nodiscard]] std::vector<Owner> waiting_at(Participant participant) const;
    [[nodiscard]] std::size_t waiting_count() const { return waiting_.size(); }
    [[nodiscard]] std::uint32_t used(Participant participant) const;

private:
    struct Queue {
        std::uint32_t capacity = 0;
        std::uint32_t used = 0;
        std::map<std::uint64_t, Owner> waiting;  // by order of arrival

        [[nodiscard]] bool has_room() const { return capacity == 0 || used < capacity; }
    };
    struct Request {
        std::uint64_t order = 0;
        std::vector<Participant> lacking;
        std::vector<Participant> held;
    };
    struct Granted {
        Owner owner;
        std::vector<Participant> held;
    };
    void serve(Participant participant, Queue& queue);
    [[nodiscard]] std::vector<Participant> withdraw(Owner owner);

    std::map<Participant, Queue> queues_;
    std::map<Owner, Request> waiting_;
    std::vector<Granted> granted_;
    std::uint64_t next_order_ = 1;
};

}  // namespace twofold::coordinator
