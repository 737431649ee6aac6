// A SQLite store behind the ResourcePort: every call runs on the store's own thread, one after the
// other, and its answer comes back on the loop. Work waits for its slot in the machine before it
// gets here, so a commit never queues behind work that waits for it.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/worker_thread.h"
#include "participant/resource.h"
#include "participant/sqlite/store.h"

#include <functional>
#include <map>
#include <memory>
#include <utility>

namespace twofold::participant {

class SqliteResource final : public ResourcePort {
public:
    // The process ends itself when the store says that it must: an answer after an I/O error of a
    // commit could be a lie.
    SqliteResource(async::EventLoop& loop, sqlite::StoreOptions options);
    ~SqliteResource() override;

    void start(StartCallback done) override;
    void execute_prepare(protocol::BranchWork work, WorkCallback done) override;
    void one_phase(protocol::BranchWork work, WorkCallback done) override;
    [[nodiscard]] std::optional<protocol::Reason> check_work(
        const protocol::JsonText& work) const override;
    void execute(protocol::BranchWork work, std::uint32_t sequence, WorkCallback done) override;
    void prepare_executed(const protocol::BranchKey& key, WorkCallback done) override;
    void cancel(const protocol::BranchKey& key, DoneCallback done) override;
    void commit(protocol::FinishRequest request, FinishCallback done) override;
    void rollback(protocol::FinishRequest request, FinishCallback done) override;
    void settle_one_phase(const protocol::BranchKey& key,
                          const std::optional<protocol::IdempotencyKey>& idempotency,
                          FinishCallback done) override;
    void list(ListCallback done) override;
    void persist_sender(const protocol::SenderStamp& sender, DoneCallback done) override;
    void note_marks(const protocol::Incarnation& incarnation,
                    protocol::IdPosition low_water,
                    protocol::IdPosition horizon) override;
    [[nodiscard]] protocol::Position position() const override { return position_; }
    void stop(std::function<void()> done) override;

    // As of the last answer.
    [[nodiscard]] const sqlite::StoreCounters& counters() const { return counters_; }

private:
    // What every answer brings along from the store's thread.
    struct Snapshot {
        protocol::Position position;
        sqlite::StoreCounters counters;
    };
    // Runs call(store) on the store's thread, then done(result) on the loop.
    template <class Call, class Done>
    void run(Call call, Done done);
    void leave_if_store_must_exit() const;

    struct Marks {
        protocol::IdPosition low_water;
        protocol::IdPosition horizon;
    };

    sqlite::StoreOptions options_;
    std::map<protocol::Incarnation, Marks> new_marks_;  // for the store, with the next call
    bool open_ = false;                                 // store_ may be interrupted
    std::unique_ptr<sqlite::Store> store_;  // used on the worker's thread once it is open
    protocol::Position position_;
    sqlite::StoreCounters counters_;
    async::WorkerThread worker_;  // last: joined before the store goes
};

}  // namespace twofold::participant
