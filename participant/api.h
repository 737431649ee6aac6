// The participant's REST interface. Decides nothing.
// Thread: the loop's. The driver must outlive the router.
#pragma once

#include "http/router.h"
#include "participant/driver.h"

#include <functional>
#include <string>

namespace twofold::participant {

struct ApiOptions {
    std::size_t items_max = 4096;  // per batch
    std::function<std::string()> metrics_text;
};

void add_routes(http::Router& router, Driver& driver, const ApiOptions& options);

}  // namespace twofold::participant
