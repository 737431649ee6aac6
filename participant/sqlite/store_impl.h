// The inside of Store: two connections to one file. W runs clients' SQL with foreign keys,
// triggers, guards and the authorizer on. R runs only our own statements with foreign keys and
// triggers off, because with them on, putting back a parent row would cascade its children away.
// Private to store*.cc.
#pragma once

#include "participant/sqlite/database_file.h"
#include "participant/sqlite/images.h"
#include "participant/sqlite/own_tables.h"
#include "participant/sqlite/statement_runner.h"
#include "participant/sqlite/store.h"

#include <atomic>
#include <mutex>
#include <optional>

namespace twofold::participant::sqlite {

class Store::Impl {
public:
    explicit Impl(StoreOptions options);

    // store.cc
    base::Result<void> open();
    base::Result<protocol::ResourceStart> start();
    base::Result<std::vector<protocol::PreparedBranch>> list();
    base::Result<void> persist_sender(const protocol::SenderStamp& sender);
    base::Result<std::string> describe_changes(const std::string& gid);
    void interrupt(const protocol::BranchKey& key);
    void interrupt();

    // store_session.cc
    protocol::WorkResult execute(const protocol::BranchWork& work, std::uint32_t sequence);
    protocol::WorkResult prepare_executed(const protocol::BranchKey& key);
    void end_session(const protocol::BranchKey& key);

    // store_prepare.cc, store_one_phase.cc
    protocol::WorkResult execute_prepare(const protocol::BranchWork& work);
    protocol::WorkResult one_phase(const protocol::BranchWork& work);

    // store_finish.cc
    protocol::FinishResult commit(const protocol::FinishRequest& request);
    protocol::FinishResult rollback(const protocol::FinishRequest& request);
    protocol::FinishResult settle_one_phase(
        const protocol::BranchKey& key, const std::optional<protocol::IdempotencyKey>& idempotency);

    struct Marks {
        protocol::IdPosition low_water;
        protocol::IdPosition horizon;
    };
    std::map<protocol::Incarnation, Marks> marks;
    StoreCounters counters;

    [[nodiscard]] bool must_exit() const { return errors_.must_exit() || stopped_.has_value(); }
    [[nodiscard]] std::uint64_t counter() const { return meta_.counter; }

private:
    // Nothing, or the work is to be done again because another process changed the file meanwhile.
    using MaybeWork = std::optional<protocol::WorkResult>;
    using MaybeFinish = std::optional<protocol::FinishResult>;

    // --- store.cc: the file and its settings
    base::Result<void> open_connections();
    base::Result<void> configure(Connection& connection, bool work);
    base::Result<void> create_or_read_meta();
    // To be called first in every operation: forgets old errors, looks at the file.
    base::Result<void> begin_operation();
    // Inside a transaction: the file is still ours, of our epoch, and has not gone back.
    base::Result<void> check_meta(Connection& connection);
    base::Result<void> check_modes(Connection& connection);
    // Loads the schema and mends the guards, if nothing is prepared.
    base::Result<void> refresh_schema();
    base::Result<void> commit_forced(Connection& connection);
    base::Result<void> prune_some(Connection& connection);
    void stop(std::string why);
    [[nodiscard]] BusyWait finish_wait() const { return {options_.limits.finish_wait, {}}; }

    // --- store_work.cc: what both kinds of work share
    protocol::WorkResult refuse(protocol::Reason reason, bool executed);
    // After an error: refused when the code proves that nothing is left, else unknown.
    protocol::WorkResult work_failed(const base::Error& error, bool executed, bool at_commit);
    void begin_work(const protocol::BranchWork& work);
    void end_work();
    // Takes W's write lock and checks everything that work depends on. A result: the branch is
    // answered without running. `repeat` is set when the schema was reloaded.
    MaybeWork open_work(const protocol::BranchWork& work, bool one_phase, bool& repeat);
    base::Result<MaybeWork> answered_before(const protocol::BranchWork& work, bool one_phase);
    base::Result<MaybeWork> answered_by_witness(const protocol::BranchWork& work);
    // Its idempotency key's work was committed before, or the key belongs to another request.
    base::Result<MaybeWork> answered_by_key(const protocol::BranchWork& work);
    [[nodiscard]] static protocol::Reason key_conflict();
    RunOutcome run(const protocol::BranchWork& work, bool must_be_recordable);
    // One call's statements, between begin_capture() and end_capture().
    RunOutcome run_call(const protocol::BranchWork& work, bool must_be_recordable);
    void begin_capture();
    // Adds to the outcome what can only be judged at the end of all statements.
    void end_capture(bool must_be_recordable, RunOutcome& outcome);
    [[nodiscard]] RunContext run_context(const protocol::BranchWork& work, bool must_be_recordable);
    protocol::WorkResult read_only(RunOutcome& outcome);
    [[nodiscard]] bool has_open_foreign_keys();

    // --- store_session.cc
    // An interactive branch between its first call and its end: W is in its transaction.
    struct Session {
        protocol::BranchWork work;  // of the first call
        std::int64_t data_version = 0;
        std::optional<Sequences> sequences;
        bool executed = false;
    };
    MaybeWork open_session(const protocol::BranchWork& work, bool& repeat);
    void close_session();
    protocol::WorkResult no_session();
    static protocol::Reason session_open();
    // begin_operation() of what writes by itself: unavailable while a session is open, because that
    // holds the lock that is needed. Waiting for it would keep the session from going on.
    base::Result<void> begin_own_write();

    // --- store_prepare.cc
    struct Gap {
        std::int64_t data_version = 0;
        bool executed = false;
    };
    MaybeWork attempt_prepare(const protocol::BranchWork& work);
    base::Result<Redo> collect(const std::optional<Sequences>& sequences_before);
    MaybeWork record(const protocol::BranchWork& work, Redo& redo, Gap gap, std::string& results);
    // The refusal when the images do not give what the work gave.
    base::Result<std::string> rehearse(Redo& redo);
    base::Result<std::string> try_images(Redo& redo, const std::vector<Images>& before);
    base::Result<void> write_record(const protocol::BranchWork& work, const Redo& redo);

    // --- store_one_phase.cc
    MaybeWork attempt_one_phase(const protocol::BranchWork& work);
    base::Result<void> write_witness(const protocol::BranchWork& work);

    // --- store_finish.cc
    base::Result<protocol::FinishResult> commit_in(const protocol::FinishRequest& request);
    base::Result<protocol::FinishResult> rollback_in(const protocol::FinishRequest& request);
    base::Result<protocol::FinishResult> settle_in(
        const protocol::BranchKey& key, const std::optional<protocol::IdempotencyKey>& idempotency);
    base::Result<protocol::FinishResult> answer_for_key(
        const std::optional<protocol::IdempotencyKey>& idempotency);
    // Why the record cannot be applied now; empty: it was, in R's transaction.
    base::Result<std::string> apply_record(const PreparedRecord& record);
    base::Result<protocol::FinishResult> not_prepared(const std::string& gid);
    protocol::FinishResult finish_failed(const base::Error& error);
    protocol::FinishResult broken_promise(const protocol::BranchKey& key, const std::string& why);

    StoreOptions options_;
    ErrorState errors_;
    std::optional<DatabaseFile> file_;  // absent with a VFS; closed last
    std::unique_ptr<Connection> w_;
    std::unique_ptr<Connection> r_;
    std::unique_ptr<Capture> capture_;
    std::unique_ptr<Authorizer> authorizer_;
    std::unique_ptr<RunLimit> limit_;
    std::shared_ptr<const Schema> schema_;
    FileMeta meta_;
    bool started_ = false;
    std::optional<std::string> stopped_;

    std::vector<WorkStatement> statements_;  // of the running branch
    std::int64_t counted_before_ = 0;        // SQLite's counter of changes when it began
    std::optional<Session> session_;
    bool key_free_ = false;  // of the running branch: nothing committed has its idempotency key

    std::mutex running_mutex_;
    std::optional<protocol::BranchKey> running_;  // guarded by running_mutex_
    std::atomic<bool> cancelled_{false};
};

}  // namespace twofold::participant::sqlite
