// A table of (method, path pattern) with a role for each route. Pure: tested without sockets.
// Patterns: "/v1/transactions/{id}/commit"; a {name} matches one non-empty segment. A literal
// segment wins over a parameter at the same place. Segments are percent-decoded before they are
// compared; a segment that decodes to something with '/', a control character or broken encoding is
// answered 400, and so are
// "." and ".." segments.
#pragma once

#include "http/message.h"
#include "http/response_sink.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::http {

// Who may call a route. Every route states it, so that authorisation can never be forgotten for
// one.
enum class Role : std::uint8_t {
    open,    // probes and the contract: anybody
    client,  // applications
    // People who may override outcomes.
    operator_,  // NOLINT(readability-identifier-naming): `operator` is a keyword
    sidecar,    // participants and the coordinator, among themselves
    metrics,    // scrapers
};

[[nodiscard]] std::string_view to_string(Role role) noexcept;

using RouteHandler = std::function<void(Request, ResponseSink)>;

// Answers a refusal, or nothing when the caller may go on.
using Authorizer = std::function<std::optional<Response>(const Request&, Role)>;

struct RouteInfo {
    Method method;
    std::string pattern;
    Role role;
};

class Router {
public:
    Router();
    ~Router();
    Router(Router&&) noexcept;
    Router& operator=(Router&&) noexcept;

    // A malformed pattern, or one that is there already for the method, is a broken invariant:
    // aborts. GET routes answer HEAD too; the server leaves the body out.
    void add(Method method, std::string_view pattern, Role role, RouteHandler handler);

    // Without one, everybody may call everything.
    void set_authorizer(Authorizer authorizer);

    // Finds the route, asks the authorizer, calls the handler. Else answers 404, 405 (with Allow),
    // 400, 415 (a body that is not declared as application/json), or the authorizer's refusal.
    // OPTIONS on a known path: 204 with Allow.
    void dispatch(Request request, ResponseSink sink) const;

    // All routes in the order of add(), for the contract test.
    [[nodiscard]] std::vector<RouteInfo> routes() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::http
