// POST /v1/branches:resolve: a person decides a prepared branch whose coordinator has lost its log.
// Thread: the loop's. The driver must outlive the router.
#pragma once

#include "http/router.h"
#include "participant/driver.h"

namespace twofold::participant {

void add_resolve_route(http::Router& router, Driver& driver);

}  // namespace twofold::participant
