// The participant's CoordinatorPort over HTTP.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "http/client.h"
#include "participant/ports.h"

#include <chrono>
#include <memory>
#include <string>

namespace twofold::app {

class CoordinatorClient final : public participant::CoordinatorPort {
public:
    CoordinatorClient(async::EventLoop& loop, std::string host, std::uint16_t port);
    ~CoordinatorClient() override;

    void inquire(const protocol::InquiryRequest& request, ReplyCallback done) override;
    void enlist(const participant::EnlistRequest& request, EnlistCallback done) override;
    [[nodiscard]] const std::string& url() const override { return url_; }

private:
    std::string url_;
    std::unique_ptr<http::Client> client_;
};

}  // namespace twofold::app
