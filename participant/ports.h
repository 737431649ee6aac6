// What the participant's driver needs besides its resource.
// Thread: all calls and callbacks on the event loop.
#pragma once

#include "async/unique_function.h"
#include "base/result.h"
#include "protocol/messages.h"

#include <string>
#include <string_view>

namespace twofold::participant {

// A branch of an interactive transaction that a sidecar wants to begin.
struct EnlistRequest {
    protocol::TxnId txn;
    std::string participant;  // our name in the coordinator's directory
    std::uint32_t participant_epoch = 0;
    std::uint64_t session = 0;  // another one for the same transaction dooms it
    protocol::BranchOptions options;
};
enum class EnlistStatus : std::uint8_t {
    enlisted,
    not_mine,     // this coordinator does not know the transaction
    refused,      // it knows it, and it takes no work: `problem` says why
    unreachable,  // no answer, or none that counts: it may have enlisted the branch
};
struct EnlistReply {
    EnlistStatus status = EnlistStatus::unreachable;
    protocol::BranchKey key;         // enlisted
    protocol::ParticipantUuid uuid;  // enlisted: whom the coordinator means by the name
    std::uint32_t deadline_ms = 0;   // enlisted: what is left, a duration
    protocol::SenderStamp sender;    // enlisted: who has; epoch 0: it does not say
    // enlisted: the transaction is aborted when its coordinator hears nothing for so long; 0: never
    std::uint32_t idle_deadline_ms = 0;
    int http_status = 0;  // refused
    std::string code;     // refused: of the problem
    std::string detail;   // refused, unreachable
};

// One configured coordinator.
class CoordinatorPort {
public:
    using ReplyCallback = async::UniqueFunction<void(base::Result<protocol::InquiryReply>)>;
    using EnlistCallback = async::UniqueFunction<void(EnlistReply)>;

    CoordinatorPort() = default;
    CoordinatorPort(const CoordinatorPort&) = delete;
    CoordinatorPort& operator=(const CoordinatorPort&) = delete;
    virtual ~CoordinatorPort() = default;

    virtual void inquire(const protocol::InquiryRequest& request, ReplyCallback done) = 0;
    virtual void enlist(const EnlistRequest& request, EnlistCallback done) = 0;
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
