#include "app/server_limits.h"

#include "base/log.h"

#include <sys/resource.h>

#include <algorithm>

namespace twofold::app {

namespace {

constexpr std::size_t kConnectionsDefaultMax = 32'768;

std::size_t descriptors() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1'024;
    return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur, 1U << 30U));
}

}  // namespace

std::size_t connections_within_limits(std::uint64_t wanted, std::size_t others) {
    std::size_t all = descriptors();
    // Of very few, half: the rest must do for everything else.
    std::size_t possible = std::max<std::size_t>(all > 2 * others ? all - others : all / 2, 1);
    if (wanted == 0) return std::min(possible, kConnectionsDefaultMax);
    if (wanted > possible) {
        base::log_event(base::LogLevel::warning,
                        "connections_limited",
                        "connections_max is more than the limit of open files allows",
                        {{"connections_max", wanted},
                         {"possible", static_cast<std::uint64_t>(possible)},
                         {"open_files", static_cast<std::uint64_t>(all)}});
    }
    return static_cast<std::size_t>(std::min<std::uint64_t>(wanted, possible));
}

bool is_urgent(const http::Router& router, const http::Request& request) {
    const auto routes = router.routes();
    return std::ranges::any_of(routes, [&request](const http::RouteInfo& route) {
        bool is_role = route.role == http::Role::open || route.role == http::Role::metrics ||
                       route.role == http::Role::sidecar;
        return is_role && route.pattern == request.path;
    });
}

}  // namespace twofold::app
