#include "coordinator/keyed_calls.h"

#include "coordinator/answer_json.h"
#include "coordinator/problems.h"
#include "coordinator/submit_request.h"

#include <utility>

namespace twofold::coordinator {

using http::Response;
using http::ResponseSink;
using http::WriteStatus;

// Stands between the handler and the client. Whole answers only: no keyed call streams.
class KeyedCalls::Recorder final : public http::ResponsePort,
                                   public std::enable_shared_from_this<Recorder> {
public:
    Recorder(std::shared_ptr<KeyedCalls> calls,
             const protocol::IdempotencyKey& key,
             ResponseSink client)
        : calls_(std::move(calls)), key_(key), client_(std::move(client)) {}

    // A client that leaves gives its connection back at once, not when the call is answered.
    void let_the_client_leave() {
        client_.on_closed([weak = weak_from_this()] {
            auto self = weak.lock();
            if (self == nullptr) return;
            self->client_left_ = true;
            self->client_ = ResponseSink();
        });
    }

    void send(std::uint64_t /*exchange*/, Response response) override {
        open_ = false;
        calls_->memory_.finish(key_, response);
        if (!client_left_) client_.send(std::move(response));
    }
    void abandon(std::uint64_t /*exchange*/) override {
        open_ = false;
        calls_->memory_.release(key_);
        client_ = ResponseSink();
    }
    WriteStatus begin_stream(std::uint64_t /*exchange*/, Response /*head*/) override {
        return WriteStatus::closed;
    }
    WriteStatus write(std::uint64_t /*exchange*/, std::string_view /*chunk*/) override {
        return WriteStatus::closed;
    }
    void end(std::uint64_t exchange) override { abandon(exchange); }
    // Never: whoever left may come back with the same key.
    void on_closed(std::uint64_t /*exchange*/, async::UniqueFunction<void()> /*call*/) override {}
    void on_writable(std::uint64_t /*exchange*/, async::UniqueFunction<void()> /*call*/) override {}
    [[nodiscard]] bool open(std::uint64_t /*exchange*/) const noexcept override { return open_; }

private:
    std::shared_ptr<KeyedCalls> calls_;
    protocol::IdempotencyKey key_;
    ResponseSink client_;
    bool open_ = true;
    bool client_left_ = false;
};

namespace {

// An answer to a call about the transaction in the path.
Response refused(const http::Request& request,
                 const http::ProblemCode& code,
                 std::string_view detail,
                 std::optional<unsigned> retry_after_seconds = {}) {
    http::ProblemExtras extras;
    extras.transaction_id = request.path_parameter("id");
    extras.retry_after_seconds = retry_after_seconds;
    Response response = http::problem(code, detail, extras);
    response.headers.set(kTransactionField, extras.transaction_id);
    return response;
}

}  // namespace

KeyedCalls::KeyedCalls(async::EventLoop& loop,
                       ReplayMemory::Limits limits,
                       std::chrono::milliseconds lifetime)
    : memory_(limits),
      generation_(lifetime / ReplayMemory::kGenerationsPerLifetime),
      timer_(loop) {}

void KeyedCalls::run(const http::Request& request, ResponseSink sink, const Handler& handler) {
    auto field = request.headers.find("Idempotency-Key");
    if (!field) {
        handler(std::move(sink));
        return;
    }
    // The path says which transaction and what is to be done with it.
    auto key = parse_idempotency_key(*field, request.path + '\n' + request.body);
    if (!key.has_value()) {
        sink.send(refused(request, problems::kInvalidRequest, key.error().context));
        return;
    }
    ReplayMemory::Found found = memory_.begin(key.value());
    switch (found.verdict) {
        case ReplayMemory::Verdict::fresh: break;
        case ReplayMemory::Verdict::in_progress:
            sink.send(refused(request,
                              problems::kKeyInProgress,
                              "the first request under this key is not answered yet",
                              1));
            return;
        case ReplayMemory::Verdict::other_body:
            sink.send(refused(request,
                              problems::kKeyConflict,
                              "this idempotency key was used for a different request"));
            return;
        case ReplayMemory::Verdict::known:
            found.answer->headers.set(kReplayedField, "true");
            sink.send(std::move(*found.answer));
            return;
        case ReplayMemory::Verdict::full: {
            auto seconds = std::chrono::ceil<std::chrono::seconds>(generation_).count();
            sink.send(refused(request,
                              problems::kKeysExhausted,
                              "too many idempotency keys are remembered; without a key the "
                              "call is done",
                              static_cast<unsigned>(seconds)));
            return;
        }
    }
    rotate_later();
    auto recorder = std::make_shared<Recorder>(shared_from_this(), key.value(), std::move(sink));
    recorder->let_the_client_leave();
    handler(ResponseSink(std::move(recorder), 1));
}

void KeyedCalls::rotate_later() {
    if (std::exchange(timer_runs_, true)) return;
    timer_.start(generation_, [this] {
        timer_runs_ = false;
        memory_.rotate();
        if (memory_.size() > 0) rotate_later();
    });
}

}  // namespace twofold::coordinator
