// What the coordinator's driver needs from the world. The program supplies the adapters: the log
// over wal::Writer on its own thread, participants over http::Client, metrics over a registry.
// Thread: all calls and callbacks on the event loop.
#pragma once

#include "async/unique_function.h"
#include "protocol/messages.h"
#include "protocol/records.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::coordinator {

// The decision log. A failure to force never comes back as an answer: the process ends, because
// nobody knows what is on the disk then.
class LogPort {
public:
    LogPort() = default;
    LogPort(const LogPort&) = delete;
    LogPort& operator=(const LogPort&) = delete;
    virtual ~LogPort() = default;

    // In order; not durable.
    virtual void append(const protocol::Record& record) = 0;
    // `on_durable` runs when everything appended before this call is on stable storage. Calls made
    // while a force is under way share the next one (group commit).
    virtual void force(async::UniqueFunction<void()> on_durable) = 0;
    // Replaces the older part of the log by `records`, which describe the state after everything
    // appended so far. `on_done` runs when it is durable. Sealed files that the records do not name
    // are removed then.
    virtual void checkpoint(std::vector<protocol::Record> records,
                            async::UniqueFunction<void()> on_done) = 0;
    // Writes a sealed file of this number. It is durable before a later checkpoint is.
    virtual void seal(std::uint64_t file, const std::vector<protocol::Record>& records) = 0;
    // LSN up to which the log is known to be durable: our position in messages.
    [[nodiscard]] virtual std::uint64_t durable_position() const = 0;
    [[nodiscard]] virtual bool has_room_for_new_work() const = 0;
    [[nodiscard]] virtual bool wants_checkpoint() const = 0;
};

// How a batch ended: for the items without a result line.
struct BatchEnd {
    protocol::CallOutcome outcome = protocol::CallOutcome::unknown;
    std::string why;
};

// One lane keeps decisions from waiting behind work that waits for locks.
enum class Lane : std::uint8_t { work, decisions };

class ParticipantPort {
public:
    using ResultCallback = async::UniqueFunction<void(protocol::ItemResult)>;
    using EndCallback = async::UniqueFunction<void(BatchEnd)>;
    using InfoCallback = async::UniqueFunction<void(base::Result<protocol::ParticipantInfo>)>;
    using OfferCallback = async::UniqueFunction<void(base::Result<protocol::OfferReply>)>;

    ParticipantPort() = default;
    ParticipantPort(const ParticipantPort&) = delete;
    ParticipantPort& operator=(const ParticipantPort&) = delete;
    virtual ~ParticipantPort() = default;

    // Sends one batch. `on_result` for every line that is a complete result with the right
    // participant and identity; then `on_end` once.
    virtual void send(const protocol::BatchRequest& batch,
                      Lane lane,
                      std::chrono::milliseconds deadline,
                      ResultCallback on_result,
                      EndCallback on_end) = 0;
    // Sends a batch without items.
    virtual void offer(const protocol::BatchRequest& batch,
                       std::chrono::milliseconds deadline,
                       OfferCallback done) = 0;
    virtual void fetch_info(InfoCallback done) = 0;
    // Batches under way in this lane, and how many there may be: the driver sends the next batch
    // when one is free and collects items meanwhile.
    [[nodiscard]] virtual bool has_free_connection(Lane lane) const = 0;
    [[nodiscard]] virtual const std::string& url() const = 0;
};

// Figures for /metrics. Names and labels are the adapter's.
class MetricsPort {
public:
    MetricsPort() = default;
    MetricsPort(const MetricsPort&) = delete;
    MetricsPort& operator=(const MetricsPort&) = delete;
    virtual ~MetricsPort() = default;

    virtual void transaction_started() = 0;
    virtual void transaction_finished(std::string_view outcome, std::chrono::nanoseconds took) = 0;
    // "prepare": from acceptance to the proposed decision. "decide": until it is durable. "apply":
    // until every participant has acknowledged it.
    virtual void phase_took(std::string_view phase, std::chrono::nanoseconds took) = 0;
    virtual void item_answered(const std::string& participant,
                               std::string_view operation,
                               std::string_view result) = 0;
    virtual void participant_up(const std::string& participant, bool up) = 0;
    virtual void alarm(std::string_view code) = 0;
};

}  // namespace twofold::coordinator
