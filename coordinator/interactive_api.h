// The calls about one interactive transaction: enlist, commit, abort.
#pragma once

#include "coordinator/api_support.h"
#include "http/router.h"

#include <memory>

namespace twofold::coordinator {

void add_interactive_routes(http::Router& router, std::shared_ptr<const ApiContext> context);

}  // namespace twofold::coordinator
