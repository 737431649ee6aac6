// One participant, wired: resource, machine, driver, HTTP server. `twofold participant` runs one,
// `twofold dev` two.
// Thread: the loop's.
#pragma once

#include "app/configs.h"
#include "async/event_loop.h"
#include "base/result.h"

#include <functional>
#include <memory>
#include <string>

namespace twofold::app {

class ParticipantService {
public:
    struct Events {
        std::function<void()> on_ready;
        std::function<void(const base::Error&)> on_hopeless;  // only a person can mend it
    };

    // Listens at once; answers not_ready until the database is.
    [[nodiscard]] static base::Result<std::unique_ptr<ParticipantService>> create(
        async::EventLoop& loop, const ParticipantConfig& config, Events events);
    ~ParticipantService();
    ParticipantService(const ParticipantService&) = delete;
    ParticipantService& operator=(const ParticipantService&) = delete;

    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] std::string url() const;
    // Requests in flight finish, prepared branches stay prepared.
    void stop(std::function<void()> done);

private:
    struct Impl;
    explicit ParticipantService(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::app
