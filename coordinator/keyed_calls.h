// Runs calls under their Idempotency-Key: the handler answers as ever, and its answer is remembered
// on the way out.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/timer.h"
#include "coordinator/replay_memory.h"
#include "http/router.h"

#include <chrono>
#include <functional>
#include <memory>

namespace twofold::coordinator {

class KeyedCalls : public std::enable_shared_from_this<KeyedCalls> {
public:
    KeyedCalls(async::EventLoop& loop,
               ReplayMemory::Limits limits,
               std::chrono::milliseconds lifetime);

    // Calls `handler` with a sink, now or never: a request without a key goes straight through; one
    // under a key that is known, in progress, or another request's is answered here. The work of a
    // client that goes away goes on: its key remembers the answer.
    using Handler = std::function<void(http::ResponseSink)>;
    void run(const http::Request& request, http::ResponseSink sink, const Handler& handler);

    [[nodiscard]] const ReplayMemory& memory() const { return memory_; }

private:
    class Recorder;
    void rotate_later();

    ReplayMemory memory_;
    std::chrono::milliseconds generation_;
    async::Timer timer_;
    bool timer_runs_ = false;
};

}  // namespace twofold::coordinator
