// What the driver keeps of one configured participant. Internal to driver*.cc.
#pragma once

#include "async/timer.h"
#include "coordinator/driver.h"
#include "coordinator/outbox.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace twofold::coordinator {

// One configured participant: how to reach it and what is known of it.
struct Driver::Peer {
    ParticipantStatus status;
    std::unique_ptr<ParticipantPort> port;
    std::unique_ptr<Outbox> outbox;
    std::unique_ptr<async::Timer> timer;
    // Held by every call on the port that is not answered yet, besides batches.
    std::shared_ptr<bool> calls = std::make_shared<bool>();
    bool looking = false;
    bool looked = false;                           // it has answered or failed, once
    std::uint32_t known_epoch = 0;                 // when it was last looked at
    std::optional<protocol::ParticipantUuid> put;  // who was put there
    // Addresses that it had before: what is on its way there is still answered.
    struct Link {
        std::unique_ptr<ParticipantPort> port;
        std::unique_ptr<Outbox> outbox;
        std::shared_ptr<bool> calls;
    };
    std::vector<Link> former;
};

}  // namespace twofold::coordinator
