// GET /openapi.json: what a server speaks, from the program itself.
#pragma once

#include "http/router.h"

#include <string_view>

namespace twofold::app {

// The text must stay valid as long as the router.
void add_openapi_route(http::Router& router, std::string_view document);

}  // namespace twofold::app
