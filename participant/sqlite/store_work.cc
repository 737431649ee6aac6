// What prepared and one-phase work have in common: admission, running the SQL, and what may be
// answered after a failure.
#define SQLITE_ENABLE_PREUPDATE_HOOK 1  // NOLINT(readability-identifier-naming): its name

#include "participant/sqlite/error_class.h"
#include "participant/sqlite/store_impl.h"

#include <sqlite3.h>

namespace twofold::participant::sqlite {

namespace reason = protocol::reason;
using protocol::WorkResult;
using protocol::WorkStatus;

WorkResult Store::Impl::refuse(protocol::Reason reason, bool executed) {
    ++counters.refused;
    WorkResult result;
    result.status = WorkStatus::refused;
    result.reason = std::move(reason);
    result.executed = executed;
    result.key_free = key_free_;
    return result;
}

WorkResult Store::Impl::work_failed(const base::Error& error, bool executed, bool at_commit) {
    protocol::Reason reason{std::string(reason::kUnavailable), error.context, -1, {}};
    Consequence consequence = Consequence::definite_no;
    if (stopped_.has_value()) {
        reason.code = reason::kIdentityMismatch;
    } else if (errors_.code() != 0) {
        const ErrorClass& row = error_class(errors_.code());
        reason.sqlstate = row.name;
        reason.code = row.reason;
        consequence = at_commit ? row.at_commit : row.before_commit;
    }
    int primary = errors_.code() & 0xff;
    bool waiting = primary == SQLITE_INTERRUPT || primary == SQLITE_BUSY;
    if (waiting && cancelled_.load(std::memory_order_relaxed)) {
        reason.code = reason::kClientAbort;
        reason.message = "the branch was cancelled";
    }
    if (consequence == Consequence::definite_no) return refuse(std::move(reason), executed);
    WorkResult result;
    result.status = WorkStatus::unknown;
    result.reason = std::move(reason);
    return result;
}

void Store::Impl::begin_work(const protocol::BranchWork& work) {
    {
        std::lock_guard lock(running_mutex_);
        cancelled_.store(false, std::memory_order_relaxed);
        running_ = work.key;
    }
    key_free_ = false;
    limit_->begin_branch(std::chrono::milliseconds(work.deadline_ms));
}

void Store::Impl::end_work() {
    key_free_ = false;
    std::lock_guard lock(running_mutex_);
    running_.reset();
}

Store::Impl::MaybeWork Store::Impl::open_work(const protocol::BranchWork& work,
                                              bool one_phase,
                                              bool& repeat) {
    repeat = false;
    std::chrono::milliseconds wait = options_.limits.lock_timeout;
    if (work.options.lock_timeout_ms != 0) {
        wait = std::chrono::milliseconds(work.options.lock_timeout_ms);
    }
    if (work.deadline_ms != 0) wait = std::min(wait, std::chrono::milliseconds(work.deadline_ms));
    base::Result<void> begun =
        w_->begin_immediate({wait, [this] { return cancelled_.load(std::memory_order_relaxed); }});
    if (!begun.has_value()) return work_failed(begun.error(), false, false);
    base::Result<MaybeWork> answer = answered_before(work, one_phase);
    if (!answer.has_value()) return work_failed(answer.error(), false, false);
    if (answer.value().has_value()) return std::move(answer.value());
    key_free_ = work.idempotency.has_value();
    base::Result<std::int64_t> version = w_->query_integer("PRAGMA schema_version");
    if (!version.has_value()) return work_failed(version.error(), false, false);
    if (version.value() == schema_->version) return std::nullopt;
    // Somebody changed the schema while nothing was prepared: new tables need guards first.
    w_->rollback();
    base::Result<void> refreshed = refresh_schema();
    if (!refreshed.has_value()) return work_failed(refreshed.error(), false, false);
    repeat = true;
    return std::nullopt;
}

// W is in a write transaction: what is read here stays true until the work is done.
base::Result<Store::Impl::MaybeWork> Store::Impl::answered_before(const protocol::BranchWork& work,
                                                                  bool one_phase) {
    TWOFOLD_TRY(check_meta(*w_));
    TWOFOLD_TRY(check_modes(*w_));
    if (one_phase) {
        TWOFOLD_TRY(MaybeWork known, answered_by_witness(work));
        if (known.has_value()) return known;
    } else {
        TWOFOLD_TRY(std::optional<PreparedRecord> record, find_prepared(*w_, work.gid));
        if (record.has_value()) {
            // Prepared already, and its answer was lost: the same yes, without results.
            WorkResult yes;
            yes.status = WorkStatus::prepared;
            yes.proof = protocol::ProofToken{record->counter, {1, record->counter}, false};
            return MaybeWork(std::move(yes));
        }
    }
    TWOFOLD_TRY(MaybeWork replayed, answered_by_key(work));
    if (replayed.has_value()) return replayed;
    TWOFOLD_TRY(std::optional<Ended> ended, find_ended(*w_, work.gid));
    if (ended.has_value()) {
        bool aborted = *ended == Ended::aborted;
        return MaybeWork(
            refuse({std::string(aborted ? reason::kAfterAbort : reason::kProtocolViolation),
                    aborted ? "the branch was aborted before" : "the branch was committed before",
                    -1,
                    {}},
                   false));
    }
    TWOFOLD_TRY(bool locked, is_locked(*w_));
    if (!locked) return MaybeWork();
    return MaybeWork(refuse({std::string(reason::kSlotsExhausted),
                             "another branch is prepared in this file; in exclusive mode there is "
                             "one at a time",
                             -1,
                             {}},
                            false));
}

base::Result<Store::Impl::MaybeWork> Store::Impl::answered_by_witness(
    const protocol::BranchWork& work) {
    TWOFOLD_TRY(std::optional<Witness> witness, find_witness(*w_, work.gid));
    if (witness.has_value() && witness->outcome == Ended::committed) {
        WorkResult committed;
        committed.status = WorkStatus::committed;
        committed.proof = protocol::ProofToken{witness->counter, {1, witness->counter}, true};
        return MaybeWork(std::move(committed));
    }
    return MaybeWork();
}

base::Result<Store::Impl::MaybeWork> Store::Impl::answered_by_key(
    const protocol::BranchWork& work) {
    TWOFOLD_TRY(KeyOwner owner, find_key_owner(*w_, work.idempotency));
    if (owner.is_other_request) return MaybeWork(refuse(key_conflict(), false));
    if (!owner.txn.has_value()) return MaybeWork();
    WorkResult committed;
    committed.status = WorkStatus::committed;
    committed.original = owner.txn;
    committed.executed = false;
    return MaybeWork(std::move(committed));
}

protocol::Reason Store::Impl::key_conflict() {
    return {std::string(reason::kKeyConflict),
            "this idempotency key was used for another request",
            -1,
            {}};
}

RunContext Store::Impl::run_context(const protocol::BranchWork& work, bool must_be_recordable) {
    std::chrono::milliseconds timeout = options_.limits.statement_timeout;
    if (work.options.statement_timeout_ms != 0) {
        timeout = std::chrono::milliseconds(work.options.statement_timeout_ms);
    }
    return {*w_,
            *authorizer_,
            *capture_,
            *limit_,
            errors_,
            options_.limits,
            timeout,
            must_be_recordable};
}

RunOutcome Store::Impl::run(const protocol::BranchWork& work, bool must_be_recordable) {
    begin_capture();
    RunOutcome outcome = run_call(work, must_be_recordable);
    end_capture(must_be_recordable, outcome);
    return outcome;
}

void Store::Impl::begin_capture() {
    capture_->begin(schema_, options_.limits.redo_bytes_max);
    counted_before_ = sqlite3_total_changes64(w_->handle());
}

RunOutcome Store::Impl::run_call(const protocol::BranchWork& work, bool must_be_recordable) {
    authorizer_->restrict(schema_, must_be_recordable);
    RunOutcome outcome = run_statements(run_context(work, must_be_recordable), statements_);
    authorizer_->lift();
    return outcome;
}

void Store::Impl::end_capture(bool must_be_recordable, RunOutcome& outcome) {
    std::int64_t counted = sqlite3_total_changes64(w_->handle()) - counted_before_;
    capture_->end();
    // A change that the hook was not told of would be missing from the record.
    if (must_be_recordable && outcome.refusal.empty() &&
        static_cast<std::uint64_t>(counted) > capture_->changes()) {
        outcome.refusal = {std::string(reason::kNotRecordable),
                           "SQLite counted " + std::to_string(counted) +
                               " changes, but showed only " + std::to_string(capture_->changes()),
                           -1,
                           {}};
    }
    if (outcome.refusal.empty() && has_open_foreign_keys()) {
        outcome.refusal = {std::string(reason::kConstraint),
                           "a deferred foreign key is violated at the end of the branch",
                           -1,
                           "SQLITE_CONSTRAINT_FOREIGNKEY"};
    }
}

// The same two counters that COMMIT looks at.
bool Store::Impl::has_open_foreign_keys() {
    int current = 0;
    int highest = 0;
    sqlite3_db_status(w_->handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &current, &highest, 0);
    return current != 0;
}

WorkResult Store::Impl::read_only(RunOutcome& outcome) {
    w_->rollback();
    ++counters.read_only;
    WorkResult result;
    result.status = WorkStatus::read_only;
    result.results = std::make_shared<const std::string>(std::move(outcome.results));
    result.executed = outcome.executed;
    result.recorded = false;
    return result;
}

}  // namespace twofold::participant::sqlite
