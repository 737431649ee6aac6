// Request bytes to the whole REST interface of the coordinator: router, handlers, driver and
// machine over fake ports, on a loop that is polled by hand. Ids are the same in every run, so that
// an input of several requests can name the transaction that its first one begins.
#include "async/event_loop.h"
#include "coordinator/api.h"
#include "coordinator/directory_api.h"
#include "coordinator/fake_ports.h"
#include "fuzz/cursor.h"
#include "fuzz/served_requests.h"
#include "fuzz/targets.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twofold::fuzz {

namespace {

using coordinator::FakeParticipant;

class OpenDirectory final : public coordinator::DirectoryPort {
public:
    base::Result<void> check(const std::string& url) const override {
        if (url.starts_with("http://fake")) return base::ok();
        return base::fail(base::Errc::precondition_failed, "url: not allowed");
    }
    bool is_configured(std::string_view name) const override { return name == "north"; }
    std::unique_ptr<coordinator::ParticipantPort> connect(const std::string& url) override {
        auto made = std::make_unique<FakeParticipant>(static_cast<std::uint8_t>(url.size()));
        made->answer_as_usual();
        return made;
    }
    base::Result<void> keep(const std::string&,
                            const std::string&,
                            const protocol::ParticipantUuid&) override {
        return base::ok();
    }
};

// What a participant answers besides the usual.
void misbehave(FakeParticipant& participant, std::uint8_t manner) {
    participant.answer_as_usual();
    if (manner % 4 == 0) return;
    participant.answer = [&participant, manner](const protocol::Item& item, auto& on_result) {
        protocol::ItemResult result = participant.usual(item);
        constexpr auto kLast = static_cast<unsigned>(protocol::ItemStatus::hazard);
        if (manner % 4 != 3) {
            result.status = static_cast<protocol::ItemStatus>(1U + manner / 4U % kLast);
            result.reason = {std::string(protocol::reason::kDeadlock), "not today", -1, {}};
        }
        if (manner % 4 != 2) on_result(result);
        if (manner % 4 == 3) on_result(result);
    };
}

class CoordinatorWorld {
public:
    CoordinatorWorld(std::uint8_t first, std::uint8_t second) {
        coordinator::RecoveredState state;
        state.epoch = 1;
        state.epochs[1] = protocol::EpochRecord{{}, 1, {}};
        std::vector<coordinator::ParticipantEntry> entries;
        for (std::uint8_t id = 1; id <= 3; ++id) {
            auto participant = std::make_unique<FakeParticipant>(id);
            misbehave(*participant, id == 1 ? first : second);
            participant->info.one_phase = (first & 0x80U) != 0;
            participant->down = id == 3;
            entries.push_back({id == 1   ? "north"
                               : id == 2 ? "south"
                                         : "west",
                               std::move(participant)});
        }
        driver_ = std::make_unique<coordinator::Driver>(
            loop,
            coordinator::Machine(coordinator::Config{}, std::move(state)),
            log_,
            metrics_,
            std::move(entries),
            coordinator::DriverOptions{});
        driver_->start();
        for (int i = 0; i < 20; ++i) loop.poll();
        coordinator::ApiOptions options;
        options.keys_max = 4;
        options.metrics_text = [] { return std::string("up 1\n"); };
        coordinator::add_routes(router, *driver_, options);
        coordinator::add_directory_routes(router, *driver_, directory_);
    }

    async::EventLoop loop;

private:
    coordinator::FakeLog log_;
    coordinator::FakeMetrics metrics_;
    OpenDirectory directory_;
    std::unique_ptr<coordinator::Driver> driver_;

public:
    http::Router router;
};

}  // namespace

void coordinator_api(base::ByteSpan input) {
    Cursor cursor(input);
    std::uint8_t first = cursor.u8();
    CoordinatorWorld world(first, cursor.u8());
    serve_bytes(world.router, world.loop, as_text(cursor.rest()));
}

}  // namespace twofold::fuzz
