// What a coordinator's life knows of one participant, and one batch that is under way. Internal to
// coordinator_*.cc.
#pragma once

#include "protocol/messages.h"
#include "sim/coordinator_node.h"

#include <vector>

namespace twofold::sim {

struct CoordinatorNode::Peer {
    std::uint32_t index = 0;
    protocol::ParticipantNumber number;  // 0: never seen
    protocol::ParticipantInfo info;
    bool looked = false;  // it has answered, or not, once
    bool send_scheduled = false;
    std::vector<protocol::Item> work;
    std::vector<protocol::Item> decisions;
};

struct CoordinatorNode::Call {
    std::uint32_t peer = 0;
    std::vector<protocol::Item> open;  // without an answer
};

}  // namespace twofold::sim
