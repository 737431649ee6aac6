#include "http/response_sink.h"

#include "base/assert.h"

#include <utility>

namespace twofold::http {

ResponseSink::ResponseSink(std::shared_ptr<ResponsePort> port, std::uint64_t exchange) noexcept
    : port_(std::move(port)), exchange_(exchange) {}

ResponseSink& ResponseSink::operator=(ResponseSink&& other) noexcept {
    if (this != &other) {
        if (const auto port = std::exchange(port_, nullptr)) {
            port->abandon(exchange_);
        }
        port_ = std::move(other.port_);
        exchange_ = other.exchange_;
    }
    return *this;
}

ResponseSink::~ResponseSink() {
    if (port_ != nullptr) {
        port_->abandon(exchange_);
    }
}

void ResponseSink::send(Response response) {
    TWOFOLD_ASSERT(port_ != nullptr, "a request is answered once");
    // The sink is done before the call: what the call sets off may look at it or destroy it.
    const auto port = std::exchange(port_, nullptr);
    port->send(exchange_, std::move(response));
}

WriteStatus ResponseSink::begin_stream(int status, std::string_view content_type) {
    Response head;
    head.status = status;
    head.content_type = content_type;
    return begin_stream(std::move(head));
}

WriteStatus ResponseSink::begin_stream(Response head) {
    TWOFOLD_ASSERT(port_ != nullptr, "a request is answered once");
    TWOFOLD_ASSERT(head.body.empty(), "a stream's body comes by write()");
    return port_->begin_stream(exchange_, std::move(head));
}

WriteStatus ResponseSink::write(std::string_view chunk) {
    TWOFOLD_ASSERT(port_ != nullptr, "a stream is written before its end");
    return port_->write(exchange_, chunk);
}

void ResponseSink::end() {
    TWOFOLD_ASSERT(port_ != nullptr, "a stream ends once");
    const auto port = std::exchange(port_, nullptr);
    port->end(exchange_);
}

void ResponseSink::on_closed(async::UniqueFunction<void()> callback) {
    if (port_ != nullptr) {
        port_->on_closed(exchange_, std::move(callback));
    }
}

void ResponseSink::on_writable(async::UniqueFunction<void()> callback) {
    if (port_ != nullptr) {
        port_->on_writable(exchange_, std::move(callback));
    }
}

bool ResponseSink::open() const noexcept { return port_ != nullptr && port_->open(exchange_); }

}  // namespace twofold::http
