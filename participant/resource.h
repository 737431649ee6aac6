// ResourcePort: one database behind a participant, as the driver uses it. Implementations:
// postgres_resource (libpq on the event loop) and sqlite_resource (a store on its own thread).
//
// Thread: every method is called, and every callback is invoked, on the event loop's thread. A
// callback may be invoked before its method returns. Every call is answered exactly once, at the
// latest by a time limit of the implementation. The implementation never decides an outcome: it
// runs work, finishes branches as told and reports what it can prove.
#pragma once

#include "base/result.h"
#include "protocol/branch_work.h"

#include <functional>
#include <optional>
#include <string>

namespace twofold::participant {

class ResourcePort {
public:
    using StartCallback = std::function<void(base::Result<protocol::ResourceStart>)>;
    using WorkCallback = std::function<void(protocol::WorkResult)>;
    using FinishCallback = std::function<void(protocol::FinishResult)>;
    using ListCallback = std::function<void(base::Result<std::vector<protocol::PreparedBranch>>)>;
    using DoneCallback = std::function<void(base::Result<void>)>;

    ResourcePort() = default;
    ResourcePort(const ResourcePort&) = delete;
    ResourcePort& operator=(const ResourcePort&) = delete;
    virtual ~ResourcePort() = default;

    // Checks the database's settings, takes the next epoch durably, ends every session of an older
    // sidecar of this participant, waits until they are gone, then lists. An error of code
    // precondition_failed or permission_denied needs a person (its text says which setting to
    // change to what); any other is worth another try.
    virtual void start(StartCallback done) = 0;

    // Runs the work and prepares, in one round trip where the database allows it. `prepared` is
    // answered only when the branch is durable.
    virtual void execute_prepare(protocol::BranchWork work, WorkCallback done) = 0;

    // Runs the work and commits it together with its witness row. Where that work was committed
    // under the same idempotency key before: committed, with `original`; under the same key and
    // another fingerprint: refused with kKeyConflict.
    virtual void one_phase(protocol::BranchWork work, WorkCallback done) = 0;

    // Whether this work could run at all, by its form: JSON, names, types, kinds of statements.
    // Nothing when it could. The database is not asked.
    [[nodiscard]] virtual std::optional<protocol::Reason> check_work(
        const protocol::JsonText& work) const = 0;

    // One call of an interactive branch. The first (sequence 1) opens the branch's session, which
    // stays open, with its locks, until prepare_executed() or cancel(). `prepared` means here that
    // the statements ran; `refused` that the session has ended and left nothing; `unknown` that it
    // was lost: cancel() must follow.
    virtual void execute(protocol::BranchWork work, std::uint32_t sequence, WorkCallback done) = 0;

    // Prepares what was executed. The session ends.
    virtual void prepare_executed(const protocol::BranchKey& key, WorkCallback done) = 0;

    // Ends the running work or the idle session of this branch, if any, and waits until its session
    // is gone, so that it cannot become prepared afterwards. The work's own callback has been
    // invoked before `done`.
    virtual void cancel(const protocol::BranchKey& key, DoneCallback done) = 0;

    // Finishes a prepared branch. Idempotent. `committed` only when it is durable.
    virtual void commit(protocol::FinishRequest request, FinishCallback done) = 0;
    virtual void rollback(protocol::FinishRequest request, FinishCallback done) = 0;

    // The outcome of a one-phase branch: committed when its witness is there; otherwise writes a
    // tombstone in its place, durably, so that it can never commit, and answers aborted. With a key
    // it says the same of the key as one_phase().
    virtual void settle_one_phase(const protocol::BranchKey& key,
                                  const std::optional<protocol::IdempotencyKey>& idempotency,
                                  FinishCallback done) = 0;

    // All prepared branches of this participant in this database, whoever's they are by id. An
    // error means "not known", never "none".
    virtual void list(ListCallback done) = 0;

    // Makes the newest start of this incarnation durable, and how far its log has been: its older
    // starts, and copies of its log, are refused from then on. Neither ever goes back.
    virtual void persist_sender(const protocol::SenderStamp& sender, DoneCallback done) = 0;

    // Tombstones and witnesses of two-phase branches below low_water, and witnesses of one-phase
    // branches below the horizon, will not be asked for again: they may go when it costs least. No
    // answer. Replaces what was said before of this incarnation.
    virtual void note_marks(const protocol::Incarnation& incarnation,
                            protocol::IdPosition low_water,
                            protocol::IdPosition horizon) = 0;

    // Whether one-phase work can be done now, as far as known without asking the database.
    [[nodiscard]] virtual bool offers_one_phase() const { return true; }

    // The newest position known without asking the database.
    [[nodiscard]] virtual protocol::Position position() const = 0;

    // Stops accepting, ends sessions without touching prepared branches; no callback comes after
    // `done`.
    virtual void stop(std::function<void()> done) = 0;
};

}  // namespace twofold::participant
