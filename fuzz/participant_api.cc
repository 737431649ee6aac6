// Request bytes to the whole REST interface of a participant: router, handlers, driver and machine
// over a database and a coordinator that answer at once.
#include "async/event_loop.h"
#include "fuzz/cursor.h"
#include "fuzz/fake_resource.h"
#include "fuzz/served_requests.h"
#include "fuzz/targets.h"
#include "participant/api.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twofold::fuzz {

namespace {

class FakeCoordinator final : public participant::CoordinatorPort {
public:
    explicit FakeCoordinator(std::uint8_t manner) : manner_(manner) {}

    void inquire(const protocol::InquiryRequest& request, ReplyCallback done) override {
        protocol::InquiryReply reply;
        reply.sender.epoch = 1;
        for (const protocol::InquiryItem& item : request.items) {
            auto answer = static_cast<protocol::InquiryAnswer>(1U + manner_ % 5U);
            reply.items.push_back({item.key, answer, item.proof});
        }
        done(std::move(reply));
    }
    void enlist(const participant::EnlistRequest& request, EnlistCallback done) override {
        participant::EnlistReply reply;
        reply.status = static_cast<participant::EnlistStatus>(manner_ / 8U % 4U);
        reply.key = {request.txn, 1, 1};
        reply.uuid = FakeResource::uuid();
        reply.deadline_ms = 60'000;
        reply.http_status = 409;
        reply.code = "wrong_state";
        reply.detail = "as told";
        done(std::move(reply));
    }
    [[nodiscard]] const std::string& url() const override { return url_; }

private:
    std::uint8_t manner_;
    std::string url_ = "http://fake";
};

class NoMetrics final : public participant::MetricsPort {
public:
    void item_answered(std::string_view, std::string_view) override {}
    void alarm(std::string_view) override {}
};

}  // namespace

void participant_api(base::ByteSpan input) {
    Cursor cursor(input);
    FakeResource resource(cursor.u8());
    NoMetrics metrics;
    async::EventLoop loop;
    std::vector<std::unique_ptr<participant::CoordinatorPort>> coordinators;
    coordinators.push_back(std::make_unique<FakeCoordinator>(cursor.u8()));
    participant::DriverOptions driver_options;
    driver_options.name = "north";
    participant::Driver driver(loop,
                               participant::Machine(participant::Config{}),
                               resource,
                               metrics,
                               std::move(coordinators),
                               driver_options);
    driver.start([](const base::Error&) {});
    for (int i = 0; i < 20; ++i) loop.poll();
    http::Router router;
    participant::ApiOptions options;
    options.items_max = 64;
    participant::add_routes(router, driver, options);
    serve_bytes(router, loop, as_text(cursor.rest()));
}

}  // namespace twofold::fuzz
