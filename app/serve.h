// What the long-running subcommands share: the loop, signals, log output, orderly shutdown.
#pragma once

#include "async/event_loop.h"

#include <functional>

namespace twofold::app {

// JSON lines on stderr through spdlog, or text when stderr is a terminal. TWOFOLD_LOG_LEVEL is
// debug, info, warning or error.
void set_up_logging();

// What a server expects of its process: as many open files as the hard limit allows, because every
// connection takes one and the usual soft limit is 1024 (nothing here uses select(), which could
// not take more); no death by signal at the limit of file sizes.
void prepare_process();

// Runs the loop until SIGTERM or SIGINT, then calls `stop`, which must call what it is given when
// all is orderly down. A second signal ends the process at once.
void run_until_signal(async::EventLoop& loop,
                      const std::function<void(std::function<void()>)>& stop);

}  // namespace twofold::app
