// Collects the items for one participant and sends them in batches: one request takes all that is
// queued in its lane, so batches grow with the load by themselves and a lone item never waits.
// Decisions have a lane of their own that goes first.
// Thread: the loop's. Lives as long as the driver.
#pragma once

#include "async/event_loop.h"
#include "coordinator/ports.h"
#include "protocol/messages.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace twofold::coordinator {

struct OutboxOptions {
    std::size_t batch_items_max = 512;
    std::size_t batch_bytes_max = 512UL * 1024;  // of work text; a single larger item goes alone
    std::chrono::milliseconds decision_deadline{10'000};
};

class Outbox {
public:
    // Completes a batch at the moment when it is sent: what it carries besides its items, and what
    // is left of their time.
    using Stamp = std::function<void(protocol::BatchRequest&)>;
    using OnResult = std::function<void(protocol::ItemResult)>;
    using OnFailure = std::function<void(const protocol::Item&, const BatchEnd&)>;

    Outbox(ParticipantPort& port,
           OutboxOptions options,
           Stamp stamp,
           OnResult on_result,
           OnFailure on_failure);

    void add(protocol::Item item);
    // A participant without batches gets one item at a time, on as many connections as there are.
    // So does one of which nothing is known yet.
    void set_batching(bool batching) { batching_ = batching; }
    // Sends what is queued as far as connections are free.
    void flush();
    // What was not sent yet never is.
    void drop_queued();
    [[nodiscard]] std::size_t queued() const;
    // Nothing is queued, and every batch that was sent has ended.
    [[nodiscard]] bool is_idle() const { return in_flight_ == 0 && queued() == 0; }

private:
    struct InFlight;
    using Queue = std::vector<protocol::Item>;

    void flush_lane(Lane lane);
    [[nodiscard]] Queue take(Queue& queue) const;
    void send(Lane lane, Queue items);

    ParticipantPort& port_;
    OutboxOptions options_;
    Stamp stamp_;
    OnResult on_result_;
    OnFailure on_failure_;
    bool batching_ = false;
    std::size_t in_flight_ = 0;  // batches
    Queue work_;
    Queue decisions_;
};

}  // namespace twofold::coordinator
