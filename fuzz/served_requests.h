// Bytes of a connection to handlers, as the server does it, but without the connection.
#pragma once

#include "async/event_loop.h"
#include "http/router.h"

#include <string_view>

namespace twofold::fuzz {

// Reads pipelined requests, dispatches each, lets the loop turn, and checks all answers.
void serve_bytes(http::Router& router, async::EventLoop& loop, std::string_view bytes);

}  // namespace twofold::fuzz
