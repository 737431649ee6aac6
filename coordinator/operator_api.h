// The REST interface for people who look after a coordinator: why a transaction is as it is, and
// what only a person may decide. Requests to inputs, answers to responses. Decides nothing.
// Thread: the loop's. The objects given must outlive the router.
#pragma once

#include "coordinator/driver.h"
#include "http/router.h"

namespace twofold::coordinator {

void add_operator_routes(http::Router& router, Driver& driver);

}  // namespace twofold::coordinator
