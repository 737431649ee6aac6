// Makes the resource that a participant's configuration names.
#pragma once

#include "app/configs.h"
#include "async/event_loop.h"
#include "participant/resource.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace twofold::app {

struct MadeResource {
    std::unique_ptr<participant::ResourcePort> port;
    std::function<std::map<std::string, std::uint64_t>()> counters;
};

[[nodiscard]] MadeResource make_resource(async::EventLoop& loop, const ParticipantConfig& config);

}  // namespace twofold::app
