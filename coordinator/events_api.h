// GET /v1/events: what happens, as server-sent events.
#pragma once

#include "coordinator/api_support.h"
#include "http/router.h"

#include <memory>

namespace twofold::coordinator {

void add_event_routes(http::Router& router, std::shared_ptr<const ApiContext> context);

}  // namespace twofold::coordinator
