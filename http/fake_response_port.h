// For tests of handlers: a ResponsePort that keeps what the handler answers.
//   auto port = std::make_shared<FakeResponsePort>();
//   router.dispatch(request, port->sink());
//   EXPECT_EQ(port->response.status, 200);
#pragma once

#include "http/response_sink.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twofold::http {

class FakeResponsePort : public ResponsePort,
                         public std::enable_shared_from_this<FakeResponsePort> {
public:
    bool answered = false;  // complete: send() or end()
    bool streaming = false;
    bool abandoned = false;  // the sink was dropped without a complete answer
    Response response;       // of a stream: its head, and in `body` all chunks so far
    std::vector<std::string> chunks;
    WriteStatus write_status = WriteStatus::accepted;  // what the fake reports

    [[nodiscard]] ResponseSink sink() { return ResponseSink(shared_from_this(), 1); }

    // As if the peer went away.
    void close() {
        closed_ = true;
        if (auto callback = std::move(on_closed_)) {
            callback();
        }
    }
    void make_writable() {
        write_status = WriteStatus::accepted;
        if (auto callback = std::move(on_writable_)) {
            callback();
        }
    }

    void send(std::uint64_t, Response whole) override {
        if (!closed_) {
            response = std::move(whole);
            answered = true;
        }
    }
    WriteStatus begin_stream(std::uint64_t, Response head) override {
        response = std::move(head);
        streaming = true;
        return status();
    }
    WriteStatus write(std::uint64_t, std::string_view chunk) override {
        if (!closed_) {
            chunks.emplace_back(chunk);
            response.body += chunk;
        }
        return status();
    }
    void end(std::uint64_t) override { answered = !closed_; }
    void abandon(std::uint64_t) override { abandoned = true; }
    void on_closed(std::uint64_t, async::UniqueFunction<void()> callback) override {
        on_closed_ = std::move(callback);
    }
    void on_writable(std::uint64_t, async::UniqueFunction<void()> callback) override {
        on_writable_ = std::move(callback);
    }
    [[nodiscard]] bool open(std::uint64_t) const noexcept override { return !closed_ && !answered; }

private:
    [[nodiscard]] WriteStatus status() const {
        return closed_ ? WriteStatus::closed : write_status;
    }
    bool closed_ = false;
    async::UniqueFunction<void()> on_closed_;
    async::UniqueFunction<void()> on_writable_;
};

}  // namespace twofold::http
