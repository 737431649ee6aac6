// The figures of an HTTP server in a Prometheus registry: the same for both programs.
// Thread: the loop's.
#pragma once

#include "http/server.h"

#include <memory>

namespace prometheus {
class Registry;
}

namespace twofold::app {

class ServerMetrics {
public:
    explicit ServerMetrics(prometheus::Registry& registry);
    ~ServerMetrics();
    ServerMetrics(const ServerMetrics&) = delete;
    ServerMetrics& operator=(const ServerMetrics&) = delete;

    void show(const http::ServerStats& stats);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::app
