// A PostgreSQL database behind the ResourcePort. libpq runs asynchronously on the event loop, in
// pipeline mode: BEGIN, work and PREPARE TRANSACTION are one message and one answer.
//
// What a crash of this process leaves behind: before PREPARE TRANSACTION has run, nothing (the
// session dies, the server rolls back); after it, a prepared transaction that start() lists. In
// between lies a backend that still executes the message of its dead client. start() therefore
// takes the next epoch, ends every session of older starts, waits until they are gone, and only
// then lists.
//
// The database has a schema "twofold" with: meta (this participant's uuid and epoch), session
// (backends of ours, so that they are found even if a statement changed their application_name),
// witness (outcomes of one-phase branches, and of all branches when configured) and sender.
//
// What it does not promise: a NOTIFY of a branch that wrote nothing is lost, because such a branch
// has no commit (with writes it is refused). Advisory locks of the transaction end with a read-only
// vote; those of the session end with the branch. A read-only branch shows in the server's log as
// an error that says that it is none: it is what makes the server skip PREPARE. Databases with
// foreign servers get no one-phase commit, and writes through foreign tables are refused by PREPARE
// itself. Host names in the dsn are looked up by libpq, which blocks the loop: give addresses where
// that matters.
//
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "participant/postgres/options.h"
#include "participant/resource.h"

#include <functional>
#include <memory>

namespace twofold::participant {

class PostgresResource final : public ResourcePort {
public:
    PostgresResource(async::EventLoop& loop, postgres::PostgresOptions options);
    ~PostgresResource() override;  // ends sessions; callbacks that are still due are dropped

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
    [[nodiscard]] bool offers_one_phase() const override;
    [[nodiscard]] protocol::Position position() const override;
    void stop(std::function<void()> done) override;

    [[nodiscard]] const postgres::Counters& counters() const;
    // A newer sidecar owns the database, or it is another database: this process must end.
    [[nodiscard]] bool fenced() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::participant
