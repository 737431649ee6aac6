// Ports for tests of the driver: a log whose forces finish when told, participants that answer as
// told, metrics that are counted.
#pragma once

#include "coordinator/ports.h"

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace twofold::coordinator {

class FakeLog final : public LogPort {
public:
    void append(const protocol::Record& record) override { appended.push_back(record); }
    void force(async::UniqueFunction<void()> on_durable) override {
        ++forces;
        waiting_.push_back({appended.size(), std::move(on_durable)});
        if (!hold) finish();
    }
    void checkpoint(std::vector<protocol::Record> records,
                    async::UniqueFunction<void()> on_done) override {
        checkpoints.push_back(std::move(records));
        on_done();
    }
    void seal(std::uint64_t file, const std::vector<protocol::Record>& records) override {
        sealed[file] = records;
    }
    [[nodiscard]] std::uint64_t durable_position() const override { return durable; }
    [[nodiscard]] bool has_room_for_new_work() const override { return room; }
    [[nodiscard]] bool wants_checkpoint() const override { return false; }

    // Finishes the forces that were asked for.
    void finish() {
        auto waiting = std::exchange(waiting_, {});
        for (auto& [position, callback] : waiting) {
            durable = position;
            callback();
        }
    }
    template <class T>
    [[nodiscard]] std::size_t count() const {
        std::size_t found = 0;
        for (const protocol::Record& record : appended) {
            if (std::holds_alternative<T>(record)) ++found;
        }
        return found;
    }

    std::vector<protocol::Record> appended;
    std::vector<std::vector<protocol::Record>> checkpoints;
    std::map<std::uint64_t, std::vector<protocol::Record>> sealed;
    std::uint64_t durable = 0;
    int forces = 0;
    bool hold = false;  // forces wait for finish()
    bool room = true;

private:
    std::vector<std::pair<std::uint64_t, async::UniqueFunction<void()>>> waiting_;
};

class FakeParticipant final : public ParticipantPort {
public:
    explicit FakeParticipant(std::uint8_t id, const std::string& url = {}) {
        info.uuid.bytes.fill(id);
        info.identity = {"fake", {std::to_string(id)}};
        info.epoch = 1;
        info.slots = 100;
        url_ = url.empty() ? "http://fake-" + std::to_string(id) : url;
    }

    void send(const protocol::BatchRequest& batch,
              Lane lane,
              std::chrono::milliseconds /*deadline*/,
              ResultCallback on_result,
              EndCallback on_end) override {
        batches.push_back(batch);
        lanes.push_back(lane);
        if (down) {
            on_end({protocol::CallOutcome::not_sent, "connection refused"});
            return;
        }
        for (const protocol::Item& item : batch.items) {
            if (answer) answer(item, on_result);
        }
        on_end({protocol::CallOutcome::unknown, ""});
    }
    void offer(const protocol::BatchRequest& batch,
               std::chrono::milliseconds /*deadline*/,
               OfferCallback done) override {
        offers.push_back(batch);
        if (down) {
            done(base::fail(base::Errc::unavailable, "connection refused"));
            return;
        }
        protocol::OfferReply reply;
        reply.participant = info.uuid;
        reply.identity = info.identity;
        reply.accepted = refusal.empty();
        reply.reason.code = refusal;
        done(std::move(reply));
    }
    void fetch_info(InfoCallback done) override {
        if (hold_info) {
            held_info_.push_back(std::move(done));
            return;
        }
        describe(std::move(done));
    }
    // Answers what was held, and what comes from now on while `hold_info` is off.
    void answer_info() {
        for (InfoCallback& done : std::exchange(held_info_, {})) describe(std::move(done));
    }
    void describe(InfoCallback done) const {
        if (down) {
            done(base::fail(base::Errc::unavailable, "connection refused"));
        } else {
            done(info);
        }
    }
    [[nodiscard]] bool has_free_connection(Lane /*lane*/) const override { return free; }
    [[nodiscard]] const std::string& url() const override { return url_; }

    // The usual answer: yes to work, done to decisions.
    [[nodiscard]] protocol::ItemResult usual(const protocol::Item& item) const {
        protocol::ItemResult result;
        result.op = item.op;
        result.key = item.key;
        result.participant = info.uuid;
        result.identity = info.identity;
        result.participant_epoch = info.epoch;
        switch (item.op) {
            case protocol::ItemOp::commit:
            case protocol::ItemOp::one_phase:
                result.status = protocol::ItemStatus::committed;
                break;
            case protocol::ItemOp::abort: result.status = protocol::ItemStatus::aborted; break;
            default: result.status = protocol::ItemStatus::yes; break;
        }
        return result;
    }
    void answer_as_usual() {
        answer = [this](const protocol::Item& item, ResultCallback& on_result) {
            on_result(usual(item));
        };
    }

    protocol::ParticipantInfo info;
    std::function<void(const protocol::Item&, ResultCallback&)> answer;
    std::vector<protocol::BatchRequest> batches;
    std::vector<protocol::BatchRequest> offers;
    std::string refusal;  // code of the answer to an offer; empty: accepted
    std::vector<Lane> lanes;
    bool down = false;
    bool hold_info = false;  // until answer_info()
    bool free = true;        // false: no connection is free, items wait

private:
    std::string url_;
    std::vector<InfoCallback> held_info_;
};

class FakeMetrics final : public MetricsPort {
public:
    void transaction_started() override { ++started; }
    void transaction_finished(std::string_view outcome,
                              std::chrono::nanoseconds /*took*/) override {
        ++finished[std::string(outcome)];
    }
    void phase_took(std::string_view phase, std::chrono::nanoseconds /*took*/) override {
        ++phases[std::string(phase)];
    }
    void item_answered(const std::string& /*participant*/,
                       std::string_view /*operation*/,
                       std::string_view /*result*/) override {}
    void participant_up(const std::string& participant, bool is_up) override {
        up[participant] = is_up;
    }
    void alarm(std::string_view code) override { ++alarms[std::string(code)]; }

    int started = 0;
    std::map<std::string, int> finished;
    std::map<std::string, bool> up;
    std::map<std::string, int> alarms;
    std::map<std::string, int> phases;
};

}  // namespace twofold::coordinator
