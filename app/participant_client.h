// The coordinator's ParticipantPort over HTTP. An answer counts only as a complete line that parses
// and names the participant and database that were addressed: a proxy's page, a redirect or another
// sidecar's answer leaves the items unknown.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "coordinator/ports.h"
#include "http/client.h"

#include <memory>
#include <string>

namespace twofold::app {

struct ParticipantClientOptions {
    std::string host;
    std::uint16_t port = 0;
    // Batches at a time. Work may wait for locks, so there are many; decisions never do.
    std::size_t work_connections = 32;
    std::size_t decision_connections = 4;
    std::chrono::milliseconds info_deadline{2'000};
};

class ParticipantClient final : public coordinator::ParticipantPort {
public:
    ParticipantClient(async::EventLoop& loop, ParticipantClientOptions options);
    ~ParticipantClient() override;

    void send(const protocol::BatchRequest& batch,
              coordinator::Lane lane,
              std::chrono::milliseconds deadline,
              ResultCallback on_result,
              EndCallback on_end) override;
    void offer(const protocol::BatchRequest& batch,
               std::chrono::milliseconds deadline,
               OfferCallback done) override;
    void fetch_info(InfoCallback done) override;
    [[nodiscard]] bool has_free_connection(coordinator::Lane lane) const override;
    [[nodiscard]] const std::string& url() const override { return url_; }

private:
    struct LaneState {
        std::unique_ptr<http::Client> client;
        std::size_t in_flight = 0;
        std::size_t limit = 0;
    };
    [[nodiscard]] LaneState& state(coordinator::Lane lane);

    ParticipantClientOptions options_;
    std::string url_;
    LaneState work_;
    LaneState decisions_;
};

}  // namespace twofold::app
