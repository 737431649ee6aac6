// What the participant's driver needs besides its resource.
// Thread: all calls and callbacks on the event loop.
#pragma once

#include "async/unique_function.h"
#include "base/result.h"
#include "protocol/messages.h"

#include <string>
#include <string_view>

namespace twofold::participant {

// One configured coordinator.
class CoordinatorPort {
public:
    using ReplyCallback = async::UniqueFunction<void(base::Result<protocol::InquiryReply>)>;

    CoordinatorPort() = default;
    CoordinatorPort(const CoordinatorPort&) = delete;
    CoordinatorPort& operator=(const CoordinatorPort&) = delete;
    virtual ~CoordinatorPort() = default;

    virtual void inquire(const protocol::InquiryRequest& request, ReplyCallback done) = 0;
    [[nodiscard]] virtual const std::string& url() const = 0;
};

class MetricsPort {
public:
    MetricsPort() = default;
    MetricsPort(const MetricsPort&) = delete;
    MetricsPort& operator=(const MetricsPort&) = delete;
    virtual ~MetricsPort() = default;

    virtual void item_answered(std::string_view operation, std::string_view status) = 0;
    virtual void alarm(std::string_view code) = 0;
};

}  // namespace twofold::participant
