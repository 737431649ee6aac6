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
    prepare_process();
    async::EventLoop loop;
    int code = kExitOk;
    CoordinatorService* running = nullptr;
    CoordinatorService::Events events;
    events.on_ready = [&running] {
        std::printf("twofold coordinator: ready on %s\n", running->url().c_str());
        std::fflush(stdout);
    };
    events.on_hopeless = [&loop, &code](const base::Error& error) {
        std::fprintf(stderr, "twofold coordinator: %s\n", error.context.c_str());
        code = kExitError;
        loop.stop();
    };
    auto service = CoordinatorService::create(loop, config.value(), std::move(events));
    if (!service.has_value()) {
        std::fprintf(stderr, "twofold coordinator: %s\n", service.error().context.c_str());
        return kExitError;
    }
    running = service.value().get();
    run_until_signal(loop,
                     [running](std::function<void()> done) { running->stop(std::move(done)); });
    return code;
}

}  // namespace twofold::app
