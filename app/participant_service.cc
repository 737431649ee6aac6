#include "app/participant_service.h"

#include "app/coordinator_client.h"
#include "app/openapi_route.h"
#include "app/participant_metrics.h"
#include "app/resources.h"
#include "app/server_limits.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/rng.h"
#include "contract/documents.h"
#include "http/router.h"
#include "http/server.h"
#include "participant/api.h"
#include "participant/driver.h"

#include <utility>

namespace twofold::app {

struct ParticipantService::Impl {
    ParticipantConfig config;
    Events events;
    ParticipantMetrics metrics;
    MadeResource resource;
    std::unique_ptr<participant::Driver> driver;
    http::Router router;
    std::unique_ptr<http::Server> server;

    explicit Impl(const ParticipantConfig& c) : config(c), metrics(c.name) {}
};

namespace {

participant::Config machine_config(const ParticipantConfig& config) {
    participant::Config out;
    out.inquiry_interval = config.inquiry_interval;
    out.in_doubt_age = config.in_doubt_age;
    return out;
}

// Of the database, and connections above the limit.
std::size_t other_descriptors(const ParticipantConfig& config) {
    constexpr std::size_t kOthers = 512;
    if (!config.postgres) return kOthers;
    return kOthers + config.postgres->work_connections + config.postgres->interactive_connections +
           config.postgres->finish_connections;
}

}  // namespace

ParticipantService::ParticipantService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ParticipantService::~ParticipantService() = default;

base::Result<std::unique_ptr<ParticipantService>> ParticipantService::create(
    async::EventLoop& loop, const ParticipantConfig& config, Events events) {
    auto impl = std::make_unique<Impl>(config);
    Impl& self = *impl;
    self.events = std::move(events);
    self.resource = make_resource(loop, config, [&self](const std::string& text) {
        self.events.on_hopeless(base::fail(base::Errc::locked, text));
    });
    std::vector<std::unique_ptr<participant::CoordinatorPort>> coordinators;
    coordinators.reserve(config.coordinators.size());
    for (const HostPort& address : config.coordinators) {
        coordinators.push_back(
            std::make_unique<CoordinatorClient>(loop, address.host, address.port));
    }
    participant::DriverOptions options;
    options.name = config.name;
    options.jitter_seed = base::random_number();
    options.on_ready = [&self] { self.events.on_ready(); };
    self.driver =
        std::make_unique<participant::Driver>(loop,
                                              participant::Machine(machine_config(config)),
                                              *self.resource.port,
                                              self.metrics,
                                              std::move(coordinators),
                                              std::move(options));
    participant::ApiOptions api;
    api.metrics_text = [&self] {
        return self.metrics.text(*self.driver, self.resource.counters(), self.server->stats());
    };
    participant::add_routes(self.router, *self.driver, api);
    add_openapi_route(self.router, contract::participant_document());

    http::ServerOptions server;
    server.host = config.listen.host;
    server.port = config.listen.port;
    server.allow_insecure_public_bind = config.insecure_public_bind;
    server.connections_max =
        connections_within_limits(config.connections_max, other_descriptors(config));
    server.is_urgent = [&self](const http::Request& request) {
        return is_urgent(self.router, request);
    };
    server.body_size_max = config.body_size_max;
    server.bodies_size_max = config.bodies_size_max;
    TWOFOLD_TRY(
        self.server,
        http::Server::create(loop, server, [&self](http::Request request, http::ResponseSink sink) {
            self.router.dispatch(std::move(request), std::move(sink));
        }));
    self.driver->start([&self](const base::Error& error) { self.events.on_hopeless(error); });
    return std::unique_ptr<ParticipantService>(new ParticipantService(std::move(impl)));
}

std::uint16_t ParticipantService::port() const { return impl_->server->port(); }

std::string ParticipantService::url() const {
    return "http://" + impl_->config.listen.host + ":" + std::to_string(port());
}

void ParticipantService::stop(std::function<void()> done) {
    impl_->server->drain(impl_->config.drain_limit, [this, done = std::move(done)]() mutable {
        // Its work, its timers and the coordinators still answer until the process ends.
        impl_->driver->cut_off();
        TWOFOLD_CRASH_POINT(part_stop_after_drain);
        impl_->resource.port->stop(std::move(done));
    });
}

}  // namespace twofold::app
