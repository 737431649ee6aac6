// `twofold participant`.
#include "app/commands.h"
#include "app/participant_service.h"
#include "app/serve.h"
#include "base/log.h"

#include <cstdio>

namespace twofold::app {

int run_participant(const std::string& config_file) {
    auto config = load_participant_config(config_file);
    if (!config.has_value()) {
        std::fprintf(stderr, "twofold participant: %s\n", config.error().context.c_str());
        return kExitUsage;
    }
    set_up_logging();
    prepare_process();
    async::EventLoop loop;
    int code = kExitOk;
    ParticipantService* running = nullptr;
    ParticipantService::Events events;
    events.on_ready = [&running, &config] {
        std::printf("twofold participant %s: ready on %s\n",
                    config.value().name.c_str(),
                    running->url().c_str());
        std::fflush(stdout);
    };
    events.on_hopeless = [&loop, &code](const base::Error& error) {
        std::fprintf(stderr, "twofold participant: %s\n", error.context.c_str());
        code = kExitError;
        loop.stop();
    };
    auto service = ParticipantService::create(loop, config.value(), std::move(events));
    if (!service.has_value()) {
        std::fprintf(stderr, "twofold participant: %s\n", service.error().context.c_str());
        return kExitError;
    }
    running = service.value().get();
    run_until_signal(loop,
                     [running](std::function<void()> done) { running->stop(std::move(done)); });
    return code;
}

}  // namespace twofold::app
