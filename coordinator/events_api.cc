#include "coordinator/events_api.h"

#include "async/timer.h"
#include "coordinator/problems.h"

#include <charconv>
#include <utility>

namespace twofold::coordinator {

namespace {

constexpr std::size_t kReadersMax = 64;

// One reader. It keeps itself alive through its subscription and the sink's callbacks; all of them
// end with the connection.
class EventStream : public std::enable_shared_from_this<EventStream> {
public:
    EventStream(Driver& driver,
                http::ResponseSink sink,
                std::uint64_t last_id,
                std::chrono::milliseconds heartbeat)
        : driver_(driver),
          sink_(std::move(sink)),
          last_id_(last_id),
          interval_(heartbeat),
          heartbeat_(driver.loop()) {}

    void begin() {
        sink_.on_closed([self = shared_from_this()] { self->close(); });
        subscription_ = driver_.events().subscribe([self = shared_from_this()] { self->pump(); });
        http::Response head;
        head.content_type = "text/event-stream";
        head.headers.set("Cache-Control", "no-store");
        note(sink_.begin_stream(std::move(head)));
        pump();
        if (!closed_) beat();
    }

private:
    // Sends what is there until the reader is slow; what the ring drops meanwhile becomes a gap.
    void pump() {
        while (!blocked_ && !closed_) {
            bool gap = false;
            const Event* event = driver_.events().after(last_id_, gap);
            if (gap) {
                note(sink_.write("event: gap\ndata: {}\n\n"));
                last_id_ = event != nullptr ? event->id - 1 : driver_.events().last_id();
                continue;
            }
            if (event == nullptr) break;
            last_id_ = event->id;
            note(sink_.write(sse_text(*event)));
        }
        if (!driver_.events().closed() || closed_) return;
        sink_.end();
        close();
    }

    void note(http::WriteStatus status) {
        if (status == http::WriteStatus::closed) return close();
        if (status != http::WriteStatus::backpressure) return;
        blocked_ = true;
        sink_.on_writable([weak = weak_from_this()] {
            auto self = weak.lock();
            if (self == nullptr) return;
            self->blocked_ = false;
            self->pump();
        });
    }

    // A comment now and then tells both sides that the other one is there.
    void beat() {
        heartbeat_.start(interval_, [weak = weak_from_this()] {
            auto self = weak.lock();
            if (self == nullptr || self->closed_) return;
            if (!self->blocked_) self->note(self->sink_.write(": heartbeat\n\n"));
            if (!self->closed_) self->beat();
        });
    }

    void close() {
        if (std::exchange(closed_, true)) return;
        heartbeat_.cancel();
        auto self = shared_from_this();
        driver_.events().unsubscribe(subscription_);
    }

    Driver& driver_;
    http::ResponseSink sink_;
    std::uint64_t last_id_;
    std::chrono::milliseconds interval_;
    async::Timer heartbeat_;
    std::uint64_t subscription_ = 0;
    bool blocked_ = false;
    bool closed_ = false;
};

void follow(const ApiContext& context, const http::Request& request, http::ResponseSink sink) {
    EventRing& ring = context.driver.events();
    if (ring.readers() >= kReadersMax) {
        http::ProblemExtras extras;
        extras.retry_after_seconds = 5;
        sink.send(http::problem(
            http::problems::kOverloaded, "too many readers follow the events", extras));
        return;
    }
    std::uint64_t last_id = ring.last_id();
    if (auto field = request.headers.find("Last-Event-ID")) {
        auto [end, code] = std::from_chars(field->data(), field->data() + field->size(), last_id);
        if (code != std::errc{} || end != field->data() + field->size()) {
            sink.send(http::problem(http::problems::kBadRequest,
                                    "Last-Event-ID: must be the id of an event, a number"));
            return;
        }
    }
    std::make_shared<EventStream>(
        context.driver, std::move(sink), last_id, context.options.event_heartbeat)
        ->begin();
}

}  // namespace

void add_event_routes(http::Router& router, std::shared_ptr<const ApiContext> context) {
    router.add(
        http::Method::get,
        "/v1/events",
        http::Role::client,
        [context = std::move(context)](const http::Request& request, http::ResponseSink sink) {
            follow(*context, request, std::move(sink));
        });
}

}  // namespace twofold::coordinator
