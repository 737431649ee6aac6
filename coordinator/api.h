// The coordinator's REST interface: requests to inputs, answers to responses. Decides nothing.
// Thread: the loop's. The objects given must outlive the router.
#pragma once

#include "coordinator/driver.h"
#include "http/router.h"

#include <chrono>
#include <functional>
#include <string>

namespace twofold::coordinator {

struct ApiOptions {
    std::size_t json_depth_max = 32;
    std::size_t branches_max = 64;
    std::size_t statements_max = 256;  // per branch
    std::size_t labels_max = 16;
    std::size_t list_size_max = 4UL << 20U;  // bytes of a page, about
    std::chrono::milliseconds deadline_default{30'000};
    std::chrono::milliseconds deadline_max{3'600'000};
    std::chrono::milliseconds wait_max{60'000};  // of a long poll
    std::chrono::milliseconds event_heartbeat{15'000};
    // Answers of enlist, commit and abort that are remembered under an Idempotency-Key; the keys of
    // whole transactions are the machine's.
    std::chrono::milliseconds key_lifetime{3'600'000};
    std::size_t keys_max = 4'000'000;
    std::size_t key_bytes_max = std::size_t{256} << 20U;
    // Text of /metrics; empty: no such route.
    std::function<std::string()> metrics_text;
    // Why the coordinator is not ready; empty when it is.
    std::function<std::string()> not_ready_reason;
};

void add_routes(http::Router& router, Driver& driver, const ApiOptions& options);

}  // namespace twofold::coordinator
