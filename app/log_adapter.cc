#include "app/log_adapter.h"

#include "base/assert.h"
#include "base/log.h"
#include "protocol/records.h"

#include <cstdlib>
#include <utility>

namespace twofold::app {

using base::log_event;
using base::LogLevel;

struct LogAdapter::Outcome {
    bool durable = false;  // false: the disk is full, everything stays pending in the writer
    std::uint64_t durable_lsn = 0;
    bool has_room = true;
    std::chrono::nanoseconds took{0};
    std::uint64_t live_bytes = 0;
    wal::WriterCounters counters;
};

namespace {

// A crash at this point is the intended one: see the header.
[[noreturn]] void end_process(const base::Error& error) {
    log_event(LogLevel::error,
              "log_force_failed",
              "the log could not be forced: ending the process, recovery decides what is there",
              {{"error", error.text()}});
    std::_Exit(EXIT_FAILURE);
}

std::vector<base::Bytes> encode(const std::vector<protocol::Record>& records) {
    std::vector<base::Bytes> encoded;
    encoded.reserve(records.size());
    for (const protocol::Record& record : records) {
        encoded.push_back(protocol::encode_record(record));
    }
    return encoded;
}

}  // namespace

LogAdapter::LogAdapter(async::EventLoop& loop,
                       std::unique_ptr<wal::Writer> writer,
                       LogAdapterOptions options,
                       std::function<void(std::chrono::nanoseconds)> on_force)
    : writer_(std::move(writer)),
      options_(options),
      on_force_(std::move(on_force)),
      durable_lsn_(writer_->durable_lsn()),
      has_room_(writer_->has_room_for_new_work()),
      timer_(loop),
      worker_(loop, "log") {
    figures_.live_bytes = writer_->live_bytes();
    figures_.writer = writer_->counters();
    last_size_ = figures_.live_bytes;
}

LogAdapter::~LogAdapter() = default;

void LogAdapter::append(const protocol::Record& record) {
    TWOFOLD_ASSERT(!closed_, "append to a closed log");
    pending_.push_back(protocol::encode_record(record));
    if (!running_ && waiting_.empty()) arm_idle_timer();
}

void LogAdapter::force(async::UniqueFunction<void()> on_durable) {
    waiting_.push_back(std::move(on_durable));
    if (!running_) begin_force(true);
}

void LogAdapter::begin_force(bool anybody_waits) {
    running_ = true;
    timer_.cancel();
    if (anybody_waits) {
        ++figures_.forces;
        idle_done_ = false;
    } else {
        ++figures_.idle_forces;
        idle_done_ = true;
    }
    worker_.post(
        [this, records = std::exchange(pending_, {}), idle = !anybody_waits] {
            return write(records, idle);
        },
        [this, callbacks = std::exchange(waiting_, {})](Outcome outcome) mutable {
            finished(std::move(outcome), std::move(callbacks));
        });
    // Behind the force and before the next: who waited for this one has the answer meanwhile.
    worker_.post([this] { maintain(); }, async::WorkerThread::Completion());
}

// On the log's thread.
void LogAdapter::maintain() {
    auto prepared = writer_->maintain();
    if (!prepared.has_value()) end_process(prepared.error());
}

// On the log's thread.
LogAdapter::Outcome LogAdapter::write(const std::vector<base::Bytes>& records, bool idle) {
    auto start = std::chrono::steady_clock::now();
    for (const base::Bytes& record : records) writer_->append(record);
    auto forced = writer_->force();
    if (forced.has_value() && idle) {
        auto beat = writer_->heartbeat();
        if (!beat.has_value() && beat.error().code != base::Errc::disk_full) {
            end_process(beat.error());
        }
    }
    if (!forced.has_value() && forced.error().code != base::Errc::disk_full) {
        end_process(forced.error());
    }
    if (!writer_->has_room_for_new_work()) {
        // A full disk is no error here: it is looked at again with the next force.
        auto refilled = writer_->refill_reserve();
        if (!refilled.has_value()) end_process(refilled.error());
    }
    Outcome outcome = snapshot();
    outcome.durable = forced.has_value();
    outcome.took = std::chrono::steady_clock::now() - start;
    return outcome;
}

LogAdapter::Outcome LogAdapter::snapshot() const {
    Outcome outcome;
    outcome.durable_lsn = writer_->durable_lsn();
    outcome.has_room = writer_->has_room_for_new_work();
    outcome.live_bytes = writer_->live_bytes();
    outcome.counters = writer_->counters();
    return outcome;
}

void LogAdapter::finished(Outcome outcome, Callbacks callbacks) {
    running_ = false;
    durable_lsn_ = outcome.durable_lsn;
    has_room_ = outcome.has_room;
    figures_.live_bytes = outcome.live_bytes;
    figures_.writer = outcome.counters;
    if (!outcome.durable) {
        // Those who wait go on waiting, before those who came later.
        ++figures_.disk_full;
        if (closed_) return;
        log_event(LogLevel::error, "log_disk_full", "no room for the log; trying again", {});
        for (auto& later : waiting_) callbacks.push_back(std::move(later));
        waiting_ = std::move(callbacks);
        running_ = true;
        timer_.start(options_.disk_full_retry, [this] { begin_force(!waiting_.empty()); });
        return;
    }
    on_force_(outcome.took);
    note_slow(outcome.took);
    for (auto& callback : callbacks) {
        if (callback) callback();
    }
    if (running_ || closed_) return;  // a callback appended and forced, or close() writes the rest
    if (!waiting_.empty()) {
        begin_force(true);
    } else {
        arm_idle_timer();
    }
}

// At most one line for each of these times: forces come one after the other.
void LogAdapter::note_slow(std::chrono::nanoseconds took) const {
    if (took < options_.slow_force) return;
    auto rounded = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
    log_event(LogLevel::warning,
              "log_force_slow",
              "forcing the log took long, and every commit waits for it: look at its disk",
              {{"took_ms", static_cast<std::uint64_t>(rounded)}});
}

void LogAdapter::arm_idle_timer() {
    bool nothing_to_do = idle_done_ && pending_.empty() && has_room_;
    if (closed_ || nothing_to_do) return;
    // Without room the reserve is tried again now and then, although nobody appends.
    auto delay = has_room_ ? options_.idle_after : options_.disk_full_retry;
    timer_.start(delay, [this] {
        if (!running_ && !closed_) begin_force(false);
    });
}

void LogAdapter::checkpoint(std::vector<protocol::Record> records,
                            async::UniqueFunction<void()> on_done) {
    // Taken now, together with what is pending: both describe the same moment. The thread runs jobs
    // in order, so a force that is under way comes first.
    std::vector<base::Bytes> encoded = encode(records);
    std::vector<wal::SealedReference> sealed;
    for (std::size_t i = 0; i < records.size(); ++i) {
        if (auto file = protocol::sealed_file_of(records[i])) sealed.push_back({file->number, i});
    }
    worker_.post(
        [this,
         appended = std::exchange(pending_, {}),
         encoded = std::move(encoded),
         sealed = std::move(sealed)] {
            for (const base::Bytes& record : appended) writer_->append(record);
            auto done = writer_->checkpoint(encoded, sealed);
            bool harmless = done.has_value() || done.error().code == base::Errc::disk_full ||
                            done.error().code == base::Errc::limit_exceeded;
            if (!harmless) end_process(done.error());
            if (!done.has_value()) {
                log_event(LogLevel::warning, "log_checkpoint_failed", done.error().context, {});
            }
            Outcome outcome = snapshot();
            outcome.durable = done.has_value();
            return outcome;
        },
        [this, on_done = std::move(on_done)](Outcome outcome) mutable {
            durable_lsn_ = outcome.durable_lsn;
            has_room_ = outcome.has_room;
            figures_.live_bytes = outcome.live_bytes;
            if (outcome.durable) last_size_ = outcome.live_bytes;
            figures_.writer = outcome.counters;
            on_done();
        });
}

// In order with the checkpoints: those that are under way do not know of it yet.
void LogAdapter::seal(std::uint64_t file, const std::vector<protocol::Record>& records) {
    worker_.post(
        [this, file, encoded = encode(records)]() mutable {
            auto sealed = writer_->seal(file, std::move(encoded));
            if (sealed.has_value()) return;
            if (sealed.error().code != base::Errc::disk_full) end_process(sealed.error());
            log_event(LogLevel::warning, "log_seal_failed", sealed.error().context, {});
        },
        async::WorkerThread::Completion());
}

void LogAdapter::close(async::UniqueFunction<void()> done) {
    closed_ = true;
    timer_.cancel();
    worker_.post(
        [this, records = std::exchange(pending_, {})] {
            for (const base::Bytes& record : records) writer_->append(record);
            auto closed = writer_->close_clean();
            if (!closed.has_value()) {
                // Not clean, then: the next start reads what is there, as after a crash.
                log_event(LogLevel::warning, "log_close_failed", closed.error().context, {});
            }
        },
        std::move(done));
}

}  // namespace twofold::app
