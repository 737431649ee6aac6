#include "app/server_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

namespace twofold::app {

namespace {

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

void raise_to(prometheus::Counter& counter, std::uint64_t value) {
    auto target = static_cast<double>(value);
    if (target > counter.Value()) counter.Increment(target - counter.Value());
}

}  // namespace

struct ServerMetrics::Impl {
    explicit Impl(prometheus::Registry& r) : registry(r) {}

    prometheus::Registry& registry;
    prometheus::Gauge& connections =
        gauge(registry, "twofold_http_connections", "Connections that are open");
    prometheus::Counter& refused = counter(registry,
                                           "twofold_http_connections_refused_total",
                                           "Connections above connections_max, none being idle");
    prometheus::Gauge& body_bytes =
        gauge(registry, "twofold_http_body_bytes", "Bytes of request bodies that are being read");
    prometheus::Counter& bodies_refused =
        counter(registry,
                "twofold_http_bodies_refused_total",
                "Requests that were not read to their end, for bodies_size_max");
};

ServerMetrics::ServerMetrics(prometheus::Registry& registry)
    : impl_(std::make_unique<Impl>(registry)) {}

ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::show(const http::ServerStats& stats) {
    impl_->connections.Set(static_cast<double>(stats.connections_open));
    raise_to(impl_->refused, stats.connections_refused);
    impl_->body_bytes.Set(static_cast<double>(stats.body_bytes));
    raise_to(impl_->bodies_refused, stats.bodies_refused);
}

}  // namespace twofold::app
