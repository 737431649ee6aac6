// The end of a branch, always on R and in one transaction: apply and forget, or only forget. A
// crash before its COMMIT leaves the record (finish again), after it a row in _tc_done (answer from
// it).
#include "base/crash_point.h"
#include "base/log.h"
#include "base/planted_bug.h"
#include "participant/sqlite/error_class.h"
#include "participant/sqlite/store_impl.h"

namespace twofold::participant::sqlite {

namespace {

namespace reason = protocol::reason;
using protocol::FinishResult;
using protocol::FinishStatus;

FinishResult finished(FinishStatus status) { return {status, {}}; }

FinishResult finished(FinishStatus status, std::string_view code, std::string text) {
    return {status, {std::string(code), std::move(text), -1, {}}};
}

}  // namespace

FinishResult Store::Impl::finish_failed(const base::Error& error) {
    // Whatever it was: the transaction is rolled back or its end cannot be told. Either way the
    // record decides, and the question may be asked again.
    std::string_view code = stopped_.has_value() ? reason::kIdentityMismatch : reason::kUnavailable;
    return finished(FinishStatus::unknown, code, error.context);
}

FinishResult Store::Impl::broken_promise(const protocol::BranchKey& key, const std::string& why) {
    ++counters.broken_promises;
    std::string text = "the prepared changes are kept but cannot be applied: " + why;
    base::log_event(base::LogLevel::error, "broken_promise", text, {{"branch", key.text()}});
    return finished(FinishStatus::unknown, reason::kBrokenPromise, std::move(text));
}

FinishResult Store::Impl::commit(const protocol::FinishRequest& request) {
    base::Result<void> begun = begin_own_write();
    if (!begun.has_value()) return finish_failed(begun.error());
    base::Result<FinishResult> result = commit_in(request);
    r_->rollback();
    return result.has_value() ? std::move(result.value()) : finish_failed(result.error());
}

base::Result<FinishResult> Store::Impl::commit_in(const protocol::FinishRequest& request) {
    TWOFOLD_TRY(r_->begin_immediate(finish_wait()));
    TWOFOLD_TRY(check_meta(*r_));
    TWOFOLD_TRY(check_modes(*r_));
    TWOFOLD_TRY(std::optional<PreparedRecord> record, find_prepared(*r_, request.gid));
    if (!record.has_value()) return not_prepared(request.gid);
    base::Result<std::string> applied = apply_record(*record);
    if (!applied.has_value()) {
        // A constraint that the rehearsal met is broken now: others wrote past the guards.
        if (error_class(errors_.code()).reason == reason::kConstraint) {
            return broken_promise(request.key, applied.error().context);
        }
        return applied.error();
    }
    if (!applied.value().empty()) return broken_promise(request.key, applied.value());
    TWOFOLD_TRY(delete_prepared(*r_, request.gid));
    TWOFOLD_TRY(insert_done(*r_, request.key, request.gid, DoneAs::committed, options_.wall_ms()));
    if (!request.operator_reason.empty()) {
        TWOFOLD_TRY(insert_resolution(*r_, request, protocol::Decision::commit));
    }
    TWOFOLD_TRY(prune_some(*r_));
    TWOFOLD_CRASH_POINT(sqlite_before_commit);
    TWOFOLD_TRY(commit_forced(*r_));
    TWOFOLD_CRASH_POINT(sqlite_after_commit);
    ++counters.commits;
    return finished(FinishStatus::committed);
}

base::Result<std::string> Store::Impl::apply_record(const PreparedRecord& record) {
    if (!record.intact) return std::string("the checksum of the record is wrong");
    base::Result<Redo> redo = decode_redo(record.redo);
    if (!redo.has_value()) return redo.error().context;
    TWOFOLD_TRY(base::Hash256 fingerprint, schema_fingerprint(*r_));
    if (fingerprint != record.fingerprint) {
        return std::string(
            "another process changed the schema while the branch was prepared; undo that change, "
            "and the commit is repeated by itself");
    }
    TWOFOLD_TRY(bool untouched, matches_before(*r_, redo.value()));
    if (!untouched && !TWOFOLD_PLANTED_BUG("sqlite.apply_over_changed_rows")) {
        return std::string(
            "another process changed rows of the branch in spite of the guard triggers");
    }
    // VACUUM changes the schema version and may renumber rowids; then rows get new ones.
    TWOFOLD_TRY(std::int64_t version, r_->query_integer("PRAGMA schema_version"));
    TWOFOLD_TRY(bool applied, apply_redo(*r_, redo.value(), version == record.schema_version));
    return std::string(applied ? "" : "the number of rows is not as recorded");
}

base::Result<FinishResult> Store::Impl::not_prepared(const std::string& gid) {
    TWOFOLD_TRY(std::optional<Ended> ended, find_ended(*r_, gid));
    if (!ended.has_value() && TWOFOLD_PLANTED_BUG("sqlite.missing_is_committed")) {
        return finished(FinishStatus::committed);
    }
    if (!ended.has_value()) {
        return finished(FinishStatus::hazard,
                        reason::kNotPrepared,
                        "the file has neither a prepared record nor an outcome of " + gid);
    }
    if (*ended == Ended::committed) return finished(FinishStatus::committed);
    return finished(FinishStatus::aborted, reason::kAfterAbort, "the branch was aborted before");
}

FinishResult Store::Impl::rollback(const protocol::FinishRequest& request) {
    base::Result<void> begun = begin_own_write();
    if (!begun.has_value()) return finish_failed(begun.error());
    base::Result<FinishResult> result = rollback_in(request);
    r_->rollback();
    return result.has_value() ? std::move(result.value()) : finish_failed(result.error());
}

base::Result<FinishResult> Store::Impl::rollback_in(const protocol::FinishRequest& request) {
    TWOFOLD_TRY(r_->begin_immediate(finish_wait()));
    TWOFOLD_TRY(check_meta(*r_));
    TWOFOLD_TRY(std::optional<PreparedRecord> record, find_prepared(*r_, request.gid));
    if (!record.has_value()) {
        TWOFOLD_TRY(std::optional<Ended> ended, find_ended(*r_, request.gid));
        if (ended == Ended::committed) {
            return finished(FinishStatus::committed,
                            reason::kProtocolViolation,
                            "the branch was committed before");
        }
        if (ended == Ended::aborted) return finished(FinishStatus::aborted);
    }
    DoneAs outcome = record.has_value() ? DoneAs::aborted : DoneAs::tombstone;
    if (record.has_value()) {
        TWOFOLD_TRY(delete_prepared(*r_, request.gid));
        if (!request.operator_reason.empty()) {
            TWOFOLD_TRY(insert_resolution(*r_, request, protocol::Decision::abort));
        }
    }
    bool is_forgotten =
        outcome == DoneAs::tombstone && TWOFOLD_PLANTED_BUG("sqlite.forget_tombstone");
    if (!is_forgotten) {
        TWOFOLD_TRY(insert_done(*r_, request.key, request.gid, outcome, options_.wall_ms()));
    }
    TWOFOLD_TRY(prune_some(*r_));
    TWOFOLD_CRASH_POINT(sqlite_before_rollback_commit);
    TWOFOLD_TRY(commit_forced(*r_));
    TWOFOLD_CRASH_POINT(sqlite_after_rollback);
    if (!record.has_value()) {
        ++counters.tombstones;
        return finished(FinishStatus::not_found);
    }
    ++counters.rollbacks;
    return finished(FinishStatus::aborted);
}

FinishResult Store::Impl::settle_one_phase(
    const protocol::BranchKey& key, const std::optional<protocol::IdempotencyKey>& idempotency) {
    base::Result<void> begun = begin_own_write();
    if (!begun.has_value()) return finish_failed(begun.error());
    base::Result<FinishResult> result = settle_in(key, idempotency);
    r_->rollback();
    return result.has_value() ? std::move(result.value()) : finish_failed(result.error());
}

base::Result<FinishResult> Store::Impl::settle_in(
    const protocol::BranchKey& key, const std::optional<protocol::IdempotencyKey>& idempotency) {
    std::string gid = protocol::make_gid(key, meta_.participant);
    TWOFOLD_TRY(r_->begin_immediate(finish_wait()));
    TWOFOLD_TRY(check_meta(*r_));
    TWOFOLD_TRY(std::optional<Ended> ended, find_ended(*r_, gid));
    if (ended == Ended::committed) return finished(FinishStatus::committed);
    TWOFOLD_TRY(FinishResult answer, answer_for_key(idempotency));
    if (ended == Ended::aborted) return answer;
    Witness tombstone{gid, Ended::aborted, meta_.counter, std::nullopt, options_.wall_ms()};
    TWOFOLD_TRY(insert_witness(*r_, key, tombstone));
    TWOFOLD_TRY(prune_some(*r_));
    TWOFOLD_CRASH_POINT(sqlite_before_settle_commit);
    TWOFOLD_TRY(commit_forced(*r_));
    TWOFOLD_CRASH_POINT(sqlite_after_settle);
    ++counters.tombstones;
    return answer;
}

// Of a branch that has not committed itself.
base::Result<FinishResult> Store::Impl::answer_for_key(
    const std::optional<protocol::IdempotencyKey>& idempotency) {
    TWOFOLD_TRY(KeyOwner owner, find_key_owner(*r_, idempotency));
    if (owner.is_other_request) return FinishResult{FinishStatus::aborted, key_conflict()};
    FinishStatus status = owner.txn ? FinishStatus::committed : FinishStatus::aborted;
    return FinishResult{status, {}, owner.txn};
}

}  // namespace twofold::participant::sqlite
