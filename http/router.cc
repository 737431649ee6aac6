#include "http/router.h"

#include "base/assert.h"
#include "http/problem.h"
#include "http/target.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace twofold::http {

namespace {

struct Segment {
    std::string text;  // the literal, or the parameter's name
    bool is_parameter = false;
};

struct Pattern {
    std::string text;
    std::vector<Segment> segments;
};

struct Route {
    Method method;
    Role role;
    Pattern pattern;
    RouteHandler handler;
};

// "/a/b" to "a", "b"; "/" to one empty segment, so that "/a/" is not "/a".
std::vector<std::string_view> split_path(std::string_view path) {
    std::vector<std::string_view> segments;
    path.remove_prefix(std::min<std::size_t>(path.size(), 1));
    for (;;) {
        const auto slash = path.find('/');
        segments.push_back(path.substr(0, slash));
        if (slash == std::string_view::npos) {
            return segments;
        }
        path.remove_prefix(slash + 1);
    }
}

Pattern parse_pattern(std::string_view text) {
    TWOFOLD_ASSERT(text.starts_with('/'), "a route's pattern begins with '/'");
    Pattern pattern;
    pattern.text = text;
    for (const std::string_view part : split_path(text)) {
        Segment segment;
        segment.is_parameter = part.starts_with('{') && part.ends_with('}');
        segment.text = segment.is_parameter ? part.substr(1, part.size() - 2) : part;
        TWOFOLD_ASSERT(!segment.is_parameter || !segment.text.empty(), "a parameter has a name");
        TWOFOLD_ASSERT(segment.text.find_first_of("{}%?#") == std::string::npos,
                       "a parameter is a whole segment, and literals are not encoded");
        pattern.segments.push_back(std::move(segment));
    }
    return pattern;
}

bool matches(const Pattern& pattern, const std::vector<std::string>& path) {
    if (pattern.segments.size() != path.size()) {
        return false;
    }
    for (std::size_t i = 0; i < path.size(); ++i) {
        const Segment& segment = pattern.segments[i];
        if (segment.is_parameter ? path[i].empty() : segment.text != path[i]) {
            return false;
        }
    }
    return true;
}

// A literal wins over a parameter at the first segment where the patterns differ.
bool more_literal(const Pattern& a, const Pattern& b) {
    for (std::size_t i = 0; i < a.segments.size(); ++i) {
        if (a.segments[i].is_parameter != b.segments[i].is_parameter) {
            return b.segments[i].is_parameter;
        }
    }
    return false;
}

bool serves(Method route, Method request) {
    return route == request || (route == Method::get && request == Method::head);
}

}  // namespace

struct Router::Impl {
    std::vector<Route> routes;
    // Paths without parameters, which the busiest calls have: found without being taken apart.
    std::unordered_map<std::string, std::vector<std::size_t>> literal;
    Authorizer authorizer;

    struct Match {
        const Route* route = nullptr;
        std::string allow;  // methods of the path, when it is known
    };

    void note_allowed(const Route& route, std::string& allow) const {
        const auto note = [&allow](std::string_view name) {
            if (allow.find(name) == std::string::npos) {
                allow += (allow.empty() ? "" : ", ") + std::string(name);
            }
        };
        note(to_string(route.method));
        if (route.method == Method::get) {
            note("HEAD");
        }
        note("OPTIONS");
    }

    const Route* find_literal(const Request& request) const {
        const auto place = literal.find(request.path);
        if (place == literal.end()) {
            return nullptr;
        }
        for (const std::size_t index : place->second) {
            if (serves(routes[index].method, request.method)) {
                return &routes[index];
            }
        }
        return nullptr;
    }

    Match find(Method method, const std::vector<std::string>& path) const {
        Match match;
        for (const Route& route : routes) {
            if (!matches(route.pattern, path)) {
                continue;
            }
            note_allowed(route, match.allow);
            if (serves(route.method, method) &&
                (match.route == nullptr || more_literal(route.pattern, match.route->pattern))) {
                match.route = &route;
            }
        }
        return match;
    }

    // A page of another origin may make a browser send a body of another type, or of none, without
    // asking us first; of this type it may not.
    static std::optional<Response> refuse_media_type(const Request& request) {
        if (request.body.empty()) {
            return std::nullopt;
        }
        const auto type = request.headers.find("Content-Type");
        if (type.has_value() && media_type(*type) == "application/json") {
            return std::nullopt;
        }
        ProblemExtras extras;
        extras.instance = request.path;
        return problem(problems::kUnsupportedMediaType,
                       "send the body with Content-Type: application/json",
                       extras);
    }

    void call(const Route& route, Request request, ResponseSink sink) const {
        if (authorizer) {
            if (auto refusal = authorizer(request, route.role)) {
                return sink.send(std::move(*refusal));
            }
        }
        if (auto refusal = refuse_media_type(request)) {
            return sink.send(std::move(*refusal));
        }
        route.handler(std::move(request), std::move(sink));
    }
};

namespace {

std::optional<std::vector<std::string>> decode_path(std::string_view path) {
    std::vector<std::string> decoded;
    for (const std::string_view segment : split_path(path)) {
        auto text = decode_segment(segment);
        if (!text.has_value()) {
            return std::nullopt;
        }
        decoded.push_back(std::move(*text));
    }
    return decoded;
}

Response refuse_path(const ProblemCode& code, const Request& request, std::string_view detail) {
    ProblemExtras extras;
    extras.instance = request.path;
    return problem(code, detail, extras);
}

}  // namespace

std::string_view to_string(Role role) noexcept {
    switch (role) {
        case Role::open: return "open";
        case Role::client: return "client";
        case Role::operator_: return "operator";
        case Role::sidecar: return "sidecar";
        case Role::metrics: return "metrics";
    }
    return "open";
}

Router::Router() : impl_(std::make_unique<Impl>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::add(Method method, std::string_view pattern, Role role, RouteHandler handler) {
    Pattern parsed = parse_pattern(pattern);
    bool has_parameters = false;
    for (const Segment& segment : parsed.segments) {
        has_parameters = has_parameters || segment.is_parameter;
    }
    for (const Route& route : impl_->routes) {
        TWOFOLD_ASSERT(route.method != method || route.pattern.text != pattern,
                       "a route is added once");
    }
    if (!has_parameters) {
        impl_->literal[parsed.text].push_back(impl_->routes.size());
    }
    impl_->routes.push_back({method, role, std::move(parsed), std::move(handler)});
}

void Router::set_authorizer(Authorizer authorizer) { impl_->authorizer = std::move(authorizer); }

void Router::dispatch(Request request, ResponseSink sink) const {
    if (const Route* route = impl_->find_literal(request)) {
        return impl_->call(*route, std::move(request), std::move(sink));
    }
    const auto path = decode_path(request.path);
    if (!path.has_value()) {
        return sink.send(refuse_path(
            problems::kBadRequest, request, "the path has a segment that no identifier can be"));
    }
    const Impl::Match match = impl_->find(request.method, *path);
    if (match.route != nullptr) {
        const auto& segments = match.route->pattern.segments;
        for (std::size_t i = 0; i < segments.size(); ++i) {
            if (segments[i].is_parameter) {
                request.path_parameters.push_back({segments[i].text, (*path)[i]});
            }
        }
        return impl_->call(*match.route, std::move(request), std::move(sink));
    }
    if (match.allow.empty()) {
        return sink.send(refuse_path(problems::kNoSuchRoute, request, "see /openapi.json"));
    }
    Response response;
    response.status = 204;
    if (request.method != Method::options) {
        response = refuse_path(problems::kMethodNotAllowed, request, "allowed: " + match.allow);
    }
    response.headers.add("Allow", match.allow);
    sink.send(std::move(response));
}

std::vector<RouteInfo> Router::routes() const {
    std::vector<RouteInfo> infos;
    for (const Route& route : impl_->routes) {
        infos.push_back({route.method, route.pattern.text, route.role});
    }
    return infos;
}

}  // namespace twofold::http
