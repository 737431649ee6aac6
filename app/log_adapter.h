// The coordinator's LogPort over wal::Writer. The writer lives on a thread of its own; while that
// thread forces one batch, everything appended meanwhile is collected for the next (group commit).
//
// A failed force ends the process without another answer: the kernel may have dropped the pages and
// marked them clean, so nobody knows what is on the disk. Recovery reads what is there. A full disk
// is different: nothing of the batch was written, so it is tried again until there is room.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/timer.h"
#include "async/worker_thread.h"
#include "coordinator/ports.h"
#include "wal/writer.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace twofold::app {

struct LogAdapterOptions {
    // Bytes written since the last checkpoint that call for the next, or as many as that one had if
    // it was larger: checkpoints never write more than the log itself does.
    std::uint64_t checkpoint_bytes = 64ULL << 20U;
    // An idle log writes what is pending, and an empty batch that protects the last one.
    std::chrono::milliseconds idle_after{100};
    std::chrono::milliseconds disk_full_retry{200};
    // A force that took longer is told in the process's log: every commit waits for it.
    std::chrono::milliseconds slow_force{1'000};
};

// Figures as of the last finished force.
struct LogFigures {
    std::uint64_t forces = 0;       // that somebody waited for
    std::uint64_t idle_forces = 0;  // that nobody waited for
    std::uint64_t force_nanoseconds = 0;
    std::uint64_t disk_full = 0;
    std::uint64_t live_bytes = 0;
    wal::WriterCounters writer;
};

class LogAdapter final : public coordinator::LogPort {
public:
    LogAdapter(async::EventLoop& loop,
               std::unique_ptr<wal::Writer> writer,
               LogAdapterOptions options,
               std::function<void(std::chrono::nanoseconds)> on_force);
    ~LogAdapter() override;

    void append(const protocol::Record& record) override;
    void force(async::UniqueFunction<void()> on_durable) override;
    void checkpoint(std::vector<protocol::Record> records,
                    async::UniqueFunction<void()> on_done) override;
    void seal(std::uint64_t file, const std::vector<protocol::Record>& records) override;
    [[nodiscard]] std::uint64_t durable_position() const override { return durable_lsn_; }
    [[nodiscard]] bool has_room_for_new_work() const override { return has_room_; }
    [[nodiscard]] bool wants_checkpoint() const override {
        std::uint64_t since = figures_.live_bytes - std::min(figures_.live_bytes, last_size_);
        return since > std::max(options_.checkpoint_bytes, last_size_) || !has_room_;
    }

    // Writes what is pending and the clean-shutdown record. Nothing may be appended afterwards; who
    // waits for a force that has not begun is not called any more.
    void close(async::UniqueFunction<void()> done);
    [[nodiscard]] const LogFigures& figures() const { return figures_; }

private:
    using Callbacks = std::vector<async::UniqueFunction<void()>>;
    struct Outcome;

    void begin_force(bool anybody_waits);
    void finished(Outcome outcome, Callbacks callbacks);
    void note_slow(std::chrono::nanoseconds took) const;
    [[nodiscard]] Outcome write(const std::vector<base::Bytes>& records, bool idle);
    void maintain();
    [[nodiscard]] Outcome snapshot() const;
    void arm_idle_timer();

    std::unique_ptr<wal::Writer> writer_;  // used on the worker's thread only
    LogAdapterOptions options_;
    std::function<void(std::chrono::nanoseconds)> on_force_;
    std::vector<base::Bytes> pending_;
    Callbacks waiting_;
    bool running_ = false;
    bool closed_ = false;
    bool idle_done_ = true;  // the idle batch after the last force was written
    std::uint64_t durable_lsn_ = 0;
    std::uint64_t last_size_ =
        0;  // of the last checkpoint, or of the one that this start began with
    bool has_room_ = true;
    LogFigures figures_;
    async::Timer timer_;
    async::WorkerThread worker_;
};

}  // namespace twofold::app
