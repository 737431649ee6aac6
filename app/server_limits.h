// What the servers of both programs have in common: how many connections they take, and whose
// requests find a way in when there are no more.
#pragma once

#include "http/router.h"

#include <cstddef>
#include <cstdint>

namespace twofold::app {

// `wanted` as far as this process may open files, which it says when it is not; 0: as many as that,
// up to a number that costs less than a gigabyte. `others`: what else the process opens.
[[nodiscard]] std::size_t connections_within_limits(std::uint64_t wanted, std::size_t others);

// Probes, figures, and what coordinator and sidecars say to each other: decisions and inquiries.
[[nodiscard]] bool is_urgent(const http::Router& router, const http::Request& request);

}  // namespace twofold::app
