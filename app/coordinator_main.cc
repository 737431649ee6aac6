// `twofold coordinator`.
#include "app/commands.h"
#include "app/coordinator_service.h"
#include "app/serve.h"

#include <cstdio>

namespace twofold::app {

int run_coordinator(const std::string& config_file) {
    auto config = load_coordinator_config(config_file);
    if (!config.has_value()) {
        std::fprintf(stderr, "twofold coordinator: %s\n", config.error().context.c_str());
        return kExitUsage;
    }
    set_up_logging();
    async::EventLoop loop;
    auto service = CoordinatorService::create(loop, config.value());
    if (!service.has_value()) {
        std::fprintf(stderr, "twofold coordinator: %s\n", service.error().context.c_str());
        return kExitError;
    }
    CoordinatorService& running = *service.value();
    std::printf("twofold coordinator: ready on %s\n", running.url().c_str());
    std::fflush(stdout);
    run_until_signal(loop,
                     [&running](std::function<void()> done) { running.stop(std::move(done)); });
    return kExitOk;
}

}  // namespace twofold::app
