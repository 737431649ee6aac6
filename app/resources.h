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

// `on_fenced` is called when another sidecar has taken the database over: the process must end.
[[nodiscard]] MadeResource make_resource(async::EventLoop& loop,
                                         const ParticipantConfig& config,
                                         std::function<void(const std::string&)> on_fenced);

}  // namespace twofold::app
