// What the long-running subcommands share: the loop, signals, log output, orderly shutdown.
#pragma once

#include "async/event_loop.h"

#include <functional>

namespace twofold::app {

// JSON lines on stderr through spdlog, or text when stderr is a terminal. TWOFOLD_LOG_LEVEL is
// debug, info, warning or error.
void set_up_logging();

// Every connection takes a descriptor, and the usual soft limit is 1024: raises it to the hard
// limit. Nothing here uses select(), which could not take more.
void raise_descriptor_limit();

// Runs the loop until SIGTERM or SIGINT, then calls `stop`, which must call what it is given when
// all is orderly down. A second signal ends the process at once.
void run_until_signal(async::EventLoop& loop,
                      const std::function<void(std::function<void()>)>& stop);

}  // namespace twofold::app
